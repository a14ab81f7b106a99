use std::path::Path;

use mesh_config::host::Host;

use super::*;

/// What is closed with the address of a router that says this of its interface.
fn closed(more: &str) -> Vec<FenceTarget> {
    let text = format!(
        "vrrp_instance A {{\n interface eth0\n virtual_router_id 51\n{more}\n virtual_ipaddress {{\n 10.0.0.1\n }}\n}}\n"
    );
    let (config, report) = mesh_config::parse(Path::new("f"), &text, &Host::none());
    Vmacs::of(&config.unwrap_or_else(|| panic!("{report:?}"))).targets(&["10.0.0.1".parse().unwrap()])
}

#[test]
fn a_mac_address_is_closed_where_nobody_else_has_it() {
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    let mut both = [FenceTarget::Mac([0, 0, 0x5e, 0, 1, 51]), FenceTarget::from(address)];
    both.sort_unstable();
    assert_eq!(closed(" use_vmac"), both);
    assert_eq!(closed(" use_ipvlan 10.0.0.7"), [FenceTarget::from(address)], "that of the host stays open");
    assert_eq!(closed(""), [FenceTarget::from(address)]);
}
