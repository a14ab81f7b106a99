//! Routes and rules: `ip route` and `ip rule`.

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_wire::mesh::Family;

use crate::iproute;

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it does with packets (RTN_*); default unicast.
    pub kind: u8,
    /// Its family.
    pub family: Family,
    /// Where to; none is `default`.
    pub destination: Option<IpNet>,
    /// `from`: where from; IPv6 only.
    pub source: Option<IpNet>,
    /// `src`: source of what this host sends.
    pub preferred_source: Option<IpAddr>,
    /// `tos`.
    pub tos: u8,
    /// `table`; default main.
    pub table: u32,
    /// `protocol`, which only a route that is not tracked may have; default this program's.
    pub protocol: Option<u8>,
    /// `scope` (RT_SCOPE_*); default global.
    pub scope: u8,
    /// `metric`, also called priority or preference; default the kernel's.
    pub metric: Option<u32>,
    /// `via` and `dev`, or each `nexthop`.
    pub hops: Vec<Hop>,
    /// Numbers by their kind (RTAX_*).
    pub metrics: Vec<(u16, u32)>,
    /// Kinds of `metrics` that are locked, a bit for each.
    pub locked: u32,
    /// `congctl`.
    pub congestion_control: Option<String>,
    /// `pref` (ICMPV6_ROUTER_PREF_*).
    pub preference: Option<u8>,
    /// `expires`, in seconds; IPv6 only.
    pub expires: Option<u32>,
    /// `ttl-propagate`.
    pub ttl_propagate: Option<bool>,
    /// Put back when somebody removes it; false with `no_track`.
    pub track: bool,
}

/// Where a packet goes next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// `via`, of either family.
    pub via: Option<IpAddr>,
    /// `dev`.
    pub interface: Option<String>,
    /// `onlink`: the gateway is there, whatever the addresses say.
    pub onlink: bool,
    /// `weight` less one.
    pub hops: u8,
    /// `realms`: source and destination.
    pub realms: Option<(u16, u16)>,
    /// `encap`.
    pub encapsulation: Option<Encapsulation>,
}

/// `encap`: what a packet is put into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// `encap ip` and `encap ip6`.
    Ip(Outer),
    /// `encap mpls`.
    Mpls {
        /// Outermost first, each of 20 bits.
        labels: Vec<u32>,
        /// `ttl`; default that of the packet.
        ttl: Option<u8>,
    },
}

/// The header of `encap ip` and `encap ip6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outer {
    /// IPv4 or IPv6.
    pub family: Family,
    /// `id`.
    pub id: u64,
    /// `dst`.
    pub destination: Option<IpAddr>,
    /// `src`.
    pub source: Option<IpAddr>,
    /// `ttl` or `hoplimit`.
    pub ttl: u8,
    /// `tos` or `tc`.
    pub tos: u8,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its family.
    pub family: Family,
    /// `not`: for what does not match.
    pub invert: bool,
    /// `from`.
    pub source: Option<IpNet>,
    /// `to`.
    pub destination: Option<IpNet>,
    /// `iif`.
    pub input: Option<String>,
    /// `oif`.
    pub output: Option<String>,
    /// `tos`.
    pub tos: u8,
    /// `fwmark` and its mask.
    pub mark: Option<(u32, Option<u32>)>,
    /// `priority`; 0 until one is given to it.
    pub priority: u32,
    /// `realms`: source and destination.
    pub realms: Option<(u16, u16)>,
    /// `uidrange`.
    pub uids: Option<(u32, u32)>,
    /// `ipproto`.
    pub ip_protocol: Option<u8>,
    /// `sport`.
    pub source_ports: Option<(u16, u16)>,
    /// `dport`.
    pub destination_ports: Option<(u16, u16)>,
    /// `tun_id`.
    pub tunnel: Option<u64>,
    /// `suppress_prefixlength`.
    pub suppress_prefix: Option<u32>,
    /// `suppress_ifgroup`.
    pub suppress_group: Option<u32>,
    /// `protocol`, which only a rule that is not tracked may have; default this program's.
    pub protocol: Option<u8>,
    /// What to do.
    pub action: RuleAction,
    /// Put back when somebody removes it; false with `no_track`.
    pub track: bool,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// `table`.
    Table(u32),
    /// `l3mdev`: the table of the interface's VRF.
    Vrf,
    /// `goto`: on at the rule of this priority.
    Goto(u32),
    /// `nop`.
    Nothing,
    /// `blackhole`.
    Blackhole,
    /// `unreachable`.
    Unreachable,
    /// `prohibit`.
    Prohibit,
}

