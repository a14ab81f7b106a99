//! Which virtual routers and nodes of the map to show, and in which order.

use std::cmp::Reverse;
use std::net::IpAddr;

use clap::{Args, ValueEnum};
use mesh_control::{Liveness, Node, Refusal, Router, RouterState, Status};
use serde_json::Value;

use crate::client::Failure;

/// Names in a hint, at most.
const HINTS: usize = 12;

/// What the operator wants to see; everything by default. Of several texts, nodes or states any one does, of
/// different filters all have to fit.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Pick {
    /// Only virtual routers with one of these texts in their name, or in one of their addresses.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// Only what this node serves, and the node itself; may be repeated.
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// Only virtual routers in this state; may be repeated.
    #[arg(long, value_enum, value_name = "STATE")]
    state: Vec<State>,
    /// Only what is not as it should be.
    #[arg(long)]
    problems: bool,
    /// The order of virtual routers [default: by interface and VRID].
    #[arg(long, value_enum, value_name = "ORDER")]
    sort: Option<Sort>,
}

/// States one can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// A member serves it.
    Active,
    /// Nobody serves it.
    Vacant,
    /// A router outside the mesh serves it.
    Foreign,
    /// Every director that has it is in fault.
    Fault,
    /// This node wanted to take over and was refused.
    Vetoed,
    /// A member serves it without a lease.
    Unprotected,
}

/// Orders of virtual routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// By name, numbers in it as numbers.
    Name,
    /// By the node that serves.
    Node,
    /// By the first address.
    Vip,
    /// What changed last comes first.
    Since,
}

/// What was picked, as places in the lists of a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picked {
    /// Virtual routers, in order.
    pub(crate) routers: Vec<usize>,
    /// Nodes.
    pub(crate) nodes: Vec<usize>,
    /// Whether anything was left out that was not asked for.
    pub(crate) part: bool,
    /// Nodes were not asked about.
    pub(crate) routers_only: bool,
    /// What changed last comes first.
    pub(crate) by_age: bool,
}

impl Pick {
    /// Everything, in this order.
    pub(crate) fn sorted(sort: Option<Sort>) -> Pick {
        Pick { sort, ..Pick::default() }
    }

    /// Whether everything is shown as it came.
    pub(crate) fn is_all(&self) -> bool {
        !self.is_part() && self.sort.is_none()
    }

    fn is_part(&self) -> bool {
        !(self.what.is_empty() && self.node.is_empty() && self.state.is_empty() && !self.problems)
    }

    /// Refuses names that nothing has.
    pub(crate) fn check(&self, status: &Status) -> Result<(), Failure> {
        for text in &self.what {
            if !status.routers.iter().any(|router| is_called(router, text)) {
                let routers = status.routers.iter().map(|router| router.name.as_str());
                return Err(unknown(format!("no virtual router has {text:?} in its name or addresses"), routers));
            }
        }
        for name in &self.node {
            let mut nodes = status.nodes.iter().map(|node| node.name.as_str()).chain([status.node.as_str()]);
            if !nodes.any(|node| node.eq_ignore_ascii_case(name)) {
                let nodes = status.nodes.iter().map(|node| node.name.as_str());
                return Err(unknown(format!("no node is called {name:?}"), nodes));
            }
        }
        Ok(())
    }

    /// What fits, in order.
    pub(crate) fn choose(&self, status: &Status) -> Picked {
        let routers = status.routers.iter().enumerate().filter(|(_, router)| self.fits(router));
        let mut routers: Vec<usize> = routers.map(|(at, _)| at).collect();
        let router = |at: &usize| &status.routers[*at];
        match self.sort {
            None => {}
            Some(Sort::Name) => routers.sort_by_cached_key(|at| natural(&router(at).name)),
            Some(Sort::Node) => routers.sort_by_cached_key(|at| {
                (router(at).active.is_none(), router(at).active.as_deref().map(natural), natural(&router(at).name))
            }),
            Some(Sort::Vip) => routers.sort_by_cached_key(|at| first_address(router(at))),
            // RFC 3339 in UTC sorts as text; what cannot be read sorts somewhere.
            Some(Sort::Since) => {
                routers.sort_by_cached_key(|at| Reverse(router(at).last_transition.as_ref().map(|t| t.at.clone())));
            }
        }
        let nodes = status.nodes.iter().enumerate().filter(|(_, node)| self.fits_node(node));
        Picked {
            routers,
            nodes: nodes.map(|(at, _)| at).collect(),
            part: self.is_part(),
            routers_only: !self.what.is_empty() || !self.state.is_empty(),
            by_age: self.sort == Some(Sort::Since),
        }
    }

