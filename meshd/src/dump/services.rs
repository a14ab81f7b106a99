//! keepalived_check.data: what its process for health checks writes.

use std::fmt::Write;

use mesh_config::model::{Check, CheckKind, Config, Endpoint, HttpProtocol, RealServer, VirtualServer};
use mesh_control as control;
use mesh_wire::mesh::Family;

use super::global;
use super::words::{self, endpoint, on};

/// The file.
pub(super) fn text(config: &Config, services: &[control::Service]) -> String {
    let mut text = global::text(config);
    text.push_str("------< LVS Topology >------\n");
    groups(&mut text, config);
    for server in &config.virtual_servers {
        let seen = services.iter().find(|service| service.virtual_server == server.name);
        virtual_server(&mut text, server, seen);
    }
    text.push_str("------< Health checkers >------\n");
    for server in &config.virtual_servers {
        let seen = services.iter().find(|service| service.virtual_server == server.name);
        for real in &server.real_servers {
            let up = seen_real(seen, real).is_none_or(|real| real.health != "down");
            real.checks.iter().for_each(|check| checker(&mut text, server, real, check, up));
        }
    }
    text
}

fn groups(text: &mut String, config: &Config) {
    for server in config.virtual_servers.iter().filter(|server| server.endpoints.len() > 1) {
        let has = |family| on(server.endpoints.iter().any(|endpoint| family_of(*endpoint) == family), "yes", "no");
        let (ipv4, ipv6) = (has(Family::Ipv4), has(Family::Ipv6));
        let _ = writeln!(
            text,
            " ------< Virtual server group >------\n Virtual Server Group = {}, IPv4 = {ipv4}, IPv6 = {ipv6}",
            server.name
        );
        for endpoint in &server.endpoints {
            let _ = match endpoint {
                Endpoint::Address(address) => {
                    writeln!(text, "   VIP = {}, VPORT = {}", address.ip(), address.port())
                }
                Endpoint::Fwmark(mark, _) => writeln!(text, "   FWMARK = {mark}"),
            };
        }
    }
}

fn family_of(endpoint: Endpoint) -> Family {
    match endpoint {
        Endpoint::Address(address) if address.is_ipv4() => Family::Ipv4,
        Endpoint::Address(_) => Family::Ipv6,
        Endpoint::Fwmark(_, family) => family,
    }
}

fn virtual_server(text: &mut String, server: &VirtualServer, seen: Option<&control::Service>) {
    text.push_str(" ------< Virtual server >------\n");
    let _ = match server.endpoints.as_slice() {
        [Endpoint::Address(address)] => writeln!(text, " VS VIP = {}, VPORT = {}", address.ip(), address.port()),
        [Endpoint::Fwmark(mark, _)] => writeln!(text, " VS FWMARK = {mark}"),
        _ => writeln!(text, " VS GROUP = [{}]:0", server.name),
    };
    let (first, second) = match server.scheduler.as_str() {
        "sh" => ("sh-fallback", "sh-port"),
        "mh" => ("mh-fallback", "mh-port"),
        _ => ("flag-1", "flag-2"),
    };
    let switch = |switch| on(switch, "enabled", "disabled");
    let _ = writeln!(
        text,
        "   Address family = {}\n   lvs_sched = {}\n   {first} = {}\n   {second} = {}\n   One packet scheduling = {}",
        words::family(server.family),
        server.scheduler,
        switch(server.flag_1),
        switch(server.flag_2),
        switch(server.one_packet),
    );
    if let Some(persistence) = server.persistence {
        let _ = writeln!(text, "   persistence timeout = {persistence}");
    }
    let marked = matches!(server.endpoints.as_slice(), [Endpoint::Fwmark(..)]);
    let _ = writeln!(
        text,
        "   protocol = {}\n   alpha is {}\n   omega is {}\n   quorum = {}, hysteresis = {}",
        if marked { "none" } else { words::protocol(server.protocol) },
        on(server.alpha, "ON", "OFF"),
        on(server.omega, "ON", "OFF"),
        server.quorum,
        server.hysteresis,
    );
    for (script, when) in [(&server.quorum_up, "up"), (&server.quorum_down, "down")] {
        if let Some(script) = script {
            let _ = writeln!(text, "   Quorum {when} notify script = {}", words::script(script));
        }
    }
    let _ = writeln!(text, "   default forwarding method = {}", words::forwarding(server.forwarding));
    if let Some(sorry) = &server.sorry_server {
        let _ = writeln!(
            text,
            "   sorry server = {}\n     forwarding method = {}\n     Inhibit on failure is {}",
            endpoint(sorry.address, server.protocol),
            words::forwarding(sorry.forwarding),
            on(sorry.inhibit, "ON", "OFF"),
        );
    }
    let alive = seen.is_some_and(|service| service.real_servers.iter().any(|real| real.health != "down"));
    let gained = seen.is_some_and(|service| service.quorum.as_deref() == Some("gained"));
    let _ = writeln!(text, "   alive = {}\n   quorum_state_up = {}", u8::from(alive), u8::from(gained));
    server.real_servers.iter().for_each(|real| real_server(text, real, seen_real(seen, real)));
}

