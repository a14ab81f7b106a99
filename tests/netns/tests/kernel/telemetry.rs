//! One failover is one trace: at a real OpenTelemetry collector, and in the nodes' own memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::{DIRECTORS, Fault, Judge, Lab, Lifetime, VIP, clock};
use mesh_netns::rotel::{self, ENDPOINT};
use mesh_netns::{NEXT, OWNER};
use serde_json::Value;

/// How far the trace's figure may be from the prober's.
const APART: Duration = Duration::from_millis(20);

/// Adverts every 10 ms: the last one before the fault says to 10 ms when it came. The third director only votes, so
/// that nobody else can be the next one.
fn conf(name: &str) -> String {
    let index = DIRECTORS.iter().position(|(known, _)| *known == name).expect("a director");
    let telemetry = format!("[telemetry]\nendpoint = \"http://{ENDPOINT}\"\nlisten = \"127.0.0.1:9110\"\n");
    let Some(priority) = [200, 150].get(index) else { return telemetry };
    // The next one tells scripts that it serves, of which the second fails.
    let scripts = if name == NEXT { "notify = { active = \"/bin/true\", any = \"/bin/false\" }\n" } else { "" };
    format!(
        "{telemetry}\n[[router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\nversion = 3\n\
         priority = {priority}\nadvert_interval = \"10ms\"\naddresses = [\"{VIP}/24\"]\n{scripts}"
    )
}

/// A span as the receiver shows it.
#[derive(Debug, Default, Clone)]
struct Received {
    fields: BTreeMap<String, String>,
    attributes: BTreeMap<String, String>,
}

