//! Started by the name of keepalived: as units, init scripts and exporters do it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use meshd::clock;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time passes for another process.
#[expect(clippy::disallowed_methods, reason = "there is no runtime here whose timers one could wait for")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A directory with the link, and a configuration whose dumps go there, too.
struct Place(tempfile::TempDir);

impl Place {
    fn new(global: &str) -> Place {
        Place::with(global, |program| symlink(env!("CARGO_BIN_EXE_meshd"), program).unwrap())
    }

    fn with(global: &str, put: impl Fn(&Path)) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        put(&place.path("keepalived"));
        let file = |name: &str| place.path(name).display().to_string();
        let config = format!(
            "global_defs {{\n state_dump_file {}\n stats_dump_file {}\n json_dump_file {}\n {global}\n}}\n\
             vrrp_instance VI_1 {{\n interface v0\n virtual_router_id 51\n priority 200\n version 3\n advert_int 0.1\n \
             virtual_ipaddress {{\n 10.9.0.100/24\n }}\n}}\n",
            file("k.data"),
            file("k.stats"),
            file("k.json"),
        );
        fs::write(place.path("k.conf"), config).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// In a network namespace of its own, in which v0 has an address.
    fn command(&self, arguments: &[&str]) -> Command {
        self.command_beside("", arguments)
    }

    /// The same, with something else in the namespace that ends with it.
    fn command_beside(&self, beside: &str, arguments: &[&str]) -> Command {
        let script = format!(
            "ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; \
             ip address add 10.9.0.1/24 dev v0; {beside} exec \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-ec", &script, "sh"]).arg(self.path("keepalived")).args(arguments);
        command.args(["-f"]).arg(self.path("k.conf")).args(["-p"]).arg(self.path("k.pid"));
        command.args(["-r"]).arg(self.path("kv.pid")).args(["-c"]).arg(self.path("kc.pid"));
        command.env("MESHD_STATE_DIR", self.path("state")).env("MESHD_RUNTIME_DIR", self.path("run"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(self.path("log")).unwrap());
        command
    }

    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let begin = clock::now();
        while !done() {
            assert!(clock::now().since(begin) < PATIENCE, "no {what}:\n{}", self.text("log"));
            pause(Duration::from_millis(10));
        }
    }

    /// As exporters do: the number of `--signum` to the process of the PID file.
    fn signal(&self, name: &str) {
        let number = said(self.path("keepalived").as_path(), &[&format!("--signum={name}")]);
        let number = String::from_utf8(number.stdout).unwrap();
        let pid = self.text("k.pid");
        let sent = Command::new("kill").args([&format!("-{}", number.trim()), pid.trim()]).status().unwrap();
        assert!(sent.success(), "{name}");
    }
}

/// Nothing in the background outlives a test that failed.
impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(pid) = self.text("k.pid").trim().parse::<u32>() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

fn said(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_exporters_ask_before_they_begin() {
    let place = Place::new("");
    let keepalived = place.path("keepalived");
    for (name, number) in [("JSON", "36\n"), ("DATA", "10\n"), ("STATS", "12\n"), ("STATS_CLEAR", "63\n")] {
        let output = said(&keepalived, &[&format!("--signum={name}")]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), number.as_bytes()));
    }
    let unknown = said(&keepalived, &["--signum=FOO"]);
    assert_eq!(unknown.status.code(), Some(1));
    let version = said(&keepalived, &["-v"]);
    assert_eq!((version.status.code(), version.stdout.len()), (Some(0), 0));
    let version = String::from_utf8(version.stderr).unwrap();
    // An exporter takes the second word of the first line without its first letter.
    assert_eq!(version.split(' ').nth(1), Some("v2.2.7"));
    assert!(version.contains("--enable-json") && version.lines().count() > 1, "{version}");
    assert_eq!(said(&keepalived, &["--bogus"]).status.code(), Some(1));
}

#[test]
fn the_configuration_test_has_its_codes_and_its_place() {
    let place = Place::new("");
    let keepalived = place.path("keepalived");
    fs::write(place.path("bad.conf"), "vrrp_instance A {\n virtual_router_id 510\n}\n").unwrap();
    fs::write(place.path("odd.conf"), "bogus\n").unwrap();
    let file = |name: &str| place.path(name).display().to_string();
    let test = |name: &str, how: &str| said(&keepalived, &[how, "-f", &file(name)]);
    let bad = test("bad.conf", "-t");
    assert_eq!(bad.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("bad.conf:2:20: error:"), "{bad:?}");
    assert_eq!(test("odd.conf", "--config-test").status.code(), Some(4));
    let logged = test("odd.conf", &format!("--config-test={}", file("log.txt")));
    assert_eq!((logged.status.code(), logged.stderr.len()), (Some(4), 0));
    assert!(place.text("log.txt").contains("odd.conf:1:1: warning:"), "{}", place.text("log.txt"));
    assert_eq!(test("nonesuch", "-t").status.code(), Some(3));
}

