//! The last [`Status`] as an OpenMetrics page, for Prometheus. Seconds and plain counts; whatever
//! names a router carries the name, so that one alert covers all of them.

use std::sync::atomic::AtomicU64;

use mesh_control::{Liveness, Protection, RouterProtection, RouterState, Status};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What the answer is sent as.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// The page.
pub(super) fn page(status: &Status) -> String {
    let mut registry = Registry::with_prefix("meshd");
    cluster(&mut registry, status);
    drift(&mut registry, status);
    routers(&mut registry, status);
    sessions(&mut registry, status);
    counted(&mut registry, status);
    let mut page = String::new();
    encode(&mut page, &registry).expect("a String takes whatever is written");
    page
}

fn cluster(registry: &mut Registry, status: &Status) {
    let quorum = &status.cluster.quorum;
    let protected = f64::from(status.cluster.protection == Protection::Protected);
    let single = |value: f64| {
        let gauge: Gauge<f64, AtomicU64> = Gauge::default();
        gauge.set(value);
        gauge
    };
    registry.register(
        "protected",
        "1 while leases and the kernel's fence keep every VIP at one owner",
        single(protected),
    );
    registry.register("voters", "Configured voters", single(quorum.voters as f64));
    registry.register("voters_needed", "Votes that make a majority", single(quorum.needed as f64));
    registry.register("voters_reachable", "Voters this node reaches, itself included", single(quorum.reachable as f64));
    registry.register("roster_epoch", "Changes of the membership so far", single(quorum.roster_epoch as f64));
    let (alive, round_trip) = (Gauges::default(), Gauges::default());
    for node in &status.nodes {
        let labels = vec![("node", node.name.clone())];
        alive.get_or_create(&labels).set(f64::from(node.liveness == Liveness::Alive));
        if let Some(rtt_ms) = node.rtt_ms {
            round_trip.get_or_create(&labels).set(rtt_ms / 1000.0);
        }
    }
    registry.register("node_alive", "1 while this node is connected to the member", alive);
    registry.register_with_unit("round_trip", "To the member, through the mesh", Unit::Seconds, round_trip);
}

/// Directors that are configured as this node is have no line.
fn drift(registry: &mut Registry, status: &Status) {
    let (settings, lost) = (Gauges::default(), Gauges::default());
    for differs in &status.drift.settings {
        settings.get_or_create(&vec![("node", differs.node.clone())]).inc();
    }
    for adverts in &status.drift.lost_adverts {
        let labels = vec![("router", adverts.name.clone()), ("from", adverts.from.clone()), ("to", adverts.to.clone())];
        lost.get_or_create(&labels).set(1.0);
    }
    registry.register(
        "config_drift",
        "Settings that differ from this node's, of those that have to be equal",
        settings,
    );
    registry.register("adverts_lost", "1 where adverts are lost because of how both directors are configured", lost);
}

fn routers(registry: &mut Registry, status: &Status) {
    let (state, active, here, held) = (Gauges::default(), Gauges::default(), Gauges::default(), Gauges::default());
    let (leased, epoch, remaining, priority) =
        (Gauges::default(), Gauges::default(), Gauges::default(), Gauges::default());
    for router in &status.routers {
        let name = ("router", router.name.clone());
        let states = [
            (RouterState::Active, "active"),
            (RouterState::Vacant, "vacant"),
            (RouterState::Foreign, "foreign"),
            (RouterState::Fault, "fault"),
        ];
        for (value, word) in states {
            let labels = vec![name.clone(), ("state", word.to_owned())];
            state.get_or_create(&labels).set(f64::from(router.state == value));
        }
        leased.get_or_create(&vec![name.clone()]).set(f64::from(router.protection == RouterProtection::Lease));
        here.get_or_create(&vec![name.clone(), ("state", router.here.clone())]).set(1.0);
        held.get_or_create(&vec![name.clone()]).set(f64::from(router.held.is_some()));
        for (node, value) in &router.priority {
            let labels = vec![name.clone(), ("node", node.clone())];
            active.get_or_create(&labels).set(f64::from(router.active.as_ref() == Some(node)));
            priority.get_or_create(&labels).set(f64::from(*value));
        }
        if let Some(lease) = &router.lease {
            let labels = vec![name, ("owner", lease.owner.clone())];
            epoch.get_or_create(&labels).set(lease.epoch as f64);
            remaining.get_or_create(&labels).set(lease.remaining_ms as f64 / 1000.0);
        }
    }
    registry.register("router_state", "1 for the state the virtual router is in, over the whole mesh", state);
    registry.register("router_active", "1 for the director that serves the virtual router", active);
    registry.register("router_here", "1 for what this node is for the virtual router", here);
    registry.register("router_held", "1 while this node does not take the virtual router: it fell too often", held);
    registry.register("router_priority", "Effective VRRP priority, 0 in fault", priority);
    registry.register("router_protected", "1 while a lease keeps others from serving the virtual router", leased);
    registry.register("lease_epoch", "Epoch of the lease", epoch);
    registry.register_with_unit("lease_remaining", "What is left of the lease", Unit::Seconds, remaining);
}

