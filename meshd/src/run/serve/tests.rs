use super::*;
use std::fs;

const ROUTER: &str = "vrrp_instance A {\n interface lo\n virtual_router_id 51\n priority 100\n virtual_ipaddress {\n  \
                      192.0.2.80\n }\n}\n";

#[tokio::test]
async fn a_broken_included_file_leaves_the_configuration_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (file, included) = (directory.path().join("f.conf"), directory.path().join("routers.conf"));
    fs::write(&file, "include routers.conf\n").unwrap();
    let places = Places {
        config: Some(file),
        config_id: None,
        name: None,
        state_dir: directory.path().join("state"),
        runtime_dir: directory.path().join("run"),
        listen: None,
    };
    let (inputs, mut taken) = mpsc::channel(1);
    let reloading = Reloading {
        places: &places,
        inputs: &inputs,
        directs: true,
        teller: None,
        secure: watch::channel(ScriptSecurity::default()).0,
        config: Mutex::default(),
    };
    let reload = async |text: &str| {
        fs::write(&included, text).unwrap();
        reloading.reload(None, None).await;
    };
    reload(&ROUTER.replace(" 51", " 510")).await;
    reload(ROUTER.trim_end().trim_end_matches('}')).await;
    reload("").await;
    assert!(taken.try_recv().is_err());
    reload(&ROUTER.replace("100", "90")).await;
    let Ok(Input::Configure(config)) = taken.try_recv() else { panic!("no configuration") };
    assert_eq!(config.routers[0].priority, 90);
    fs::remove_file(&included).unwrap();
    reloading.reload(None, None).await;
    assert!(taken.try_recv().is_err());
}
