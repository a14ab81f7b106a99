//! What keepalived does.
