//! What the operator declared.
//!
//! Two front ends, [`keepalived`] (keepalived.conf) and [`native`] (meshd.toml), lower what they
//! read into one [`model::Config`]; nothing half-checked goes on. Everything worth saying about the
//! text (errors, ignored keywords, values that were changed) is a [`report::Report`] with the place.

pub mod keepalived;
pub mod model;
pub mod native;
pub mod report;
