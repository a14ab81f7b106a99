//! Bytes of mesh messages: one version byte, then postcard.
