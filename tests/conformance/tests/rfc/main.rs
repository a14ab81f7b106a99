//! See the documentation of the library for what is tested, and for deviations.

mod fields;
mod rfc_3768;
mod rfc_9568;
mod virtual_mac;
