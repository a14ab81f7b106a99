//! See the documentation of the library for what is tested, and for deviations.

mod events;
mod fields;
mod leases;
mod neighbours;
mod owners;
mod rfc_3768;
mod rfc_9568;
mod strict;
mod virtual_mac;
