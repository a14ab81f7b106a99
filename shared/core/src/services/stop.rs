//! The end: what goes out of ip_vs with the daemon, and what stays.

use mesh_config::model::FlushOnStop;

use super::pool::Occasion;
use super::{Action, Services};
use crate::ipvs::{Change, SyncRole};
use crate::time::Instant;

/// How far the end is. Each request to ip_vs has a limit of its own, so that it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// What ip_vs holds has to be read once more, as foreign services go, too, or for the first time.
    Read,
    /// Changes are to be made.
    Change,
    /// They are being made.
    Wait,
    /// The end was told.
    Over,
}

impl Services {
    /// Everything ends. With `keep` it goes on with the next run, and nobody is told.
    pub(super) fn shut_down(&mut self, now: Instant, keep: bool) {
        if self.stopping.is_some() {
            return;
        }
        // Before the first reading: what an earlier run left is this one's to take out.
        let early = !keep && !self.started && self.uses_ip_vs();
        if early {
            let roles = self.lvs.sync.iter().flat_map(|_| [SyncRole::Master, SyncRole::Backup]);
            self.kernel.claim(self.services.iter().flat_map(|service| service.keys()), roles);
        }
        let stage = match self.lvs.flush_on_stop {
            _ if early => Stage::Read,
            _ if keep || self.kernel.held.is_none() => Stage::Wait,
            FlushOnStop::All if self.uses_ip_vs() => Stage::Read,
            FlushOnStop::All | FlushOnStop::Own | FlushOnStop::VirtualServers => Stage::Change,
        };
        self.kernel.rest();
        if stage == Stage::Read && !(early && self.kernel.is_busy()) {
            self.kernel.read_soon(now);
        }
        self.stopping = Some(stage);
        if !keep && self.started {
            self.tell_end();
        }
    }

    /// `omega`: the scripts for down and lost run.
    fn tell_end(&mut self) {
        let one_by_one = self.lvs.flush_on_stop == FlushOnStop::Own;
        for service in &mut self.services {
            for member in (0..service.members.len()).filter(|_| one_by_one) {
                service.drop_member(member, Occasion::Stop, &mut self.voice);
            }
            service.drop_quorum(Occasion::Stop, &mut self.voice);
        }
    }

    /// Goes on with the end, as far as it is possible now.
    pub(super) fn finish(&mut self, now: Instant) {
        let Some(stage) = self.stopping.filter(|stage| *stage != Stage::Over) else { return };
        if self.kernel.is_busy() {
            return;
        }
        if matches!(stage, Stage::Read | Stage::Change) {
            self.stopping = Some(Stage::Wait);
            let changes = self.last_changes();
            self.kernel.apply(now, changes, &mut self.out);
            if self.kernel.is_busy() {
                return;
            }
        }
        self.stopping = Some(Stage::Over);
        self.out.push(Action::Stopped);
    }

    fn last_changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = match self.lvs.flush_on_stop {
            FlushOnStop::All => {
                let held = self.kernel.held.iter().flat_map(|held| held.table.keys());
                held.map(|key| Change::DeleteService { key: *key }).collect()
            }
            FlushOnStop::VirtualServers => self.kernel.ours().map(|(key, _)| Change::DeleteService { key }).collect(),
            FlushOnStop::Own => {
                let one = |(service, pool): (_, &crate::ipvs::Pool)| {
                    let each = pool.destinations.keys();
                    let mut changes: Vec<Change> =
                        each.map(|key| Change::DeleteDestination { service, key: *key }).collect();
                    changes.push(Change::DeleteService { key: service });
                    changes
                };
                self.kernel.ours().flat_map(one).collect()
            }
        };
        changes.extend(self.kernel.our_roles().map(Change::StopSync));
        changes
    }

    /// `lvs_flush`: every service goes, foreign ones too.
    pub(super) fn flush(&mut self, now: Instant) {
        let held = self.kernel.held.iter().flat_map(|held| held.table.keys());
        let changes: Vec<Change> = held.map(|key| Change::DeleteService { key: *key }).collect();
        self.kernel.apply(now, changes, &mut self.out);
    }
}
