//! What others are told of this node's routers, as keepalived tells it: see [`crate::notify`].

use mesh_config::model::Config;
use mesh_wire::mesh::RouterKey;

use super::Engine;
use crate::action::Action;
use crate::decision::RouterEvent;
use crate::notify::State;
use crate::time::Instant;

impl Engine {
    /// Takes over who is told: a router is not begun anew because of that.
    pub(super) fn configure_notices(&mut self, config: &Config) {
        self.herald.configure(config, &self.setup.name);
        for instance in self.instances.values_mut() {
            if let Some(router) = config.routers.iter().find(|router| router.key == instance.config.key) {
                instance.config.notify.clone_from(&router.notify);
            }
        }
    }

    /// A router changed its state. At the end each says so once, by [`Engine::tell_stop`].
    pub(super) fn note_state(&mut self, key: RouterKey, event: &RouterEvent) {
        if self.stopping {
            return;
        }
        let Some(instance) = self.instances.get(&key) else { return };
        let state = match event {
            // The fault itself follows.
            RouterEvent::Backup if instance.fault.is_some() => return,
            RouterEvent::Active { .. } | RouterEvent::Unprotected => State::Active,
            RouterEvent::Backup => State::Backup,
            RouterEvent::Fault => State::Fault,
            RouterEvent::Protected { .. } | RouterEvent::Vetoed { .. } => return,
        };
        self.herald.router(&instance.config, state, instance.vrrp.priority());
    }

    /// A router's priority may have changed.
    pub(super) fn note_priority(&mut self, key: RouterKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        self.herald.priority(&instance.config, instance.vrrp.priority());
    }

    /// An active router heard a lower one.
    pub(super) fn note_lower_priority(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        self.herald.lower_priority(now, &instance.config);
    }

    /// A router goes on as the run before left it, and that run has told so.
    pub(super) fn note_resumed(&mut self, key: RouterKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        self.herald.goes_on(&instance.config, State::Active, instance.vrrp.priority());
    }

    /// All ends.
    pub(super) fn tell_stop(&mut self) {
        self.herald.stop();
    }

    /// What this step has to tell, after all that it does.
    pub(super) fn tell_others(&mut self) {
        let notices = self.herald.take();
        if !notices.is_empty() {
            self.out.push(Action::Tell(notices));
        }
    }
}
