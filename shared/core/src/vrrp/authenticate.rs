//! Adverts that prove who sent them: the authentication header of version 2, and the signature of
//! `auth_hmac`. What is sent has a number that grows, and what is heard must have.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{AntiReplay, AuthHmac, ChecksumChoice, HmacMode, OldUnicast, Transport, VirtualRouter};
use mesh_wire::vrrp::header::{self, Around};
use mesh_wire::vrrp::signature::{self, Signature};
use mesh_wire::vrrp::{self as wire, Advertisement, ChecksumForm, Envelope, Received, TTL};

/// Senders whose last number is remembered; the one that was silent longest makes room. Only who has
/// the key gets here.
const SENDERS: usize = 16;

/// A last word that is made in advance has a number so far ahead of the last one, up to twice that: adverts
/// of a second follow each other by one, and it is made again before they have caught up.
const AHEAD: u64 = 16;

/// Why an advert is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Forged {
    /// An authentication header where none is configured, or the other way round.
    #[error("authentication differs")]
    Header,
    /// A signature where none is configured.
    #[error("signed, and no `auth_hmac` is configured")]
    Signed,
    /// No signature where one is needed.
    #[error("not signed")]
    Unsigned,
    /// Signed with a key that is not configured.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("wrong signature")]
    Wrong,
    /// Its clock and ours are too far apart.
    #[error("signature out of the time window")]
    Stale,
    /// Its number is not higher than the last one of this sender.
    #[error("sequence number was there already")]
    Replayed,
    /// Of keepalived up to 1.3.6, where `old_unicast_checksum never` says that there is none.
    #[error("old unicast checksum")]
    OldChecksum,
}

/// How a packet came, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'p> {
    /// IP source.
    pub source: IpAddr,
    /// What followed the IP header, but for an authentication header.
    pub payload: &'p [u8],
    /// The number of its authentication header, which was verified.
    pub header: Option<u32>,
    /// What was read of it.
    pub received: &'p Received,
}

/// What one router remembers for it.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// The last number sent.
    sent: u64,
    heard: BTreeMap<IpAddr, Last>,
    /// Counts what was believed.
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    number: u64,
    /// When, by [`Guard::count`].
    at: u64,
}

impl Guard {
    /// Judges an advert that is right in all other ways. `clock` is the time since 1970.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn judge(&mut self, router: &VirtualRouter, clock: Duration, packet: &Sealed<'_>) -> Result<(), Forged> {
        if packet.received.form == ChecksumForm::GroupPseudoHeader
            && router.conduct.old_unicast_checksum == OldUnicast::Never
        {
            return Err(Forged::OldChecksum);
        }
        if packet.header.is_some() != router.auth_header {
            return Err(Forged::Header);
        }
        let number = match (&router.auth_hmac, packet.received.signature) {
            (None, None) => packet.header.map(u64::from),
            (None, Some(_)) => return Err(Forged::Signed),
            (Some(AuthHmac { mode: HmacMode::Enforce, .. }), None) => return Err(Forged::Unsigned),
            (Some(_), None) => None,
            (Some(hmac), Some(signature)) => Some(self.verify(hmac, clock, packet, signature)?),
        };
        let time = router.auth_hmac.as_ref().map(|hmac| hmac.anti_replay);
        number.map_or(Ok(()), |number| self.note(packet.source, number, time, clock))
    }

    /// The number of a good signature.
    fn verify(
        &self,
        hmac: &AuthHmac,
        clock: Duration,
        packet: &Sealed<'_>,
        signature: Signature,
    ) -> Result<u64, Forged> {
        // Before the digest, which costs more: a flood of what was recorded must not.
        if let AntiReplay::Time(window) = hmac.anti_replay
            && !within(signature.seconds(), clock, window)
        {
            return Err(Forged::Stale);
        }
        let key = hmac.keys.get(&signature.key).ok_or(Forged::UnknownKey)?;
        let right = signature::verify(packet.payload, packet.source, key.reveal());
        if right { Ok(signature.sequence) } else { Err(Forged::Wrong) }
    }

    /// Remembers a number that has to grow; it may run over (RFC 1982).
    fn note(&mut self, source: IpAddr, number: u64, replay: Option<AntiReplay>, clock: Duration) -> Result<(), Forged> {
        let last = self.heard.get(&source).copied().filter(|last| match replay {
            // A sender whose clock was set back is heard again when nothing older could be used any more.
            Some(AntiReplay::Time(window)) => within((last.number >> 32) as u32, clock, window),
            Some(AntiReplay::Monotonic) | None => true,
        });
        if last.is_some_and(|last| !is_after(number, last.number)) {
            return Err(Forged::Replayed);
        }
        self.count += 1;
        self.heard.insert(source, Last { number, at: self.count });
        if self.heard.len() > SENDERS {
            let oldest = self.heard.iter().min_by_key(|(_, last)| last.at).map(|(source, _)| *source);
            if let Some(oldest) = oldest {
                self.heard.remove(&oldest);
            }
        }
        Ok(())
    }

    /// The number of the next advert, where adverts have one.
    pub fn next(&mut self, router: &VirtualRouter, clock: Duration) -> Option<u64> {
        match &router.auth_hmac {
            Some(hmac) if hmac.mode != HmacMode::ReceiveOnly => {
                let now = clock_number(clock);
                let window = match hmac.anti_replay {
                    AntiReplay::Time(window) => Some(window),
                    AntiReplay::Monotonic => None,
                };
                // Our clock was set back: who compares clocks would not hear us until it has caught up.
                let astray =
                    window.is_some_and(|window| (self.sent >> 32).saturating_sub(now >> 32) > window.as_secs());
                self.sent = if astray || is_after(now, self.sent) { now } else { self.sent.wrapping_add(1) };
                Some(self.sent)
            }
            Some(_) => None,
            None if router.auth_header => {
                self.sent = (self.last_number(clock) + 1).min(u32::MAX.into());
                Some(self.sent)
            }
            None => None,
        }
    }

    /// The number of a last word that is made now and said later, behind an authentication header; it stays
    /// the same for [`AHEAD`] adverts.
    pub fn ahead(&self, router: &VirtualRouter, clock: Duration) -> Option<u64> {
        let number = (self.last_number(clock) / AHEAD + 2) * AHEAD;
        router.auth_header.then_some(number.min(u32::MAX.into()))
    }

    /// What the next number in an authentication header has to be above. Begins with the clock, so that
    /// another run of this daemon goes on where this one ended, and follows who is ahead: keepalived has one
    /// number for what it sends and hears.
    fn last_number(&self, clock: Duration) -> u64 {
        let heard = self.heard.values().map(|last| last.number).max().unwrap_or(0);
        let least = if self.sent == 0 { clock.as_secs() } else { self.sent };
        least.max(heard)
    }
}

