//! The real servers of one virtual server: who is used, whether there is a quorum, what ip_vs shall
//! hold, and who hears of it.
//!
//! Quorum, sorry server and the order of what is told are keepalived 2.2.7's: the live weight gains the
//! quorum at quorum + hysteresis and loses it below quorum - hysteresis, or at 0; without it a sorry
//! server takes the place of all real servers. What changes together is one change of ip_vs here,
//! in which the new ones come before the old ones go: no moment without anybody.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

use mesh_config::model::{Endpoint, Forwarding, Mail, Script, VirtualServer};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::Health;

use super::action::{Action, Decision};
use super::checker::Checker;
use super::verdict::Unfit;
use super::words;
use crate::ipvs::{self, Destination, DestinationKey, Netmask, Persistence, SchedulerFlags, ServiceKey};
use crate::notify::Notice;
use crate::time::Instant;

/// The largest weight.
const WEIGHTS: i64 = 65535;

/// One virtual server.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) config: VirtualServer,
    /// Its real servers, as in `config`.
    pub(super) members: Vec<Member>,
    /// The quorum is there.
    pub(super) quorum_up: bool,
    /// The sorry server serves.
    pub(super) sorry: bool,
    /// `ha_suspend`, and none of the addresses is here.
    pub(super) suspended: bool,
    /// All of it is in ip_vs.
    pub(super) programmed: bool,
    /// Somebody else should serve its addresses.
    pub(super) unfit: Option<Unfit>,
}

/// One real server of it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) checkers: Vec<Checker>,
    /// The weight an earlier run left it with, which counts until all its checks have said what they add to it.
    pub(super) left: Option<u32>,
    /// It is used.
    pub(super) live: bool,
    /// This run of the daemon knows it from before a reload.
    pub(super) known: bool,
    /// Scripts have to hear of it though nothing changed.
    pub(super) first: bool,
    /// Texts of mails about it.
    pub(super) mails: Vec<String>,
    /// Who checks it; nobody where only this node's checks count.
    pub(super) assigned: Vec<NodeId>,
    /// This node does.
    pub(super) mine: bool,
    /// What its checks said last, and since when.
    pub(super) own: Health,
    pub(super) since: Instant,
    /// When it was last checked out of turn.
    pub(super) hastened: Option<Instant>,
    /// Somebody says that it is down, and asks whether it is up from here.
    pub(super) asked: bool,
    /// When that was answered with yes, on the wall clock.
    pub(super) confirmed_unix_ms: u64,
    /// Who found it up after it was found down here.
    pub(super) contradicted: BTreeSet<NodeId>,
}

/// Who tells, and where.
#[derive(Debug)]
pub(super) struct Voice {
    /// What the host calls itself in mail.
    pub(super) router_id: String,
    /// `lvs_notify_fifo` and `notify_fifo`.
    pub(super) fifos: Vec<PathBuf>,
    /// Who sends mail that does not say so itself.
    pub(super) mail: Mail,
    /// What was said.
    pub(super) said: Vec<Action>,
}

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// It is as it was found at the start, or after a reload.
    Start,
    /// It changed.
    Change,
    /// The daemon ends.
    Stop,
}

impl Service {
    /// What a real server's weight is: configured, and what its checks add.
    pub(super) fn weight(&self, index: usize) -> u32 {
        let member = &self.members[index];
        if let Some(left) = member.left
            && member.checkers.iter().any(|c| !c.weighs)
        {
            return left;
        }
        let added: i64 = member.checkers.iter().map(|c| c.delta).sum();
        let weight = i64::from(self.config.real_servers[index].weight).saturating_add(added);
        u32::try_from(weight.clamp(0, WEIGHTS)).unwrap_or(0)
    }

    /// Weight of all that are used.
    pub(super) fn live_weight(&self) -> u64 {
        let live = (0..self.members.len()).filter(|&i| self.members[i].live);
        live.map(|i| u64::from(self.weight(i))).sum()
    }

    /// Puts a real server in or takes it out. Says whether that changed anything.
    pub(super) fn set_live(&mut self, index: usize, live: bool, cause: &str, voice: &mut Voice) {
        if self.members[index].live == live {
            return;
        }
        self.members[index].live = live;
        voice.said.push(Action::Record(Decision::RealServer {
            service: self.config.name.clone(),
            address: self.config.real_servers[index].address.to_string(),
            up: live,
            cause: cause.to_owned(),
        }));
        self.tell_member(index, voice);
        self.update_quorum(Occasion::Change, voice);
    }

