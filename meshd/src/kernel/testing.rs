//! Two hosts for tests: this thread in a network namespace of its own, and a neighbour on a veth pair.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

/// The neighbour: interface `peer0`, 10.77.0.2/24. This side: `veth0`, 10.77.0.1/24.
pub(crate) struct Neighbour(String);

/// Runs a test in namespaces of its own; needs root.
pub(crate) fn with_neighbour(test: impl FnOnce(&Neighbour) + Send) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("meshd-k{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let body = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root is needed");
        let neighbour = Neighbour(name);
        sh(&format!("ip netns add {}", neighbour.0));
        sh("ip link set lo up");
        neighbour.connect();
        test(&neighbour);
    };
    thread::scope(|scope| scope.spawn(body).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

impl Neighbour {
    /// The veth pair, up and with addresses; to be called again where a test deleted it.
    pub(crate) fn connect(&self) {
        sh(&format!("ip link add veth0 type veth peer name peer0 netns {}", self.0));
        sh("ip address add 10.77.0.1/24 dev veth0 && ip link set veth0 up");
        self.sh("ip link set lo up; ip address add 10.77.0.2/24 dev peer0 && ip link set peer0 up");
    }

    /// Runs a command line there.
    pub(crate) fn sh(&self, line: &str) -> String {
        sh(&format!("ip netns exec {} sh -ec '{line}'", self.0))
    }

    /// Whether a command line succeeds there.
    pub(crate) fn succeeds(&self, line: &str) -> bool {
        run(&format!("ip netns exec {} {line}", self.0)).0
    }

    /// Runs a thread there.
    pub(crate) fn spawn<'scope, T: Send + 'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        body: impl FnOnce() -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        let namespace = File::open(format!("/run/netns/{}", self.0)).expect("the namespace exists");
        scope.spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root is needed");
            body()
        })
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.0));
    }
}

/// Runs a command line on this side and wants it to succeed.
pub(crate) fn sh(line: &str) -> String {
    let (success, output) = run(line);
    assert!(success, "{line}: {output}");
    output
}

fn run(line: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh exists");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The runtime the daemon's engine has.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Lets time pass, where only time can bring about what is tested.
pub(crate) fn pause(millis: u64) {
    runtime().block_on(async { tokio::time::sleep(Duration::from_millis(millis)).await });
}
