//! Effects that [`super`] asks for. The daemon brings them about in the order given.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_config::model::{Check, TrackFile};

use super::input::CheckRun;
use crate::ipvs::Change;
use crate::notify::Notice;

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Check a real server once, now; answered by [`super::Input::Checked`], whatever happens, by
    /// the end of the check's own timeouts.
    Check {
        /// What the answer names.
        run: CheckRun,
        /// What to do.
        check: Arc<Check>,
        /// Which of its URLs or hosts; 0 where there is only one thing to ask.
        step: usize,
    },
    /// Tell what ip_vs holds; answered by [`super::Input::Kernel`]. At most one of this and
    /// [`Action::Apply`] is under way at a time.
    ReadKernel,
    /// Change ip_vs, step by step, and go on after one that fails; answered by
    /// [`super::Input::Applied`].
    Apply(Vec<Change>),
    /// Run a script, write to a FIFO or send mail, without waiting for it.
    Tell(Notice),
    /// Gossip one value of ours; `None` deletes.
    Publish {
        /// Key.
        key: String,
        /// Value.
        value: Option<String>,
    },
    /// Tell what is in these files from now on, and in no others.
    WatchFiles(Vec<TrackFile>),
    /// These virtual addresses should be served by somebody else, each with the reason in words; in
    /// place of what was said before.
    Unfit(BTreeMap<IpAddr, String>),
    /// Tell it: log line, span, metric.
    Record(Decision),
    /// All is done: the daemon may end.
    Stopped,
}

/// Something that was decided about services, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A real server was put in or taken out here.
    RealServer {
        /// Name of the virtual server.
        service: String,
        /// `ADDR:PORT` of the real server.
        address: String,
        /// Whether it is used from now on.
        up: bool,
        /// Who saw what, in words.
        cause: String,
    },
    /// The quorum of a virtual server was gained or lost here.
    Quorum {
        /// Name of the virtual server.
        service: String,
        /// Gained, or lost.
        gained: bool,
        /// Weights, in words.
        cause: String,
    },
    /// Something of ours in ip_vs was changed by somebody else, and is repaired.
    Repaired {
        /// What, in words.
        what: String,
    },
    /// Something went wrong that the operator has to know.
    Warning {
        /// In words.
        text: String,
    },
}
