//! Keywords of an instance about [`Conduct`], most of which `global_defs` has, too.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use mesh_wire::mesh::Family;

use super::super::lower::Lower;
use super::super::tree::{At, Statement, Word};
use super::super::values;
use crate::common;
use crate::model::{ChecksumChoice, Conduct, GratuitousArp, OldUnicast, Transport, Version};

/// What `global_defs` and instances say; `None` is silence.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Choices {
    owner_ignore_adverts: Option<bool>,
    lower_prio_no_advert: Option<(bool, At)>,
    higher_prio_send_advert: Option<(bool, At)>,
    down_timer_adverts: Option<(u8, At)>,
    checksum: Option<bool>,
    check_source: bool,
}

impl Choices {
    /// Reads a keyword, without its `vrrp_`; false for any other.
    pub(in super::super) fn keyword(
        &mut self,
        lower: &mut Lower<'_>,
        keyword: &str,
        statement: &Statement<'_>,
    ) -> bool {
        let at = statement.at();
        match keyword {
            "owner_ignore_adverts" => put(&mut self.owner_ignore_adverts, super::switch(lower, statement)),
            "lower_prio_no_advert" => {
                put(&mut self.lower_prio_no_advert, super::switch(lower, statement).map(|on| (on, at)));
            }
            "higher_prio_send_advert" => {
                put(&mut self.higher_prio_send_advert, super::switch(lower, statement).map(|on| (on, at)));
            }
            "check_unicast_src" => self.check_source = true,
            "v3_checksum_as_v2" => put(&mut self.checksum, super::switch(lower, statement)),
            "down_timer_adverts" => {
                let read = |w: &str| byte(w).filter(|n| (1..=100).contains(n));
                let number = lower.value(statement, "a number from 1 to 100", "skipped", read);
                put(&mut self.down_timer_adverts, number.map(|n| (n, at)));
            }
            _ => return false,
        }
        true
    }

    /// What counts where this is silent.
    fn or(self, global: Choices) -> Choices {
        Choices {
            owner_ignore_adverts: self.owner_ignore_adverts.or(global.owner_ignore_adverts),
            lower_prio_no_advert: self.lower_prio_no_advert.or(global.lower_prio_no_advert),
            higher_prio_send_advert: self.higher_prio_send_advert.or(global.higher_prio_send_advert),
            down_timer_adverts: self.down_timer_adverts.or(global.down_timer_adverts),
            checksum: self.checksum.or(global.checksum),
            check_source: self.check_source || global.check_source,
        }
    }
}

/// What one instance says.
#[derive(Debug, Default)]
pub(super) struct Draft {
    choices: Choices,
    accept: Option<(bool, At)>,
    late_rival: Option<u8>,
    promote_secondaries: bool,
    old_unicast: OldUnicast,
    unicast_ttl: Option<(u8, At)>,
    peer_ttls: BTreeMap<IpAddr, RangeInclusive<u8>>,
    pub(super) group: Option<(IpAddr, At)>,
    pub(super) fault_no_peer: bool,
    pub(super) no_addresses: Option<At>,
}

/// What of an instance the rest of it depends on.
pub(super) struct Frame<'f> {
    pub(super) strict: bool,
    pub(super) priority: u8,
    pub(super) version: Version,
    pub(super) family: Family,
    pub(super) transport: &'f Transport,
}

impl Draft {
    /// Reads a keyword; false for any other.
    pub(super) fn keyword(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        let (keyword, at) = (statement.keyword(), statement.at());
        match keyword {
            "accept" => self.accept = Some((true, at)),
            "no_accept" => self.accept = Some((false, at)),
            "promote_secondaries" => self.promote_secondaries = true,
            // The second name is that of its release notes.
            "timer_expired_backup" | "thread_timer_expired" => self.late_rival = late_rival(lower, statement),
            "no_virtual_ipaddress" => self.no_addresses = Some(at),
            "unicast_fault_no_peer" => self.fault_no_peer = true,
            "old_unicast_checksum" => self.old_unicast = old_unicast(lower, statement),
            "unicast_ttl" => {
                let read = |w: &str| byte(w).filter(|ttl| *ttl > 0);
                let expected = "a number from 1 to 255 (the kernel sends nothing with 0)";
                put(&mut self.unicast_ttl, lower.value(statement, expected, "skipped", read).map(|ttl| (ttl, at)));
            }
            "mcast_dst_ip" => {
                let read = |w: &str| w.parse().ok().filter(common::is_group);
                let expected = "a multicast address, in IPv6 one of link-local scope";
                put(&mut self.group, lower.value(statement, expected, "skipped", read).map(|group| (group, at)));
            }
            keyword => return self.choices.keyword(lower, keyword, statement),
        }
        true
    }

