//! One virtual router on this host: its protocol state, its lease, and what is due next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{LeaseTime, Version, VirtualAddress, VirtualRouter};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::RouterState;
use mesh_wire::vrrp::{self as wire, Advertisement, ChecksumForm, Envelope, Interval};

use crate::counters::Counters;
use crate::damping::Damper;
use crate::engine::lacks::Lacks;
use crate::engine::parting::Parted;
use crate::engine::vmacs::absence;
use crate::lease::ballot::Lease;
use crate::lease::lease_time;
use crate::time::Instant;
use crate::vrrp::{self, Heard};

/// One virtual router.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What the operator declared.
    pub config: VirtualRouter,
    /// Protocol state.
    pub vrrp: vrrp::Router,
    /// Priority before tracking: the configured one, unless the mesh or an operator placed it elsewhere.
    pub base: u8,
    /// The lease, in a mesh.
    pub lease: Lease,
    /// Lease duration T.
    pub lease_time: Duration,
    /// Until when the fence was last opened.
    pub armed_until: Option<Instant>,
    /// Highest epoch seen or used.
    pub epoch_seen: u64,
    /// Voters know no higher epoch, and grant none as high as was asked for last: the next claim begins above this one.
    pub begin_above: Option<u64>,
    /// When to claim because voters said it is vacant.
    pub claim_at: Option<Instant>,
    /// Its turn to claim has come, for this reason, and its group was not ready yet.
    pub wants: Option<&'static str>,
    /// Left to others until then, while nobody has served it; over since then where somebody has.
    pub stands_back: Option<Instant>,
    /// How the last lease ended, in words.
    pub vacancy: String,
    /// What its owner said when it gave a lease back, in case a voter says that it is over.
    pub parted: Option<Parted>,
    /// Voters that refused the last claim, and until when.
    pub vetoes: BTreeMap<NodeId, Instant>,
    /// Claims in a row that failed.
    pub failures: u32,
    /// Shown while the last claim was refused and nothing changed since.
    pub veto: Option<Veto>,
    /// Why it cannot run; it starts in fault until its interface is known.
    pub fault: Option<String>,
    /// What keeps its priority lower than it could be, in words.
    pub lowered: Option<String>,
    /// An effect failed: not before then again.
    pub blocked: Option<(Instant, String)>,
    /// For how long after the next failure.
    pub block_time: Option<Duration>,
    /// Holds it back when its link or what it tracks comes and goes.
    pub damper: Damper,
    /// It is not held any longer then, because nobody else is there who could serve.
    pub lonely_until: Option<Instant>,
    /// The next burst of announcements, and how many packets.
    pub garp: Option<(Instant, u32)>,
    /// When `garp_extra_if` is due.
    pub extra_at: Option<Instant>,
    /// When announcements last answered a rival.
    pub rival_answered: Instant,
    /// When address lifetimes are to be renewed.
    pub refresh_at: Option<Instant>,
    /// Routes and rules that the kernel refused.
    pub lacks: Lacks,
    /// A router outside the mesh that is active.
    pub foreign: Option<Foreign>,
    /// Which checksum it sends: that of others on the segment, where nothing else is configured.
    pub checksum: ChecksumForm,
    /// For adverts that prove who sent them.
    pub guard: vrrp::Guard,
    /// Whose address list was compared last.
    pub compared: Option<IpAddr>,
    /// The last list that was another one than ours, and whose.
    pub other_list: Option<(IpAddr, Vec<IpAddr>)>,
    /// Source address of our adverts, while the interface has one.
    pub source: Option<IpAddr>,
    /// Served addresses that this host has of its own, as the owner of the addresses (priority 255)
    /// may: they are never added, removed or fenced, or the host would lose its own address.
    pub own: BTreeSet<IpAddr>,
    /// The last change.
    pub transition: Transition,
    /// What it counted.
    pub counters: Counters,
    /// The last advert that passed all checks.
    pub heard: Option<Heard>,
    /// When that was.
    pub heard_at: Instant,
    /// Where it stands while no majority of the voters answers.
    pub silence: Silence,
    /// Serves because the run before did, but its interface is not known yet: until then at most.
    pub adopted: Option<Instant>,
    /// Serves since the run, or the configuration, before: what nobody has told of yet is no reason to stop.
    pub goes_on: bool,
}

/// How long the kernel keeps an address whose director is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backstop {
    /// There are leases: gone after 3 s.
    Short,
    /// There are leases, a fence that works, and so many addresses that renewing their lifetimes
    /// every second would be most of the daemon's work: gone after 10 s, and closed until then.
    Long,
    /// VRRP alone decides: a little more than what backups wait.
    NoLease,
}

impl Backstop {
    /// Between renewals: a third of the shortest lifetime.
    pub fn refresh(self) -> Duration {
        match self {
            Backstop::Long => Duration::from_secs(3),
            Backstop::Short | Backstop::NoLease => Duration::from_secs(1),
        }
    }
}

/// A refused claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veto {
    /// The voters.
    pub by: Vec<NodeId>,
    /// Who holds the lease.
    pub holder: Option<NodeId>,
    /// In words.
    pub reason: String,
}

/// What a router remembers of voters that do not answer.
#[derive(Clone, Debug)]
pub struct Silence {
    /// When a majority of the voters last answered, whatever it said; the start counts as one.
    pub quorum_at: Instant,
    /// Since when it serves without a lease, its addresses left out of the fence.
    pub unprotected_since: Option<Instant>,
    /// The end of the lease it went on without: what was promised until then is no new lease.
    pub lease_ended: Instant,
    /// When the holder of a lease that nobody renews has to decide, shortly before the end.
    pub decide_at: Option<Instant>,
    /// A look at the segment, before it serves without a lease.
    pub probe: Option<Probe>,
    /// Somebody else had an address: not to be probed again before.
    pub probe_after: Option<Instant>,
    /// How long to wait after the next answer; it doubles.
    pub probe_wait: Option<Duration>,
}

