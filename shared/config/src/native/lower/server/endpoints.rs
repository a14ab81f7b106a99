//! What a virtual server listens for: `address`, `fwmark` or `endpoints`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;

use mesh_wire::mesh::Family;
use toml::Spanned;

use super::super::super::Source;
use super::super::super::services::{EndpointTable, FamilyName, Server};
use super::super::super::text::EndpointEntry;
use super::super::{number, within};
use crate::common::{self, MOST_ADDRESSES};
use crate::model::Endpoint;

/// The endpoints and where they stand; none only after an error.
pub(super) fn read(source: &mut Source<'_>, server: &Server, span: &Range<usize>) -> Vec<(Endpoint, Range<usize>)> {
    let family = server.family.as_ref().map_or(Family::Ipv4, |f| family(*f.get_ref()));
    let mut read = Vec::new();
    match (&server.address, &server.fwmark, &server.endpoints) {
        (Some(address), None, None) => read.push((Endpoint::Address(*address.get_ref()), address.span())),
        (None, Some(mark), None) => {
            read.extend(fwmark(source, mark).map(|m| (Endpoint::Fwmark(m, family), mark.span())))
        }
        (None, None, Some(list)) => {
            if list.get_ref().is_empty() {
                source.error(list.span(), "no endpoint; expected at least one".into());
            }
            for entry in list.get_ref() {
                read.extend(one(source, entry, family).into_iter().map(|endpoint| (endpoint, entry.span())));
            }
        }
        _ => source.error(span.clone(), "expected one of `address`, `fwmark` and `endpoints`".into()),
    }
    if let Some(family) = server.family.as_ref().filter(|_| server.address.is_some()) {
        source.error(family.span(), "an address has its own family; expected no `family`".into());
    }
    let mut seen = BTreeSet::new();
    for (endpoint, at) in &read {
        if !seen.insert(*endpoint) {
            source.error(at.clone(), "this is already an endpoint of this virtual server".into());
        }
    }
    read.retain(|(endpoint, _)| seen.remove(endpoint));
    read
}

fn family(name: FamilyName) -> Family {
    match name {
        FamilyName::Ipv4 => Family::Ipv4,
        FamilyName::Ipv6 => Family::Ipv6,
    }
}

fn fwmark(source: &mut Source<'_>, mark: &Spanned<i64>) -> Option<u32> {
    within(source, mark, 1..=i64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok())
}

fn one(source: &mut Source<'_>, entry: &Spanned<EndpointEntry>, default: Family) -> Vec<Endpoint> {
    match entry.get_ref() {
        EndpointEntry::Text(text) => match text.parse::<SocketAddr>() {
            Ok(address) => vec![Endpoint::Address(address)],
            Err(_) => {
                let message = format!("`{text}` is no address; expected one such as \"10.0.0.1:80\"");
                source.error(entry.span(), message);
                Vec::new()
            }
        },
        EndpointEntry::Table(EndpointTable { fwmark: Some(mark), family: own, range: None, port: None }) => {
            let family = own.map_or(default, family);
            fwmark(source, mark).map(|mark| Endpoint::Fwmark(mark, family)).into_iter().collect()
        }
        EndpointEntry::Table(EndpointTable { fwmark: None, family: None, range: Some(range), port: Some(port) }) => {
            let port = number(source, Some(port), 0..=65535, 0);
            let all = addresses(source, range);
            all.into_iter().map(|address| Endpoint::Address(SocketAddr::new(address, port))).collect()
        }
        EndpointEntry::Table(_) => {
            source.error(entry.span(), "expected `fwmark` and perhaps `family`, or `range` and `port`".into());
            Vec::new()
        }
    }
}

fn addresses(source: &mut Source<'_>, range: &Spanned<String>) -> Vec<std::net::IpAddr> {
    let text = range.get_ref();
    let all = match common::range(text) {
        Err(wrong) => Err(format!("`{text}` {wrong}")),
        Ok((first, last)) => {
            common::all(first, last).ok_or_else(|| format!("`{text}` has more than {MOST_ADDRESSES} addresses"))
        }
    };
    all.unwrap_or_else(|wrong| {
        source.error(range.span(), wrong);
        Vec::new()
    })
}
