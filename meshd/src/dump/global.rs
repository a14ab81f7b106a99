//! The section on `global_defs`, which each of keepalived's processes writes.

use std::fmt::Write;

use mesh_config::model::{Config, FlushOnStop};

use super::words::on;

/// The section.
pub(super) fn text(config: &Config) -> String {
    let mut text = String::from("------< Global definitions >------\n");
    let process = &config.process;
    let namespace = process.net_namespace.as_deref().unwrap_or("(default)");
    let ipvs = process.ipvs_namespace.as_deref().filter(|name| !name.starts_with('/')).unwrap_or("(main namespace)");
    let _ = writeln!(text, " Network namespace = {namespace}\n Network namespace ipvs = {ipvs}");
    if let Some(instance) = &process.instance {
        let _ = writeln!(text, " Instance name = {instance}");
    }
    if let Some(router_id) = &config.router_id {
        let _ = writeln!(text, " Router ID = {router_id}");
    }
    mail(&mut text, config);
    let lvs = &config.lvs;
    let _ = writeln!(text, " Checkers log all failures = {}", on(lvs.log_all_failures, "true", "false"));
    // A configuration that cannot be used is never taken over.
    text.push_str(" Test config before reload\n");
    if process.dumps.use_instance {
        text.push_str(" Use instance name in data dumps\n");
    }
    let flushed = match lvs.flush_on_stop {
        FlushOnStop::Own => "disabled",
        FlushOnStop::All => "enabled",
        FlushOnStop::VirtualServers => "VS",
    };
    let _ = writeln!(text, " LVS flush = {}\n LVS flush on stop = {flushed}", on(lvs.flush, "true", "false"));
    text.push_str(" VRRP IPv4 mcast group = 224.0.0.18\n VRRP IPv6 mcast group = ff02::12\n");
    let pace = config.vrrp.pace;
    for (name, interval) in [("ARP", pace.garp), ("NA", pace.gna)].iter().filter(|(_, i)| !i.is_zero()) {
        let _ = writeln!(text, " Gratuitous {name} interval = {:.6}", interval.as_secs_f64());
    }
    let script_security = on(config.scripts.enable, "enabled", "disabled");
    let _ = writeln!(text, " Script security {script_security}");
    if let Some((user, group)) = &config.scripts.user {
        let _ = writeln!(text, " Default script user:group {user}:{}", group.as_deref().unwrap_or(user));
    }
    let _ = writeln!(text, " rs_init_notifies = {}", u8::from(lvs.init_notifies));
    let _ = writeln!(text, " no_checker_emails = {}", u8::from(config.mail.no_checker));
    let _ = writeln!(text, " umask = 0{:o}", process.umask.unwrap_or(0o177));
    text
}

fn mail(text: &mut String, config: &Config) {
    let mail = &config.mail;
    if let Some((server, port)) = &mail.server {
        let _ = writeln!(text, " Smtp server = {server}\n Smtp server port = {port}");
        if let Some(name) = &mail.helo_name {
            let _ = writeln!(text, " Smtp HELO name = {name}");
        }
        let _ = writeln!(text, " Smtp server connection timeout = {}", mail.connect_timeout.as_secs());
    }
    if let Some(from) = &mail.from {
        let _ = writeln!(text, " Email notification from = {from}");
    }
    if !mail.to.is_empty() {
        let _ = writeln!(text, " Email notification to:\n   {}", mail.to.join("\n   "));
    }
    let switch = |switch: Option<bool>| switch.map_or("unset", |alert| on(alert, "on", "off"));
    let _ = writeln!(text, " Default smtp_alert = {}", switch(mail.alert));
    let _ = writeln!(text, " Default smtp_alert_vrrp = {}", switch(mail.alert_vrrp));
    let _ = writeln!(text, " Default smtp_alert_checker = {}", switch(mail.alert_checker));
}
