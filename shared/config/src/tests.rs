use super::*;
use crate::report::Severity;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

const CONF: &str = include_str!("../fixtures/director.conf");
const TOML: &str = include_str!("../fixtures/director.toml");
const AS_FOUND: &str = include_str!("../fixtures/as-found.conf");
const LANGUAGE: &str = include_str!("../fixtures/language.conf");
const PLAIN: &str = include_str!("../fixtures/language-plain.conf");
const EXAMPLE: &str = include_str!("../../../deploy/examples/meshd.toml");

fn read(text: &str) -> (Option<Config>, Report) {
    parse(Path::new("f"), text, &Host::none())
}

fn said(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_language_is_told_from_the_content() {
    for toml in ["[mesh]\n", "# c\n\n  [[router]]", "a = 1", "mesh.name=\"x\"", "\"a\" = 2", "\u{feff}[mesh]"] {
        assert!(is_toml(toml), "{toml:?}");
    }
    for conf in
        ["", "# only a comment = x\n! [x]\n", "global_defs {\n}", "! x\nvrrp_instance a=b {", "$X=1", "= 1", "}"]
    {
        assert!(!is_toml(conf), "{conf:?}");
    }
}

#[test]
fn what_is_no_utf8_is_latin1_where_that_can_be_text() {
    let read = |bytes: &[u8]| {
        let (config, report) = super::read(Path::new("f"), bytes.to_vec(), &Host::none());
        (config, said(&report))
    };
    let (config, found) = read(b"# \xe4 \x80\n! \xe4\nglobal_defs {\n router_id \xc3\xbc\xfc # \x01\xe4\n}\n");
    assert_eq!(config.unwrap().router_id.as_deref(), Some("\u{fc}\u{fc}"), "UTF-8 stays what it is beside it");
    assert_eq!(found, ["f:4:13: warning: this is no UTF-8; it is read as Latin-1"]);
    let (config, found) =
        read(b"global_defs {\n router_id \xfc\n notification_email_from \xfc@x\n email_faults \xfc\n}\n");
    assert!(config.is_some());
    assert_eq!(found[0], "f:2:12: warning: this is no UTF-8; it is read as Latin-1, and so are 2 further lines");
    for (bytes, error) in [
        (&b"# x\n a \x80\n"[..], "f:2:4: error: this is no text; expected a configuration in UTF-8"),
        (b"\x7fELF\x02\x01\x01\0\0\xff\n", "f:1:10: error: this is no text; expected a configuration in UTF-8"),
        (b"[mesh]\nname = \"\xfc\"\n", "f:2:9: error: this is no text; expected a configuration in UTF-8"),
        (
            b"authentication { auth_pass \xfc\n",
            "f:1:28: error: what is no UTF-8 would be other bytes in adverts; expected a password or a key in UTF-8",
        ),
        (b" key 1 \xfc\n", "f:1:8: error: what is no UTF-8 would be other bytes in adverts"),
    ] {
        let (config, found) = read(bytes);
        assert!(config.is_none() && found.len() == 1 && found[0].starts_with(error), "{found:#?}, not {error}");
    }
    // The first line of what is no text ends it, however much follows.
    let mut binary = b"\xff\0\n".to_vec();
    binary.resize(64 << 20, 0xfe);
    assert_eq!(read(&binary).1, ["f:1:1: error: this is no text; expected a configuration in UTF-8"]);
}

#[test]
fn twins_in_both_languages_are_equal() {
    let (conf, conf_report) = read(CONF);
    let (toml, toml_report) = read(TOML);
    assert_eq!(conf_report.worst(), None, "{:#?}", said(&conf_report));
    assert_eq!(toml_report.worst(), None, "{:#?}", said(&toml_report));
    assert!(conf.is_some());
    assert_eq!(conf, toml);
}

#[test]
fn the_example_is_usable_and_uses_every_key() {
    let (config, report) = read(EXAMPLE);
    let config = config.unwrap_or_else(|| panic!("{:#?}", said(&report)));
    assert_eq!((config.routers.len(), config.track_scripts.len(), config.virtual_servers.len()), (3, 1, 3));
    assert_eq!(config.mesh.lease, model::LeaseTime::Fast);
    // Every field of the schema is a line `pub(super) name: …`.
    let schema = [
        include_str!("native/schema.rs"),
        include_str!("native/services.rs"),
        include_str!("native/notify.rs"),
        include_str!("native/bfd.rs"),
        include_str!("native/conduct.rs"),
    ];
    let lines = schema.iter().flat_map(|text| text.lines()).map(str::trim);
    let mut count = 0;
    for field in lines.filter_map(|l| l.strip_prefix("pub(super) ")) {
        let Some((name, _)) = field.split_once(':').filter(|(name, _)| !name.contains(' ')) else { continue };
        let name = if name == "kind" { "type" } else { name };
        let is_key = |line: &str| {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '=');
            let words: Vec<&str> = words.by_ref().filter(|w| !w.is_empty()).collect();
            words.windows(2).any(|pair| pair == [name, "="]) || line.starts_with('[') && words.contains(&name)
        };
        assert!(EXAMPLE.lines().any(is_key), "`{name}` is no key of the example");
        count += 1;
    }
    assert!(count > 150, "{count} keys are not all of the schema");
}