/// The command line of Debian's unit, whose type is `notify`.
#[test]
fn root_a_unit_starts_it_and_signals_have_it_write_its_files() {
    let place = Place::new("");
    let notify = UnixDatagram::bind(place.path("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = place.command(&["--dont-fork", "-l", "-D"]);
    let mut running = Running(command.env("NOTIFY_SOCKET", place.path("notify")).spawn().unwrap());
    let mut told = [0; 64];
    let length = notify.recv(&mut told).unwrap_or_else(|error| panic!("{error}: {}", place.text("log")));
    assert_eq!(&told[..length], b"READY=1");
    let pid = |name: &str| place.text(name).trim().parse::<u32>().ok();
    assert_eq!(pid("k.pid"), Some(running.0.id()), "the main process of the unit");
    assert!(pid("kv.pid").is_some() && pid("kv.pid") == pid("kc.pid") && pid("kv.pid") != pid("k.pid"));
    assert!(place.text("log").contains("options that have no effect here: --log-detail"), "{}", place.text("log"));
    place.wait("JSON of an active router", || {
        place.signal("JSON");
        let active = |text: String| text.contains("\"state\":2,");
        pause(Duration::from_millis(50));
        active(place.text("k.json"))
    });
    place.signal("DATA");
    place.wait("data", || place.text("k.data").contains("   State = MASTER\n"));
    assert_eq!(fs::metadata(place.path("k.data")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(place.text("k_parent.data").contains("------< Global definitions >------"));
    place.signal("STATS_CLEAR");
    place.wait("stats", || place.text("k.stats").contains("  Became master: 1\n"));
    place.wait("stats from zero", || {
        place.signal("STATS");
        place.text("k.stats").contains("  Became master: 0\n")
    });
    place.signal("STOP");
    let ended = running.0.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{}", place.text("log"));
    let length = notify.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"STOPPING=1");
    for name in ["k.pid", "kv.pid", "kc.pid"] {
        assert!(!place.path(name).exists(), "{name} is left behind");
    }
}

/// Without `-n` it goes to the background, and is found by its PID file; a second one is refused.
#[test]
fn root_in_the_background_it_is_found_by_its_pid_file() {
    let place = Place::new("umask 022");
    let started = place.command(&["-l"]).status().unwrap();
    assert!(started.success(), "{}", place.text("log"));
    place.wait("PID files", || !place.text("k.pid").is_empty() && !place.text("kv.pid").is_empty());
    place.wait("start", || place.text("log").contains("started"));
    place.signal("STATS");
    place.wait("stats", || place.text("k.stats").starts_with("VRRP Instance: VI_1\n"));
    assert_eq!(fs::metadata(place.path("k.stats")).unwrap().permissions().mode() & 0o777, 0o644);
    let log = place.text("log");
    let second = place.command(&["-n"]).status().unwrap();
    assert_eq!(second.code(), Some(1));
    assert!(place.text("log").contains("already running"), "{log}{}", place.text("log"));
    place.signal("STOP");
    place.wait("end", || !place.path("k.pid").exists());
}

/// As images are made: the program itself is called keepalived, and starts itself again by another name.
#[test]
fn root_a_copy_and_a_hard_link_start_restart_and_upgrade() {
    let copy = |program: &Path| fs::copy(env!("CARGO_BIN_EXE_meshd"), program).map(drop).unwrap();
    let hard_link = |program: &Path| {
        let original = program.with_file_name("meshd");
        copy(&original);
        fs::hard_link(original, program).unwrap();
    };
    for put in [&copy as &dyn Fn(&Path), &hard_link] {
        let place = Place::with("", put);
        let mut running = Running(place.command(&["-n", "-l"]).spawn().unwrap());
        let started = |times: usize| {
            place.wait("start", || place.text("log").matches(" started version=").count() == times);
            place.text("kv.pid").trim().parse::<u32>().unwrap()
        };
        let first = started(1);
        assert!(Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap().success());
        let second = started(2);
        assert_ne!(first, second);
        let mut control = UnixStream::connect(place.path("run/meshd.sock")).unwrap();
        let request = "POST /upgrade HTTP/1.1\r\nhost: meshd\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        control.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_ne!(second, started(3));
        place.signal("STOP");
        assert_eq!(running.0.wait().unwrap().code(), Some(0), "{}", place.text("log"));
    }
}

/// On a virtual MAC address as on any other, and of both families.
#[test]
fn root_addresses_that_only_forward_take_nothing() {
    let place = Place::new("");
    let router = |vrid: u8, more: &str, addresses: &str| {
        format!(
            "vrrp_instance VI_{vrid} {{\n interface v0\n virtual_router_id {vrid}\n priority 200\n version 3\n advert_int 0.1\n \
             no_accept\n use_vmac\n {more}\n virtual_ipaddress {{\n {addresses}\n }}\n}}\n"
        )
    };
    let config = router(51, "", "10.9.0.100/24")
        + &router(52, "vmac_xmit_base", "10.9.0.101/24")
        + &router(53, "", "fe80::100/64\n fd77::100/64");
    fs::write(place.path("k.conf"), config).unwrap();
    let mut running = Running(place.command(&["-n", "-l"]).spawn().unwrap());
    place.wait("active routers", || place.text("log").matches(": ACTIVE ").count() == 3);
    let inside = |command: &str| {
        let pid = running.0.id().to_string();
        Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-c", command]).output().unwrap()
    };
    let added = || String::from_utf8(inside("ip -o address").stdout).unwrap();
    for address in ["10.9.0.100", "10.9.0.101", "fd77::100"] {
        place.wait(address, || added().contains(&format!(" {address}/")));
        let ping = |address: &str| inside(&format!("ping -q -c 1 -W 0.3 {address}")).status.success();
        assert!(!ping(address), "{address} answers");
        assert!(ping("10.9.0.1"), "the host's own address does not answer");
    }
    for (family, elements) in [("ip", "10.9.0.100, 10.9.0.101"), ("ip6", "fd77::100")] {
        let set = String::from_utf8(inside(&format!("nft list set {family} meshd_accept unaccepted")).stdout).unwrap();
        assert!(set.contains(elements), "{set}");
    }
    assert!(!place.text("log").contains("no_accept"), "{}", place.text("log"));
    place.signal("STOP");
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "{}", place.text("log"));
}

/// The longest silence of each virtual router but one, as the other end of the cable heard it from `begin` on.
fn longest_gap(capture: &str, begin: f64, but: u32) -> (f64, u32, usize) {
    let mut last = std::collections::BTreeMap::new();
    let mut longest = (0.0, 0);
    for line in capture.lines() {
        let Some((time, rest)) = line.split_once(' ') else { continue };
        let vrid = rest.split_once("vrid ").and_then(|(_, rest)| rest.split(',').next()?.parse::<u32>().ok());
        let (Ok(time), Some(vrid)) = (time.parse::<f64>(), vrid) else { continue };
        if time < begin || vrid == but {
            continue;
        }
        if let Some(before) = last.insert(vrid, time)
            && time - before > longest.0
        {
            longest = (time - before, vrid);
        }
    }
    (longest.0, longest.1, last.len())
}

/// 255 routers, one of them changed: the other 254 are not touched.
#[test]
fn root_a_reload_leaves_no_gap_in_the_adverts_of_what_did_not_change() {
    let place = Place::new("");
    let config = |priority: u32| {
        let router = |vrid: u32| {
            let priority = if vrid == 7 { priority } else { 100 };
            format!(
                "vrrp_instance VI_{vrid} {{\n interface v0\n virtual_router_id {vrid}\n priority {priority}\n \
                 virtual_ipaddress {{\n 10.9.1.{vrid}\n }}\n}}\n"
            )
        };
        fs::write(place.path("k.conf"), (1..=255).map(router).collect::<String>()).unwrap();
    };
    config(100);
    let listen = format!(
        "setpriv --pdeathsig KILL tcpdump -Z root -i v1 -n -tt -l -B 8192 proto 112 >{} 2>/dev/null &",
        place.path("capture").display()
    );
    let mut running = Running(place.command_beside(&listen, &["-n"]).spawn().unwrap());
    let heard = || longest_gap(&place.text("capture"), 0.0, 0).2;
    place.wait("adverts of all routers", || heard() == 255);
    let begin = clock::unix_time().as_secs_f64();
    pause(Duration::from_millis(1200));
    config(101);
    place.signal("RELOAD");
    place.wait("reload", || place.text("log").contains("configuration read again"));
    pause(Duration::from_millis(2200));
    let (gap, vrid, routers) = longest_gap(&place.text("capture"), begin, 7);
    assert_eq!(routers, 254);
    println!("longest gap: {gap:.3} s (vrid {vrid})");
    assert!(gap <= 1.1, "{gap:.3} s without an advert of vrid {vrid}");
    place.signal("STOP");
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "{}", place.text("log"));
}
