//! What both languages write alike: ranges of addresses, bytes, status codes, names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use crate::host::Files;
use crate::model::{HmacKey, can_be_virtual};

use crate::model::BfdInstance;

/// Addresses in one range: each is a service of ip_vs of its own.
pub(crate) const MOST_ADDRESSES: u128 = 65_536;

/// Of a router whose IPv6 addresses are none of a link: RFC 9568 section 5.2.9 wants one, and keepalived does without.
pub(crate) const NO_LINK_LOCAL: &str =
    "adverts begin with no link-local address, as VRRP for IPv6 wants it; some routers drop them";

/// Options of PCRE2 that a regex may have.
pub(crate) const REGEX_OPTIONS: &[&str] = &[
    "allow_empty_class",
    "alt_bsux",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "utf",
    "never_backslash_c",
    "alt_circumflex",
    "alt_verbnames",
    "use_offset_limit",
];

/// First and last address of `A`, `A-LAST`, `A-B` and `A/LENGTH`, or what is wrong with it.
pub(crate) fn range(text: &str) -> Result<(IpAddr, IpAddr), &'static str> {
    const NO_ADDRESS: &str = "is no IP address; expected one, or a range such as 10.0.0.1-9 or 10.0.0.8/29";
    if let Some((base, length)) = text.split_once('/') {
        let net = format!("{base}/{length}").parse::<IpNet>().map_err(|_| NO_ADDRESS)?;
        if net.network() != net.addr() {
            return Err("has bits behind its prefix; expected the first address of the network");
        }
        return Ok((net.network(), net.broadcast()));
    }
    let Some((first, last)) = text.split_once('-') else {
        let address = text.parse().map_err(|_| NO_ADDRESS)?;
        return Ok((address, address));
    };
    let first: IpAddr = first.parse().map_err(|_| NO_ADDRESS)?;
    let last = last.parse().ok().or_else(|| with_last(first, last)).ok_or(NO_ADDRESS)?;
    if last.is_ipv4() != first.is_ipv4() {
        return Err("ends in the other family");
    }
    if last < first { Err("ends before it begins") } else { Ok((first, last)) }
}

/// The address with another last part: a decimal byte, or a hexadecimal group.
fn with_last(address: IpAddr, last: &str) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            let last = last.parse().ok()?;
            Some(Ipv4Addr::new(a, b, c, last).into())
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[7] = u16::from_str_radix(last, 16).ok()?;
            Some(Ipv6Addr::from(segments).into())
        }
    }
}

/// All addresses from the first to the last; `None` when they are too many.
pub(crate) fn all(first: IpAddr, last: IpAddr) -> Option<Vec<IpAddr>> {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let back = |n: u128| match first {
        IpAddr::V4(_) => u32::try_from(n).ok().map(|n| Ipv4Addr::from(n).into()),
        IpAddr::V6(_) => Some(Ipv6Addr::from(n).into()),
    };
    let (low, high) = (number(first), number(last));
    if high.checked_sub(low)? >= MOST_ADDRESSES {
        return None;
    }
    (low..=high).map(back).collect()
}

/// Hexadecimal digits in any grouping: each group is filled up to whole bytes by a 0 before its last
/// digit. With `wildcards`, an `X` is a digit that may be anything. Bytes and masks.
pub(crate) fn hex(text: &str, wildcards: bool) -> Option<Vec<(u8, u8)>> {
    let digit = |b: u8| match b {
        b'x' | b'X' if wildcards => Some((0, 0)),
        b => char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()).map(|d| (d, 0xf)),
    };
    let byte = |pair: &[u8]| {
        let (high, low) =
            if let [high, low] = pair { (digit(*high)?, digit(*low)?) } else { ((0, 0xf), digit(pair[0])?) };
        Some((high.0 << 4 | low.0, high.1 << 4 | low.1))
    };
    text.split_whitespace().flat_map(|group| group.as_bytes().chunks(2)).map(byte).collect()
}

/// First and last of `200` or `200-299`.
pub(crate) fn status(word: &str) -> Option<(u16, u16)> {
    let code = |w: &str| w.parse::<u16>().ok().filter(|n| (100..=599).contains(n));
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let range = (code(first)?, code(last)?);
    (range.0 <= range.1).then_some(range)
}