#[test]
fn a_file_as_found_is_usable_and_every_oddity_is_placed() {
    let (config, report) = read(AS_FOUND);
    let router = &config.expect("usable").routers[0];
    assert_eq!(router.name, "VI_1");
    assert!(router.strict && router.auth_pass.is_none() && !router.initial_active);
    assert_eq!(router.addresses.len(), 2);
    let warned: Vec<(usize, usize)> = report
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Warning)
        .map(|f| (f.place.line, f.place.column))
        .collect();
    let expected = [(5, 35), (8, 35), (12, 4), (13, 23), (14, 22), (17, 15), (24, 5), (40, 5), (46, 13), (48, 20)];
    assert_eq!(warned, expected);
}

#[test]
fn keys_are_given() {
    let one = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n";
    let other = one.replace("A {", "B {").replace("eth0", "eth1").replace("10.0.0.1", "10.0.0.2");
    assert_eq!(read(one).0.unwrap().routers[0].key.segment, 0);
    let both = read(&format!("{one}{other}")).0.unwrap();
    assert_ne!(both.routers[0].key.segment, 0);
    assert_ne!(both.routers[0].key.segment, both.routers[1].key.segment);
}

#[test]
fn missing_interfaces_are_placed() {
    let (_, report) = read(CONF);
    assert!(report.places.missing_interfaces(&["eth0".into(), "eth1".into()], false).is_empty());
    let missing = report.places.missing_interfaces(&["eth0".into()], false);
    let places: Vec<(usize, usize)> = missing.iter().map(|f| (f.place.line, f.place.column)).collect();
    assert_eq!(places, [(22, 20), (71, 20), (109, 12), (122, 15)]);
    assert!(missing.iter().all(|f| f.severity == Severity::Error && f.message.contains("`eth1`")));
    let later = report.places.missing_interfaces(&["eth0".into()], true);
    assert!(later.len() == 4 && later.iter().all(|f| f.severity == Severity::Ignored));
}

/// As in keepalived, which refuses to start with each of them.
#[test]
fn interfaces_of_routes_and_rules_have_to_exist() {
    let conf = "static_ipaddress {
 10.7.0.1/24 dev eth9
}
static_routes {
 10.8.0.0/16 via 10.0.0.9 dev eth9
}
static_rules {
 from 10.8.0.0/16 iif eth9 table 7
}
vrrp_instance A {
 interface eth0
 virtual_router_id 51
 use_vmac gw
 virtual_ipaddress {
  10.0.0.1
 }
 virtual_routes {
  10.9.0.0/16 nexthop via 10.0.0.8 dev eth0 nexthop via 10.0.0.9 dev eth9
  10.10.0.0/16 dev gw
  10.11.0.0/16 via 10.0.0.9
 }
 virtual_rules {
  oif eth9 iif lo table 7
 }
}
";
    let toml = "[host]
