//! The guard: what is done in the place of a daemon that died, and how one run leaves what it serves
//! to the next.

use std::time::Duration;

use mesh_core::input::Datagram;
use mesh_core::{Input, Will};
use mesh_wire::mesh::lease::Message;
use mesh_wire::vrrp::TTL;
use rand::RngExt;

use super::{Cluster, Event, Fact};
use crate::clock::ms;
use crate::layout::{router_of, virtual_address};
use crate::network::Channel;

impl Cluster {
    /// The daemon dies alone: its guard is there, and gets round to acting after a while.
    pub fn crash(&mut self, host: usize, after: Duration) {
        let run = self.hosts[host].run;
        self.kill(host);
        self.schedule(after, Event::Guard { host, run });
    }

    /// Closes the fence and removes addresses, then tells others, then forgets what it did.
    pub(super) fn guard_acts(&mut self, host: usize, run: u32) {
        let now = self.hosts[host].now(self.now);
        let machine = &mut self.hosts[host];
        if machine.daemon.is_some() || machine.run != run || !machine.up || machine.paused.is_some() {
            return;
        }
        machine.kernel.close_all();
        machine.runtime.adopted.clear();
        let will = machine.runtime.will.take().unwrap_or_default();
        for (_, address) in &will.addresses {
            machine.kernel.delete(address.addr(), now);
        }
        self.look_at_kernel(host);
        self.say(host, || format!("the guard acts: {} releases", will.releases.len()));
        self.tell_others(host, will);
    }

    fn tell_others(&mut self, host: usize, will: Will) {
        for packet in will.resignations {
            let (interface, source, destination, payload) =
                (packet.interface, packet.source, packet.destination, packet.payload);
            self.multicast(host, Datagram { interface, source, destination, ttl: TTL, payload });
        }
        if will.releases.is_empty() || !self.hosts[host].is_reachable() {
            return;
        }
        let now = self.hosts[host].now(self.now);
        for release in &will.releases {
            let Some(router) = router_of(&release.router) else { continue };
            let open = self.hosts[host].kernel.serves(virtual_address(router), now);
            self.facts.push(Fact::Released { host, router, epoch: release.epoch, open });
        }
        let from = self.hosts[host].id;
        for (voter, _) in will.voters {
            let Some(to) = self.index_of(voter).filter(|to| self.network.connects(host, *to)) else { continue };
            // A connection of its own, which takes two round trips first.
            let connect = ms(self.rng.random_range(2..10));
            for delay in self.network.send(&mut self.rng, Channel::Mesh, host, to) {
                let message = Message::Release(will.releases.clone());
                self.schedule_input(connect + delay, to, Input::Message { from, message });
            }
        }
    }

    /// The daemon is replaced: it leaves what it serves to the next run, which starts so long after
    /// its end.
    pub fn replace(&mut self, host: usize, after: Duration) {
        self.say(host, || "the daemon is asked to leave all to the next run".to_owned());
        self.hosts[host].restarts = Some(after);
        self.hosts[host].replaced = self.now;
        self.deliver(host, Input::Keep);
    }
}
