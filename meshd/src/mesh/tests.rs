//! Whole meshes in one process, on loopback addresses of their own.

mod cluster;
mod enrolment;
mod faults;
mod roster;
mod traffic;
