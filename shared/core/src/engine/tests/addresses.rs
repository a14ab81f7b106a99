//! Routers with more addresses than one value of gossip holds.

use std::collections::BTreeMap;

use mesh_config::model::VirtualAddress;
use mesh_wire::mesh::gossip::{MAX_VALUE, ROUTER_PREFIX, VIPS_PREFIX};

use super::*;

/// The values that a node has published and not taken back.
#[derive(Default)]
struct Published(BTreeMap<String, String>);

impl Published {
    fn note(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Publish { key, value: Some(value) } => drop(self.0.insert(key, value)),
                Action::Publish { key, value: None } => assert!(self.0.remove(&key).is_some(), "{key}"),
                _ => {}
            }
        }
    }

    /// Bytes of the values whose keys begin with this.
    fn bytes(&self, prefix: &str) -> usize {
        self.0.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, value)| key.len() + value.len()).sum()
    }

    fn parts(&self) -> usize {
        self.0.keys().filter(|key| key.starts_with(VIPS_PREFIX)).count()
    }

    /// All of them reach this node.
    fn reach(&self, engine: &mut Engine, at: Instant) {
        for (key, value) in &self.0 {
            engine.step(at, Input::Gossip { node: LB1, key: key.clone(), value: Some(value.clone()) });
        }
    }
}

/// Long ones.
fn six(vrid: u8, n: usize) -> VirtualAddress {
    vip(&format!("2001:db8:aaaa:bbbb:cccc:{vrid:x}ff:{:x}:{:x}/128", 0x1000 + (n >> 12), 0x1000 + (n & 0xfff)))
}

fn four(vrid: u8, n: usize) -> VirtualAddress {
    vip(&format!("100.{vrid}.1{:02}.1{:02}/24", n / 100, n % 100))
}

/// A director with such routers, and what it has published of them.
fn director(vrids: u8, addresses: usize, address: fn(u8, usize) -> VirtualAddress) -> (Engine, Published) {
    let of = |vrid: u8| VirtualRouter {
        name: format!("a_usual_name_{vrid}"),
        key: key(vrid),
        addresses: (0..addresses).map(|n| address(vrid, n)).collect(),
        ..router(200)
    };
    let config = config((1..=vrids).map(of).collect());
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), config, ms(0));
    let mut published = Published::default();
    published.note(engine.step(ms(0), Input::Interface(eth0(LB1))));
    (engine, published)
}

/// What lb3, which has none of them, shows of each.
fn shown(published: &Published) -> Vec<Vec<String>> {
    let mut engine = started(LB3, Vec::new(), Some(roster(3)));
    engine.step(ms(1), peer_up(LB1));
    published.reach(&mut engine, ms(1));
    engine.status(ms(1)).routers.into_iter().map(|router| router.vips).collect()
}

#[test]
fn every_value_fits_and_all_addresses_arrive_in_their_order() {
    for (vrids, addresses, address, parts) in [
        (255, 1, four as fn(u8, usize) -> VirtualAddress, 0),
        (255, 4, four, 0),
        (255, 20, four, 0),
        (255, 300, four, 1),
        (20, 300, six, 2),
        (2, 5000, six, 27),
    ] {
        let (engine, published) = director(vrids, addresses, address);
        let longest = published.0.iter().map(|(key, value)| key.len() + value.len()).max().unwrap();
        assert!(longest <= MAX_VALUE, "{addresses}: {longest} bytes");
        assert_eq!(published.parts(), parts * usize::from(vrids), "{addresses}");
        let (reports, rest) = (published.bytes(ROUTER_PREFIX), published.bytes(VIPS_PREFIX));
        println!(
            "{vrids} routers with {addresses}: {reports} bytes of reports, {rest} of addresses, at most {longest}"
        );
        assert!(reports < usize::from(vrids) * 1700, "{addresses}: {reports} bytes of reports");
        let expected: Vec<Vec<String>> =
            engine.instances.values().map(|i| i.config.served().map(|a| a.net.to_string()).collect()).collect();
        assert_eq!(shown(&published), expected, "{addresses}");
    }
}

/// Nothing of it is passed on before the reports are, and versions that know no parts read these as they are.
#[test]
fn reports_come_first_and_of_few_addresses_are_what_they_were() {
    let (_, many) = director(3, 300, four);
    let order: Vec<bool> = many.0.keys().map(|key| key.starts_with(VIPS_PREFIX)).collect();
    assert!(order.is_sorted() && order.ends_with(&[true; 3]), "{:?}", many.0.keys());
    let (_, few) = director(1, 20, four);
    assert!(few.0.values().all(|value| !value.contains("vips_parts")), "{:?}", few.0);
    // Without the parts: what there is.
    let mut without = many;
    without.0.retain(|key, _| !key.starts_with(VIPS_PREFIX));
    assert!(shown(&without).iter().all(|vips| (40..300).contains(&vips.len())), "{:?}", shown(&without));
}

#[test]
fn addresses_that_go_by_a_reload_are_taken_back() {
    let (mut engine, mut published) = director(2, 1000, six);
    assert_eq!(published.parts(), 2 * 6);
    let mut config = config(engine.config.routers.clone());
    config.routers[0].addresses.truncate(200);
    config.routers.remove(1);
    published.note(engine.step(ms(10), Input::Configure(Box::new(config.clone()))));
    assert_eq!(published.parts(), 1);
    assert_eq!(shown(&published), [(0..200).map(|n| six(1, n).net.to_string()).collect::<Vec<_>>()]);
    config.routers[0].addresses.truncate(1);
    published.note(engine.step(ms(20), Input::Configure(Box::new(config))));
    assert_eq!((published.parts(), shown(&published)), (0, vec![vec![six(1, 0).net.to_string()]]));
}

/// Nobody waits for more, however many addresses there are.
#[test]
fn a_cold_start_does_not_wait_for_addresses() {
    let (_, mut published) = director(2, 1000, six);
    published.0.retain(|key, _| !key.starts_with(VIPS_PREFIX));
    let mut engine = started(LB2, vec![VirtualRouter { key: key(77), ..router(150) }], Some(roster(3)));
    engine.step(ms(1), peer_up(LB1));
    published.reach(&mut engine, ms(1));
    let at = engine.instances[&key(77)].vrrp.deadline().unwrap();
    wait(&mut engine, at + Duration::from_millis(1));
    assert!(engine.instances[&key(77)].lease.ballot().is_some());
}
