use super::*;
use crate::probes::notify::{NotifySettings, teller};

impl ServicesThread {
    /// Nothing but a queue.
    pub(crate) fn taking(inputs: mpsc::Sender<Input>) -> ServicesThread {
        ServicesThread { ended: oneshot::channel().1, inputs, stopped: oneshot::channel().1 }
    }
}

/// It is what `meshctl services` shows, and the daemon goes on.
#[tokio::test]
async fn a_namespace_that_is_not_there_is_named() {
    let (answers, mut told) = mpsc::channel(QUEUE);
    let tasks = kernel::start(answers, Telemetry::new().0, Some("/nowhere/net".to_owned())).unwrap();
    tasks.send(Task::Read).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), told.recv()).await.expect("an answer");
    let Some(Input::Kernel(Err(why))) = answer else { panic!("{answer:?}") };
    assert!(why.starts_with("ip_vs: there is no network namespace `/nowhere/net`: "), "{why}");
}

/// A daemon that checks, and programs nothing, would look alive.
#[tokio::test]
async fn the_end_of_the_kernel_s_thread_is_the_end() {
    let (inputs, received) = mpsc::channel(QUEUE);
    let (engine, _engine) = mpsc::channel(1);
    let (kernel, tasks) = mpsc::channel(1);
    let (around, surroundings) = watch::channel(Surroundings::default());
    let config = Config::default();
    let teller = teller::start(NotifySettings::default(), None).unwrap().teller;
    let setup =
        Setup { node: mesh_wire::mesh::NodeId(0), name: "lb1".to_owned(), seed: 1, unix_at_zero: Duration::ZERO };
    let driver = Driver {
        services: Services::new(setup, &config, clock::now()),
        inputs: received,
        surroundings,
        sessions: watch::channel(Told::default()).1,
        sessions_told: BTreeMap::new(),
        kernel,
        checkers: Checkers::new(settings(&config), inputs.clone()),
        files: files::start(inputs.clone(), told_number).unwrap(),
        outputs: Outputs {
            engine,
            mesh: None,
            telemetry: Telemetry::new().0,
            teller,
            shown: crate::on_demand::channel(Vec::new()).0,
        },
        suspends: false,
        addresses: BTreeSet::new(),
        unfit: None,
        stopped: false,
    };
    drop(tasks);
    let ended = tokio::time::timeout(Duration::from_secs(10), driver.run()).await.expect("it is noticed");
    assert_eq!(ended.unwrap_err().to_string(), "the thread that talks to ip_vs died");
    drop(around);
}
