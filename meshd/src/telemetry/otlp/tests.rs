//! What is read of the settings, and a collector that is away.

use std::net::TcpListener;

use super::super::Journal;
use super::*;

#[test]
fn headers_are_read_and_their_errors_named_without_the_secret() {
    let read = headers("# to the collector\nAuthorization: Bearer a:b=c\n\nx-tenant=blue\n").unwrap();
    assert_eq!(read.get("authorization").unwrap(), "Bearer a:b=c");
    assert_eq!(read.get("x-tenant").unwrap(), "blue");
    let refused = |text| format!("{:#}", headers(text).unwrap_err());
    assert_eq!(refused("a: b\nsecret"), "line 2: expected `name: value`");
    assert!(refused("sp ace: secret").starts_with("line 1: expected `name: value`"));
    assert!(!refused("sp ace: secret").contains("secret"));
}

fn event(n: usize) -> Event {
    let event = mesh_core::Decision::Warning { text: n.to_string() };
    Journal::new("lb1", 0).event(1, super::super::event::of(event))
}

/// Nobody listens: what waits is bounded, the rest is counted, and the end comes in time.
#[tokio::test]
async fn a_collector_that_is_away_costs_no_more_than_its_queue() {
    // A port that was free a moment ago, and refuses.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = Some(format!("http://127.0.0.1:{port}"));
    let settings = TelemetrySettings { endpoint, ..TelemetrySettings::default() };
    let access = Access::new(&settings).unwrap();
    let signals = Signals::new(&access, &resource(&settings, "lb1"), true, true).unwrap();
    let (queue, items) = mpsc::channel(QUEUE);
    let exporter = Exporter { queue: Some(queue), lost: Arc::default() };
    for n in 0..QUEUE + 5 {
        exporter.event(&event(n));
    }
    assert_eq!(exporter.lost(), 5);
    let lost = Arc::clone(&exporter.lost);
    let sender = tokio::spawn(run(signals, items, Arc::clone(&lost)));
    drop(exporter);
    timeout(Duration::from_secs(20), sender).await.expect("it ends with its queue").unwrap();
    assert_eq!(lost.load(Ordering::Relaxed), QUEUE as u64 + 5, "all of it, and nothing twice");
}

#[test]
fn the_resource_names_service_and_instance() {
    let settings = TelemetrySettings { service_name: Some("edge".to_owned()), ..TelemetrySettings::default() };
    let resource = resource(&settings, "lb1");
    let get = |key: &'static str| resource.get(&opentelemetry::Key::from_static_str(key)).map(|v| v.to_string());
    assert_eq!(get("service.name").as_deref(), Some("edge"));
    assert_eq!(get("service.instance.id").as_deref(), Some("lb1"));
    assert_eq!(get("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert!(get("host.name").is_some());
}
