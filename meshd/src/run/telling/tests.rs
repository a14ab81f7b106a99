use super::*;

#[tokio::test]
async fn the_end_of_the_collector_is_noticed_once() {
    let collector = tokio::spawn(pending());
    let ends = collector.abort_handle();
    let journal = Arc::new(Journal::new("lb1", 0));
    let mut told = Telling { journal, collector: Some(collector), stop: CancellationToken::new(), export: None };
    let soon = Duration::from_millis(50);
    assert!(timeout(soon, told.died()).await.is_err(), "it goes on");
    ends.abort();
    let error = timeout(Duration::from_secs(5), told.died()).await.expect("noticed");
    assert_eq!(error.to_string(), "who collects telemetry died");
    assert!(timeout(soon, told.died()).await.is_err(), "told once");
    told.finish().await;
}