    /// `min_ttl N` and `max_ttl N` behind a peer.
    pub(super) fn peer(&mut self, lower: &mut Lower<'_>, peer: IpAddr, options: &[Word<'_>]) {
        let (mut least, mut most) = (0, u8::MAX);
        let mut words = options.iter();
        while let Some(word) = words.next() {
            let limit = match &*word.text {
                "min_ttl" => &mut least,
                "max_ttl" => &mut most,
                other => {
                    let message = format!("`{other}` is no option of a peer (min_ttl, max_ttl); skipped");
                    lower.warning(word.at, message);
                    continue;
                }
            };
            match words.next().map(|number| (byte(&number.text), number)) {
                Some((Some(number), _)) => *limit = number,
                Some((None, number)) => {
                    let message = format!(
                        "`{}` is no value for `{}`: expected a number from 0 to 255; skipped",
                        number.text, word.text
                    );
                    lower.warning(number.at, message);
                }
                None => {
                    lower.warning(word.at, format!("`{}` has no value; expected a number from 0 to 255", word.text))
                }
            }
        }
        if least > most {
            let message =
                format!("min_ttl {least} is above max_ttl {most}: nothing of this peer would be heard; not used");
            return lower.warning(options[0].at, message);
        }
        if !options.is_empty() {
            self.peer_ttls.insert(peer, least..=most);
        }
    }

    /// What it means for an instance.
    pub(super) fn complete(self, lower: &mut Lower<'_>, global: Choices, frame: &Frame<'_>) -> Conduct {
        let choices = self.choices.or(global);
        let own = self.choices;
        let Frame { strict, priority, version, family, transport } = *frame;
        let owner = priority == super::complete::OWNER;
        let set = |choice: Option<(bool, At)>| choice.is_some_and(|(on, _)| on);
        let mut refuse = |choice: Option<(bool, At)>, keyword: &str, wanted: bool, instead: &str| {
            if let Some((_, at)) = choice.filter(|(on, _)| strict && *on == wanted) {
                lower.warning(at, format!("strict mode has no `{keyword}`; {instead}"));
            }
        };
        refuse(own.lower_prio_no_advert, "lower_prio_no_advert off", false, "less worthy adverts are not answered");
        refuse(own.higher_prio_send_advert, "higher_prio_send_advert", true, "not used");
        if !owner && version == Version::V2 {
            refuse(
                self.accept,
                "accept` of version 2, but for an owner, `no_accept",
                true,
                "packets for the addresses are dropped",
            );
        }
        let accept = match self.accept {
            Some((accept, _)) => accept && (!strict || owner || version == Version::V3),
            None => owner || !strict,
        };
        let unicast_ttl = match self.unicast_ttl {
            Some((_, at)) if matches!(transport, Transport::Multicast { .. }) => {
                lower.warning(at, "`unicast_ttl` has no meaning without unicast peers; not used".into());
                None
            }
            ttl => ttl.map(|(ttl, _)| ttl),
        };
        let unicast_ttl = unicast_ttl.unwrap_or(Conduct::default().unicast_ttl);
        let mut down = choices.down_timer_adverts.map_or(3, |(n, _)| n);
        if strict && down != 3 {
            if let Some((_, at)) = own.down_timer_adverts {
                lower.warning(at, "strict mode has no `down_timer_adverts`; 3 are used".into());
            }
            down = 3;
        }
        Conduct {
            accept,
            owner_ignore_adverts: choices.owner_ignore_adverts.unwrap_or(false),
            lower_prio_no_advert: strict || set(choices.lower_prio_no_advert),
            higher_prio_send_advert: !strict && set(choices.higher_prio_send_advert),
            down_timer_adverts: down,
            late_rival: self.late_rival,
            promote_secondaries: self.promote_secondaries,
            checksum: if choices.checksum == Some(true) { ChecksumChoice::Message } else { ChecksumChoice::Observed },
            old_unicast_checksum: self.old_unicast,
            unicast_ttl,
            group: group(lower, self.group, family, transport),
            // The limits of a peer ask for it, too: another host would pass them by.
            check_source: matches!(transport, Transport::Unicast { .. })
                && (choices.check_source || !self.peer_ttls.is_empty()),
            peer_ttls: self.peer_ttls,
        }
    }
}

/// Strict mode answers nobody with more announcements.
pub(super) fn strict_garp(garp: GratuitousArp) -> GratuitousArp {
    GratuitousArp { lower_prio_repeat: 0, lower_prio_delay: std::time::Duration::ZERO, ..garp }
}

fn group(lower: &mut Lower<'_>, group: Option<(IpAddr, At)>, family: Family, transport: &Transport) -> Option<IpAddr> {
    let (group, at) = group?;
    if matches!(transport, Transport::Unicast { .. }) {
        lower.warning(at, "`mcast_dst_ip` has no meaning with unicast peers; not used".into());
        return None;
    }
    if Family::of(group) != family {
        lower.warning(at, format!("{group} is {}, and this instance is {family}; not used", Family::of(group)));
        return None;
    }
    Some(group)
}

/// The highest priority of the other routers; without one the highest there is, which waits shortest.
fn late_rival(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<u8> {
    const HIGHEST: u8 = super::complete::OWNER - 1;
    if statement.parameters().is_empty() {
        return Some(HIGHEST);
    }
    lower.value(statement, "a priority from 1 to 254", "skipped", |word| {
        byte(word).filter(|priority| (1..=HIGHEST).contains(priority))
    })
}

fn old_unicast(lower: &mut Lower<'_>, statement: &Statement<'_>) -> OldUnicast {
    match statement.parameters().first() {
        None => OldUnicast::Always,
        Some(word) if word.text == "never" => OldUnicast::Never,
        Some(word) => {
            let message =
                format!("`{}` is no value for `old_unicast_checksum`: expected `never` or nothing; skipped", word.text);
            lower.warning(word.at, message);
            OldUnicast::default()
        }
    }
}

fn byte(word: &str) -> Option<u8> {
    values::unsigned(word).and_then(|n| u8::try_from(n).ok())
}

fn put<T>(to: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *to = value;
    }
}
