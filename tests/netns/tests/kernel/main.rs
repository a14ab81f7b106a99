//! Real directors on a real kernel. One program for all of them, so that those which wait overlap (`Lab::beside`).

mod bfd;
mod chaos;
mod damping;
mod faults_daemon;
mod faults_network;
mod groups;
mod guard;
mod host;
mod interop;
mod ipv6;
mod judge;
mod lab;
mod lab_faults;
mod moves;
mod neighbours;
mod notify;
mod repair;
mod restarts;
mod roster;
mod scale;
mod server;
mod two_nodes;
mod vmac;
mod voter_memory;
mod wire;
mod witness;
