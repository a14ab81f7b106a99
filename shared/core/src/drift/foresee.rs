//! Whether one director takes what another one sends, by what both have configured: the checks of
//! [`crate::vrrp::check`] and [`crate::vrrp::Guard`], before anything is sent.

use std::net::IpAddr;

use mesh_config::settings::{Adverts, Mode, OldChecksum, Signing};

use super::Keys;

/// One of the two: its name, what it has configured, and where its adverts come from, as far as known.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'s> {
    /// Its name.
    pub name: &'s str,
    /// How it sends and what it takes.
    pub adverts: &'s Adverts,
    /// Source of its adverts; unknown while it cannot send.
    pub source: Option<IpAddr>,
}

/// Why adverts do not get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// They are not sent there.
    NotSent(String),
    /// They are dropped there.
    Dropped(String),
}

/// Why adverts of the first are lost on their way to the second; the first reason there is.
pub fn foresee(from: Sender<'_>, to: Sender<'_>, keys: &Keys) -> Option<Loss> {
    let checks = [way, ttl, version, authentication, interval, addresses, checksum, signature];
    not_sent(from, to).map(Loss::NotSent).or_else(|| checks.iter().find_map(|c| c(from, to, keys)).map(Loss::Dropped))
}

fn not_sent(from: Sender<'_>, to: Sender<'_>) -> Option<String> {
    let missing = to.source.filter(|to| from.adverts.group.is_none() && !from.adverts.peers.contains(to))?;
    Some(format!("{missing} is no unicast_peer at {}", from.name))
}

fn way(from: Sender<'_>, to: Sender<'_>, _: &Keys) -> Option<String> {
    match (from.adverts.group, to.adverts.group) {
        (Some(sent), Some(heard)) if sent != heard => {
            Some(format!("they go to {sent}, and {} listens to {heard}", to.name))
        }
        (Some(_), None) => Some(format!("multicast, and {} has unicast peers", to.name)),
        (None, Some(_)) => Some(format!("unicast, and {} has no unicast peers", to.name)),
        (None, None) => {
            let stranger = from.source.filter(|source| !to.adverts.peers.contains(source))?;
            to.adverts.check_source.then(|| format!("{stranger} is no unicast_peer at {}", to.name))
        }
        (Some(_), Some(_)) => None,
    }
}

fn ttl(from: Sender<'_>, to: Sender<'_>, _: &Keys) -> Option<String> {
    let sent = from.adverts.unicast_ttl;
    let (least, most) = to.adverts.peer_ttls.get(&from.source.filter(|_| from.adverts.group.is_none())?)?;
    let outside = !(*least..=*most).contains(&sent);
    outside.then(|| format!("unicast_ttl {sent}, and {} takes {least} to {most} from it", to.name))
}

fn version(from: Sender<'_>, to: Sender<'_>, _: &Keys) -> Option<String> {
    differs(from, to, "version", |adverts| adverts.version.to_string())
}

fn authentication(from: Sender<'_>, to: Sender<'_>, keys: &Keys) -> Option<String> {
    let kind = |adverts: &Adverts| match (adverts.password, adverts.header) {
        (false, _) => "none",
        (true, false) => "PASS",
        (true, true) => "AH",
    };
    let type_differs = differs(from, to, "auth_type", |adverts| kind(adverts).to_owned());
    type_differs.or_else(|| (from.adverts.password && !keys.password).then(|| "auth_pass differs".to_owned()))
}

/// RFC 3768 section 7.1; in version 3 backups go by what the sender says.
fn interval(from: Sender<'_>, to: Sender<'_>, _: &Keys) -> Option<String> {
    let seconds = |adverts: &Adverts| format!("{} s", adverts.interval_ms as f64 / 1000.0);
    differs(from, to, "advert_int", seconds).filter(|_| from.adverts.version == 2)
}

fn addresses(from: Sender<'_>, to: Sender<'_>, _: &Keys) -> Option<String> {
    let none = !from.adverts.lists && to.adverts.lists;
    none.then(|| format!("they list no addresses, and {} has some", to.name))
}

fn checksum(from: Sender<'_>, to: Sender<'_>, _: &Keys) -> Option<String> {
    let sends_old = from.adverts.version == 3
        && from.adverts.group.is_none()
        && from.adverts.old_checksum == OldChecksum::Always
        && !from.adverts.message_checksum;
    let refuses = to.adverts.old_checksum == OldChecksum::Never;
    (sends_old && refuses).then(|| format!("old_unicast_checksum, which {} does not take", to.name))
}

fn signature(from: Sender<'_>, to: Sender<'_>, keys: &Keys) -> Option<String> {
    let signs = from.adverts.signing.as_ref().filter(|signing| signing.mode != Mode::ReceiveOnly);
    match (signs, &to.adverts.signing) {
        (None, Some(Signing { mode: Mode::Enforce, .. })) => {
            Some(format!("they are not signed, and {} takes no others", to.name))
        }
        (Some(_), None) => Some(format!("they are signed, and {} has no auth_hmac", to.name)),
        (Some(Signing { active, .. }), Some(_)) => match keys.signing.get(active) {
            None => Some(format!("they are signed with key {active}, which {} does not have", to.name)),
            Some(false) => Some(format!("auth_hmac key {active} differs")),
            Some(true) => None,
        },
        (None, _) => None,
    }
}

/// Both values, where they are not the same.
fn differs(from: Sender<'_>, to: Sender<'_>, word: &str, value: impl Fn(&Adverts) -> String) -> Option<String> {
    let (sent, taken) = (value(from.adverts), value(to.adverts));
    (sent != taken).then(|| format!("{word} {sent} at {}, {taken} at {}", from.name, to.name))
}
