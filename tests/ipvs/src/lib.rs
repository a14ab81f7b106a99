//! A real ip_vs for tests, whatever kernel the machine has: User-mode Linux is a kernel that runs as an
//! ordinary process, on the machine's own files, which it cannot change.
//!
//! ```text
//!   cargo test                     User-mode Linux
//!   +-----------------------+      +------------------------------------------------+
//!   | #[test] fn root_a() { |      | init (bin/init.rs): mounts, modules             |
//!   |   inside(|| ...)  ----+----> |   the same test binary: root_a, root_b, ...     |
//!   | }                     |      |     each in a network namespace of its own,     |
//!   | #[test] fn root_b()   | <----+---- its outcome and what it wrote               |
//!   +-----------------------+      +------------------------------------------------+
//! ```
//!
//! One kernel is booted for all tests of a binary, by the first of them; this takes about three seconds.
//!
//! `uml` boots, `network` makes hosts inside, `ipvsadm` and `keepalived` say what others see and do, `meshd` starts it,
//! `values` writes services shortly.

pub mod ipvsadm;
pub mod keepalived;
pub mod meshd;
pub mod network;
pub mod uml;
pub mod values;

pub use uml::inside;
