//! Reading and writing one advertisement.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use divan::{Bencher, black_box};
use mesh_wire::vrrp::{self, Advertisement, Authentication, ChecksumForm, Interval, Version};

fn main() {
    divan::main();
}

const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 11);

fn advertisement(addresses: u8) -> Advertisement {
    Advertisement {
        vrid: 51,
        priority: 150,
        interval: Interval::new(Version::V3, Duration::from_secs(1)).expect("one second"),
        addresses: (0..addresses).map(|i| IpAddr::from([10, 7, 0, i])).collect(),
        auth: Authentication::None,
    }
}

#[divan::bench(args = [1, 20, 255])]
fn emit(bencher: Bencher<'_, '_>, addresses: u8) {
    let packet = advertisement(addresses);
    bencher.bench(|| vrrp::emit(black_box(&packet), SOURCE, vrrp::GROUP, ChecksumForm::PseudoHeader));
}

#[divan::bench(args = [1, 20, 255])]
fn parse(bencher: Bencher<'_, '_>, addresses: u8) {
    let bytes = vrrp::emit(&advertisement(addresses), SOURCE, vrrp::GROUP, ChecksumForm::PseudoHeader);
    bencher.bench(|| vrrp::parse(black_box(&bytes), SOURCE, vrrp::GROUP));
}
