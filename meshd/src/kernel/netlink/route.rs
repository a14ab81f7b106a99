//! Routes and rules.
//!
//! What is put here carries a mark, the protocol (as keepalived's carries 18), so that what an earlier run
//! left is found, and nothing else. Only one that is not tracked may have a protocol of its own; it is then
//! removed where a router lets go, but not after a crash.

use mesh_config::model::{Route, Rule, Statics};
use nix::libc;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::requests::{Refusal, Requests, local, protocol};
use super::{ADDRESS_PROTOCOL, Netlink, messages, refused};

/// The mark on what comes and goes with a router.
pub(super) const MOVING: u8 = ADDRESS_PROTOCOL;
/// The mark on what is there as long as the daemon, and outlives its death.
pub(super) const STATIC: u8 = ADDRESS_PROTOCOL + 1;

/// What could not be done: which one, and why, in words.
type Failed = Vec<(String, String)>;

impl Netlink {
    /// Has these; what is there already is left as it is. With `again`, one that was missing is told of.
    pub async fn add_routes(&self, routes: &[Route], rules: &[Rule], again: bool) -> Failed {
        add(&self.requests, routes, rules, MOVING, again).await
    }

    /// Removes these, rules first.
    pub async fn del_routes(&self, routes: &[Route], rules: &[Rule]) -> Failed {
        let mut failed = Failed::new();
        for rule in rules {
            let request = RouteNetlinkMessage::DelRule(messages::rule(rule, MOVING));
            note(&mut failed, absent_is_fine(execute(&self.requests, request, 0).await), || rule.title());
        }
        for route in routes {
            let removed = match messages::route(route, MOVING) {
                Ok(message) => execute(&self.requests, RouteNetlinkMessage::DelRoute(message), 0).await,
                // It went with its interface.
                Err(_) => Ok(()),
            };
            note(&mut failed, absent_is_fine(removed), || route.title());
        }
        failed
    }

    /// Has exactly these of what is static.
    pub async fn have_statics(&self, wanted: &Statics) -> Failed {
        let mut failed = Failed::new();
        let kept = |m: &RouteMessage| wanted.routes().any(|r| messages::is_route(m, r));
        let swept = sweep(&self.requests, STATIC, kept, |m| wanted.rules().any(|r| messages::is_rule(m, r))).await;
        note(&mut failed, swept, || "what is static".to_owned());
        note(&mut failed, self.sweep_statics(wanted).await, || "static addresses".to_owned());
        for address in wanted.addresses() {
            let interface = address.interface.as_deref().unwrap_or_default();
            note(&mut failed, self.add_static(interface, address).await, || address.static_title());
        }
        failed.extend(add(&self.requests, wanted.routes(), wanted.rules(), STATIC, true).await);
        failed
    }

    async fn sweep_statics(&self, wanted: &Statics) -> Result<(), Refusal> {
        for message in self.requests.addresses(None).await? {
            let stays = |a: &mesh_config::model::VirtualAddress| {
                let index = a.interface.as_deref().and_then(|name| nix::net::if_::if_nametoindex(name).ok());
                index == Some(message.header.index) && local(&message) == Some(a.net)
            };
            if protocol(&message) == Some(STATIC) && !wanted.addresses().any(stays) {
                absent_is_fine(execute(&self.requests, RouteNetlinkMessage::DelAddress(message), 0).await)?;
            }
        }
        Ok(())
    }

    async fn add_static(&self, interface: &str, address: &mesh_config::model::VirtualAddress) -> Result<(), String> {
        let index = nix::net::if_::if_nametoindex(interface).map_err(|_| "there is no such interface".to_owned())?;
        let message: AddressMessage =
            super::addition(index, address, u32::MAX, STATIC).map_err(|error| error.to_string())?;
        let request = RouteNetlinkMessage::NewAddress(message);
        match execute(&self.requests, request, NLM_F_CREATE | NLM_F_EXCL).await {
            Err(refusal) if refusal.errno != libc::EEXIST => Err(refused(interface, address.net, refusal).to_string()),
            _ => Ok(()),
        }
    }
}

