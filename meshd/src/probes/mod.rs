//! Probes: what meshd runs or asks in order to learn whether this host should serve.

pub mod script;
