//! Network namespaces by the names that `ip netns` gives them, or by files.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use nix::sched::{CloneFlags, setns};

/// Where `ip netns` keeps them.
const DIRECTORY: &str = "/run/netns";

/// This thread, and those it starts, are in the network namespace of this name, or of the file with this whole path,
/// from now on.
///
/// # Errors
///
/// There is none, or this process may not enter it.
pub fn enter(name: &str) -> anyhow::Result<()> {
    let path = Path::new(DIRECTORY).join(name);
    let namespace = File::open(&path).with_context(|| match path.exists() {
        true => format!("the network namespace `{name}` may not be opened (that of process 1 takes CAP_SYS_PTRACE)"),
        false => format!("there is no network namespace `{name}`"),
    })?;
    if is_here(&namespace) {
        return Ok(());
    }
    setns(namespace, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter the network namespace `{name}`"))
}

/// Nobody needs a privilege to stay.
fn is_here(namespace: &File) -> bool {
    let (Ok(there), Ok(here)) = (namespace.metadata(), std::fs::metadata("/proc/thread-self/ns/net")) else {
        return false;
    };
    (there.dev(), there.ino()) == (here.dev(), here.ino())
}