    /// The same of the daemon's own objects, for machines. What cannot be read as a status is an error only
    /// where something has to be picked from it.
    pub(crate) fn choose_json(&self, status: &mut Value, check: bool) -> Result<(), Failure> {
        if self.is_all() {
            return Ok(());
        }
        let known: Status = crate::show::read(status.clone())?;
        if check {
            self.check(&known)?;
        }
        let picked = self.choose(&known);
        keep(status, "routers", &picked.routers);
        keep(status, "nodes", &picked.nodes);
        Ok(())
    }

    fn fits(&self, router: &Router) -> bool {
        let serves = |name: &String| router.active.as_ref().is_some_and(|active| active.eq_ignore_ascii_case(name));
        (self.what.is_empty() || self.what.iter().any(|text| is_called(router, text)))
            && (self.node.is_empty() || self.node.iter().any(serves))
            && (self.state.is_empty() || self.state.iter().any(|state| state.is_that_of(router)))
            && (!self.problems || is_trouble(router))
    }

    fn fits_node(&self, node: &Node) -> bool {
        (self.node.is_empty() || self.node.iter().any(|name| name.eq_ignore_ascii_case(&node.name)))
            && (!self.problems || is_trouble_node(node))
    }
}

impl State {
    fn is_that_of(self, router: &Router) -> bool {
        match self {
            State::Active => router.state == RouterState::Active,
            State::Vacant => router.state == RouterState::Vacant,
            State::Foreign => router.state == RouterState::Foreign,
            State::Fault => router.state == RouterState::Fault,
            State::Vetoed => router.veto.is_some(),
            State::Unprotected => router.unprotected_because.is_some(),
        }
    }
}

/// Whether a router is not as it should be.
pub(crate) fn is_trouble(router: &Router) -> bool {
    router.state != RouterState::Active
        || router.unprotected_because.is_some()
        || router.veto.is_some()
        || router.foreign.is_some()
        || !router.faults.is_empty()
        || !router.lowered.is_empty()
        || !router.lacks.is_empty()
}

/// Whether a node is not as it should be. Who said goodbye is.
pub(crate) fn is_trouble_node(node: &Node) -> bool {
    node.draining || matches!(node.liveness, Liveness::Suspect | Liveness::Dead)
}

/// A name as a person sorts it: numbers by their value.
pub(crate) fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(text);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        let number = if number.is_empty() { 0 } else { number.parse().unwrap_or(u64::MAX) };
        parts.push((word.to_lowercase(), number));
        rest = after;
    }
    parts
}

fn is_called(router: &Router, text: &str) -> bool {
    router.name.contains(text) || router.vips.iter().any(|vip| vip.contains(text))
}

fn first_address(router: &Router) -> (bool, Option<IpAddr>) {
    let address = router.vips.first().and_then(|vip| vip.split('/').next()?.parse().ok());
    (address.is_none(), address)
}

/// Nothing is called so, but for these.
pub(crate) fn unknown<'a>(error: String, names: impl ExactSizeIterator<Item = &'a str>) -> Failure {
    let (count, first) = (names.len(), names.take(HINTS).collect::<Vec<_>>());
    let more = if count > first.len() { format!(" and {} more", count - first.len()) } else { String::new() };
    let hint = (count > 0).then(|| format!("there are {}{more}", first.join(", ")));
    Failure::Refused(Refusal { error, hint })
}

fn keep(status: &mut Value, list: &str, places: &[usize]) {
    if let Some(Value::Array(all)) = status.get_mut(list) {
        *all = places.iter().map(|at| std::mem::take(&mut all[*at])).collect();
    }
}

#[cfg(test)]
mod tests;