/// The root, or parts that a question can carry.
pub(crate) fn is_domain(word: &str) -> bool {
    let parts = word.strip_suffix('.').unwrap_or(word);
    word == "." || parts.len() <= 253 && parts.split('.').all(|part| (1..=63).contains(&part.len()))
}

/// An MD5 in hexadecimal digits.
pub(crate) fn is_md5(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Five or six bytes of a MAC address in hexadecimal digits, or what is wrong with it.
pub(crate) fn mac(text: &str) -> Result<Vec<u8>, &'static str> {
    const EXPECTED: &str = "is no MAC address; expected one such as 02:00:00:00:00:07, or its first five bytes";
    let byte = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| (1..=2).contains(&part.len()));
    let bytes = text.split(':').map(byte).collect::<Option<Vec<u8>>>().ok_or(EXPECTED)?;
    match bytes[..] {
        [0, 0, 0x5e, 0, 1 | 2, ..] => Err("is a MAC address that RFC 9568 gives to another virtual router"),
        [first, ..] if first & 1 == 1 => Err("is a MAC address of a group"),
        _ if bytes.iter().all(|byte| *byte == 0) => Err(EXPECTED),
        [_, _, _, _, _] | [_, _, _, _, _, _] => Ok(bytes),
        _ => Err(EXPECTED),
    }
}

/// Of five bytes the VRID is the sixth.
pub(crate) fn complete_mac(bytes: &[u8], vrid: u8) -> [u8; 6] {
    let mut mac = [vrid; 6];
    mac.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    mac
}

/// The MTU of an interface; Ethernet's where this host does not say.
pub(crate) fn mtu(files: &dyn Files, interface: &str) -> usize {
    const ETHERNET: usize = 1500;
    if !is_interface_name(interface) {
        return ETHERNET;
    }
    let told = files.read(Path::new(&format!("/sys/class/net/{interface}/mtu")), 32).ok();
    told.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()).unwrap_or(ETHERNET)
}

/// The longest name of a process (TASK_COMM_LEN less the closing zero).
pub(crate) const LONGEST_PROCESS_NAME: usize = 15;

/// Processors that a set of the kernel can name.
pub(crate) const PROCESSORS: u16 = 1024;

/// How many of them this host can have; all that can be named where it does not say.
pub(crate) fn processors(files: &dyn Files) -> u16 {
    let told = files.read(Path::new("/sys/devices/system/cpu/possible"), 4096).ok();
    let last = told.and_then(|text| {
        let text = std::str::from_utf8(&text).ok()?.trim();
        text.rsplit([',', '-']).next()?.parse::<u16>().ok()
    });
    last.map_or(PROCESSORS, |last| last.saturating_add(1).min(PROCESSORS))
}

/// Whether the kernel takes it for an interface.
pub(crate) fn is_interface_name(text: &str) -> bool {
    let fits = (1..=crate::model::LONGEST_NAME).contains(&text.len());
    fits && text != "." && text != ".." && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

/// An address of a host, alone or with the length of its network.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let net = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    can_be_virtual(net.addr()).then_some(net)
}

/// Whether names that begin with it fit: a digit of the family, a dot, the VRID and a number may follow.
pub(crate) fn is_vmac_prefix(text: &str) -> bool {
    text.len() <= 8 && is_interface_name(text)
}

/// Why there can be no such session beside the others; what would help is part of it.
pub(crate) fn bfd_problem(session: &BfdInstance, others: &[BfdInstance]) -> Option<String> {
    let neighbour = session.neighbour;
    if !is_one_host(neighbour) {
        return Some(format!("{neighbour} is no address of one host"));
    }
    if let Some(source) = session.source.filter(|source| source.is_ipv4() != neighbour.is_ipv4()) {
        return Some(format!("{source} and {neighbour} are not of one family"));
    }
    if is_link_local(neighbour) && session.interface.is_none() {
        return Some(format!("{neighbour} is link-local; expected `interface`, too"));
    }
    let same = |other: &&BfdInstance| {
        (other.neighbour, &other.interface, other.multihop) == (neighbour, &session.interface, session.multihop)
    };
    let other = others.iter().find(same)?;
    Some(format!("`{}` is a session with {neighbour} already", other.name))
}

/// Whether an address can be that of a neighbour.
fn is_one_host(address: IpAddr) -> bool {
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    !(address.is_unspecified() || address.is_multicast() || mapped || address == IpAddr::V4(Ipv4Addr::BROADCAST))
}

