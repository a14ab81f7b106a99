//! Mail about what happens: `global_defs` of keepalived.conf.

use std::time::Duration;

/// To whom mail goes, and by which server. Without an address in `to` or without a server, none is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// `notification_email`.
    pub to: Vec<String>,
    /// `notification_email_from`; default `keepalived@` and the host's name.
    pub from: Option<String>,
    /// `smtp_server`: address or name, and port (25).
    pub server: Option<(String, u16)>,
    /// `smtp_helo_name`; default the host's name.
    pub helo_name: Option<String>,
    /// `smtp_connect_timeout`; default 30 s.
    pub connect_timeout: Duration,
    /// `smtp_alert`: for everything that does not say otherwise.
    pub alert: Option<bool>,
    /// `smtp_alert_vrrp`: overrides `alert` for virtual routers.
    pub alert_vrrp: Option<bool>,
    /// `smtp_alert_checker`: overrides `alert` for virtual and real servers.
    pub alert_checker: Option<bool>,
    /// `no_email_faults`: none when a router becomes faulty.
    pub no_faults: bool,
    /// `no_checker_emails`: none about a check that does not change whether its real server is used.
    pub no_checker: bool,
}

impl Default for Mail {
    fn default() -> Self {
        Mail {
            to: Vec::new(),
            from: None,
            server: None,
            helo_name: None,
            connect_timeout: Duration::from_secs(30),
            alert: None,
            alert_vrrp: None,
            alert_checker: None,
            no_faults: false,
            no_checker: false,
        }
    }
}

impl Mail {
    /// Whether a virtual server sends mail about its quorum; `own` is its `smtp_alert`. Default: no.
    pub fn about_virtual_server(&self, own: Option<bool>) -> bool {
        own.or(self.alert_checker).or(self.alert).unwrap_or(false)
    }
    /// Whether a virtual router or a sync group sends mail about its state; `own` is its `smtp_alert`. Default: no.
    pub fn about_router(&self, own: Option<bool>) -> bool {
        own.or(self.alert_vrrp).or(self.alert).unwrap_or(false)
    }
    /// Whether a real server sends mail about its state; `own` is its `smtp_alert`. Default: yes.
    pub fn about_real_server(&self, own: Option<bool>) -> bool {
        own.or(self.alert_checker).or(self.alert).unwrap_or(true)
    }
}
