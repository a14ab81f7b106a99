//! `ip rule`.

use mesh_wire::mesh::Family;

use super::{Kind, Names, Words, Wrong, interface, net, number, one_family, protocol};
use crate::model::{Rule, RuleAction};

/// Where priorities begin that nobody chose, downwards, as in keepalived.
const FIRST_PRIORITY: u32 = 16_384;

/// Reads one rule. Its priority is 0 where it names none.
pub(crate) fn rule(words: &[&str], names: &Names<'_>) -> Result<Rule, Wrong> {
    let mut words = Words { words, at: 0, names };
    let mut rule = Rule {
        family: Family::Ipv4,
        invert: false,
        source: None,
        destination: None,
        input: None,
        output: None,
        tos: 0,
        mark: None,
        priority: 0,
        realms: None,
        uids: None,
        ip_protocol: None,
        source_ports: None,
        destination_ports: None,
        tunnel: None,
        suppress_prefix: None,
        suppress_group: None,
        protocol: None,
        action: RuleAction::Table(254),
        track: true,
    };
    let mut family = None;
    let mut action = None;
    while let Some(word) = words.next() {
        match word {
            "inet" => one_family(&words, &mut family, Family::Ipv4)?,
            "inet6" => one_family(&words, &mut family, Family::Ipv6)?,
            "not" => rule.invert = true,
            "from" | "to" => {
                let expected = "a network, an address or all";
                let found = words.value(expected, |w| if w == "all" { Some(None) } else { net(w).map(Some) })?;
                if let Some(found) = found {
                    one_family(&words, &mut family, Family::of(found.addr()))?;
                }
                let found = found.map(|net| net.trunc());
                if word == "from" { rule.source = found } else { rule.destination = found }
            }
            "iif" | "dev" => rule.input = Some(words.value("the name of an interface", interface)?),
            "oif" => rule.output = Some(words.value("the name of an interface", interface)?),
            "tos" | "dsfield" => rule.tos = words.named(Kind::Field, &[])?,
            "fwmark" => rule.mark = Some(words.value("a mark, or mark/mask", mark)?),
            "priority" | "preference" | "order" => {
                rule.priority =
                    words.value("a number from 1 on", |w| u32::try_from(number(w)?).ok().filter(|n| *n > 0))?;
            }
            "realms" => rule.realms = Some(words.realms()?),
            "uidrange" => rule.uids = Some(words.value("two numbers such as 10-20", range)?),
            "ipproto" | "ip_proto" => {
                rule.ip_protocol = Some(words.value("a number to 255, or a known name", ip_protocol)?)
            }
            "sport" => rule.source_ports = Some(words.value("a port, or two such as 10-20", range)?),
            "dport" => rule.destination_ports = Some(words.value("a port, or two such as 10-20", range)?),
            "tun_id" => rule.tunnel = Some(words.number("a number")?),
            "suppress_prefixlength" | "suppress_prefixlen" | "sup_pl" => {
                rule.suppress_prefix = Some(words.number::<u8>("a number to 255")?.into());
            }
            "suppress_ifgroup" | "sup_group" => rule.suppress_group = Some(words.number("a number")?),
            "protocol" => rule.protocol = Some(protocol(&mut words)?),
            "no_track" => rule.track = false,
            _ => {
                let found = decide(&mut words, word)?;
                if action.replace(found).is_some() {
                    return Err(
                        words.wrong("a rule does one thing: table, goto, nop, blackhole, unreachable or prohibit")
                    );
                }
            }
        }
    }
    rule.family = family.unwrap_or(Family::Ipv4);
    rule.action = action.ok_or_else(|| words.wrong("the rule does nothing; expected `table NUMBER`, for one"))?;
    if let RuleAction::Goto(target) = rule.action
        && rule.priority >= target
    {
        return Err(words.wrong(format!("`goto {target}` leads backwards; expected a larger number than its own")));
    }
    Ok(rule)
}

fn decide(words: &mut Words<'_>, word: &str) -> Result<RuleAction, Wrong> {
    Ok(match word {
        "table" | "lookup" => RuleAction::Table(words.table()?),
        "goto" => RuleAction::Goto(words.number("the priority of another rule")?),
        "l3mdev" => RuleAction::Vrf,
        "nop" => RuleAction::Nothing,
        "blackhole" => RuleAction::Blackhole,
        "unreachable" => RuleAction::Unreachable,
        "prohibit" => RuleAction::Prohibit,
        // `ip` has it, keepalived 2.2.7 does not.
        "pref" => return Err(words.wrong("`pref` is no word of a rule; expected `priority`")),
        _ => return Err(words.wrong(format!("`{word}` is no word of a rule"))),
    })
}

fn mark(word: &str) -> Option<(u32, Option<u32>)> {
    let part = |word: &str| u32::try_from(number(word)?).ok();
    match word.split_once('/') {
        Some((mark, mask)) => Some((part(mark)?, Some(part(mask)?))),
        None => Some((part(word)?, None)),
    }
}

/// `A-B`, or one number for both.
fn range<T: TryFrom<u64> + PartialOrd>(word: &str) -> Option<(T, T)> {
    let part = |word: &str| T::try_from(number(word)?).ok();
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let found = (part(first)?, part(last)?);
    (found.0 <= found.1).then_some(found)
}

fn ip_protocol(word: &str) -> Option<u8> {
    const NAMES: &[(&str, u8)] = &[("icmp", 1), ("tcp", 6), ("udp", 17), ("ipv6-icmp", 58), ("sctp", 132)];
    let lower = word.to_ascii_lowercase();
    let known = NAMES.iter().find(|(name, _)| *name == lower).map(|(_, number)| *number);
    known.or_else(|| u8::try_from(number(word)?).ok())
}

/// Gives rules without a priority one, in the order of the file; true for each that got one.
pub(crate) fn assign_priorities<'r>(rules: impl Iterator<Item = &'r mut Rule>) -> Vec<bool> {
    let mut next = [FIRST_PRIORITY; 2];
    let mut assign = |rule: &mut Rule| {
        let next = &mut next[usize::from(rule.family == Family::Ipv6)];
        let missing = rule.priority == 0;
        if missing {
            rule.priority = *next;
            *next = next.saturating_sub(1).max(1);
        }
        missing
    };
    rules.map(&mut assign).collect()
}
