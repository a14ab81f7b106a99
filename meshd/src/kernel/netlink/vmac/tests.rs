use mesh_wire::mesh::Family;

use super::*;
use crate::kernel::testing::{Neighbour, runtime, sh, with_neighbour};

fn vmac(name: &str, family: Family, vrid: u8) -> Vmac {
    Vmac { name: name.into(), ..Vmac::new("veth0", family, vrid) }
}

fn with_netlink(test: impl AsyncFnOnce(&Neighbour, &Netlink) + Send) {
    with_neighbour(|neighbour| {
        runtime().block_on(async {
            let (netlink, _events) = Netlink::open().await.unwrap();
            test(neighbour, &netlink).await;
        });
    });
}

fn setting(name: &str) -> Option<u32> {
    sysctl::read(&format!("net.ipv4.conf.{name}")).unwrap()
}

fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

#[test]
fn root_one_is_made_taken_over_and_removed_with_what_was_changed() {
    with_netlink(async |_, netlink| {
        sh("sysctl -qw net.ipv4.conf.veth0.arp_filter=1");
        let both = [Vmac { group: 7, ..vmac("vrrp.51", Family::Ipv4, 51) }, vmac("vrrp6.51", Family::Ipv6, 51)];
        assert_eq!(netlink.make_vmacs(&both).await, []);
        let shown = sh("ip -d link show dev vrrp.51");
        for part in [
            "vrrp.51@veth0",
            "state UP",
            "link/ether 00:00:5e:00:01:33",
            "macvlan mode private",
            "group 7",
            "addrgenmode none",
        ] {
            assert!(shown.contains(part), "{part} is missing: {shown}");
        }
        assert!(sh("ip -d link show dev vrrp6.51").contains("link/ether 00:00:5e:00:02:33"));
        assert_eq!(sh("ip -o -6 address show dev vrrp6.51"), "", "it has no address to speak from");
        let of = |name: &str| {
            ["arp_ignore", "accept_local", "promote_secondaries", "rp_filter"].map(|s| setting(&format!("{name}.{s}")))
        };
        assert_eq!(of("vrrp/51"), [Some(1), Some(1), Some(1), Some(0)]);
        assert_eq!((setting("veth0.arp_ignore"), setting("veth0.arp_filter")), (Some(1), Some(1)));

        // Another run: nothing is touched. One that is not wanted goes, and so does what was changed for it.
        let (v4, v6) = (index("vrrp.51"), index("vrrp6.51"));
        let (again, _events) = Netlink::open().await.unwrap();
        assert_eq!(again.make_vmacs(&both).await, []);
        assert_eq!((index("vrrp.51"), index("vrrp6.51")), (v4, v6));
        assert_eq!(again.make_vmacs(&both[1..]).await, []);
        assert!(!sh("ip -o link").contains("vrrp.51@"));
        assert_eq!((setting("veth0.arp_ignore"), setting("veth0.arp_filter")), (Some(0), Some(1)));
        // With another MAC address it is another one.
        let other = Vmac { mac: [2, 0, 0, 0, 0, 9], ..both[1].clone() };
        assert_eq!(again.make_vmacs(std::slice::from_ref(&other)).await, []);
        assert_ne!(index("vrrp6.51"), v6);
        assert_eq!(again.make_vmacs(&[]).await, []);
        assert!(!sh("ip -o link").contains("vrrp") && !sh("nft list ruleset").contains("meshd"));
    });
}

#[test]
fn root_what_others_made_is_taken_over_or_named() {
    with_netlink(async |_, netlink| {
        // As keepalived leaves it when it is killed.
        sh("ip link add vrrp.51 link veth0 address 00:00:5e:00:01:33 type macvlan mode private");
        let before = index("vrrp.51");
        let wanted = vmac("vrrp.51", Family::Ipv4, 51);
        assert_eq!(netlink.make_vmacs(std::slice::from_ref(&wanted)).await, []);
        assert_eq!(index("vrrp.51"), before);
        // Put down, it is put up.
        sh("ip link set vrrp.51 down");
        assert_eq!(netlink.make_vmacs(std::slice::from_ref(&wanted)).await, []);
        assert!(sh("ip -o link show dev vrrp.51").contains(",UP,"));
        let taken = Vmac { name: "veth0".into(), ..vmac("", Family::Ipv4, 52) };
        let nowhere = Vmac { base: "nowhere0".into(), ..vmac("vrrp.53", Family::Ipv4, 53) };
        let failed = netlink.make_vmacs(&[wanted, taken, nowhere]).await;
        assert_eq!(failed, [("veth0".to_owned(), "there is another interface veth0".to_owned())]);
        // Strict filtering everywhere would drop what comes from hosts that are reached below.
        sh("sysctl -qw net.ipv4.conf.all.rp_filter=1");
        assert_eq!(netlink.make_vmacs(&[vmac("vrrp.51", Family::Ipv4, 51)]).await, []);
        assert_eq!(setting("vrrp/51.rp_filter"), Some(2));
    });
}

/// What the neighbour gets within three seconds, while this side does something.
fn frames(neighbour: &Neighbour, filter: &str, what: impl FnOnce()) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let line =
        format!("timeout 3 tcpdump -e -l -n -i peer0 \"{filter}\" >{} 2>{} || true", out.display(), err.display());
    std::thread::scope(|scope| {
        let capture = neighbour.spawn(scope, || neighbour.sh(&line));
        while !std::fs::read_to_string(&err).is_ok_and(|text| text.contains("listening on")) {
            sh("sleep 0.05");
        }
        what();
        capture.join().unwrap();
    });
    std::fs::read_to_string(&out).unwrap()
}

/// A neighbour sees frames of both families; those that report groups carry the MAC address below.
#[test]
fn root_reports_leave_with_the_mac_address_below() {
    with_netlink(async |neighbour, netlink| {
        let both = [vmac("vrrp.51", Family::Ipv4, 51), vmac("vrrp6.51", Family::Ipv6, 51)];
        assert_eq!(netlink.make_vmacs(&both).await, []);
        let own = sh("ip -o link show dev veth0");
        let own = own.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let seen = frames(neighbour, "igmp or ip6", || {
            sh("ip address add 10.77.0.80/24 dev vrrp.51; ip address add fd77::80/64 dev vrrp6.51 nodad");
            sh("ip -6 address add fe80::80/64 dev vrrp6.51 nodad");
            sh("timeout 0.5 socat -u UDP4-RECV:5000,ip-add-membership=239.1.1.1:vrrp.51 /dev/null || true");
            sh("ip address del fd77::80/64 dev vrrp6.51; sleep 1.5");
        });
        let reports: Vec<&str> =
            seen.lines().filter(|l| l.contains("igmp v3 report") || l.contains("multicast listener report")).collect();
        assert!(reports.iter().any(|l| l.contains("igmp")) && reports.iter().any(|l| l.contains("listener")), "{seen}");
        assert!(reports.iter().any(|line| line.contains(&format!("{own} > "))), "{own}: {seen}");
        assert!(!reports.iter().any(|line| line.contains("00:00:5e:00:0")), "{seen}");
        let solicits = |line: &str| line.contains("00:00:5e:00:0") && line.contains("router solicitation");
        assert!(!seen.lines().any(solicits), "{seen}");
    });
}
