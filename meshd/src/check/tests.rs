use super::*;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const INSTANCE: &str = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n track_script {\n  s\n }\n \
                        virtual_ipaddress {\n  10.0.0.1\n }\n}\n";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
    /// The outcome on a host that has eth0 only.
    fn examine(&self, text: &str) -> Examined {
        examine(&self.write("f.conf", text, 0o644), &["eth0".into()], Some("lb1")).unwrap()
    }
}

/// A configuration that tracks `command`, with `global` in `global_defs`.
fn tracking(command: &str, global: &str) -> String {
    format!("global_defs {{ {global}\n}}\nvrrp_script s {{\n script \"{command}\"\n}}\n{INSTANCE}")
}

fn said(examined: &Examined) -> String {
    examined.report.findings.iter().fold(String::new(), |mut text, finding| {
        let _ = writeln!(text, "{finding}");
        text
    })
}

fn tracked(examined: &Examined) -> usize {
    let config = examined.config.as_ref().unwrap();
    assert_eq!(config.track_scripts.len(), config.routers[0].track.scripts.len());
    config.track_scripts.len()
}

#[test]
fn exit_codes() {
    let files = Files::new();
    let clean = INSTANCE.replace(" track_script {\n  s\n }\n", "");
    assert_eq!(files.examine("").exit_code(), 0);
    assert_eq!(files.examine(&clean).exit_code(), 0);
    assert_eq!(files.examine(&format!("global_defs {{\n smtp_alert\n}}\n{clean}")).exit_code(), 0);
    assert_eq!(files.examine(&format!("foo\n{clean}")).exit_code(), CHANGED);
    assert_eq!(files.examine(&clean.replace("51", "300")).exit_code(), UNUSABLE);
    assert_eq!(files.examine(&tracking("/bin/true", "script_user root")).exit_code(), SECURITY_OFF);
    // Unusable weighs more than script security.
    let both = tracking("/bin/true", "script_user root").replace("51", "300");
    assert_eq!(files.examine(&both).exit_code(), UNUSABLE);
}

#[test]
fn a_missing_interface_is_an_error_at_its_place() {
    let files = Files::new();
    let examined = files.examine(&INSTANCE.replace("eth0", "eth7").replace(" track_script {\n  s\n }\n", ""));
    assert_eq!(examined.exit_code(), UNUSABLE);
    assert!(said(&examined).contains("f.conf:2:12: error: `A` needs interface `eth7`"), "{}", said(&examined));
}

#[test]
fn script_security_off_is_said_once() {
    let files = Files::new();
    let text =
        format!("vrrp_script t {{\n script /bin/true\n user root\n}}\n{}", tracking("/bin/true", "script_user root"));
    let examined = files.examine(&text);
    assert_eq!(said(&examined).matches("script security is off").count(), 1);
    assert!(
        examined.summary().starts_with("usable, script security is off: 0 errors, 1 warning"),
        "{}",
        examined.summary()
    );
}

#[test]
fn a_system_program_with_security_is_fine() {
    let examined = Files::new().examine(&tracking("true", "script_user root\n enable_script_security"));
    assert_eq!((examined.exit_code(), tracked(&examined)), (0, 1), "{}", said(&examined));
}

#[test]
fn a_script_that_does_not_exist_is_not_tracked() {
    for command in ["/nonexistent/check", "no-such-program-anywhere", "/etc"] {
        let examined = Files::new().examine(&tracking(command, "script_user root"));
        assert_eq!((examined.exit_code(), tracked(&examined)), (CHANGED, 0));
        assert!(said(&examined).contains(&format!("4:9: warning: `{command}` does not exist")), "{}", said(&examined));
    }
}

#[test]
fn a_script_without_its_user_is_not_tracked() {
    let examined = Files::new().examine(&tracking("/bin/true", "script_user no-such-user"));
    assert_eq!((examined.exit_code(), tracked(&examined)), (CHANGED, 0));
    assert!(said(&examined).contains("1:27: warning: there is no user `no-such-user`\n"), "{}", said(&examined));
    let examined = Files::new().examine(&tracking("/bin/true", "script_user root no-such-group"));
    assert!(said(&examined).contains("1:27: warning: there is no group `no-such-group`\n"), "{}", said(&examined));
    assert_eq!(tracked(&examined), 0);
}

