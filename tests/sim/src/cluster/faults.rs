//! What can be done to hosts and wires, by a scenario or by chance.

use std::time::Duration;

use mesh_config::model::Config;
use mesh_core::Input;
use mesh_core::input::ScriptOutcome;
use mesh_core::orders::Wish;
use rand::RngExt;

use super::{Cluster, Event, Fact};
use crate::clock::{HostClock, Time, ms};
use crate::kernel::Kernel;
use crate::layout::{INTERFACE, SCRIPT, virtual_address};
use crate::network::Rule;

/// A voter that restarted says nothing for about so long.
const QUARANTINE: Duration = ms(3200);

impl Cluster {
    /// Starts the daemon after a while.
    pub fn start_after(&mut self, host: usize, after: Duration) {
        self.schedule(after, Event::Start { host });
    }

    /// `kill -9`: the kernel keeps what the daemon had put there.
    pub fn kill(&mut self, host: usize) {
        if self.hosts[host].daemon.take().is_some() {
            self.say(host, || "the daemon is killed".to_owned());
            self.hosts[host].silent_since.get_or_insert(self.now);
            self.facts.push(Fact::Crashed(host));
        }
    }

    /// Somebody removes what the voter remembers; the next start is told.
    pub fn forget(&mut self, host: usize) {
        self.say(host, || "the voter's memory is lost".to_owned());
        self.hosts[host].memory.lose();
    }

    /// Kills the daemon and starts it at once, so many times.
    pub fn restart_often(&mut self, host: usize, times: u32, period: Duration) {
        for time in 1..=times {
            self.schedule(period * time, Event::Restart { host });
        }
    }

    /// `kill -9`, and a supervisor that is quick; not while the fence waits for its repair.
    pub(super) fn restart(&mut self, host: usize) {
        if self.may_stall(host) {
            self.kill(host);
            if self.rng.random_range(0..2) == 0 {
                self.forget(host);
            }
            self.start_after(host, ms(20));
        }
    }

    /// Whether faults go on, and the fence would hold.
    pub(super) fn may_stall(&self, host: usize) -> bool {
        self.hosts[host].exposed_until <= self.now && self.quiet_since.is_none()
    }

    /// The power is gone, and comes back after a while: the kernel starts anew, and the clock.
    pub fn reboot(&mut self, host: usize, after: Duration) {
        if !self.hosts[host].up {
            return;
        }
        self.say(host, || format!("the host loses its power for {after:?}"));
        let now = self.now;
        let machine = &mut self.hosts[host];
        machine.daemon = None;
        machine.silent_since.get_or_insert(now);
        machine.up = false;
        machine.disturbed = now;
        machine.paused = None;
        machine.kernel = Kernel::default();
        self.forget_boot(host);
        self.facts.push(Fact::Crashed(host));
        self.look_at_kernel(host);
        self.schedule(after, Event::Boot { host });
    }

    /// The host is up again; its daemon starts with it.
    pub(super) fn boot(&mut self, host: usize) {
        if self.hosts[host].up {
            return;
        }
        // The clock began while it was off the net: never before it lost its power.
        let off = self.now.saturating_sub(self.hosts[host].disturbed);
        let reading = off.mul_f64(self.rng.random_range(0.5..0.9));
        let machine = &mut self.hosts[host];
        machine.up = true;
        machine.clock = HostClock::new(self.now, reading, machine.clock.ppm());
        self.start(host);
    }

    /// A virtual machine is stopped with everything in it, clock and kernel included, and goes on
    /// later without knowing. Leases do not cover this.
    pub fn pause(&mut self, host: usize, duration: Duration) {
        if !self.hosts[host].up || self.hosts[host].paused.is_some() {
            return;
        }
        self.say(host, || format!("the virtual machine stands still for {duration:?}"));
        self.hosts[host].paused = Some(self.hosts[host].now(self.now));
        self.look_at_kernel(host);
        self.schedule(duration, Event::Unpause { host });
        self.stall(host, duration);
    }

    /// It goes on, and its clock with it.
    pub(super) fn unpause(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(reading) = machine.paused.take() else { return };
        let reading = Duration::from_nanos(reading.as_nanos());
        machine.clock = HostClock::new(self.now, reading, machine.clock.ppm());
        machine.look_at = Time::MAX;
        self.look_at_kernel(host);
    }

    /// SIGSTOP: the process stands still, its kernel does not.
    pub fn stall(&mut self, host: usize, duration: Duration) {
        let until = self.now + duration;
        let run = self.hosts[host].run;
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        daemon.stalled_until = Some(daemon.stalled_until.map_or(until, |t| t.max(until)));
        self.hosts[host].silent_since.get_or_insert(self.now);
        self.say(host, || format!("the daemon is stopped for {duration:?}"));
        self.schedule(duration, Event::Resume { host, run });
    }

    /// SIGSTOP after a while.
    pub fn stall_after(&mut self, host: usize, after: Duration, duration: Duration) {
        self.schedule(after, Event::Stall { host, duration });
    }

