use std::time::Duration;

use mesh_config::model::{Script, ScriptSecurity};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{User, geteuid};

use super::*;

fn config(startup: String, shutdown: String) -> Config {
    let me = User::from_uid(geteuid()).unwrap().expect("whoever runs the tests has a name").name;
    let script = |text| Some(Script { command: ["/bin/sh".to_owned(), "-c".to_owned(), text].into(), user: None });
    let scripts = ScriptSecurity { user: Some((me, None)), ..ScriptSecurity::default() };
    let mut config = Config { scripts, ..Config::default() };
    (config.notify.startup, config.notify.shutdown) = (script(startup), script(shutdown));
    config.notify.shutdown_timeout = Duration::from_millis(200);
    config
}

#[test]
fn both_scripts_run_once_between_a_start_and_a_stop_and_not_for_ever() {
    let mut signals = Signals::take().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(live(&mut signals));
}

async fn live(signals: &mut Signals) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let says = |word: &str| format!("echo {word} >> {}", log.display());
    let config = config(says("startup"), says("shutdown"));
    let text = || fs::read_to_string(&log).unwrap_or_default();
    for _ in 0..2 {
        // The second run finds that the first did not end in order.
        assert!(Life::new(dir.path()).begin(&config, signals).await);
        assert_eq!(text(), "startup\n");
    }
    Life::new(dir.path()).end(&config).await;
    assert_eq!(text(), "startup\nshutdown\n");
    assert!(Life::new(dir.path()).begin(&config, signals).await);
    assert_eq!(text(), "startup\nshutdown\nstartup\n");

    // Here, since everybody in this process hears of the signal: it ends the start, and the limit the end.
    let dir = tempfile::tempdir().unwrap();
    let config = self::config("sleep 60".to_owned(), "sleep 60".to_owned());
    let life = Life::new(dir.path());
    raise(Signal::SIGINT).unwrap();
    let begun = tokio::time::timeout(Duration::from_secs(10), life.begin(&config, signals)).await;
    assert_eq!(begun, Ok(false));
    tokio::time::timeout(Duration::from_secs(10), life.end(&config)).await.expect("it is cut off");
}
