use super::*;
use std::fs;

const ROUTER: &str = "vrrp_instance A {\n interface lo\n virtual_router_id 51\n priority 100\n virtual_ipaddress {\n  \
                      192.0.2.80\n }\n}\n";

fn places(directory: &tempfile::TempDir, file: std::path::PathBuf) -> Places {
    Places {
        config: Some(file),
        config_id: None,
        name: None,
        state_dir: directory.path().join("state"),
        runtime_dir: directory.path().join("run"),
        listen: None,
        net_namespace: None,
        only: None,
        umask: None,
        syslog: None,
    }
}

fn reloading<'a>(places: &'a Places, inputs: &'a mpsc::Sender<Input>) -> Reloading<'a> {
    let dumps = Dumps::new(mpsc::channel(1).0, crate::on_demand::channel(Vec::new()).1);
    let secure = watch::channel(ScriptSecurity::default()).0;
    let told = (Telemetry::new().0, watch::channel(None).0);
    let reloading = Reloading::new(places, inputs, (true, None), secure, dumps, told, Config::default());
    Reloading { patience: Duration::from_millis(10), ..reloading }
}

/// What one of the two cannot take, neither takes.
#[tokio::test]
async fn engine_and_services_change_together() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f.conf");
    fs::write(&file, ROUTER).unwrap();
    let places = places(&directory, file);
    let (inputs, mut engine) = mpsc::channel(1);
    let (service_inputs, mut services) = mpsc::channel(1);
    let thread = ServicesThread::taking(service_inputs.clone());
    let mut reloading = reloading(&places, &inputs);
    inputs.send(Input::Timeout).await.unwrap();
    assert_eq!(reloading.reload(Some(&thread), None).await, Err("the engine takes nothing".into()));
    assert!(services.try_recv().is_err());
    assert_eq!(engine.try_recv(), Ok(Input::Timeout));
    service_inputs.send(mesh_core::services::Input::Timeout).await.unwrap();
    assert_eq!(reloading.reload(Some(&thread), None).await, Err("the thread of the services takes nothing".into()));
    assert!(engine.try_recv().is_err());
    assert_eq!(*reloading.config, Config::default());
    assert!(matches!(services.try_recv(), Ok(mesh_core::services::Input::Timeout)));
    reloading.reload(Some(&thread), None).await.unwrap();
    let Ok(Input::Configure(config)) = engine.try_recv() else { panic!("no configuration") };
    let Ok(mesh_core::services::Input::Configure(same)) = services.try_recv() else { panic!("no configuration") };
    assert_eq!(config, same);
}

#[tokio::test]
async fn a_broken_included_file_leaves_the_configuration_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (file, included) = (directory.path().join("f.conf"), directory.path().join("routers.conf"));
    fs::write(&file, "include routers.conf\n").unwrap();
    let places = places(&directory, file);
    let (inputs, mut taken) = mpsc::channel(1);
    let mut reloading = reloading(&places, &inputs);
    let mut reload = async |text: &str| {
        fs::write(&included, text).unwrap();
        reloading.reload(None, None).await
    };
    let mut refused = async |text: &str, expected: &str| {
        let error = reload(text).await.unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    refused(&ROUTER.replace(" 51", " 510"), "routers.conf:3:20: error").await;
    refused(ROUTER.trim_end().trim_end_matches('}'), "not closed").await;
    refused("", "nothing to serve is left").await;
    assert!(taken.try_recv().is_err());
    let reply = reload(&ROUTER.replace("100", "90")).await.unwrap();
    assert!(reply.findings.is_empty() && reply.summary.contains("f.conf: usable: 0 errors"), "{reply:?}");
    let Ok(Input::Configure(config)) = taken.try_recv() else { panic!("no configuration") };
    assert_eq!(config.routers[0].priority, 90);
    assert_eq!(*config, *reloading.config);
    fs::remove_file(&included).unwrap();
    let gone = reloading.reload(None, None).await;
    assert_eq!(gone, Err("nothing to serve is left in it; stop meshd to serve nothing".into()));
    assert!(taken.try_recv().is_err());
}

/// What nobody who was there saw is still shown, until it is right.
#[tokio::test]
async fn a_refused_configuration_is_shown_until_another_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f.conf");
    let places = places(&directory, file.clone());
    let (inputs, mut taken) = mpsc::channel(2);
    let (refused, shown) = watch::channel(None);
    let (telemetry, _reports) = Telemetry::new();
    let mut reloading = Reloading { telemetry, refused, ..reloading(&places, &inputs) };
    fs::write(&file, ROUTER.replace(" 51", " 510")).unwrap();
    let error = reloading.reload(None, None).await.unwrap_err();
    let ConfigRefused { at, errors } = shown.borrow().clone().expect("it is shown");
    let said = errors.join("\n");
    assert_eq!(said, error);
    assert!(said.contains("f.conf:3:20: error: ") && at.parse::<jiff::Timestamp>().is_ok(), "{at}: {said}");
    assert!(taken.try_recv().is_err());
    fs::write(&file, ROUTER).unwrap();
    reloading.reload(None, None).await.unwrap();
    assert_eq!(*shown.borrow(), None);
}

/// What the running configuration says of reloads holds for the next one.
#[tokio::test]
async fn a_reload_is_told_kept_and_comes_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let [file, log, kept, time] = ["f.conf", "log", "kept", "time"].map(|name| directory.path().join(name));
    let globals = format!(
        "global_defs {{\n reload_check_config {}\n config_save_dir {}\n reload_time_file {}\n}}\n",
        log.display(),
        kept.display(),
        time.display()
    );
    fs::write(&file, format!("{globals}{ROUTER}")).unwrap();
    let places = places(&directory, file.clone());
    let (inputs, mut taken) = mpsc::channel(1);
    let mut reloading = reloading(&places, &inputs);
    reloading.reload(None, None).await.unwrap();
    assert!(matches!(taken.try_recv(), Ok(Input::Configure(_))));
    assert!(!log.exists() && !kept.exists(), "nobody had asked for it");

    fs::write(&file, format!("{globals}{}", ROUTER.replace("priority 100", "prioritie 90"))).unwrap();
    let reply = reloading.reload(None, None).await.unwrap();
    assert!(reply.findings[0].contains("unknown keyword `prioritie`"), "{reply:?}");
    assert!(matches!(taken.try_recv(), Ok(Input::Configure(_))));
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("unknown keyword `prioritie`"), "{told}");
    fs::write(&file, format!("{globals}{}", ROUTER.replace(" 51", " 510"))).unwrap();
    let error = reloading.reload(None, None).await.unwrap_err();
    let told = fs::read_to_string(&log).unwrap();
    assert!([&error, &told].iter().all(|text| text.contains("`510` is no value")), "{error}\n{told}");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 2);

    // A day that has gone is not followed, and the next second is.
    fs::write(&time, "2001-01-01 00:00:00Z").unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(50), reloading.due()).await;
    assert!(asked.is_err());
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    fs::write(&time, soon.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), reloading.due()).await.expect("it comes");
    fs::write(&file, format!("{globals}{ROUTER}")).unwrap();
    reloading.reload_in_time(None, None).await;
    assert!(matches!(taken.try_recv(), Ok(Input::Configure(_))));
    assert!(!time.exists());
}
