//! Tracked scripts.
