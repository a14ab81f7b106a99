//! Probes: what meshd runs or asks in order to learn whether this host, and those behind it, should serve.
//!
//! ```text
//! script     tracked scripts
//! checks     health checks of real servers, one run at a time
//! files      tracked files
//! processes  tracked processes
//! lookout    the threads of these two
//! notify     scripts, FIFO lines and mail that tell others
//! tracked    tracked files and processes, told to the engine
//! process    how scripts are started and ended
//! ```

pub mod checks;
pub mod files;
mod lookout;
pub mod notify;
mod process;
pub mod processes;
pub(crate) use process::security;
pub mod script;
pub mod tracked;