addresses = [{ address = \"10.7.0.1/24\", interface = \"eth9\" }]
routes = [\"10.8.0.0/16 via 10.0.0.9 dev eth9\"]
rules = [\"from 10.8.0.0/16 iif eth9 table 7\"]
[[router]]
name = \"A\"
interface = \"eth0\"
vrid = 51
vmac = { name = \"gw\" }
addresses = [\"10.0.0.1\"]
routes = [
 \"10.9.0.0/16 nexthop via 10.0.0.8 dev eth0 nexthop via 10.0.0.9 dev eth9\",
 \"10.10.0.0/16 dev gw\",
 \"10.11.0.0/16 via 10.0.0.9\",
]
rules = [\"oif eth9 iif lo table 7\"]
";
    let missing = |text, dynamic| {
        let (config, report) = read(text);
        assert!(config.is_some(), "{:?}", report.findings);
        let found = report.places.missing_interfaces(&["eth0".into(), "lo".into()], dynamic);
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let expected = |places: [(usize, usize); 5], severity: &str, yet: &str| {
        let whose = ["static address", "route", "rule", "route", "rule"].into_iter().zip(places);
        let line = |(what, (line, column))| {
            format!(
                "f:{line}:{column}: {severity}: the {what} needs interface `eth9`, which does not exist on this host{yet}"
            )
        };
        whose.map(line).collect::<Vec<_>>()
    };
    let in_conf = [(2, 18), (5, 31), (8, 23), (18, 70), (23, 7)];
    let in_toml = [(2, 14), (3, 11), (4, 10), (12, 2), (16, 10)];
    assert_eq!(missing(conf, false), expected(in_conf, "error", ""));
    assert_eq!(missing(conf, true), expected(in_conf, "ignored", " yet"));
    assert_eq!(missing(toml, false), expected(in_toml, "error", ""));
}

/// Ten thousand real servers, each with a check, and all of them out of the ordinary.
#[test]
fn large_files_are_read_in_linear_time() {
    let servers: String = (0..10_000)
        .map(|i| {
            let (high, low) = (i / 250, i % 250);
            format!(" real_server 10.9.{high}.{low} 80 {{\n  weight 1\n  TCP_CHECK {{\n   connect_timeout 3\n   nb_get_retry 3\n  }}\n }}\n")
        })
        .collect();
    let text = format!("virtual_server 10.0.0.1 80 {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n{servers}}}\n");
    let (config, report) = read(&text);
    assert_eq!(config.expect("usable").virtual_servers[0].real_servers.len(), 10_000);
    assert_eq!(report.findings.len(), 10_000);
}

/// Files by their names.
pub(crate) struct Texts<'t>(pub(crate) BTreeMap<&'t str, &'t str>);

impl host::Files for Texts<'_> {
    fn read(&self, path: &Path, _: u64) -> io::Result<Vec<u8>> {
        let text = path.to_str().and_then(|path| self.0.get(path));
        text.map(|text| text.as_bytes().to_vec()).ok_or(io::ErrorKind::NotFound.into())
    }
    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let inside = self.0.keys().filter_map(|path| Path::new(path).strip_prefix(directory).ok());
        Ok(inside.map(|path| path.as_os_str().to_owned()).collect())
    }
    fn one_name(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }
}

pub(crate) fn read_with(text: &str, files: &Texts<'_>) -> (Option<Config>, Report) {
    let host = Host { files, config_id: "lb1", directory: "/etc".into(), environment: &|_| None, seed: 1 };
    parse(Path::new("fixtures/f"), text, &host)
}

/// What language.conf includes.
fn parts() -> Texts<'static> {
    Texts(BTreeMap::from([
        ("fixtures/parts/scripts.conf", include_str!("../fixtures/parts/scripts.conf")),
        ("fixtures/parts/script.conf", include_str!("../fixtures/parts/script.conf")),
    ]))
}

#[test]
fn the_language_changes_nothing_but_the_writing() {
    let (language, report) = read_with(LANGUAGE, &parts());
    let (plain, plain_report) = read_with(PLAIN, &parts());
    let missing = "fixtures/f:17:9: ignored: there is no file `fixtures/parts/none.conf`; nothing is included";
    assert_eq!(said(&report), [missing]);
    assert!(plain_report.findings.is_empty(), "{:#?}", said(&plain_report));
    assert_eq!(plain.as_ref().expect("usable").routers.len(), 3);
    assert_eq!(language, plain);
}

#[test]
fn findings_in_a_variable_say_where_it_is_used_first() {
    let (_, report) = read_with(&LANGUAGE.replace("  priority $P", "  prioritie $P"), &parts());
    let found = said(&report);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(
        found[1],
        "fixtures/f:24:3: warning: unknown keyword `prioritie`; skipped (did you mean `priority`?) \
         (in `$INSTANCE`, used in line 41)"
    );
}

fn assert_sound(text: &str) {
    assert_sound_with(text, &Texts(BTreeMap::new()));
}

fn assert_sound_with(text: &str, files: &Texts<'_>) {
    let (config, report) = read_with(text, files);
    assert!(report.findings.is_sorted_by_key(|f| &f.place), "findings out of order");
    assert_eq!(config.is_none(), report.worst() == Some(Severity::Error));
    for finding in &report.findings {
        let place = &finding.place;
        let text = place.file.to_str().and_then(|file| files.0.get(file)).unwrap_or(&text);
        let lines = text.split('\n').count();
        let width = text.split('\n').nth(place.line - 1).map_or(0, |l| l.chars().count());
        assert!(place.line <= lines && (1..=width + 1).contains(&place.column), "{finding} is outside the text");
        assert!(!finding.message.is_empty());
    }
    for router in config.iter().flat_map(|c| &c.routers) {
        assert!(router.priority > 0 && router.key.vrid > 0);
        assert!(!router.advert_interval.is_zero() && !router.interface.is_empty());
    }
}

/// A fixture with some of its lines dropped, doubled, swapped or spoilt.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let edits =
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..7u8, ".{0,6}"), 1..6);
    edits.prop_map(move |edits| {
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        for (a, b, what, junk) in edits {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            match what {
                0 => lines[a].clear(),
                1 => lines.swap(a, b),
                2 => lines[a] = lines[b].clone(),
                3 => lines[a].push_str(&junk),
                4 => lines[a].insert_str(0, &junk),
                5 => lines[a] = lines[a].replace(|c: char| c.is_ascii_digit(), &junk),
                _ => lines[a] = lines[a].replace(['{', '}', '"'], " "),
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in "(?s).{0,200}") {
        assert_sound(&text);
    }

    #[test]
    fn any_words_are_survived(words in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "\n", "\"", "#", "vrrp_instance", "A", "virtual_ipaddress", "10.0.0.1", "interface", "eth0", "state",
        "MASTER", "virtual_router_id", "51", "global_defs", "vrrp_script", "script", "track_script", "weight", "-5",
        "virtual_server", "real_server", "TCP_CHECK", "HTTP_GET", "url", "path", "authentication", "auth_type", "[", "]",
        "=", "[[router]]", "${X}", "@x", "include", "18446744073709551615", "0.000000001", "advert_int",
    ]), 0..60)) {
        assert_sound(&words.join(" "));
    }

    #[test]
    fn mutated_files_are_survived(text in prop_oneof![
        mutated(CONF), mutated(AS_FOUND), mutated(TOML), mutated(EXAMPLE), mutated(LANGUAGE)
    ]) {
        assert_sound_with(&text, &parts());
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match decode(bytes) {
            Ok(text) => assert_sound(&text),
            Err((line, column)) => prop_assert!(line > 0 && column > 0),
        }
    }

    /// Files that include each other, with all of the language.
    #[test]
    fn any_language_is_survived(words in prop::collection::vec(prop::sample::select(vec![
        "\n", "\n", "\n", "\\\n", "$A=", "$B=", "$A", "${A}", "${B}", "$B", "x", "1", "\"", "#", "!", "\\#", "{", "}", "@lb1", "@^lb1",
        "@lb2", "~SEQ(A,1,3)", "~SEQ(B,${A})", "~SEQx(A,3,-1,1)", "~SEQ(A,1,", "~LST({A,B},{1,2},{3})", "~LST(A,${B},x)", "include a",
        "include f", "include *", "includea b", "include {a,b}", "include_check", "+match", "${_HASH}", "$_BANG", "${_PWD}",
        "${_RANDOM 1 2}", "${_RANDOM 2 1}", "${_ENV X}", "vrrp_instance", "virtual_ipaddress", "10.0.0.1", "global_defs", "é",
    ]), 0..80), cuts in any::<[prop::sample::Index; 2]>()) {
        let [mut first, mut second] = cuts.map(|cut| cut.index(words.len() + 1));
        (first, second) = (first.min(second), first.max(second));
        let texts = [&words[..first], &words[first..second], &words[second..]].map(|part| part.join(" "));
        let files = [("fixtures/f", &*texts[0]), ("fixtures/a", &*texts[1]), ("fixtures/b", &*texts[2])];
        assert_sound_with(&texts[0], &Texts(BTreeMap::from(files)));
    }
}