fn seen_real<'s>(seen: Option<&'s control::Service>, real: &RealServer) -> Option<&'s control::RealServer> {
    let address = real.address.to_string();
    seen?.real_servers.iter().find(|seen| seen.address == address)
}

fn real_server(text: &mut String, real: &RealServer, seen: Option<&control::RealServer>) {
    let alive = seen.is_none_or(|seen| seen.health != "down");
    let effective = seen.map_or(real.weight.into(), |seen| seen.weight);
    let _ = writeln!(
        text,
        "   ------< Real server >------
   RIP = {}, RPORT = {}, WEIGHT = {} EFF WEIGHT = {effective}
   forwarding method = {}
   connection limit range = {} -> {}
   Inhibit on failure is {}",
        real.address.ip(),
        real.address.port(),
        real.weight,
        words::forwarding(real.forwarding),
        real.lower_threshold,
        real.upper_threshold,
        on(real.inhibit_on_failure, "ON", "OFF"),
    );
    for (script, when) in [(&real.notify_up, "up"), (&real.notify_down, "down")] {
        if let Some(script) = script {
            let _ = writeln!(text, "     RS {when} notify script = {}", words::script(script));
        }
    }
    let _ = writeln!(
        text,
        "   initial weight = {}\n   effective weight = {effective}\n   alive = {}",
        real.weight,
        u8::from(alive)
    );
}

fn checker(text: &mut String, server: &VirtualServer, real: &RealServer, check: &Check, up: bool) {
    let from = match server.endpoints.as_slice() {
        [Endpoint::Address(address)] => endpoint(*address, server.protocol),
        [Endpoint::Fwmark(mark, _)] => format!("FWM {mark}"),
        _ => format!("[{}]:0", server.name),
    };
    let micros = |time: std::time::Duration| time.as_micros();
    let _ = writeln!(
        text,
        " {from} -> {}
   Enabled = yes
   Up = {}
   Alpha = {}
   Delay loop = {} us
   Warmup = {} us
   Retries = {}
   Delay before retry = {} us
   Log all failures = {}",
        endpoint(real.address, server.protocol),
        on(up, "yes", "no"),
        on(check.alpha, "yes", "no"),
        micros(check.delay_loop),
        micros(check.warmup),
        check.retry,
        micros(check.delay_before_retry),
        on(check.log_all_failures, "yes", "no"),
    );
    let connects = !matches!(check.kind, CheckKind::Misc { .. } | CheckKind::File { .. } | CheckKind::Bfd { .. });
    if connects {
        let to = check.connect.to;
        let timeout = check.connect.timeout.as_secs_f64();
        let _ = writeln!(text, "   Connection\n     Dest = [{}]:{}\n     Timeout = {timeout:.6}", to.ip(), to.port());
    }
    kind(text, &check.kind);
}

fn kind(text: &mut String, kind: &CheckKind) {
    let _ = match kind {
        CheckKind::Tcp => writeln!(text, "   Keepalive method = TCP_CHECK"),
        CheckKind::Ping => writeln!(text, "   Keepalive method = PING_CHECK"),
        CheckKind::Http(http) => {
            let method = on(http.tls, "SSL_GET", "HTTP_GET");
            let version = match http.protocol {
                HttpProtocol::V10 => "1.0",
                HttpProtocol::V10Close => "1.0C",
                HttpProtocol::V11 => "1.1",
            };
            let _ = writeln!(text, "   Keepalive method = {method}, http protocol {version}");
            for url in &http.urls {
                let _ = writeln!(text, "   Checked url = {}", url.path);
                if let Some(digest) = &url.digest {
                    let _ = writeln!(text, "     digest = {digest}");
                }
                text.push_str("     HTTP Status Code(s)\n");
                for (first, last) in &url.status {
                    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
                    let _ = writeln!(text, "       {range}");
                }
            }
            Ok(())
        }
        CheckKind::Smtp { helo_name, .. } => {
            let helo = helo_name.as_deref().unwrap_or_default();
            writeln!(text, "   Keepalive method = SMTP_CHECK\n   helo = {helo}")
        }
        CheckKind::Dns { record, name } => {
            writeln!(text, "   Keepalive method = DNS_CHECK\n   Type = {record}\n   Name = {name}")
        }
        CheckKind::Misc { script, timeout, dynamic } => writeln!(
            text,
            "   Keepalive method = MISC_CHECK\n   script = {}\n   timeout = {}\n   dynamic = {}",
            words::script(script),
            timeout.as_secs(),
            on(*dynamic, "YES", "NO"),
        ),
        CheckKind::Udp { payload, reply } => writeln!(
            text,
            "   Keepalive method = UDP_CHECK\n   Payload len = {}\n   Require reply = {}",
            payload.as_ref().map_or(24, Vec::len),
            on(reply.is_some(), "yes", "no"),
        ),
        CheckKind::File { file, .. } => writeln!(text, "   Keepalive method = FILE_CHECK\n   Track file = {file}"),
        CheckKind::Bfd { instance } => writeln!(text, "   Keepalive method = BFD_CHECK\n   Instance = {instance}"),
    };
}
