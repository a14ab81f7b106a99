//! `meshctl convert`: the binary on files, keepalived's own samples among them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use mesh_config::host::Host;

const CONF: &str = "vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    bogus 7
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        10.0.0.80/24
    }
}
";

/// Half of a key.
const HEX: &str = "30313233343536373839616263646566";

fn convert(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.current_dir(dir).arg("convert").args(arguments).output().expect("meshctl was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_change_is_told_and_is_in_the_file_which_only_its_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("k.conf"), CONF).unwrap();
    let shown = convert(dir.path(), &["k.conf"]);
    assert_eq!(shown.status.code(), Some(0));
    let expected = "# Converted from k.conf.
# What is different here, or has no effect:
# k.conf:4:5: warning: unknown keyword `bogus` in `vrrp_instance`; skipped

[[router]]
name = \"VI_1\"
interface = \"eth0\"
vrid = 51
auth_pass = \"1111\"
addresses = [\"10.0.0.80/24\"]
";
    assert_eq!(text(&shown.stdout), expected);
    assert_eq!(text(&shown.stderr), "k.conf:4:5: warning: unknown keyword `bogus` in `vrrp_instance`; skipped\n");
    let saved = convert(dir.path(), &["k.conf", "--output", "meshd.toml"]);
    assert_eq!((saved.status.code(), text(&saved.stdout)), (Some(0), String::new()));
    let output = dir.path().join("meshd.toml");
    assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&output).unwrap(), expected);
    let again = convert(dir.path(), &["k.conf", "--output", "meshd.toml"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("meshd.toml is there already"), "{}", text(&again.stderr));
}

#[test]
fn what_cannot_be_carried_has_its_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("k.conf"), CONF.replace("51", "510")).unwrap();
    let refused = convert(dir.path(), &["k.conf", "--output", "meshd.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("k.conf:3:23: error:"), "{}", text(&refused.stderr));
    assert!(!dir.path().join("meshd.toml").exists());
    let missing = convert(dir.path(), &["nonesuch"]);
    assert!(text(&missing.stderr).contains("cannot read nonesuch"), "{}", text(&missing.stderr));
}

#[test]
fn keys_go_to_a_file_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let header = CONF.replace("PASS", "AH").replace("1111", "hushhush");
    let block = &CONF[CONF.find("    authentication").unwrap()..CONF.find("    virtual_ip").unwrap()];
    let hmac = format!("    auth_hmac {{\n key 7 file:{}/key\n active_key 7\n }}\n", dir.path().display());
    let signed = CONF.replace(block, &hmac);
    let keys = [
        (header, "hushhush", "auth_pass = \"hushhush\"\nauth_type = \"ah\"\n".to_owned()),
        (
            signed,
            "3031323334",
            format!("auth_hmac = {{ keys = {{ 7 = \"hex:{}\" }}, active_key = 7 }}\n", HEX.repeat(2)),
        ),
    ];
    for (i, (conf, key, line)) in keys.iter().enumerate() {
        fs::write(dir.path().join("k.conf"), conf).unwrap();
        let shown = convert(dir.path(), &["k.conf"]);
        assert_eq!((shown.status.code(), text(&shown.stdout)), (Some(1), String::new()));
        let said = text(&shown.stderr);
        assert!(said.contains("k.conf holds authentication keys") && !said.contains(key), "{said}");
        let name = format!("{i}.toml");
        let saved = convert(dir.path(), &["k.conf", "--output", &name]);
        assert_eq!(saved.status.code(), Some(0), "{}", text(&saved.stderr));
        assert!(!text(&saved.stderr).contains(key));
        let output = dir.path().join(name);
        assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
        let written = fs::read_to_string(&output).unwrap();
        assert!(written.contains(line), "no {line:?} in {written}");
    }
}

/// The package keepalived brings them; the tests beside the real one need it, too.
#[test]
fn root_keepalived_s_samples_mean_the_same_in_both_languages() {
    let samples = Path::new("/usr/share/doc/keepalived/samples");
    let mut converted = 0;
    for entry in fs::read_dir(samples).expect("apt-get install keepalived") {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if !name.contains("/keepalived.conf.") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let host = Host { config_id: "lb1", ..Host::none() };
        let config = mesh_config::parse(&path, &source, &host).0.unwrap_or_else(|| panic!("{name} is unusable"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("meshd.toml");
        let output = convert(samples, &[&name, "--config-id", "lb1", "--output", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
        let written = fs::read_to_string(&file).unwrap();
        let (again, report) = mesh_config::native::parse(Path::new("t"), &written, &Host::none());
        let again = again.unwrap_or_else(|| panic!("{name}: {:?}", report.findings));
        assert!(mesh_config::native::same(&again, &config), "{name}");
        converted += 1;
    }
    assert!(converted >= 25, "{converted} samples");
}
