//! keepalived's notifications: which scripts, FIFO lines and mails a change of state asks for, and in which order.
//!
//! A state is told once, however often it is decided again: the script of the state, the generic script, a line in
//! each FIFO, mail. A group is told once all its members were told the same. What a router says, byte for byte:
//!
//! ```text
//! INSTANCE "VI_1" MASTER 100
//! GROUP "VG_1" BACKUP 0
//! INSTANCE "VI_1" MASTER_RX_LOWER_PRI 100
//! INSTANCE "VI_1" BACKUP_PRIORITY 90
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use mesh_config::model::{Config, Mail, Notify, OnDelete, Script, SyncGroup, VirtualRouter};

use crate::time::Instant;

/// One thing to be told. The daemon never waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Run a script, after those that were asked for before it and under the same key.
    Run {
        /// Scripts of one key never run at the same time and keep their order.
        key: String,
        /// What to run.
        script: Script,
        /// The addresses of the virtual server it is about; none where it is about a router or a group, which the
        /// key names.
        vips: Vec<IpAddr>,
    },
    /// Write a line to a FIFO, without waiting for a reader.
    WriteFifo {
        /// The FIFO.
        path: PathBuf,
        /// The line, without its end.
        line: String,
    },
    /// Send mail to the addresses of `notification_email`.
    Mail {
        /// Subject.
        subject: String,
        /// Text.
        body: String,
    },
}

/// What is told of a router or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves.
    Active,
    /// It stands by.
    Backup,
    /// It cannot serve.
    Fault,
    /// The daemon ends.
    Stop,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Active => "MASTER",
            State::Backup => "BACKUP",
            State::Fault => "FAULT",
            State::Stop => "STOP",
        }
    }

    fn script(self, notify: &Notify) -> Option<&Script> {
        let script = match self {
            State::Active => &notify.active,
            State::Backup => &notify.backup,
            State::Fault => &notify.fault,
            State::Stop => &notify.stop,
        };
        script.as_ref()
    }
}

/// Who is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Instance,
    Group,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Instance => "INSTANCE",
            Kind::Group => "GROUP",
        }
    }
}

/// What was told, and what is to be told next.
#[derive(Debug, Default)]
pub struct Herald {
    /// What the host calls itself in mail.
    router_id: String,
    fifos: Vec<PathBuf>,
    mail: Mail,
    priority_changes: bool,
    /// By name, in the order of the configuration: what each router wants told.
    wishes: Vec<(String, Notify)>,
    groups: Vec<SyncGroup>,
    routers: BTreeMap<String, Told>,
    told_groups: BTreeMap<String, State>,
    said: Vec<Notice>,
    /// `fifo_write_vrrp_states_on_reload`: once the reload is done.
    restate: bool,
}

/// What was told of a router last.
#[derive(Clone, Copy, Debug)]
struct Told {
    state: State,
    priority: u8,
    /// When an advert of a lower priority was.
    lower: Option<Instant>,
}

impl Herald {
    /// Takes over a configuration; routers that are no longer in it say so. `name` is this host's.
    pub fn configure(&mut self, config: &Config, name: &str) {
        let fifos = config.notify.fifo.iter().chain(&config.notify.router_fifo);
        self.fifos = fifos.map(|fifo| fifo.path.clone()).collect();
        for (gone, notify) in std::mem::take(&mut self.wishes) {
            if !config.routers.iter().any(|r| r.name == gone)
                && let Some(told) = self.routers.remove(&gone)
            {
                self.deleted(&gone, &notify, told);
            }
        }
        self.router_id = config.router_id.clone().unwrap_or_else(|| name.to_owned());
        self.mail = config.mail.clone();
        self.priority_changes = config.notify.priority_changes;
        self.restate = config.notify.states_on_reload && !self.routers.is_empty();
        self.wishes = config.routers.iter().map(|r| (r.name.clone(), r.notify.clone())).collect();
        self.groups.clone_from(&config.sync_groups);
        self.told_groups.retain(|name, _| config.sync_groups.iter().any(|group| group.name == *name));
    }

    /// It is in this state without a word: the run before told it.
    pub fn goes_on(&mut self, router: &VirtualRouter, state: State, priority: u8) {
        self.routers.insert(router.name.clone(), Told { state, priority, lower: None });
    }

    /// A router is in a state.
    pub fn router(&mut self, router: &VirtualRouter, state: State, priority: u8) {
        let Some((_, notify)) = self.wishes.iter().find(|(name, _)| *name == router.name).cloned() else { return };
        let told = self.routers.insert(router.name.clone(), Told { state, priority, lower: None });
        if told.is_some_and(|told| told.state == state) {
            return;
        }
        if told.is_none() && state == State::Backup {
            // keepalived begins with the group.
            self.tell_group(&router.name, true);
        }
        self.change(Kind::Instance, &router.name, &notify, state, priority);
        self.tell_group(&router.name, false);
    }

    /// All routers end.
    pub fn stop(&mut self) {
        for (name, notify) in self.wishes.clone() {
            let Some(told) = self.routers.get_mut(&name) else { continue };
            if std::mem::replace(&mut told.state, State::Stop) != State::Stop {
                let priority = told.priority;
                self.change(Kind::Instance, &name, &notify, State::Stop, priority);
                self.tell_group(&name, false);
            }
        }
    }

