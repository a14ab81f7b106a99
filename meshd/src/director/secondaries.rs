//! `promote_secondaries`: an address that goes must not take the others of its network along.

use std::collections::{BTreeMap, BTreeSet};

use mesh_config::model::Config;

use crate::kernel::sysctl;

/// The setting on the interfaces of routers that want it, and what it was before.
#[derive(Debug, Default)]
pub(super) struct Secondaries {
    wanted: BTreeSet<String>,
    before: BTreeMap<String, u32>,
}

impl Secondaries {
    pub(super) fn new(config: &Config) -> Secondaries {
        let mut secondaries = Secondaries::default();
        secondaries.configure(config);
        secondaries
    }

    /// Follows a configuration: interfaces that are not in it any more get their setting back.
    pub(super) fn configure(&mut self, config: &Config) {
        let routers = config.routers.iter().filter(|router| router.conduct.promote_secondaries);
        self.wanted = routers.map(|router| router.interface.clone()).collect();
        let gone: Vec<String> = self.before.keys().filter(|name| !self.wanted.contains(*name)).cloned().collect();
        for name in gone {
            self.give_back(&name);
        }
    }

    /// Switches it on where an interface is there, once.
    pub(super) fn apply<'n>(&mut self, present: impl Iterator<Item = &'n String>) {
        let present: BTreeSet<&String> = present.collect();
        // An interface that comes again has the kernel's default.
        self.before.retain(|name, _| present.contains(name));
        for name in present.into_iter().filter(|name| self.wanted.contains(*name)) {
            if self.before.contains_key(name) {
                continue;
            }
            let setting = setting(name);
            let switched = sysctl::read(&setting).and_then(|before| match before {
                Some(1) => Ok(1),
                before => sysctl::write(&setting, 1).map(|()| before.unwrap_or(0)),
            });
            match switched {
                Ok(before) => drop(self.before.insert(name.clone(), before)),
                Err(error) => tracing::warn!(interface = %name, "promote_secondaries: {error:#}"),
            }
        }
    }

    /// Puts everything back.
    pub(super) fn restore(&mut self) {
        let names: Vec<String> = self.before.keys().cloned().collect();
        for name in names {
            self.give_back(&name);
        }
    }

    fn give_back(&mut self, name: &str) {
        let Some(before) = self.before.remove(name) else { return };
        if before != 1
            && let Err(error) = sysctl::write(&setting(name), before)
        {
            tracing::warn!(interface = %name, "promote_secondaries is not put back: {error:#}");
        }
    }
}

fn setting(interface: &str) -> String {
    format!("net.ipv4.conf.{}.promote_secondaries", sysctl::written(interface))
}

#[cfg(test)]
mod tests {
    use mesh_config::model::{Conduct, VirtualRouter};
    use mesh_wire::mesh::{Family, RouterKey};

    use super::*;
    use crate::kernel::testing::with_neighbour;

    #[test]
    fn root_the_setting_is_there_while_it_is_wanted() {
        with_neighbour(|_| {
            let name = "lo".to_owned();
            let value = || sysctl::read(&setting("lo")).unwrap();
            sysctl::write(&setting("lo"), 0).unwrap();
            let key = RouterKey { family: Family::Ipv4, vrid: 1, segment: 0 };
            let conduct = Conduct { promote_secondaries: true, ..Conduct::default() };
            let router = VirtualRouter { conduct, ..VirtualRouter::new("A", key, "lo") };
            let mut secondaries = Secondaries::new(&Config { routers: vec![router], ..Config::default() });
            assert_eq!(value(), Some(0), "not before the interface is known");
            secondaries.apply([&name].into_iter());
            assert_eq!(value(), Some(1));
            secondaries.configure(&Config::default());
            assert_eq!(value(), Some(0));
        });
    }
}