/// A probe under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its number.
    pub number: u64,
    /// Unanswered by the daemon until then, it has failed.
    pub until: Instant,
}

impl Silence {
    /// Nothing has happened yet.
    pub fn new(now: Instant) -> Self {
        Silence {
            quorum_at: now,
            unprotected_since: None,
            lease_ended: Instant::default(),
            decide_at: None,
            probe: None,
            probe_after: None,
            probe_wait: None,
        }
    }
}

/// An active router outside the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its address.
    pub source: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// Silent since then means gone.
    pub until: Instant,
}

/// The last change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// Why.
    pub cause: String,
    /// Trace id.
    pub trace_id: String,
}

impl Instance {
    /// In fault until its interface is known.
    pub fn new(config: VirtualRouter, lease: LeaseTime, now: Instant) -> Self {
        let missing = config.vmacs().next().map(absence);
        Instance {
            vrrp: vrrp::Router::new(&config),
            base: config.priority,
            lease: Lease::Idle,
            lease_time: lease_time(lease, config.advert_interval),
            armed_until: None,
            epoch_seen: 0,
            begin_above: None,
            claim_at: None,
            wants: None,
            stands_back: None,
            vacancy: String::new(),
            parted: None,
            vetoes: BTreeMap::new(),
            failures: 0,
            veto: None,
            fault: Some(missing.unwrap_or_else(|| format!("interface {} is not there", config.interface))),
            lowered: None,
            blocked: None,
            block_time: None,
            damper: Damper::default(),
            lonely_until: None,
            garp: None,
            extra_at: None,
            rival_answered: Instant::default(),
            refresh_at: None,
            lacks: Lacks::default(),
            foreign: None,
            checksum: vrrp::form(&config, None),
            guard: vrrp::Guard::default(),
            compared: None,
            other_list: None,
            source: None,
            own: BTreeSet::new(),
            transition: Transition { at: now, cause: "started".to_owned(), trace_id: String::new() },
            counters: Counters::default(),
            heard: None,
            heard_at: now,
            silence: Silence::new(now),
            adopted: None,
            goes_on: false,
            config,
        }
    }

    /// The addresses that come and go with the state: those served, but not the host's own.
    pub fn moving(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.config.served().filter(|a| !self.own.contains(&a.net.addr()))
    }

    /// The same as plain addresses, for the fence.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.moving().map(|a| a.net.addr()).collect()
    }

    /// The packet for one destination, with our own priority unless another is given, and with the number
    /// it has where it has one.
    pub fn advertisement(
        &self,
        source: IpAddr,
        destination: IpAddr,
        priority: Option<u8>,
        number: Option<u64>,
    ) -> (Envelope, Vec<u8>) {
        let version = match self.config.version {
            Version::V2 => wire::Version::V2,
            Version::V3 => wire::Version::V3,
        };
        let packet = Advertisement {
            vrid: self.config.key.vrid,
            priority: priority.unwrap_or(self.vrrp.priority()),
            interval: Interval::new(version, self.config.advert_interval).expect("the model holds valid intervals"),
            addresses: self.config.addresses.iter().map(|a| a.net.addr()).collect(),
            auth: vrrp::authentication(&self.config),
        };
        vrrp::packet(&self.config, &packet, (source, destination), self.checksum, number)
    }

    /// As others see it.
    pub fn state(&self) -> RouterState {
        match self.vrrp.state() {
            vrrp::State::Initialize => RouterState::Fault,
            vrrp::State::Active { .. } => RouterState::Active,
            vrrp::State::Backup { .. } if self.veto.is_some() => RouterState::Vetoed,
            vrrp::State::Backup { .. } => RouterState::Backup,
        }
    }

    /// Effective priority, 0 in fault.
    pub fn shown_priority(&self) -> u8 {
        if self.fault.is_some() { 0 } else { self.vrrp.priority() }
    }

    /// What is not well with it, in words.
    pub fn because(&self) -> Option<&String> {
        self.fault.as_ref().or(self.lowered.as_ref())
    }

    /// The address of whoever advertises here, unless that has fallen silent or given up.
    pub fn heard_now(&self, now: Instant) -> Option<IpAddr> {
        let heard = self.heard.filter(|h| h.priority > 0)?;
        (now < self.heard_at + heard.interval * 3 + Duration::from_secs(1)).then_some(heard.source)
    }

    /// The epoch of the lease held, 0 without one.
    pub fn held_epoch(&self) -> u64 {
        if self.lease.is_held() { self.lease.ballot().map_or(0, |b| b.epoch) } else { 0 }
    }

    /// Whether a router outside the mesh serves, and is not to be pushed aside.
    pub fn defers_to_foreign(&self, now: Instant) -> bool {
        self.foreign.is_some_and(|f| f.until > now && (f.priority >= self.vrrp.priority() || !self.vrrp.preempts()))
    }

    /// Seconds after which the kernel removes an address by itself, and up to 1.25 s later.
    pub fn lifetime_s(&self, backstop: Backstop) -> u32 {
        let backstop = if self.silence.unprotected_since.is_some() { Backstop::NoLease } else { backstop };
        match backstop {
            Backstop::Long => return 10,
            Backstop::Short => return 3,
            Backstop::NoLease => {}
        }
        let wait = self.vrrp.down_interval() + Duration::from_secs(2);
        u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(3)
    }
}
