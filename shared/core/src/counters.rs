//! What a virtual router counts, in the distinctions of keepalived (and of the VRRP MIB, RFC 2787).

use mesh_config::model::VirtualRouter;
use mesh_wire::vrrp::header::Broken;
use mesh_wire::vrrp::{Advertisement, Authentication, Malformed};

use crate::vrrp::{Drop, Forged, Heard};

/// Figures of one virtual router since its daemon began, or since they were cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Adverts that passed all checks.
    pub received: u64,
    /// Adverts sent; to unicast peers, one for each.
    pub sent: u64,
    /// Times it became active.
    pub became_active: u64,
    /// Times it stopped being active.
    pub released_active: u64,
    /// Dropped: shorter or longer than version and address count say.
    pub length_errors: u64,
    /// Dropped: TTL or hop limit is not 255.
    pub ttl_errors: u64,
    /// Dropped: not an advert.
    pub invalid_types: u64,
    /// Dropped: version 2, another interval than ours.
    pub interval_errors: u64,
    /// Other addresses than ours. They are told, and not dropped, unless there is none: both routers
    /// would serve.
    pub address_list_errors: u64,
    /// Dropped: a type of authentication that nobody knows.
    pub invalid_authentications: u64,
    /// Dropped: a type of authentication other than ours, or none.
    pub authentication_mismatches: u64,
    /// Dropped: another password or key than ours, or what was there before.
    pub authentication_failures: u64,
    /// Adverts with priority 0 received.
    pub resignations_received: u64,
    /// Adverts with priority 0 sent.
    pub resignations_sent: u64,
}

impl Counters {
    /// Adverts left this host.
    pub(crate) fn sent(&mut self, packets: usize, resigns: bool) {
        let packets = packets as u64;
        self.sent += packets;
        self.resignations_sent += if resigns { packets } else { 0 };
    }

    /// An advert passed all checks.
    pub(crate) fn heard(&mut self, heard: Heard) {
        self.received += 1;
        self.resignations_received += u64::from(heard.priority == 0);
    }

    /// A packet was no advert at all.
    pub(crate) fn malformed(&mut self, why: Malformed) {
        match why {
            Malformed::TooShort(_) | Malformed::Truncated { .. } | Malformed::TrailingBytes { .. } => {
                self.length_errors += 1
            }
            Malformed::Type(_) => self.invalid_types += 1,
            Malformed::Interval => self.interval_errors += 1,
            Malformed::AuthenticationType(_) => self.invalid_authentications += 1,
            // keepalived has no figure for these.
            Malformed::Version(_) | Malformed::Version2OverIpv6 | Malformed::Vrid | Malformed::Checksum(_) => {}
        }
    }

    /// An advert was dropped.
    pub(crate) fn dropped(&mut self, router: &VirtualRouter, packet: &Advertisement, why: Drop) {
        match why {
            Drop::Ttl | Drop::PeerTtl => self.ttl_errors += 1,
            Drop::Interval => self.interval_errors += 1,
            Drop::Authentication => match (router.auth_pass, packet.auth) {
                (Some(_), Authentication::Pass(_)) if !router.auth_header => self.authentication_failures += 1,
                _ => self.authentication_mismatches += 1,
            },
            Drop::NoAddresses | Drop::FirstAddress => self.address_list_errors += 1,
            // keepalived has no figure for these.
            Drop::Transport | Drop::NotAPeer | Drop::Version | Drop::Own => {}
        }
    }
    /// An authentication header that shows nothing.
    pub(crate) fn broken(&mut self, why: Broken) {
        match why {
            Broken::Length(_) => self.length_errors += 1,
            Broken::Words(_) | Broken::NextHeader(_) | Broken::Digest | Broken::Index(_) => {
                self.authentication_failures += 1;
            }
        }
    }

    /// An advert was not believed.
    pub(crate) fn forged(&mut self, why: Forged) {
        match why {
            Forged::Header | Forged::Signed | Forged::Unsigned => self.authentication_mismatches += 1,
            Forged::UnknownKey | Forged::Wrong | Forged::Stale | Forged::Replayed => self.authentication_failures += 1,
            // keepalived has no figure for a checksum.
            Forged::OldChecksum => {}
        }
    }
}