fn sessions(registry: &mut Registry, status: &Status) {
    if status.bfd.is_empty() {
        return;
    }
    let up = Gauges::default();
    let counts: [Family<Labels, Counter>; 3] = Default::default();
    for session in &status.bfd {
        let labels = vec![("session", session.name.clone()), ("neighbor", session.neighbor.clone())];
        up.get_or_create(&labels).set(f64::from(session.state == "up"));
        for (counter, value) in counts.iter().zip([session.sent, session.received, session.losses]) {
            counter.get_or_create(&labels).inc_by(value);
        }
    }
    let [sent, received, losses] = counts;
    registry.register("bfd_session_up", "1 while the BFD session is up", up);
    registry.register("bfd_packets_sent", "Packets sent since the BFD session began", sent);
    registry.register("bfd_packets_received", "Packets of the neighbour that counted", received);
    registry.register("bfd_session_losses", "How often the BFD session was up and went down", losses);
}

fn counted(registry: &mut Registry, status: &Status) {
    let count = |value: &u64| {
        let counter: Counter = Counter::default();
        counter.inc_by(*value);
        counter
    };
    for (name, value) in &status.counters {
        registry.register(name, "Since this daemon started", count(value));
    }
    let (failovers, vetoes) = (Family::<Labels, Counter>::default(), Family::<Labels, Counter>::default());
    for (cause, value) in &status.failovers {
        failovers.get_or_create(&vec![("cause", cause.clone())]).inc_by(*value);
    }
    registry.register("failovers", "Times this node began to serve, by cause", failovers);
    for veto in &status.vetoes {
        let labels = vec![("voter", veto.voter.clone()), ("reason", veto.reason.clone())];
        vetoes.get_or_create(&labels).inc_by(veto.count);
    }
    registry.register("vetoes", "Refused claims of this node, by voter and reason", vetoes);
    let drops = Family::<Labels, Counter>::default();
    for (what, value) in &status.drops {
        drops.get_or_create(&vec![("what", what.clone())]).inc_by(*value);
    }
    registry.register("dropped", "Packets and messages dropped, by sender and reason", drops);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_control::drift::{Differs, Drift, LostAdverts};
    use mesh_control::{BfdSession, Cluster, Lease, Node, Quorum, Router};

    use super::*;

    fn status(protection: Protection) -> Status {
        let quorum = Quorum { voters: 3, needed: 2, reachable: 1, roster_epoch: 4 };
        let node = Node {
            name: "lb2".into(),
            role: "director".into(),
            voter: true,
            vote: "auto".into(),
            liveness: Liveness::Dead,
            address: "10.1.1.12:7946".into(),
            draining: false,
            rtt_ms: Some(0.5),
            config_digest: String::new(),
            version: String::new(),
        };
        let router = Router {
            name: "VI_\"1\"".into(),
            interface: "eth0".into(),
            vrid: 51,
            family: "ipv4".into(),
            vips: vec![],
            state: RouterState::Active,
            active: Some("lb1".into()),
            here: "backup".into(),
            lease: Some(Lease { owner: "lb1".into(), epoch: 7, remaining_ms: 812 }),
            priority: BTreeMap::from([("lb1".into(), 200), ("lb2".into(), 150)]),
            last_transition: None,
            cannot_tell: None,
            faults: BTreeMap::new(),
            lowered: BTreeMap::new(),
            lacks: BTreeMap::new(),
            configured_priority: BTreeMap::new(),
            veto: None,
            held: None,
            held_on: BTreeMap::new(),
            foreign: None,
            pinned_to: None,
            protection: RouterProtection::Lease,
            unprotected_because: None,
        };
        let cluster = Cluster { id: "c".into(), name: "lab".into(), protection, unprotected_because: None, quorum };
        Status {
            cluster,
            node: "lb1".into(),
            nodes: vec![node],
            routers: vec![router],
            services: vec![],
            bfd: vec![BfdSession {
                name: "peer".into(),
                neighbor: "10.0.0.2".into(),
                state: "up".into(),
                since: String::new(),
                reason: None,
                tx_interval_ms: 10.0,
                detection_ms: 50.0,
                sent: 12,
                received: 11,
                losses: 3,
            }],
            drift: drifted(),
            guard: None,
            config_refused: None,
            failovers: BTreeMap::from([("expiry".into(), 3)]),
            vetoes: vec![mesh_control::story::VetoCount { voter: "lb3".into(), reason: "held".into(), count: 4 }],
            counters: BTreeMap::from([("fence_repairs".into(), 2)]),
            drops: BTreeMap::from([("10.1.1.9: malformed".into(), 5)]),
        }
    }

    fn drifted() -> Drift {
        let differs = |setting: &str| Differs {
            node: "lb2".into(),
            subject: "4.51".into(),
            name: "VI_1".into(),
            setting: Some(setting.into()),
            than: None,
            here: None,
            there: None,
        };
        let lost = LostAdverts {
            subject: "4.51".into(),
            name: "VI_1".into(),
            from: "lb1".into(),
            to: "lb2".into(),
            dropped: true,
            provided: None,
            because: String::new(),
        };
        let settings = vec![differs("advert_int"), differs("version")];
        Drift { settings, lost_adverts: vec![lost], ..Drift::default() }
    }

    #[test]
    fn every_figure_of_the_status_is_there() {
        let page = page(&status(Protection::Unprotected));
        let lines = [
            "meshd_protected 0.0",
            "meshd_voters_reachable 1.0",
            "meshd_node_alive{node=\"lb2\"} 0.0",
            "meshd_round_trip_seconds{node=\"lb2\"} 0.0005",
            "meshd_router_state{router=\"VI_\\\"1\\\"\",state=\"active\"} 1.0",
            "meshd_router_state{router=\"VI_\\\"1\\\"\",state=\"vacant\"} 0.0",
            "meshd_router_active{router=\"VI_\\\"1\\\"\",node=\"lb1\"} 1.0",
            "meshd_router_active{router=\"VI_\\\"1\\\"\",node=\"lb2\"} 0.0",
            "meshd_router_here{router=\"VI_\\\"1\\\"\",state=\"backup\"} 1.0",
            "meshd_router_held{router=\"VI_\\\"1\\\"\"} 0.0",
            "meshd_router_priority{router=\"VI_\\\"1\\\"\",node=\"lb2\"} 150.0",
            "meshd_router_protected{router=\"VI_\\\"1\\\"\"} 1.0",
            "meshd_lease_epoch{router=\"VI_\\\"1\\\"\",owner=\"lb1\"} 7.0",
            "meshd_lease_remaining_seconds{router=\"VI_\\\"1\\\"\",owner=\"lb1\"} 0.812",
            "meshd_bfd_session_up{session=\"peer\",neighbor=\"10.0.0.2\"} 1.0",
            "meshd_bfd_packets_sent_total{session=\"peer\",neighbor=\"10.0.0.2\"} 12",
            "meshd_bfd_packets_received_total{session=\"peer\",neighbor=\"10.0.0.2\"} 11",
            "meshd_bfd_session_losses_total{session=\"peer\",neighbor=\"10.0.0.2\"} 3",
            "meshd_config_drift{node=\"lb2\"} 2.0",
            "meshd_adverts_lost{router=\"VI_1\",from=\"lb1\",to=\"lb2\"} 1.0",
            "meshd_fence_repairs_total 2",
            "meshd_failovers_total{cause=\"expiry\"} 3",
            "meshd_vetoes_total{voter=\"lb3\",reason=\"held\"} 4",
            "meshd_dropped_total{what=\"10.1.1.9: malformed\"} 5",
            "# EOF",
        ];
        for line in lines {
            assert!(page.lines().any(|l| l == line), "{line} is missing in\n{page}");
        }
        assert!(super::page(&status(Protection::Protected)).contains("\nmeshd_protected 1.0\n"));
    }
}