/// The temporary directory is writable by everybody.
#[test]
fn an_insecure_script_is_not_run_by_root() {
    let files = Files::new();
    let path = files.write("check", "#!/bin/sh\n", 0o777);
    let command = path.to_str().unwrap();
    let examined = files.examine(&tracking(command, "script_user root\n enable_script_security"));
    assert_eq!((examined.exit_code(), tracked(&examined)), (CHANGED, 0), "{}", said(&examined));
    let examined = files.examine(&tracking(command, "script_user root"));
    assert_eq!((examined.exit_code(), tracked(&examined)), (SECURITY_OFF, 1));
    assert!(said(&examined).contains("runs as root, but everybody can write"), "{}", said(&examined));
    let examined = files.examine(&tracking(command, "script_user nobody\n enable_script_security"));
    assert_eq!((examined.exit_code(), tracked(&examined)), (0, 1), "{}", said(&examined));
}

/// Notifications, services, checks, FIFOs, the start: all that runs goes through the one check, each at its place.
#[test]
fn every_program_that_cannot_run_is_named_at_its_place_and_left_out() {
    let files = Files::new();
    let text = format!(
        "global_defs {{\n script_user root\n notify_fifo /run/f\n notify_fifo_script /none/1\n startup_script /none/2\n}}\n\
         {}virtual_server 10.0.0.1 80 {{\n quorum_up /none/4\n real_server 10.0.0.2 80 {{\n  notify_up /bin/true\n  \
         MISC_CHECK {{\n   misc_path \"/none/5 x\"\n  }}\n  TCP_CHECK {{\n  }}\n }}\n}}\n",
        INSTANCE
            .replace(" virtual_router_id 51", " virtual_router_id 51\n notify_master \"/none/3 a\"\n notify /bin/true")
    );
    let examined = files.examine(&text);
    let missing = |number: u32| format!("ignored: `/none/{number}` does not exist or is no file; it is not run");
    let all = said(&examined);
    let lines: Vec<&str> = all.lines().filter(|line| line.contains("is not run")).collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let places = [":4:21: ", ":5:17: ", ":10:16: ", ":20:12: ", ":24:14: "];
    for (line, (place, number)) in lines.iter().zip(places.iter().zip(1..)) {
        assert!(line.contains(place) && line.ends_with(&missing(number)), "{line} at {place}");
    }
    let config = examined.config.as_ref().unwrap();
    let (router, server) = (&config.routers[0], &config.virtual_servers[0]);
    assert!(router.notify.active.is_none() && router.notify.any.is_some());
    assert!(config.notify.startup.is_none() && config.notify.fifo.as_ref().unwrap().script.is_none());
    assert!(server.quorum_up.is_none() && server.real_servers[0].notify_up.is_some());
    assert_eq!(server.real_servers[0].checks.len(), 1, "the check by a script is left out, the other stays");
    assert_eq!(examined.exit_code(), SECURITY_OFF, "what runs runs without script security");
    let secure = text.replace(" script_user root\n", " script_user root\n enable_script_security\n");
    let secure = secure.replace(" quorum_up", " protocol TCP\n lb_algo rr\n lb_kind NAT\n quorum_up");
    let examined = files.examine(&secure.replace(" track_script {\n  s\n }\n", ""));
    assert_eq!(examined.exit_code(), 0, "as with keepalived: {}", said(&examined));
}

#[test]
fn a_script_that_is_not_executable_is_named() {
    let files = Files::new();
    let path = files.write("check", "#!/bin/sh\n", 0o700);
    let examined = files.examine(&tracking(path.to_str().unwrap(), "script_user nobody\n enable_script_security"));
    assert_eq!((examined.exit_code(), tracked(&examined)), (0, 1), "as with keepalived");
    assert!(said(&examined).contains("is not executable for user `nobody`"), "{}", said(&examined));
}

