//! Tracked scripts: from exit codes to up and down, from there to priority and fault.

use std::collections::BTreeMap;

use mesh_config::model::{TrackScript, VirtualRouter};

use crate::input::ScriptOutcome;
use crate::vrrp::OWNER_PRIORITY;

/// State of all tracked scripts.
#[derive(Clone, Debug, Default)]
pub struct Tracking {
    scripts: BTreeMap<String, Script>,
}

#[derive(Clone, Debug)]
struct Script {
    config: TrackScript,
    up: bool,
    /// Results in a row that contradict `up`.
    against: u32,
}

/// What tracking makes of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may run with this priority.
    Priority(u8),
    /// It must not run.
    Fault(String),
}

impl Tracking {
    /// Takes over a configuration; scripts that did not change keep their state.
    pub fn configure(&mut self, scripts: &[TrackScript]) {
        let mut old = std::mem::take(&mut self.scripts);
        for config in scripts {
            let state = old.remove(&config.name).filter(|s| s.config == *config);
            let fresh = || Script { config: config.clone(), up: !config.init_fail, against: 0 };
            self.scripts.insert(config.name.clone(), state.unwrap_or_else(fresh));
        }
    }

    /// A run ended. Returns the script's new state, when it changed, and why.
    pub fn result(&mut self, name: &str, outcome: ScriptOutcome) -> Option<(bool, String)> {
        let script = self.scripts.get_mut(name)?;
        let success = outcome == ScriptOutcome::Success;
        if success == script.up {
            script.against = 0;
            return None;
        }
        script.against += 1;
        let needed = if success { script.config.rise } else { script.config.fall };
        if script.against < needed.max(1) {
            return None;
        }
        script.up = success;
        script.against = 0;
        let how = match outcome {
            ScriptOutcome::Success => "exit status 0".to_owned(),
            ScriptOutcome::Exit(code) => format!("exit status {code}"),
            ScriptOutcome::Signal(signal) => format!("killed by signal {signal}"),
            ScriptOutcome::TimedOut => format!("no answer within {:?}", script.config.timeout),
            ScriptOutcome::NotStarted => "it cannot be started".to_owned(),
        };
        Some((success, format!("{how}, {needed} in a row")))
    }

    /// Whether a script counts as up, and how many results in a row say the contrary.
    pub fn standing(&self, name: &str) -> Option<(bool, u32)> {
        self.scripts.get(name).map(|s| (s.up, s.against))
    }

    /// Effective priority: the configured one plus all weights, kept within 1 to 254. The owner of
    /// the addresses ignores weights.
    pub fn effect(&self, router: &VirtualRouter) -> Effect {
        let mut priority = i32::from(router.priority);
        for tracked in &router.track_scripts {
            let Some(script) = self.scripts.get(&tracked.name) else { continue };
            let weight = tracked.weight.unwrap_or(script.config.weight);
            if weight == 0 {
                if !script.up {
                    return Effect::Fault(format!("script {} is down", tracked.name));
                }
            } else if script.up == (weight > 0) {
                priority += i32::from(weight);
            }
        }
        if router.priority == OWNER_PRIORITY {
            return Effect::Priority(OWNER_PRIORITY);
        }
        Effect::Priority(u8::try_from(priority.clamp(1, 254)).expect("clamped to 1..=254"))
    }
}

#[cfg(test)]
mod tests;