/// The key that adverts of this router are signed with, if they are.
pub fn signing_key(router: &VirtualRouter) -> Option<(u8, &[u8])> {
    let hmac = router.auth_hmac.as_ref().filter(|hmac| hmac.mode != HmacMode::ReceiveOnly)?;
    Some((hmac.active, hmac.keys[&hmac.active].reveal()))
}

/// An advert with its signature of this time since 1970. `None` where it is none.
pub fn sign(
    payload: &[u8],
    (source, destination): (IpAddr, IpAddr),
    (key, secret): (u8, &[u8]),
    clock: Duration,
) -> Option<Vec<u8>> {
    let (advert, form) = wire::parse(payload, source, destination).ok()?;
    let signature = Signature { key, sequence: clock_number(clock) };
    Some(signature::sign(&advert, source, destination, form, (signature, secret)))
}

/// The bytes of an advert, and its envelope. `number` is that of [`Guard::next`].
pub fn packet(
    router: &VirtualRouter,
    advert: &Advertisement,
    (source, destination): (IpAddr, IpAddr),
    form: ChecksumForm,
    number: Option<u64>,
) -> (Envelope, Vec<u8>) {
    let ttl = if destination.is_multicast() { TTL } else { router.conduct.unicast_ttl };
    let plain = Envelope { ttl, sealed: None };
    if let (Some(hmac), Some(sequence)) = (&router.auth_hmac, number) {
        let key = hmac.keys[&hmac.active].reveal();
        let signature = Signature { key: hmac.active, sequence };
        return (plain, signature::sign(advert, source, destination, form, (signature, key)));
    }
    let payload = wire::emit(advert, source, destination, form);
    match (source, destination, router.auth_pass, number) {
        (IpAddr::V4(source), IpAddr::V4(destination), Some(password), Some(number)) => {
            let identification = (number as u16).max(1);
            let around = Around { source, destination, ttl, identification };
            let payload = header::seal(&password.0, &around, number as u32, &payload);
            (Envelope { ttl, sealed: Some(identification) }, payload)
        }
        _ => (plain, payload),
    }
}

/// The checksum to send, after one was heard.
pub fn form(router: &VirtualRouter, heard: Option<ChecksumForm>) -> ChecksumForm {
    let observed = heard.filter(|_| router.conduct.checksum == ChecksumChoice::Observed);
    let unicast = matches!(router.transport, Transport::Unicast { .. });
    match (router.conduct.old_unicast_checksum, router.conduct.checksum) {
        (OldUnicast::Always, ChecksumChoice::Observed) if unicast => ChecksumForm::GroupPseudoHeader,
        (_, ChecksumChoice::Message) => ChecksumForm::Message,
        (_, ChecksumChoice::Observed) => observed.unwrap_or(ChecksumForm::PseudoHeader),
    }
}

fn is_after(a: u64, b: u64) -> bool {
    (1..1 << 63).contains(&a.wrapping_sub(b))
}

/// Seconds, a fraction in 65536ths, and a counter that is zero.
fn clock_number(clock: Duration) -> u64 {
    let fraction = (u64::from(clock.subsec_nanos()) << 16) / 1_000_000_000;
    (clock.as_secs() & 0xffff_ffff) << 32 | fraction << 16
}

fn within(seconds: u32, clock: Duration, window: Duration) -> bool {
    let apart = (clock.as_secs() as u32).wrapping_sub(seconds) as i32;
    u64::from(apart.unsigned_abs()) <= window.as_secs()
}