/// `static_ipaddress`, `static_routes`, `static_rules`: there as long as the daemon runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statics {
    /// Addresses, each on the interface it names.
    pub addresses: Vec<super::VirtualAddress>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// More of them, which routers need.
    pub track_groups: Vec<TrackGroup>,
}

/// `track_group`: static things without which its routers are in fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackGroup {
    /// Unique name.
    pub name: String,
    /// Names of routers.
    pub routers: Vec<String>,
    /// Addresses, each on the interface it names.
    pub addresses: Vec<super::VirtualAddress>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
}

impl TrackGroup {
    /// What each of them is called where it cannot be put in.
    pub fn titles(&self) -> impl Iterator<Item = String> {
        let addresses = self.addresses.iter().map(super::VirtualAddress::static_title);
        addresses.chain(self.routes.iter().map(Route::title)).chain(self.rules.iter().map(Rule::title))
    }
}

impl Statics {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.addresses().next().is_none() && self.routes().next().is_none() && self.rules().next().is_none()
    }

    /// Why another static address cannot be beside those; none where it can.
    pub(crate) fn against_address(&self, new: &super::VirtualAddress) -> Option<String> {
        let again = self.addresses().any(|a| (a.net, &a.interface) == (new.net, &new.interface));
        again.then(|| format!("a second {}", new.static_title()))
    }

    /// Why another route cannot be beside those.
    pub(crate) fn against_route(&self, new: &Route) -> Option<String> {
        let first = self.routes().find(|route| route.is_in_place_of(new))?;
        Some(format!("the kernel keeps one of this and `{}`: expected another metric or table", first.title()))
    }

    /// Why another rule cannot be beside those.
    pub(crate) fn against_rule(&self, new: &Rule) -> Option<String> {
        self.rules().any(|rule| rule.is_again(new)).then(|| format!("a second `{}`", new.title()))
    }

    /// All addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &super::VirtualAddress> {
        self.addresses.iter().chain(self.track_groups.iter().flat_map(|group| &group.addresses))
    }

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().chain(self.track_groups.iter().flat_map(|group| &group.routes))
    }

    /// All rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().chain(self.track_groups.iter().flat_map(|group| &group.rules))
    }
}

impl Route {
    /// What it is called where it cannot be put in. Two that differ are called differently.
    pub fn title(&self) -> String {
        let text = iproute::route_text(self).unwrap_or_else(|| {
            let to = self.destination.map_or_else(|| "default".to_owned(), |net| net.to_string());
            let via = self.hops.iter().filter_map(|h| h.via).map(|via| format!(" via {via}"));
            let on = self.hops.iter().filter_map(|h| h.interface.as_ref()).map(|name| format!(" dev {name}"));
            format!("{to}{}{} table {}", via.collect::<String>(), on.collect::<String>(), self.table)
        });
        format!("route {text}")
    }

    /// Whether the kernel keeps one of the two only, whichever way they lead.
    pub(crate) fn is_in_place_of(&self, other: &Route) -> bool {
        let place = |r: &Route| (r.family, r.destination, r.source, r.tos, r.table, r.metric.unwrap_or_default());
        place(self) == place(other)
    }
}

impl Rule {
    /// What it is called where it cannot be put in. Two that differ are called differently.
    pub fn title(&self) -> String {
        let text = iproute::rule_text(self).unwrap_or_else(|| {
            let family = if self.family == Family::Ipv6 { "of IPv6 " } else { "" };
            format!("{family}{}", self.priority)
        });
        format!("rule {text}")
    }

    /// Whether it is the very same. Those without a priority will have two.
    pub(crate) fn is_again(&self, other: &Rule) -> bool {
        self.priority != 0 && self == other
    }
}