/// Removes what comes and goes with routers, but for these of them.
pub(super) async fn sweep_moving(requests: &Requests, routes: &[Route], rules: &[Rule]) -> Result<(), Refusal> {
    let kept = |m: &RouteMessage| routes.iter().any(|r| messages::is_route(m, r));
    sweep(requests, MOVING, kept, |m| rules.iter().any(|r| messages::is_rule(m, r))).await
}

async fn sweep(
    requests: &Requests,
    mark: u8,
    keeps_route: impl Fn(&RouteMessage) -> bool,
    keeps_rule: impl Fn(&RuleMessage) -> bool,
) -> Result<(), Refusal> {
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut question = RuleMessage::default();
        question.header.family = family;
        for answer in requests.dump(RouteNetlinkMessage::GetRule(question)).await? {
            let RouteNetlinkMessage::NewRule(rule) = answer else { continue };
            let marked = rule.attributes.contains(&RuleAttribute::Protocol(mark.into()));
            if marked && !keeps_rule(&rule) {
                absent_is_fine(execute(requests, RouteNetlinkMessage::DelRule(rule), 0).await)?;
            }
        }
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        // With strict checks the kernel tells only those of this protocol, however many others there are.
        question.header.protocol = mark.into();
        for answer in requests.dump(RouteNetlinkMessage::GetRoute(question)).await? {
            let RouteNetlinkMessage::NewRoute(mut route) = answer else { continue };
            if u8::from(route.header.protocol) == mark && !keeps_route(&route) {
                // The kernel's own knowledge of it is no part of its name.
                route.attributes.retain(|a| !matches!(a, RouteAttribute::CacheInfo(_) | RouteAttribute::Expires(_)));
                route.header.flags = Default::default();
                absent_is_fine(execute(requests, RouteNetlinkMessage::DelRoute(route), 0).await)?;
            }
        }
    }
    Ok(())
}

async fn add<'r>(
    requests: &Requests,
    routes: impl IntoIterator<Item = &'r Route>,
    rules: impl IntoIterator<Item = &'r Rule>,
    mark: u8,
    again: bool,
) -> Failed {
    let mut failed = Failed::new();
    for route in routes {
        let added = match messages::route(route, mark) {
            Ok(message) => one(requests, RouteNetlinkMessage::NewRoute(message), again, || route.title()).await,
            Err(error) => Err(error),
        };
        note(&mut failed, added, || route.title());
    }
    for rule in rules {
        let request = RouteNetlinkMessage::NewRule(messages::rule(rule, mark));
        let added = one(requests, request, again, || rule.title()).await;
        note(&mut failed, added, || rule.title());
    }
    failed
}

async fn one(
    requests: &Requests,
    request: RouteNetlinkMessage,
    again: bool,
    what: impl Fn() -> String,
) -> Result<(), String> {
    match execute(requests, request, NLM_F_CREATE | NLM_F_EXCL).await {
        Ok(()) if again => tracing::info!("{} was not there, and is put there", what()),
        Err(refusal) if refusal.errno != libc::EEXIST => return Err(refusal.to_string()),
        Ok(()) | Err(_) => {}
    }
    Ok(())
}

async fn execute(requests: &Requests, request: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
    requests.execute(request, NLM_F_REQUEST | NLM_F_ACK | flags).await
}

/// Nothing is gone for want of being there; a rule that is not there is ENOENT, a route ESRCH.
fn absent_is_fine(removed: Result<(), Refusal>) -> Result<(), Refusal> {
    match removed {
        Err(refusal) if matches!(refusal.errno, libc::ENOENT | libc::ESRCH) || refusal.is_absence() => Ok(()),
        removed => removed,
    }
}

fn note<E: ToString>(failed: &mut Failed, done: Result<(), E>, what: impl Fn() -> String) {
    failed.extend(done.err().map(|error| (what(), error.to_string())));
}

#[cfg(test)]
mod tests;
