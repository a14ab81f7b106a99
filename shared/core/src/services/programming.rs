//! What ip_vs shall hold, and when it is looked at and changed.

use std::collections::BTreeMap;

use super::kernel::Wanted;
use super::{Services, input, pool};
use crate::ipvs::{ServiceKey, SyncDaemon, SyncRole, Table, Timeouts};
use crate::time::Instant;

impl Services {
    pub(super) fn kernel_found(&mut self, now: Instant, answer: Result<input::Kernel, String>) {
        if !self.kernel.found(now, answer, &mut self.out) {
            return;
        }
        self.all_differ = true;
        self.note_programmed();
        if !self.started && self.stopping.is_none() {
            self.start(now);
        }
    }

    /// What is in ip_vs changed.
    pub(super) fn note_programmed(&mut self) {
        for (index, service) in self.services.iter_mut().enumerate() {
            let programmed = service.config.endpoints.iter().all(|e| self.kernel.has(&pool::key(*e, &service.config)));
            if std::mem::replace(&mut service.programmed, programmed) != programmed {
                self.dirty.insert(index);
            }
        }
    }

    pub(super) fn work_on_kernel(&mut self, now: Instant) {
        if self.uses_ip_vs() || self.kernel.is_busy() {
            self.kernel.run(now, &mut self.out);
        } else {
            self.kernel.rest();
        }
        if self.kernel.is_busy() {
            return;
        }
        if self.kernel.retry_due(now) {
            self.all_differ = true;
        }
        if !self.started || self.stopping.is_some() {
            return;
        }
        if std::mem::take(&mut self.all_differ) {
            self.differing.clear();
            let wanted = self.wanted(self.users.keys());
            self.kernel.reconcile(now, &wanted, None, &mut self.out);
        } else if !self.differing.is_empty() {
            let keys = std::mem::take(&mut self.differing);
            let wanted = self.wanted(keys.iter());
            self.kernel.reconcile(now, &wanted, Some(&keys), &mut self.out);
        }
    }

    /// Whether there is anything to program; if not, a kernel without ip_vs is not spoken of.
    pub(super) fn uses_ip_vs(&self) -> bool {
        !self.services.is_empty()
            || self.lvs.sync.is_some()
            || self.lvs.timeouts.is_some()
            || self.kernel.ours().next().is_some()
            || self.kernel.our_roles().next().is_some()
    }

    /// What ip_vs shall hold for these keys, and besides.
    pub(super) fn wanted<'a>(&self, keys: impl Iterator<Item = &'a ServiceKey>) -> Wanted {
        let mut table = Table::new();
        for key in keys {
            for &index in self.users.get(key).into_iter().flatten() {
                let service = &self.services[index];
                let endpoint = service.config.endpoints.iter().find(|e| pool::key(**e, &service.config) == *key);
                let Some(endpoint) = endpoint else { continue };
                let pool = service.wanted(*endpoint);
                match table.get_mut(key) {
                    None => drop(table.insert(*key, pool)),
                    // A mark that two virtual servers share: the first one's settings, all real servers.
                    Some(first) => pool.destinations.into_iter().for_each(|(key, destination)| {
                        first.destinations.entry(key).or_insert(destination);
                    }),
                }
            }
        }
        let timeouts = self.lvs.timeouts.map(|(tcp, tcp_fin, udp)| Timeouts { tcp, tcp_fin, udp });
        Wanted { table, sync: self.wanted_sync(), timeouts }
    }

    /// `lvs_sync_daemon`: master where its virtual router is active, else backup.
    fn wanted_sync(&self) -> BTreeMap<SyncRole, SyncDaemon> {
        let Some(sync) = &self.lvs.sync else { return BTreeMap::new() };
        let roles: &[SyncRole] = match &sync.router {
            None => &[SyncRole::Master, SyncRole::Backup],
            Some(router) if self.around.active_here.contains(router) => &[SyncRole::Master],
            Some(_) => &[SyncRole::Backup],
        };
        let daemon = |role: &SyncRole| SyncDaemon {
            role: *role,
            interface: sync.interface.clone(),
            id: sync.id,
            maxlen: Some(sync.max_length).filter(|n| *n != 0),
            group: sync.group,
            port: Some(sync.port).filter(|n| *n != 0),
            ttl: Some(sync.ttl).filter(|n| *n != 0),
        };
        roles.iter().map(|role| (*role, daemon(role))).collect()
    }
}
