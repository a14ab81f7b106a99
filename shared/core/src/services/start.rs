//! The first judgement of all real servers, on what an earlier run left in ip_vs.

use rand::RngExt;

use super::pool::Occasion;
use super::{Place, SOON, Services, pool, words};
use crate::ipvs::Table;
use crate::time::Instant;

impl Services {
    /// Real servers are judged for the first time.
    pub(super) fn start(&mut self, now: Instant) {
        self.started = true;
        let flush = self.lvs.flush;
        if flush {
            self.flush(now);
        }
        let found = self.kernel.held.as_ref().filter(|_| !flush).map(|held| held.table.clone());
        for index in 0..self.services.len() {
            if let Some(table) = &found {
                self.adopt(now, index, table);
            }
            self.start_service(index);
        }
        let all: Vec<Place> = self.places.values().copied().collect();
        for place in all {
            self.warm_up(now, place);
        }
        self.dirty = (0..self.services.len()).collect();
    }

    /// Real servers that an earlier run took out stay out until they are checked; the others keep their weight until
    /// checks that have a say in it had it.
    fn adopt(&mut self, now: Instant, index: usize, table: &Table) {
        let soon = now + SOON.mul_f64(self.rng.random_range(0.0..1.0));
        let service = &mut self.services[index];
        let present: Vec<_> = service.config.endpoints.iter().map(|e| (*e, pool::key(*e, &service.config))).collect();
        let pools: Vec<_> = present.iter().filter_map(|(e, key)| Some((*e, table.get(key)?))).collect();
        if pools.is_empty() {
            return;
        }
        for member in 0..service.members.len() {
            let real = &service.config.real_servers[member];
            let mut weights = pools.iter().filter_map(|(endpoint, pool)| {
                let key = words::destination(real.address, real.forwarding, *endpoint).into();
                Some(pool.destinations.get(&key)?.weight)
            });
            // 0 is what was taken out has, too, unless it would not be there then.
            let sure = |weight: u32| weight > 0 || real.weight == 0;
            let meant = !real.inhibit_on_failure && service.members[member].checkers.iter().any(|c| !c.weighs);
            let left = weights.find(|weight| sure(*weight) || meant);
            if left.is_some() {
                service.members[member].left = left;
                continue;
            }
            for checker in service.members[member].checkers.iter_mut().filter(|c| c.runs()) {
                checker.distrust();
                checker.due = Some(soon);
            }
        }
    }

    /// The first state of a service, which scripts hear of as keepalived has it: the quorum always,
    /// real servers with `rs_init_notifies`.
    pub(super) fn start_service(&mut self, index: usize) {
        let service = &mut self.services[index];
        for member in 0..service.members.len() {
            let known = std::mem::replace(&mut service.members[member].known, true);
            if known || service.members[member].checkers.iter().any(|c| !c.up) {
                continue;
            }
            service.members[member].live = true;
            if self.lvs.init_notifies {
                service.tell_member(member, &mut self.voice);
            }
        }
        service.update_quorum(Occasion::Start, &mut self.voice);
        self.differing.extend(service.keys());
    }

    /// The first check comes at a random moment within `warmup`.
    pub(super) fn warm_up(&mut self, now: Instant, place: Place) {
        if !self.started || !self.services[place.service].members[place.member].mine {
            return;
        }
        let random = self.rng.random_range(0.0..1.0);
        let checker = self.checker(place);
        if checker.runs() && checker.due.is_none() && checker.running.is_none() {
            checker.due = Some(now + checker.check.warmup.mul_f64(random));
        }
        self.set_timer(place);
    }
}