    /// `notify_up` or `notify_down`, and the FIFO.
    pub(super) fn tell_member(&self, index: usize, voice: &mut Voice) {
        let real = &self.config.real_servers[index];
        let live = self.members[index].live;
        let script = if live { &real.notify_up } else { &real.notify_down };
        voice.run(format!("{} {}", self.config.name, real.address), script.as_ref(), &self.config);
        let who = words::real_server(&self.config, real);
        voice.fifo(format!("RS {who} {} {}", words::virtual_server(&self.config), up_or_down(live)));
    }

    /// Mails about a real server, as it is now: with `no_checker_emails` only when it was put in or
    /// taken out just now.
    pub(super) fn mail_member(&mut self, index: usize, changed: bool, voice: &mut Voice) {
        let real = &self.config.real_servers[index];
        let texts = std::mem::take(&mut self.members[index].mails);
        if !voice.mail.about_real_server(real.smtp_alert) || (voice.mail.no_checker && !changed) {
            return;
        }
        let subject = format!(
            "[{}] Realserver {} of virtual server {} - {}",
            voice.router_id,
            words::real_server(&self.config, real),
            words::virtual_server(&self.config),
            up_or_down(self.members[index].live)
        );
        for body in texts {
            voice.said.push(Action::Tell(Notice::Mail { subject: subject.clone(), body }));
        }
    }

    /// Looks whether the quorum is there.
    pub(super) fn update_quorum(&mut self, occasion: Occasion, voice: &mut Voice) {
        let weight = i64::try_from(self.live_weight()).unwrap_or(i64::MAX);
        let (quorum, hysteresis) = (i64::from(self.config.quorum), i64::from(self.config.hysteresis));
        let threshold = if self.quorum_up { quorum - hysteresis } else { quorum + hysteresis };
        let start = occasion == Occasion::Start;
        if !self.quorum_up && weight >= threshold {
            (self.quorum_up, self.sorry) = (true, false);
        } else if self.quorum_up && (weight == 0 || weight < threshold) {
            (self.quorum_up, self.sorry) = (false, self.config.sorry_server.is_some());
        } else if start && !self.quorum_up && self.config.sorry_server.is_some() && !self.sorry {
            self.sorry = true;
        } else {
            return;
        }
        let gained = self.quorum_up;
        let compare = if gained { ">=" } else { "<" };
        voice.said.push(Action::Record(Decision::Quorum {
            service: self.config.name.clone(),
            gained,
            cause: if weight == 0 && !gained {
                "no real server is left".to_owned()
            } else {
                format!("live weight {weight} {compare} {threshold}")
            },
        }));
        let how = match (gained, start) {
            (true, true) => "Starting with quorum up",
            (true, false) => "Gained quorum",
            (false, true) => "Starting with quorum down",
            (false, false) => "Lost quorum",
        };
        self.tell_quorum(&format!("=> {how} {quorum}+{hysteresis}={threshold} <= {weight} <="), voice);
    }

    /// `quorum_up` or `quorum_down`, the FIFO, and mail.
    fn tell_quorum(&self, body: &str, voice: &mut Voice) {
        let script = if self.quorum_up { &self.config.quorum_up } else { &self.config.quorum_down };
        voice.run(self.config.name.clone(), script.as_ref(), &self.config);
        let who = words::virtual_server(&self.config);
        let state = up_or_down(self.quorum_up);
        voice.fifo(format!("VS {who} {state}"));
        if voice.mail.about_virtual_server(self.config.smtp_alert) {
            let subject = format!("[{}] Virtualserver {who} - {state}", voice.router_id);
            voice.said.push(Action::Tell(Notice::Mail { subject, body: body.to_owned() }));
        }
    }

    /// A real server goes for ever: out of the configuration, or with the daemon. At the end of the
    /// daemon that is told only with `omega`.
    pub(super) fn drop_member(&mut self, index: usize, occasion: Occasion, voice: &mut Voice) {
        let stop = occasion == Occasion::Stop;
        if !std::mem::replace(&mut self.members[index].live, false) || (stop && !self.config.omega) {
            return;
        }
        self.tell_member(index, voice);
        let text = if stop { "=> Shutting down <=" } else { "=> Removing <=" };
        self.members[index].mails.push(text.to_owned());
        self.mail_member(index, true, voice);
    }