#[test]
fn files_that_cannot_be_read() {
    let files = Files::new();
    let error = |path: &Path| format!("{:#}", load(path, None).unwrap_err());
    let missing = files.0.path().join("none");
    assert_eq!(error(&missing), format!("cannot read {}: No such file or directory (os error 2)", missing.display()));
    assert!(error(files.0.path()).ends_with("it is a directory; expected a file"));
    assert!(error(Path::new("/dev/zero")).ends_with("it is no regular file"));
    let binary = error(&files.write("binary", b"! a \xe9\n a \x80\n", 0o644));
    assert!(binary.contains("binary:2:4: error: this is no text"), "{binary}");
    let large = files.write("large", "", 0o644);
    fs::OpenOptions::new().write(true).open(&large).unwrap().set_len(100 << 20).unwrap();
    assert!(error(&large).ends_with("it is larger than 64 MiB"));
}

#[test]
fn load_names_every_error() {
    let files = Files::new();
    let path = files.write("f.conf", INSTANCE.replace("51", "300").replace(" interface eth0", ""), 0o644);
    let error = format!("{:#}", load(&path, None).unwrap_err());
    let path = path.display();
    assert!(
        error.starts_with(&format!("{path} cannot be used:\n{path}:1:15: error: `A` has no `interface`")),
        "{error}"
    );
    assert!(error.contains(&format!("\n{path}:3:20: error: `300` is no value")), "{error}");
    assert!(!error.contains("warning"), "{error}");
}

#[test]
fn load_gives_what_is_usable() {
    let files = Files::new();
    let text = INSTANCE.replace("eth0", "lo");
    let (config, report, summary) = load(&files.write("f.conf", text, 0o644), None).unwrap();
    assert_eq!(config.routers[0].interface, "lo");
    assert_eq!(report.worst(), Some(Severity::Warning));
    let count = report.findings.len();
    assert!(summary.contains(&format!(": 0 errors, {}, 0 ignored", plural(count, "warning"))), "{summary}");
}

#[test]
fn checks_that_can_never_succeed_are_told() {
    let files = Files::new();
    let check = |check: &str| {
        let real = format!("real_server 10.0.0.2 80 {{\n  {check}\n }}");
        files
            .examine(&format!("virtual_server 10.0.0.1 80 {{\n protocol TCP\n lb_algo rr\n lb_kind NAT\n {real}\n}}\n"))
    };
    let get = |url: &str| check(&format!("HTTP_GET {{\n   url {{\n    path /\n    {url}\n   }}\n  }}"));
    assert_eq!((said(&get("status_code 200")), get("status_code 200").exit_code()), (String::new(), 0));
    let examined = get("status_code 200\n    regex \"a(\"");
    let expected = "f.conf:6:3: warning: `10.0.0.1:80/tcp`: every check of real server 10.0.0.2:80 will fail: ";
    assert!(said(&examined).contains(expected), "{}", said(&examined));
    assert_eq!(examined.exit_code(), CHANGED);
}

/// In both languages; of what the text has, not of the default.
#[test]
fn mail_addresses_that_cannot_be_used_are_told_at_their_places() {
    let files = Files::new();
    let mail = " notification_email {\n  a@x bad@@x\n  root\n }\n notification_email_from \"no address\"";
    let examined = files.examine(&format!("global_defs {{\n{mail}\n}}\n"));
    let text = said(&examined);
    let lines: Vec<&str> = text.lines().map(|line| line.rsplit_once('/').unwrap().1).collect();
    assert!(lines[0].starts_with("f.conf:3:7: warning: `bad@@x` is no mail address: "), "{text}");
    assert!(lines[1].starts_with("f.conf:6:26: warning: `no address` is no mail address: "), "{text}");
    assert!(lines.len() == 2 && lines.iter().all(|l| l.ends_with("expected NAME or NAME@DOMAIN; not used")), "{text}");
    assert_eq!(examined.exit_code(), CHANGED);
    let examined = files.examine("[mail]\nto = [\"a@x\", \"b@\"]\nfrom = \"<>\"\n");
    let text = said(&examined);
    assert!(text.contains("f.conf:2:14: warning: `b@` is no mail address: "), "{text}");
    assert!(text.contains("f.conf:3:8: warning: `<>` is no mail address: "), "{text}");
    assert_eq!((examined.exit_code(), text.lines().count()), (CHANGED, 2), "{text}");
}
