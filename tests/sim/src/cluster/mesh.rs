//! Connections between daemons: how they come and go, and what travels over them.

use std::time::Duration;

use mesh_core::Input;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Message;
use rand::RngExt;

use super::{Cluster, Event, Fact, TICK};
use crate::clock::ms;
use crate::host::{Connection, Host};
use crate::layout::router_of;
use crate::network::Channel;

/// A connection without an answer for so long is gone: the mesh's idle timeout.
const IDLE: Duration = ms(300);

/// A new connection takes about so long.
const CONNECT: Duration = ms(50);

/// A connection's close arrives after what was sent before it.
const GOODBYE: Duration = Duration::from_micros(2500);

impl Cluster {
    /// Connections come and go after the real thing's delays; gossip spreads over those there are.
    pub(super) fn tick(&mut self) {
        self.schedule(TICK, Event::Tick);
        for one in 1..self.hosts.len() {
            for other in 0..one {
                let reaches = self.reaches(one, other);
                for (host, peer) in [(one, other), (other, one)] {
                    self.watch_connection(host, peer, reaches);
                    if reaches && self.rng.random_range(0..2) == 0 {
                        self.gossip(peer, host);
                    }
                }
            }
        }
    }

    /// Whether a connection between two hosts would hold.
    fn reaches(&self, a: usize, b: usize) -> bool {
        let knows = |x: &Host, y: &Host| {
            x.daemon.as_ref().and_then(|d| d.roster.as_ref()).is_some_and(|r| r.member(y.id).is_some())
        };
        let (x, y) = (&self.hosts[a], &self.hosts[b]);
        let both = |f: &dyn Fn(&Host) -> bool| f(x) && f(y);
        both(&|h| h.running().is_some() && h.is_reachable())
            && (knows(x, y) && knows(y, x))
            && self.network.connects(a, b)
    }

    fn watch_connection(&mut self, host: usize, peer: usize, reaches: bool) {
        let (now, run, node) = (self.now, self.hosts[peer].run, self.hosts[peer].id);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let connection = &mut daemon.peers[peer];
        if connection.up == reaches && (!reaches || connection.run == run) {
            connection.changing_since = None;
            return;
        }
        let since = *connection.changing_since.get_or_insert(now);
        if now < since + if reaches { CONNECT } else { IDLE } {
            return;
        }
        let was = connection.up;
        *connection = Connection { up: reaches, run, since: now, changing_since: None, gossiped: (run, 0) };
        let input = if reaches { Input::PeerUp { node, rtt: ms(1) } } else { Input::PeerDown { node, left: false } };
        self.deliver(host, input);
        if was && reaches {
            self.deliver(host, Input::Reconnected { node });
        }
    }

    /// `to` learns everything newer that `from` knows.
    fn gossip(&mut self, from: usize, to: usize) {
        let run = self.hosts[from].run;
        let Some(source) = &self.hosts[from].daemon else { return };
        let Some(target) = &self.hosts[to].daemon else { return };
        let known = (run, source.gossip_changes);
        if target.peers[from].gossiped == known {
            return;
        }
        let newer = |(key, (version, _)): &(&(usize, String), &(u64, Option<String>))| {
            key.0 != to && target.gossip.get(*key).is_none_or(|(known, _)| known < version)
        };
        let news: Vec<_> = source.gossip.iter().filter(newer).map(|(k, v)| (k.clone(), v.clone())).collect();
        for ((origin, key), (version, value)) in news {
            let node = self.hosts[origin].id;
            let Some(target) = &mut self.hosts[to].daemon else { return };
            target.learn(origin, key.clone(), version, value.clone());
            self.deliver(to, Input::Gossip { node, key, value });
        }
        if let Some(target) = &mut self.hosts[to].daemon {
            target.peers[from].gossiped = known;
        }
    }

    /// Sends a message to one peer.
    pub(super) fn unicast(&mut self, from: usize, to: NodeId, message: Message) {
        let Some(to) = self.index_of(to) else { return };
        if let Message::Release(releases) = &message {
            for release in releases {
                let Some(router) = router_of(&release.router) else { continue };
                let now = self.hosts[from].now(self.now);
                let open = self.hosts[from].kernel.serves(crate::layout::virtual_address(router), now);
                self.facts.push(Fact::Released { host: from, router, epoch: release.epoch, open });
            }
        }
        let connected = self.hosts[from].daemon.as_ref().is_some_and(|d| d.peers[to].up);
        if !connected || !self.hosts[from].is_reachable() || self.is_withheld(&message) {
            return;
        }
        let (run, from_run) = (self.hosts[to].run, self.hosts[from].run);
        for delay in self.network.send(&mut self.rng, Channel::Mesh, from, to) {
            let message = Box::new(message.clone());
            self.schedule(delay, Event::Message { host: to, run, from, from_run, message });
        }
    }

    /// A message arrives, unless its connection is gone on the receiver's side.
    pub(super) fn receive(&mut self, host: usize, from: usize, from_run: u32, message: Message) {
        let connection = self.hosts[host].daemon.as_ref().map(|d| d.peers[from]);
        if !self.strays && !connection.is_some_and(|c| c.up && c.run == from_run) {
            return;
        }
        for (from, message) in self.distort(host, from, message) {
            self.deliver(host, Input::Message { from: self.hosts[from].id, message });
        }
    }

    /// An orderly stop: the process ends and its connections are closed with a goodbye.
    pub(super) fn stopped(&mut self, host: usize) {
        self.say(host, || "the daemon has stopped".to_owned());
        for peer in (0..self.hosts.len()).filter(|p| *p != host) {
            let run = self.hosts[peer].run;
            if self.reaches(host, peer) {
                self.schedule(GOODBYE, Event::Goodbye { host: peer, run, from: host });
            }
        }
        self.hosts[host].daemon = None;
        self.hosts[host].silent_since.get_or_insert(self.now);
        if let Some(after) = self.hosts[host].restarts.take() {
            self.start_after(host, after);
        }
    }

    /// A peer closed the connection, after everything it had sent.
    pub(super) fn hear_goodbye(&mut self, host: usize, from: usize) {
        let node = self.hosts[from].id;
        let now = self.now;
        let Some(connection) = self.hosts[host].daemon.as_mut().map(|d| &mut d.peers[from]) else { return };
        if connection.up {
            *connection = Connection { up: false, since: now, ..*connection };
            self.deliver(host, Input::PeerDown { node, left: true });
        }
    }
}
