//! What one advertisement costs the engine, with few and with many virtual routers.

use std::net::IpAddr;
use std::time::Duration;

use divan::{Bencher, black_box};
use mesh_benches::{config, engine};
use mesh_core::{Input, Instant, input};
use mesh_wire::vrrp::{self, Advertisement, Authentication, ChecksumForm, Interval, Version};

fn main() {
    divan::main();
}

/// A backup hears the active router.
#[divan::bench(args = [1, 16, 255])]
fn advertisement(bencher: Bencher<'_, '_>, routers: u8) {
    let start = Instant::from_nanos(1_000_000_000);
    let mut engine = engine(config(routers, 4), start);
    let source = IpAddr::from([10, 1, 1, 12]);
    let packet = Advertisement {
        vrid: routers,
        priority: 200,
        interval: Interval::new(Version::V2, Duration::from_secs(1)).expect("one second"),
        addresses: vec![IpAddr::from([10, 7, routers, 0])],
        auth: Authentication::None,
    };
    let payload = vrrp::emit(&packet, source, vrrp::GROUP, ChecksumForm::Message);
    bencher.bench_local(|| {
        let datagram = input::Datagram {
            interface: "eth0".to_owned(),
            source,
            destination: vrrp::GROUP.into(),
            ttl: 255,
            payload: payload.clone(),
        };
        black_box(engine.step(start, Input::Advertisement(datagram)))
    });
}

/// A second of service: every router advertises once.
#[divan::bench(args = [1, 16, 255])]
fn active_second(bencher: Bencher<'_, '_>, routers: u8) {
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut engine = engine(config(routers, 4), now);
    now = now + Duration::from_secs(10);
    engine.step(now, Input::Timeout);
    bencher.bench_local(|| {
        let end = now + Duration::from_secs(1);
        while let Some((at, _)) = engine.deadline().filter(|(at, _)| *at <= end) {
            black_box(engine.step(at, Input::Timeout));
        }
        now = end;
    });
}
