//! One step: a fact goes in, what follows from it comes out, in an order that matters.

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::gossip::NODE_KEY;

use super::{Engine, STALL, due};
use crate::action::Action;
use crate::decision::Decision;
use crate::input::Input;
use crate::roster::replica::Event;
use crate::time::Instant;

impl Engine {
    /// Takes in one fact. The returned effects are to be brought about in order.
    ///
    /// Leases that ran out are retired before `input` is even looked at: after a stall nothing is
    /// decided on what was true before it.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        self.step_all(now, [input])
    }

    /// The same for facts that came together: what follows from them is looked at once. A hundred
    /// advertisements cost little more than one.
    pub fn step_all(&mut self, now: Instant, inputs: impl IntoIterator<Item = Input>) -> Vec<Action> {
        let mut stop = false;
        self.now = now;
        let late = self.work_due().is_some_and(|(due, _)| now > due + STALL);
        let mut inputs = inputs.into_iter().peekable();
        self.expire(now);
        if late && inputs.peek() != Some(&Input::Listened) {
            self.wake_up(now);
        }
        for input in inputs {
            stop |= input == Input::Shutdown;
            if !due::is_narrow(&input) {
                self.instances.touch_all();
            }
            if !matches!(input, Input::Interface(_)) {
                self.look_at_interfaces(now);
            }
            self.handle(now, input);
        }
        self.look_at_interfaces(now);
        // Renewals go out before the advertisements of the same tick (rule D4), claims after.
        self.ask_voters(now);
        self.run_timers(now);
        self.run_moves(now);
        self.ask_voters(now);
        self.flush_rearm();
        self.flush_ends();
        self.keep_holds();
        self.finish_keeping(now);
        let changed = self.index_changed();
        self.publish(&changed);
        self.tell_surroundings(now);
        self.tell_standing(now);
        self.remember();
        self.keep_will(&changed);
        self.tell_others();
        debug_assert!(self.instances.changed().is_empty(), "what follows the index changes no router");
        debug_assert!(self.index_is_true(), "a router waits for something that the index does not know");
        if stop {
            self.out.push(Action::Stopped);
        }
        std::mem::take(&mut self.out)
    }

    fn handle(&mut self, now: Instant, input: Input) {
        self.council.note(&input);
        match input {
            Input::Timeout | Input::Listened => {}
            Input::Interface(interface) => self.see_interface(now, interface),
            Input::InterfaceGone { name } => {
                self.delays.forget(&name);
                self.interfaces.remove(&name);
                self.deaf.retain(|(interface, _), _| *interface != name);
                self.vmac_gone(&name);
                self.evaluate_all(now);
            }
            Input::Hearing { interface, family, failure } => self.note_hearing(now, (interface, family), failure),
            Input::Advertisement(datagram) => self.receive_advertisement(now, &datagram),
            Input::SealedAdvertisement { datagram, identification } => {
                self.receive_sealed(now, datagram, identification);
            }
            Input::WallClock(unix_at_zero) => self.setup.unix_at_zero = unix_at_zero,
            Input::AddressGone { interface, address } => self.address_gone(now, &interface, address),
            Input::FenceGone => self.fence_gone(now),
            Input::FenceGaps(gaps) => self.fence_lacks(now, gaps),
            Input::Message { from, message } => self.receive_message(now, from, message),
            Input::PeerUp { node, rtt } => {
                if !self.membership.is_connected(node) {
                    self.note_surroundings(now);
                }
                self.peer_up(now, node, rtt);
                self.greet_voter(now, node);
                self.look_at_configuration(now, node);
                if self.voters().contains(&node) {
                    self.claim_again(now);
                }
            }
            Input::Reconnected { node } => self.acquaint(now, node),
            Input::PeerDown { node, left } => {
                self.peer_down(node, left);
                self.note_others(now);
                self.forget_introduction(node);
                self.lost_wishes(now, node);
                self.forget_segment_of(node);
                self.note_surroundings(now);
            }
            Input::Gossip { node, key, value } if !self.heeds_gossip(now, node, &key, value.as_deref()) => {}
            Input::Gossip { node, key, value } => {
                if let Some(served) = self.hear_gossip(node, &key, value.as_deref()) {
                    self.note_served(now, served);
                }
                self.note_others(now);
                self.note_successor(now, node);
                self.hear_mark(now, &key, value.as_deref());
                self.note_place_of(node, &key);
                self.recognise_members();
                self.segment_gossip(now, node, &key);
                self.note_surroundings(now);
                if key == NODE_KEY {
                    self.look_at_configuration(now, node);
                }
            }
            Input::Heard { node, alive } => self.membership.peer_mut(node).heard = alive,
            Input::Probed { probe, answer } => self.probed(now, probe, answer),
            Input::Stalled => self.stood_still(now),
            Input::Script { name, outcome } => {
                if let Some((up, cause)) = self.tracking.result(&name, outcome) {
                    self.record(Decision::Script { name, up, cause });
                    self.evaluate_all(now);
                }
            }
            Input::Tracked { kind, name, value } => {
                if let Some(cause) = self.tracking.observe(kind, &name, value) {
                    self.record(Decision::Tracked { kind, name, cause });
                    self.evaluate_all(now);
                }
            }
            Input::Unfit(unfit) => self.set_unfit(now, unfit),
            Input::Order { ticket, wish } => self.wish(now, ticket, wish),
            Input::Settings { node, answer } => self.settings_told(node, answer.map(|told| *told)),
            Input::Roster(roster) => self.consult(now, Event::Committed(roster)),
            Input::ChangeRoster { ticket, change } => self.change_roster(now, ticket, change),
            Input::RosterStored { ticket } => self.consult(now, Event::Stored { ticket }),
            Input::Failed { effect, error } => self.effect_failed(now, effect, error),
            Input::Configure(config) => self.configure(now, *config),
            Input::ClearCounters => self.clear_counters(),
            Input::Shutdown => self.shut_down(now),
            Input::Keep => self.keep(now),
        }
    }

    fn run_timers(&mut self, now: Instant) {
        self.retry_fence(now);
        self.retry_memory(now);
        self.retry_vmacs(now);
        self.look_at_statics(now);
        self.expire_grants(now);
        self.look_at_others(now);
        self.instances.open_due(now);
        let mut last = None;
        while let Some(key) = self.instances.look_after(last) {
            self.run_router_timers(now, key);
            last = Some(key);
        }
        self.run_delays(now);
        self.run_groups(now);
        self.run_council(now);
        self.look_again(now);
        self.ask_configurations(now);
        self.release_announcements(now);
    }

    fn run_router_timers(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.blocked.as_ref().is_some_and(|(until, _)| *until <= now) {
            instance.blocked = None;
            self.evaluate(now, key);
        }
        self.end_hold(now, key);
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.claim_at.is_some_and(|t| t <= now) {
            instance.claim_at = None;
            self.claim_vacant(now, key);
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.silence.decide_at.is_some_and(|t| t <= now) {
            instance.silence.decide_at = None;
            self.go_on_without_lease(now, key);
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        instance.foreign = instance.foreign.filter(|f| f.until > now);
        let verdict = instance.vrrp.timeout(now);
        self.follow(now, key, verdict);
        self.settle(now, key);
        self.announce_again(now, key);
        self.announce_extra(now, key);
        self.refresh_addresses(now, key);
    }
}