impl Received {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// The spans in the receiver's log.
fn received(log: &str) -> Vec<Received> {
    let mut spans: Vec<Received> = Vec::new();
    let mut within = false;
    for line in log.lines() {
        let line = line.trim();
        if line.starts_with("Span #") {
            spans.push(Received::default());
            within = true;
        } else if line.starts_with("Resource") || line.starts_with("Scope") {
            within = false;
        }
        let Some(span) = spans.last_mut().filter(|_| within) else { continue };
        if let Some((name, value)) = line.strip_prefix("->").and_then(|l| l.split_once(": ")) {
            let value = value.split_once('(').map_or(value, |(_, v)| v.trim_end_matches(')'));
            span.attributes.insert(name.trim().to_owned(), value.to_owned());
        } else if let Some((name, value)) = line.split_once(':') {
            span.fields.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
        }
    }
    spans
}

#[test]
fn root_a_failover_is_one_trace_over_all_nodes() -> Result<()> {
    let _turn = Lab::alone()?;
    let lab = Lab::new(Lifetime::Lab)?;
    let (receiver, log) = rotel::start(&lab)?;
    let mut cluster = Cluster::launch_all(lab, &DIRECTORS.map(|(name, _)| (name, Daemon::Mesh)), &conf)?;
    cluster.adopt(receiver);
    let tried = failover(&mut cluster, &log);
    tried.inspect_err(|_| cluster.lab_ref().save_logs())
}

fn failover(cluster: &mut Cluster, log: &std::path::Path) -> Result<()> {
    cluster.wait_holder(OWNER)?;
    clock::pass(Duration::from_millis(1500))?;
    let judge = Judge::start(cluster.lab_ref())?;
    clock::pass(Duration::from_millis(300))?;
    let begin = clock::now();
    let cable = Fault::Cable(OWNER.to_owned());
    cluster.lab().inject(cable.clone())?;
    cluster.wait_status("the next one serves", Duration::from_secs(3), &[NEXT], |status| {
        status["routers"][0]["active"] == NEXT
    })?;
    let healing = clock::now();
    cluster.lab().heal(&cable)?;
    let gap = judge.finish()?.window(begin, healing).gap();

    // The old owner tells its part when it knows who came after it.
    let (root, spans) = clock::wait_for("the whole trace is received", Duration::from_secs(30), || {
        let spans = received(&fs::read_to_string(log)?);
        let root = spans.iter().find(|s| s.get("Name") == "takeover" && to_next(s)).cloned();
        Ok(root.and_then(|root| {
            let part = |s: &&Received| s.get("Trace ID") == root.get("Trace ID");
            let spans: Vec<Received> = spans.iter().filter(part).cloned().collect();
            let has = |name: &str, count| spans.iter().filter(|s| s.get("Name") == name).count() >= count;
            (has("retirement", 1) && has("notify script", 2) && has("first neighbour", 1)).then_some((root, spans))
        }))
    })?;
    check_parents(&root, &spans)?;

    let trace: Value = serde_json::from_str(&cluster.meshctl("lb3", &["--json", "trace", root.get("Trace ID")])?)?;
    let own = trace["spans"].as_array().context("spans")?;
    ensure!(own.len() == spans.len(), "{} spans received, {} remembered: {trace:#}", spans.len(), own.len());
    let shown = own.iter().find(|s| s["name"] == "takeover").context("the root")?;
    let micros = |s: &Value, name: &str| s[name].as_u64().context("a time");
    let took = Duration::from_micros(micros(shown, "end_unix_us")? - micros(shown, "begin_unix_us")?);
    println!("without the VIP: {gap:?} by the prober, {took:?} by the trace");
    ensure!(took.abs_diff(gap) <= APART, "the prober saw {gap:?}, the trace says {took:?}: {trace:#}");

    let get =
        "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9110/metrics', timeout=5).read().decode())";
    let page = cluster.lab_ref().host(NEXT).run(&["python3", "-c", get])?;
    ensure!(page.contains("meshd_failovers_total{cause="), "{page}");
    let story = cluster.meshctl("lb3", &["events"])?;
    ensure!(story.contains("VI_1: active") && !story.contains("missing"), "{story}");
    let why = cluster.meshctl("lb3", &["explain", &VIP.to_string()])?;
    ensure!(["lb1", "lb2", "lb3"].iter().all(|voter| why.contains(&format!("  {voter} "))), "{why}");
    Ok(())
}

fn to_next(span: &Received) -> bool {
    span.attribute("meshd.to") == NEXT && span.attribute("meshd.outcome") == "active"
}

/// Every span is a part of one that is there, and each node has told its own.
fn check_parents(root: &Received, spans: &[Received]) -> Result<()> {
    ensure!(root.get("Parent ID").is_empty(), "{root:#?}");
    let by_name = |name: &str| spans.iter().filter(|s| s.get("Name") == name).collect::<Vec<_>>();
    for name in ["detection", "addresses", "announcement", "advertisement", "first neighbour"] {
        let found = by_name(name);
        ensure!(found.iter().any(|s| s.get("Parent ID") == root.get("ID")), "{name}: {found:#?}");
    }
    let mut scripts: Vec<(&str, &str)> = Vec::new();
    for script in by_name("notify script") {
        ensure!(script.get("Parent ID") == root.get("ID"), "{script:#?}");
        scripts.push((script.attribute("process.command_line"), script.attribute("process.exit.code")));
    }
    ensure!(scripts[0] == ("/bin/true", "0"), "{scripts:?}");
    ensure!(scripts[1].0.starts_with("/bin/false INSTANCE VI_1 MASTER") && scripts[1].1 == "1", "{scripts:?}");
    let request = |voter: &str| {
        let of = by_name("lease request").into_iter().find(|s| s.attribute("meshd.voter") == voter);
        of.with_context(|| format!("no request to {voter}: {spans:#?}"))
    };
    for voter in [NEXT, "lb3"] {
        let request = request(voter)?;
        ensure!(request.get("Parent ID") == root.get("ID"), "{request:#?}");
        ensure!(request.attribute("meshd.verdict") == "granted", "{request:#?}");
    }
    let votes = by_name("vote");
    let vote = votes.iter().find(|s| s.attribute("meshd.voter") == "lb3").context("lb3 told no vote")?;
    ensure!(vote.get("Parent ID") == request("lb3")?.get("ID"), "{vote:#?}");
    let retired = by_name("retirement");
    ensure!(retired.iter().all(|s| s.get("Parent ID") == root.get("ID")), "{retired:#?}");
    ensure!(retired[0].attribute("meshd.from") == OWNER, "{retired:#?}");
    let closed = by_name("fence").into_iter().any(|s| s.get("Parent ID") == retired[0].get("ID"));
    ensure!(closed, "the fence of the old owner: {spans:#?}");
    Ok(())
}
