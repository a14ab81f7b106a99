//! Where packets come from.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn port_of(sender: &Sender) -> u16 {
    let (socket, _) = sender.socket.as_ref().unwrap_or_else(|| panic!("{:?}", sender.error));
    socket.local_addr().unwrap().as_socket().unwrap().port()
}

/// RFC 5881 section 4.
#[test]
fn the_source_port_is_one_of_its_range_and_stays_that_of_its_session() {
    let mut random = StdRng::seed_from_u64(u64::from(std::process::id()));
    for local in ["127.0.0.1", "::1"] {
        let instance = BfdInstance::new("peer", local.parse::<IpAddr>().unwrap());
        let mut senders: Vec<Sender> = (0..50).map(|_| Sender::new(instance.clone())).collect();
        senders.iter_mut().for_each(|sender| sender.open(&mut random));
        let ports: Vec<u16> = senders.iter().map(port_of).collect();
        assert!(ports.iter().all(|port| (49_152..=65_535).contains(port)), "{ports:?}");
        let mut unique = ports.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ports.len(), "each session has its own");
        // The interface went, and came back. A program that another test starts has all sockets until it runs.
        for (sender, port) in senders.iter_mut().zip(&ports) {
            let mut is_same = || {
                (sender.socket, sender.port) = (None, Some(*port));
                sender.open(&mut random);
                std::thread::yield_now();
                port_of(sender) == *port
            };
            assert!((0..10_000).any(|_| is_same()));
        }
        // Somebody else has taken it meanwhile.
        let taken = senders.pop().unwrap();
        let mut late = Sender::new(instance);
        late.port = Some(port_of(&taken));
        late.open(&mut random);
        assert!(port_of(&late) != port_of(&taken) && port_of(&late) >= 49_152);
    }
}