    /// A router's priority, whether it changed or not.
    pub fn priority(&mut self, router: &VirtualRouter, priority: u8) {
        let Some(told) = self.routers.get_mut(&router.name) else { return };
        if std::mem::replace(&mut told.priority, priority) == priority {
            return;
        }
        let state = told.state;
        let own = self.group_of(&router.name).and_then(|group| group.notify.priority_changes);
        let wanted = router.notify.priority_changes.or(own).unwrap_or(self.priority_changes);
        if wanted && state != State::Stop {
            // keepalived has no word of its own for a fault.
            let word = if state == State::Active { "MASTER" } else { "BACKUP" };
            self.write(Kind::Instance, &router.name, &format!("{word}_PRIORITY"), priority);
        }
    }

    /// An active router heard an advert of a lower priority: told at most twice in an advert interval, as anybody can
    /// send many. (Once would lose every second one of a sender whose adverts come a little early.)
    pub fn lower_priority(&mut self, now: Instant, router: &VirtualRouter) {
        let Some(told) = self.routers.get_mut(&router.name).filter(|told| told.state == State::Active) else { return };
        if told.lower.is_some_and(|last| now < last + router.advert_interval / 2) {
            return;
        }
        told.lower = Some(now);
        let priority = told.priority;
        self.run(Kind::Instance, &router.name, router.notify.lower_priority.as_ref());
        self.write(Kind::Instance, &router.name, "MASTER_RX_LOWER_PRI", priority);
    }

    /// What there is to tell.
    pub fn take(&mut self) -> Vec<Notice> {
        if std::mem::take(&mut self.restate) {
            for (name, state) in self.told_groups.clone() {
                self.write(Kind::Group, &name, state.word(), 0);
            }
            for (name, told) in self.routers.clone() {
                self.write(Kind::Instance, &name, told.state.word(), told.priority);
            }
        }
        std::mem::take(&mut self.said)
    }

    fn deleted(&mut self, name: &str, notify: &Notify, told: Told) {
        match &notify.deleted {
            // keepalived runs no script of the fault then.
            OnDelete::Fault => self.announce(Kind::Instance, name, notify, "FAULT", told.priority),
            OnDelete::Deleted(script) => {
                self.run(Kind::Instance, name, script.as_ref());
                self.announce(Kind::Instance, name, notify, "DELETED", told.priority);
            }
        }
    }

    fn group_of(&self, router: &str) -> Option<&SyncGroup> {
        self.groups.iter().find(|group| group.routers.iter().any(|member| member == router))
    }

    /// Tells the group of a router, once all its members were told the same; at the start with the first.
    fn tell_group(&mut self, router: &str, starts: bool) {
        let Some(group) = self.group_of(router) else { return };
        let told = |name: &String| self.routers.get(name).map(|told| told.state);
        let Some(state) = told(&router.to_owned()) else { return };
        let first = starts && !self.told_groups.contains_key(&group.name);
        let agreed = group.routers.iter().all(|member| told(member) == Some(state));
        if !first && !agreed || self.told_groups.get(&group.name) == Some(&state) {
            return;
        }
        let SyncGroup { name, notify, .. } = group.clone();
        self.told_groups.insert(name.clone(), state);
        self.change(Kind::Group, &name, &notify, state, 0);
    }

    /// One change: the script of the state, then what is told of every state, then mail.
    fn change(&mut self, kind: Kind, name: &str, notify: &Notify, state: State, priority: u8) {
        self.run(kind, name, state.script(notify));
        self.announce(kind, name, notify, state.word(), priority);
        let silent = state == State::Stop || state == State::Fault && self.mail.no_faults;
        if silent || !self.mail.about_router(notify.mail) {
            return;
        }
        let (who, body) = match (kind, state) {
            (Kind::Instance, State::Active) => ("Instance", "VRRP Instance is now owning VRRP VIPs".to_owned()),
            (Kind::Instance, _) => ("Instance", "VRRP Instance is no longer owning VRRP VIPs".to_owned()),
            (Kind::Group, _) => ("Group", format!("All VRRP group instances are now in {} state", state.word())),
        };
        let subject = format!("[{}] VRRP {who} {name} - Entering {} state", self.router_id, state.word());
        self.said.push(Notice::Mail { subject, body: format!("=> {body} <=\n\n") });
    }

    /// The generic script with its four arguments, and a line.
    fn announce(&mut self, kind: Kind, name: &str, notify: &Notify, state: &str, priority: u8) {
        let generic = notify.any.clone().map(|mut script| {
            let more = [kind.word().to_owned(), name.to_owned(), state.to_owned(), priority.to_string()];
            script.command.extend(more);
            script
        });
        self.run(kind, name, generic.as_ref());
        self.write(kind, name, state, priority);
    }

    fn run(&mut self, kind: Kind, name: &str, script: Option<&Script>) {
        let key = || format!("{} {name}", kind.word());
        self.said.extend(script.map(|script| Notice::Run { key: key(), script: script.clone(), vips: Vec::new() }));
    }

    fn write(&mut self, kind: Kind, name: &str, state: &str, priority: u8) {
        let line = format!("{} \"{name}\" {state} {priority}", kind.word());
        self.said.extend(self.fifos.iter().map(|path| Notice::WriteFifo { path: path.clone(), line: line.clone() }));
    }
}

#[cfg(test)]
mod tests;