    /// SIGSTOP in the middle of the next actions that move the fence.
    pub fn stall_amid_actions(&mut self, host: usize, duration: Duration) {
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.stall_next = Some(duration);
        }
    }

    /// SIGCONT, before the time.
    pub fn wake(&mut self, host: usize) {
        let now = self.now;
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.stall_next = None;
            if daemon.stalled_until.is_some() {
                daemon.stalled_until = Some(now);
                self.resume(host);
            }
        }
    }

    /// SIGTERM.
    pub fn stop(&mut self, host: usize) {
        self.say(host, || "the daemon is asked to stop".to_owned());
        self.deliver(host, Input::Shutdown);
    }

    /// Pulls the cable, or puts it back.
    pub fn set_link(&mut self, host: usize, link: bool) {
        if self.hosts[host].link == link {
            return;
        }
        self.say(host, || format!("the cable is {}", if link { "back" } else { "out" }));
        let machine = &mut self.hosts[host];
        machine.link = link;
        machine.disturbed = self.now;
        let interface = self.hosts[host].interface();
        self.schedule_input(ms(1), host, interface);
    }

    /// Puts the cable back after a while.
    pub fn plug_in_after(&mut self, host: usize, after: Duration) {
        self.schedule(after, Event::PlugIn { host });
    }

    /// `nft flush ruleset` by somebody; the daemon hears of it a little later.
    pub fn flush_fence(&mut self, host: usize) {
        self.say(host, || "somebody flushes nftables".to_owned());
        let notice = ms(self.rng.random_range(1..100));
        self.hosts[host].kernel.flush();
        self.hosts[host].exposed_until = self.now + notice + ms(1);
        self.look_at_kernel(host);
        self.schedule_input(notice, host, Input::FenceGone);
    }

    /// `ip addr del` by somebody.
    pub fn delete_address(&mut self, host: usize, router: usize) {
        let address = virtual_address(router);
        let now = self.hosts[host].now(self.now);
        if self.hosts[host].kernel.delete(address, now) {
            self.say(host, || format!("somebody removes {address}"));
            self.hosts[host].excused = self.now;
            self.look_at_kernel(host);
            let interface = INTERFACE.to_owned();
            self.schedule_input(ms(2), host, Input::AddressGone { interface, address });
        }
    }

    /// The tracked script's next result.
    pub fn script(&mut self, host: usize, success: bool) {
        let outcome = if success { ScriptOutcome::Success } else { ScriptOutcome::Exit(1) };
        self.say(host, || format!("the script ends with {outcome:?}"));
        self.deliver(host, Input::Script { name: SCRIPT.to_owned(), outcome });
    }

    /// An operator orders something about moves on a host.
    pub fn order(&mut self, host: usize, wish: Wish) {
        self.say(host, || format!("an operator orders: {wish:?}"));
        self.deliver(host, Input::Order { ticket: 0, wish });
    }

    /// An operator edits the configuration and reloads it.
    pub fn reload(&mut self, host: usize, config: Config) {
        if self.hosts[host].config == config {
            return;
        }
        let of = |c: &Config| c.routers.iter().map(|r| (r.name.clone(), r.priority)).collect::<Vec<_>>();
        self.say(host, || format!("reloads: {:?}", of(&config)));
        self.hosts[host].config = config.clone();
        self.deliver(host, Input::Configure(Box::new(config)));
    }

    /// Its disk takes so long for every file, for a while.
    pub fn slow_disk(&mut self, host: usize, delay: Duration, duration: Duration) {
        self.say(host, || format!("writing takes {delay:?} for {duration:?}"));
        self.hosts[host].slow_disk = (self.now + duration, delay);
    }

    /// Puts a rule in force, for a while.
    pub fn disturb(&mut self, rule: Rule, duration: Duration) -> u64 {
        let number = self.network.add(rule);
        let brief = duration < Duration::MAX;
        let how_long = if brief { format!("for {duration:?}") } else { "from now on".to_owned() };
        self.story.tell(self.now, "net", || format!("{how_long}: {rule:?}"));
        if brief {
            self.schedule(duration, Event::EndRule { number });
        }
        number
    }

    /// The same after a while.
    pub fn disturb_after(&mut self, rule: Rule, after: Duration, duration: Duration) {
        self.schedule(after, Event::Disturb { rule, duration });
    }

    /// Everything is well again: wires, cables, power, daemons, disks, scripts, configurations. A
    /// daemon that holds back after failures is started again. Who has not joined yet does.
    pub fn heal(&mut self) {
        self.story.tell(self.now, "net", || "all faults end".to_owned());
        self.network.heal(self.now);
        self.failures = 0;
        self.foreign_leaves();
        for host in 0..self.hosts.len() {
            self.set_link(host, true);
            self.unpause(host);
            self.boot(host);
            self.wake(host);
            self.hosts[host].slow_disk = (Time::ZERO, Duration::ZERO);
            if self.hosts[host].daemon.as_ref().is_some_and(|d| d.failed) {
                self.kill(host);
            }
            self.script(host, true);
            self.reload(host, self.layout.config(host));
            if self.hosts[host].installed {
                self.start_after(host, ms(10));
            } else {
                self.join_after(host, ms(10));
            }
        }
        self.quiet_since = Some(self.now);
    }

    /// Whether this host's daemon, wire and memory were well since then.
    pub fn well_since(&self, host: usize, since: Time) -> bool {
        let machine = &self.hosts[host];
        machine.running().is_some() && machine.link && machine.started + QUARANTINE < since && machine.disturbed < since
    }

    /// Whether the two hosts' connection stands and stood since then.
    pub fn connected_since(&self, host: usize, peer: usize, since: Time) -> bool {
        host == peer
            || self.hosts[host].daemon.as_ref().is_some_and(|d| {
                let connection = d.peers[peer];
                connection.up && connection.since < since
            })
    }
}