/// An IPv6 address that means something on one link only.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// A group of IPv4, or one of IPv6 that no router forwards.
pub(crate) fn is_group(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast(),
        IpAddr::V6(address) => address.octets()[..2] == [0xff, 0x02],
    }
}

/// `hex:`, the digits of the longest key, and a line end.
const LONGEST_KEY_FILE: u64 = 4 + 2 * 64 + 8;

/// The key that a value is, or that the file it names holds.
///
/// # Errors
/// What is wrong, without showing the key.
pub(crate) fn hmac_key(text: &str, files: &dyn Files) -> Result<HmacKey, String> {
    let Some(path) = text.strip_prefix("file:") else { return HmacKey::read(text) };
    let bytes =
        files.read(Path::new(path), LONGEST_KEY_FILE).map_err(|error| format!("{path} cannot be read: {error}"))?;
    if bytes.len() as u64 > LONGEST_KEY_FILE {
        return Err(format!("{path} is longer than any key"));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| format!("{path} holds no text; expected `hex:` and digits, or text"))?;
    HmacKey::read(text.trim_end_matches(['\n', '\r'])).map_err(|why| format!("{path}: {why}"))
}

/// What `time_window` is by default: three advert intervals in whole seconds, at least 5 s.
pub(crate) fn time_window(interval: Duration) -> Duration {
    Duration::from_secs((3 * interval.as_secs()).clamp(5, 300))
}

/// A mask of file modes: a number, octal with a leading 0, or names of `<sys/stat.h>` without their
/// `S_`, joined by `|`.
pub(crate) fn umask(word: &str) -> Option<u32> {
    const WHO: [(&str, u32); 3] = [("USR", 6), ("GRP", 3), ("OTH", 0)];
    const WHAT: [(&str, u32); 3] = [("R", 4), ("W", 2), ("X", 1)];
    let number = if let Some(hexadecimal) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        u32::from_str_radix(hexadecimal, 16).ok()
    } else if word.len() > 1 && word.starts_with('0') {
        u32::from_str_radix(word, 8).ok()
    } else {
        word.parse().ok()
    };
    let bit = |name: &str| {
        let name = name.trim().strip_prefix('I')?;
        let (what, who) = name.split_at_checked(1)?;
        let (_, bit) = WHAT.iter().find(|(letter, _)| *letter == what)?;
        WHO.iter().find(|(people, _)| *people == who).map(|(_, shift)| bit << shift)
    };
    let names = || word.split('|').map(bit).try_fold(0, |mask, bit| bit.map(|bit| mask | bit));
    number.or_else(names).filter(|mask| *mask <= 0o777)
}

/// A name that can be part of a file's.
pub(crate) fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && !name.contains(['/', '\0']) && !matches!(name, "." | "..")
}

/// The candidate nearest to a misspelt word: at most a third of its letters differ, and capitals count.
pub(crate) fn nearest_of<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let near = |c: &&str| distance(word, c) <= (word.chars().count() / 3).max(1);
    if word.len() > 40 { None } else { candidates.filter(near).min_by_key(|c| distance(word, c)) }
}

/// How many letters were added, left out, replaced or swapped with the next one.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let mut least = (row[j] + usize::from(a[i] != b[j])).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && (a[i], a[i - 1]) == (b[j - 1], b[j]) {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_words() {
        let pairs =
            [("", "ab", 2), ("vrid", "vrid", 0), ("vird", "vrid", 1), ("nam", "name", 1), ("kitten", "sitting", 3)];
        for (a, b, expected) in pairs {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
        assert_eq!(nearest_of("vird", ["grid", "vrid"].into_iter()), Some("vrid"));
        assert_eq!(nearest_of("vird", ["void", "name"].into_iter()), None);
    }

    #[test]
    fn masks_are_numbers_or_names() {
        let read =
            [("022", 0o22), ("18", 18), ("0x1f", 0x1f), ("0", 0), ("IWGRP|IWOTH", 0o22), ("IXUSR | IROTH", 0o104)];
        for (word, mask) in read {
            assert_eq!(umask(word), Some(mask), "{word}");
        }
        for word in ["", "089", "01000", "512", "-1", "IWALL", "IWGRP|", "WGRP", "0x"] {
            assert_eq!(umask(word), None, "{word}");
        }
    }
}
