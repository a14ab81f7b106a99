//! Exact actions of one engine, conversations of several, and random inputs.

mod actions;
mod addresses;
mod adopt;
mod adverts;
mod again;
mod announce;
mod busy;
mod cold;
mod configure;
mod counters;
mod delays;
mod distance;
mod drift;
mod faults;
mod fence;
mod groups;
mod ipv6;
mod lease_loss;
mod memory;
mod mesh;
mod neighbours;
mod notify;
mod random;
mod roster;
mod routing;
mod segment;
mod serves;
mod services;
mod silence;
mod standing;
mod start;
mod status;
mod story;
mod takeover;
mod trust;
mod veto;
mod vmacs;
mod voter;
mod will;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mesh_config::model::{Config, LeaseTime, VirtualRouter};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{NODE_KEY, RouterReport, RouterState, Transition as ReportedTransition};
use mesh_wire::mesh::lease::{Message, Reply, Request, Verdict as Vote};
use mesh_wire::mesh::roster::Roster;

use super::*;
use crate::fixture::{KEY, VIP, key, ms, roster, router, us, vip};
use crate::input::{Input, Interface};
use crate::membership::router_key;

const LB1: NodeId = NodeId(1);
const LB2: NodeId = NodeId(2);
const LB3: NodeId = NodeId(3);

/// When lb1 (priority 200) claims if nothing is heard: 3 s and a skew of 56/256 s.
const CLAIM: Instant = us(3_218_750);

fn config(routers: Vec<VirtualRouter>) -> Config {
    let mut config = Config { routers, ..Config::default() };
    config.assign_keys();
    config
}

fn setup(id: NodeId, roster: Option<Roster>) -> Setup {
    Setup {
        node: id,
        name: format!("lb{}", id.0),
        roster,
        successor: Acceptor::default(),
        version: "1.0".to_owned(),
        seed: id.0,
        unix_at_zero: Duration::from_secs(1_800_000_000),
        voter: VoterStart::rebooted(),
        adopted: Vec::new(),
        holds: Vec::new(),
    }
}

/// Source address of a node's adverts.
fn source(id: NodeId) -> IpAddr {
    IpAddr::from([10, 1, 1, 10 + id.0 as u8])
}

fn eth0(id: NodeId) -> Interface {
    let address = format!("{}/24", source(id)).parse().unwrap();
    Interface { name: "eth0".to_owned(), running: true, addresses: vec![address], unusable: Vec::new() }
}

/// An engine in Backup whose start is over; all times count from zero.
fn started(id: NodeId, routers: Vec<VirtualRouter>, roster: Option<Roster>) -> Engine {
    let mut engine = Engine::new(setup(id, roster), config(routers), Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(id)));
    engine
}

/// lb1 without a mesh, Active since [`CLAIM`].
fn plain_active() -> Engine {
    let mut engine = started(LB1, vec![router(200)], None);
    engine.step(CLAIM, Input::Timeout);
    assert!(engine.instances[&KEY].vrrp.is_active());
    engine
}

/// lb1 of three voters, with its first claim on the way.
fn asking() -> (Engine, Request) {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let request = request(&engine.step(CLAIM, Input::Timeout));
    (engine, request)
}

/// lb1 of three voters, Active: lb2 and lb3 granted a whole second at 3220 ms.
fn holding() -> Engine {
    let (mut engine, first) = asking();
    let renewal = request(&engine.step(ms(3220), granted(LB2, ms(3220), &first)));
    engine.step(ms(3221), granted(LB2, ms(3221), &renewal));
    engine.step(ms(3221), granted(LB3, ms(3221), &renewal));
    assert_eq!(engine.instances[&KEY].armed_until, Some(ms(3220 + 976)));
    engine
}

/// Lets every timer up to and including `until` run; a timer that spins fails the test.
fn wait(engine: &mut Engine, until: Instant) {
    for _ in 0..10_000 {
        let Some((at, _)) = engine.work_due().filter(|(at, _)| *at <= until) else { return };
        engine.step(at, Input::Timeout);
    }
    panic!("{:?} is due for ever", engine.work_due());
}

/// The request to voters among these actions.
fn request(actions: &[Action]) -> Request {
    let found = actions.iter().find_map(|a| match a {
        Action::SendMessage { message: Message::Request(request), .. } => Some(request.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no request among {actions:#?}"))
}

/// A voter's reply to a request, with the same verdict on every claim; its clock reads as ours.
fn reply(from: NodeId, at: Instant, request: &Request, verdict: Vote) -> Input {
    let verdicts = request.claims.iter().map(|c| (c.router, verdict)).collect();
    let reply = Reply { seq: request.seq, clock_ns: at.as_nanos(), roster_epoch: request.roster_epoch, verdicts };
    Input::Message { from, message: Message::Reply(reply) }
}

fn granted(from: NodeId, at: Instant, request: &Request) -> Input {
    let epoch = request.claims[0].epoch;
    reply(from, at, request, Vote::Granted { epoch })
}

fn held(from: NodeId, at: Instant, request: &Request, owner: NodeId, remaining_ms: u32) -> Input {
    reply(from, at, request, Vote::Held { owner, epoch: 7, remaining_ms })
}

fn message(from: NodeId, message: Message) -> Input {
    Input::Message { from, message }
}

fn peer_up(node: NodeId) -> Input {
    Input::PeerUp { node, rtt: Duration::from_micros(300) }
}

/// What a member gossips about VI_1.
fn report(id: NodeId, state: RouterState, priority: u8, epoch: u64) -> RouterReport {
    RouterReport {
        key: KEY,
        name: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        vips: vec!["10.1.1.80/24".to_owned()],
        vips_parts: 0,
        state,
        priority,
        epoch,
        source: Some(source(id)),
        foreign: None,
        transition: ReportedTransition { at_unix_ms: 1, cause: "a test".to_owned(), trace_id: "t".to_owned() },
        because: None,
        lacks: None,
        held: None,
        place: None,
    }
}

fn gossip(report: &RouterReport, node: NodeId) -> Input {
    Input::Gossip { node, key: router_key(&report.key), value: Some(serde_json::to_string(report).unwrap()) }
}
