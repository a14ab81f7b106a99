//! A configuration becomes state. What did not change keeps its state: services are known by name,
//! real servers by address, checks by what they do, whatever their delays are now.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_config::model::{CheckKind, Config, RealServer, VirtualServer};
use mesh_wire::mesh::gossip::Health;

use super::checker::Checker;
use super::mesh::service_key;
use super::pool::{Member, Occasion, Service};
use super::{Action, Place, Services};
use crate::time::Instant;

impl Services {
    /// Takes over a configuration.
    pub(super) fn configure(&mut self, now: Instant, config: &Config) {
        if self.stopping.is_some() {
            return;
        }
        self.lvs = config.lvs.clone();
        self.voice.router_id = config.router_id.clone().unwrap_or_else(|| self.setup.name.clone());
        let fifos = config.lvs.notify_fifo.iter().chain(&config.notify.fifo);
        self.voice.fifos = fifos.map(|fifo| fifo.path.clone()).collect();
        self.voice.mail = config.mail.clone();
        let mut old: BTreeMap<String, Service> =
            std::mem::take(&mut self.services).into_iter().map(|s| (s.config.name.clone(), s)).collect();
        for server in &config.virtual_servers {
            let before = old.remove(&server.name);
            let service = self.renew(now, server, before);
            self.services.push(service);
        }
        for mut service in old.into_values() {
            self.unpublish(&service_key(&service.config.name), 1);
            if !self.started {
                continue;
            }
            for member in 0..service.members.len() {
                service.drop_member(member, Occasion::Change, &mut self.voice);
            }
            service.drop_quorum(Occasion::Change, &mut self.voice);
        }
        self.index();
        (0..self.services.len()).for_each(|index| self.assign(now, index));
        self.suspend();
        self.watch(config);
        self.dirty = (0..self.services.len()).collect();
        self.all_differ = true;
        // What left the configuration makes nobody unfit.
        self.tell_fitness();
        if self.started {
            (0..self.services.len()).for_each(|index| self.start_service(index));
            let all: Vec<Place> = self.places.values().copied().collect();
            all.into_iter().for_each(|place| self.warm_up(now, place));
        }
        if self.uses_ip_vs() {
            self.kernel.read_soon(now);
        } else {
            self.kernel.rest();
            self.started = true;
        }
    }

    fn renew(&mut self, now: Instant, server: &VirtualServer, before: Option<Service>) -> Service {
        let mut service = Service {
            config: server.clone(),
            members: Vec::new(),
            quorum_up: false,
            sorry: false,
            suspended: false,
            programmed: false,
            unfit: None,
        };
        let mut old = BTreeMap::new();
        if let Some(mut before) = before {
            service.quorum_up = before.quorum_up;
            service.sorry = before.sorry && server.sorry_server.is_some();
            (service.programmed, service.unfit) = (before.programmed, before.unfit.take());
            let gone = |real: &RealServer| !server.real_servers.iter().any(|r| r.address == real.address);
            for index in 0..before.members.len() {
                if self.started && gone(&before.config.real_servers[index]) {
                    before.drop_member(index, Occasion::Change, &mut self.voice);
                }
            }
            old.extend(before.config.real_servers.iter().map(|r| r.address).zip(before.members));
        }
        for real in &server.real_servers {
            let member = self.renew_member(now, real, old.remove(&real.address));
            service.members.push(member);
        }
        service
    }

    fn renew_member(&mut self, now: Instant, real: &RealServer, before: Option<Member>) -> Member {
        let fresh = !self.started;
        let ids = &mut self.ids;
        let mut id = || {
            *ids += 1;
            *ids
        };
        let all = real.checks.iter().flat_map(|check| Checker::all_of(&Arc::new(check.clone()), fresh, &mut id));
        let mut checkers: Vec<Checker> = all.collect();
        for checker in &mut checkers {
            if let CheckKind::File { file, dynamic, .. } = &checker.check.kind {
                let (number, dynamic) = (self.files.get(file).copied(), *dynamic);
                checker.tell_file(number.unwrap_or(0));
                checker.weighs = number.is_some() || !dynamic;
            }
        }
        let Some(mut before) = before else {
            return Member {
                checkers,
                left: None,
                live: false,
                known: false,
                first: false,
                mails: Vec::new(),
                assigned: Vec::new(),
                mine: true,
                own: Health::Unknown,
                since: now,
                hastened: None,
                asked: false,
                confirmed_unix_ms: 0,
                contradicted: Default::default(),
            };
        };
        let mut new = Vec::new();
        for (index, checker) in checkers.iter_mut().enumerate() {
            match before.checkers.iter().position(|old| checker.is_of(old)) {
                Some(old) => checker.inherit(before.checkers.swap_remove(old), now),
                None => new.push(index),
            }
        }
        let failing = checkers.iter().any(|c| c.has_run && !c.up);
        let untried = !before.live && checkers.iter().all(|c| !c.has_run);
        for index in new {
            let checker = &mut checkers[index];
            if !checker.has_run {
                // One that is used stays so until a new check fails.
                if failing || untried { checker.retry_less() } else { checker.up = true }
            }
        }
        Member { checkers, ..before }
    }

    /// Where everything is.
    fn index(&mut self) {
        self.timers.clear();
        self.rejudge.clear();
        self.places.clear();
        self.users.clear();
        let mut places = Vec::new();
        for (service, s) in self.services.iter_mut().enumerate() {
            for key in s.config.endpoints.iter().map(|e| super::pool::key(*e, &s.config)) {
                let users = self.users.entry(key).or_default();
                if users.last() != Some(&service) {
                    users.push(service);
                }
            }
            for (member, m) in s.members.iter_mut().enumerate() {
                for (checker, c) in m.checkers.iter_mut().enumerate() {
                    c.timer = None;
                    places.push((c.id, Place { service, member, checker }));
                }
            }
        }
        self.places.extend(places.iter().copied());
        places.into_iter().for_each(|(_, place)| self.set_timer(place));
    }

    /// Files that checks ask for are watched, and no others.
    fn watch(&mut self, config: &Config) {
        let servers = config.virtual_servers.iter().flat_map(|s| &s.real_servers);
        let checks: Vec<_> = servers.flat_map(|r| &r.checks).collect();
        let asked =
            |name: &str| checks.iter().any(|check| matches!(&check.kind, CheckKind::File { file, .. } if file == name));
        let watched: Vec<_> = config.track_files.iter().filter(|f| asked(&f.name)).cloned().collect();
        if watched != self.watched {
            self.files.retain(|name, _| watched.iter().any(|f| f.name == *name));
            self.watched = watched.clone();
            self.out.push(Action::WatchFiles(watched));
        }
    }
}