    /// After real servers went for ever: the quorum goes, without a sorry server coming.
    pub(super) fn drop_quorum(&mut self, occasion: Occasion, voice: &mut Voice) {
        let weight = i64::try_from(self.live_weight()).unwrap_or(i64::MAX);
        let (quorum, hysteresis) = (i64::from(self.config.quorum), i64::from(self.config.hysteresis));
        let threshold = quorum - hysteresis;
        let stop = occasion == Occasion::Stop;
        let lost = self.quorum_up && (weight == 0 || weight < threshold);
        if !stop && !lost {
            return;
        }
        self.quorum_up = false;
        if stop && !self.config.omega {
            return;
        }
        let body = match occasion {
            Occasion::Stop => "=> Shutting down <=".to_owned(),
            _ => format!("=> Lost quorum {quorum}+{hysteresis}={threshold} <= {weight} <="),
        };
        self.tell_quorum(&body, voice);
    }

    /// Keys of its services in ip_vs.
    pub(super) fn keys(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        self.config.endpoints.iter().map(|endpoint| key(*endpoint, &self.config))
    }

    /// What ip_vs shall hold for one of its endpoints.
    pub(super) fn wanted(&self, endpoint: Endpoint) -> ipvs::Pool {
        let mut destinations = std::collections::BTreeMap::new();
        for (index, real) in self.config.real_servers.iter().enumerate() {
            let used = self.members[index].live && !self.sorry;
            if !used && !real.inhibit_on_failure {
                continue;
            }
            let key = DestinationKey::from(words::destination(real.address, real.forwarding, endpoint));
            let destination = Destination {
                weight: if used { self.weight(index) } else { 0 },
                forwarding: forwarding(real.forwarding),
                upper_threshold: real.upper_threshold,
                lower_threshold: real.lower_threshold,
            };
            destinations.insert(key, destination);
        }
        if let Some(sorry) = self.config.sorry_server
            && (self.sorry || sorry.inhibit)
        {
            let key = DestinationKey::from(words::destination(sorry.address, sorry.forwarding, endpoint));
            let destination = Destination::new(u32::from(self.sorry), forwarding(sorry.forwarding));
            // It may be one of the real servers, too.
            if self.sorry || !destinations.contains_key(&key) {
                destinations.insert(key, destination);
            }
        }
        ipvs::Pool { service: service(endpoint, &self.config), destinations }
    }
}

impl Voice {
    fn run(&mut self, key: String, script: Option<&Script>, about: &VirtualServer) {
        if let Some(script) = script {
            let vips = about.addresses().collect();
            self.said.push(Action::Tell(Notice::Run { key, script: script.clone(), vips }));
        }
    }

    fn fifo(&mut self, line: String) {
        let one = |path: &PathBuf| Action::Tell(Notice::WriteFifo { path: path.clone(), line: line.clone() });
        self.said.extend(self.fifos.iter().map(one));
    }
}

fn up_or_down(up: bool) -> &'static str {
    if up { "UP" } else { "DOWN" }
}

/// The key of an endpoint.
pub(super) fn key(endpoint: Endpoint, server: &VirtualServer) -> ServiceKey {
    match endpoint {
        Endpoint::Address(address) => {
            ServiceKey::Address { address: address.ip(), port: address.port(), protocol: server.protocol }
        }
        Endpoint::Fwmark(mark, family) => ServiceKey::Fwmark { mark, family },
    }
}

fn service(endpoint: Endpoint, server: &VirtualServer) -> ipvs::Service {
    let family = key(endpoint, server).family();
    ipvs::Service {
        scheduler: server.scheduler.clone(),
        persistence: server.persistence.map(|timeout| Persistence {
            timeout,
            netmask: server.granularity.map_or(Netmask::host(family), |bits| Netmask::of(family, bits)),
        }),
        one_packet: server.one_packet,
        scheduler_flags: SchedulerFlags { flag1: server.flag_1, flag2: server.flag_2, flag3: server.flag_3 },
        persistence_engine: server.persistence_engine.clone(),
    }
}

fn forwarding(declared: Forwarding) -> ipvs::Forwarding {
    use mesh_config::model::{Tunnel, TunnelChecksum};

    use ipvs::GueChecksum;
    let tunnel = match declared {
        Forwarding::Nat => return ipvs::Forwarding::Nat,
        Forwarding::DirectRouting => return ipvs::Forwarding::DirectRouting,
        Forwarding::Tunnel(tunnel) => tunnel,
    };
    ipvs::Forwarding::Tunnel(match tunnel {
        Tunnel::Ipip => ipvs::Tunnel::Ipip,
        Tunnel::Gue(port, checksum) => ipvs::Tunnel::Gue {
            port,
            checksum: match checksum {
                TunnelChecksum::None => GueChecksum::None,
                TunnelChecksum::Checksum => GueChecksum::Full,
                TunnelChecksum::Remote => GueChecksum::Remote,
            },
        },
        Tunnel::Gre(checksum) => ipvs::Tunnel::Gre { checksum: checksum != TunnelChecksum::None },
    })
}
