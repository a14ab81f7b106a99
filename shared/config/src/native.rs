//! meshd.toml.
