//! Configuration of a director, as the tutorials write it: every daemon here reads the same file. What only meshd knows
//! is in its own language.

use std::fmt::Write;

use crate::lab::{DIRECTORS, VIP};

/// How VRRP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Version 2, multicast, password: what nearly every file out there does.
    V2,
    /// Version 3, multicast.
    V3,
    /// Version 2 to named peers, as in clouds.
    Unicast,
}

/// `keepalived.conf` of this director: priorities 200, 150 and 100, adverts every second, one virtual address.
pub fn keepalived_conf(name: &str, style: Style) -> String {
    let (index, priority) = rank(name);
    let state = if index == 0 { "MASTER" } else { "BACKUP" };
    let version = if style == Style::V3 { "    vrrp_version 3\n" } else { "" };
    let mut instance = String::new();
    if style != Style::V3 {
        instance.push_str("    authentication {\n        auth_type PASS\n        auth_pass 1111\n    }\n");
    }
    if style == Style::Unicast {
        let peers = DIRECTORS.iter().filter(|(known, _)| *known != name);
        let peers = peers.fold(String::new(), |mut list, (_, address)| {
            writeln!(list, "        {address}").expect("writing to a String can not fail");
            list
        });
        let own = DIRECTORS[index].1;
        write!(instance, "    unicast_src_ip {own}\n    unicast_peer {{\n{peers}    }}\n")
            .expect("writing to a String can not fail");
    }
    format!(
        "global_defs {{\n    router_id {name}\n{version}}}\n\nvrrp_instance VI_1 {{\n    state {state}\n    \
         interface eth0\n    virtual_router_id 51\n    priority {priority}\n    advert_int 1\n{instance}    \
         virtual_ipaddress {{\n        {VIP}/24\n    }}\n}}\n"
    )
}

/// The same as `meshd.toml`, version 2, with this profile for its leases.
pub fn meshd_toml(name: &str, profile: &str) -> String {
    let (_, priority) = rank(name);
    format!(
        "router_id = \"{name}\"\n\n[mesh]\nprofile = \"{profile}\"\n\n[[router]]\nname = \"VI_1\"\ninterface = \"eth0\"\n\
         vrid = 51\npriority = {priority}\nadvert_interval = \"1s\"\nauth_pass = \"1111\"\naddresses = [\"{VIP}/24\"]\n"
    )
}

/// Place among the directors, and the priority that goes with it.
fn rank(name: &str) -> (usize, u8) {
    let index = DIRECTORS.iter().position(|(known, _)| *known == name).expect("a director's name");
    (index, [200, 150, 100][index])
}
