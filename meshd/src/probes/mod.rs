//! Probes.

pub mod script;
