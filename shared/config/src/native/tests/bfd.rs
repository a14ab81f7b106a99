use super::*;
use crate::model::BfdInstance;

fn with(keys: &str) -> String {
    format!("[[bfd]]\nname = \"b\"\nneighbour = \"10.0.0.2\"\n{keys}\n")
}

fn sessions(text: &str) -> Vec<BfdInstance> {
    let (config, found) = read(text);
    config.unwrap_or_else(|| panic!("{found:#?}")).bfd_instances
}

#[test]
fn the_same_as_in_keepalived() {
    let toml = with(
        "source = \"10.0.0.1\"\ninterface = \"eth0\"\nmin_rx = \"3.312ms\"\nmin_tx = \"20ms\"\nidle_tx = \"2s\"\nmultiplier = 3\n\
         passive = true\nttl = 250\nmax_hops = 4\nmultihop = true\nweight = -20\nreverse = true\nused_by = \"routers\"",
    );
    let conf = "bfd_instance b {\n neighbor_ip 10.0.0.2\n source_ip 10.0.0.1\n interface eth0\n min_rx 3.312\n min_tx 20\n \
                idle_tx 2000\n multiplier 3\n passive\n ttl 250\n max_hops 4\n multihop\n weight -20 reverse\n vrrp\n}\n";
    let (config, _) = crate::keepalived::parse(Path::new("f"), conf, &Host::none());
    assert_eq!(sessions(&toml), config.unwrap().bfd_instances);

    let address = |text: &str| text.parse().unwrap();
    assert_eq!(sessions(&with("")), [BfdInstance::new("b", address("10.0.0.2"))]);
    let six = sessions("[[bfd]]\nname = \"s\"\nneighbour = \"fd00::2\"\nused_by = \"services\"");
    assert_eq!(six, [BfdInstance { for_routers: false, ..BfdInstance::new("s", address("fd00::2")) }]);
}

#[test]
fn errors_are_placed() {
    for (keys, start) in [
        ("min_rx = \"0.5ms\"", "4:10 500µs is out of range; expected 1ms to 4294.967s"),
        ("min_tx = \"72m\"", "4:10 4320s is out of range"),
        ("idle_tx = \"999ms\"", "4:11 999ms is out of range; expected 1s to 4294.967s"),
        ("multiplier = 0", "4:14 0 is out of range; expected 1 to 255"),
        ("ttl = 256", "4:7 256 is out of range; expected 1 to 255"),
        ("ttl = 3\nmax_hops = 4", "5:12 4 is out of range; expected 0 to 3"),
        ("weight = 254", "4:10 254 is out of range; expected -253 to 253"),
        ("used_by = \"x\"", "4:11 unknown value `x`"),
        ("source = \"fd00::1\"", "3:13 fd00::1 and 10.0.0.2 are not of one family"),
        ("source = \"x\"", "4:10 "),
        ("neighbor = \"x\"", "4:1 unknown key `neighbor` (did you mean `neighbour`?)"),
        ("[[bfd]]\nname = \"b\"\nneighbour = \"10.0.0.3\"", "5:8 a second bfd session `b`; expected a name of its own"),
        ("[[bfd]]\nname = \"c\"\nneighbour = \"10.0.0.2\"", "6:13 `b` is a session with 10.0.0.2 already"),
        ("[[bfd]]\nname = \"c\"\nneighbour = \"fe80::2\"", "6:13 fe80::2 is link-local; expected `interface`, too"),
        ("[[bfd]]\nname = \"\"\nneighbour = \"10.0.0.3\"", "5:8 an empty name"),
        ("[[bfd]]\nname = \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"\nneighbour = \"10.0.0.3\"", "5:8 more than 31 bytes"),
    ] {
        refused(&with(keys), start);
    }
}

#[test]
fn a_check_names_a_session_for_services() {
    let server = "[[virtual_server]]\naddress = \"10.0.0.1:80\"\nprotocol = \"tcp\"\nscheduler = \"rr\"\nforwarding = \"dr\"\n\
                  [[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\n\
                  [[virtual_server.real_server.check]]\ntype = \"bfd\"\nsession = \"b\"\n";
    let (config, found) = read(&format!("{server}{}", with("")));
    let checks = &config.unwrap_or_else(|| panic!("{found:#?}")).virtual_servers[0].real_servers[0].checks;
    assert_eq!(checks[0].kind, CheckKind::Bfd { instance: "b".into() });
    refused(server, "10:11 there is no bfd session `b` for services");
    refused(&format!("{server}{}", with("used_by = \"routers\"")), "10:11 there is no bfd session `b` for services");
}
