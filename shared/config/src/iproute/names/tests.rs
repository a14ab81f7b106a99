use super::*;
use crate::iproute::{route, rule};
use crate::model::RuleAction;
use crate::tests::Texts;

fn host() -> Texts<'static> {
    Texts(BTreeMap::from([
        ("/usr/share/iproute2/rt_tables", "254 main\n7 uplink\n"),
        ("/etc/iproute2/rt_tables", "# mine\n8\tuplink # eight\n0x10 hex\nnonsense\n9 two words\n99999999999 large\n"),
        ("/etc/iproute2/rt_tables.d/one.conf", "30 added\n"),
        ("/etc/iproute2/rt_tables.d/README", "31 no_table\n"),
        ("/etc/iproute2/rt_protos", "77 mine\n300 large\n"),
        ("/etc/iproute2/rt_scopes", "130 campus\n"),
        ("/etc/iproute2/rt_realms", "13 cosmos\n"),
        ("/etc/iproute2/rt_dsfield", "0xb8 EF\n"),
        ("/own/rt_tables", "44 own\n"),
    ]))
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn names_of_the_host_stand_for_their_numbers() {
    let files = host();
    let names = Names::new(&files);
    let found = route(
        &words("10.0.0.0/8 dev a table uplink protocol mine scope campus tos EF realms cosmos/5 no_track"),
        &names,
    );
    let found = found.unwrap();
    assert_eq!((found.table, found.protocol, found.scope, found.tos), (8, Some(77), 130, 0xb8));
    assert_eq!(found.hops[0].realms, Some((13, 5)));
    let found = rule(&words("from 10.0.0.0/8 tos EF realms 1/cosmos table added"), &names).unwrap();
    assert_eq!((found.action, found.tos, found.realms), (RuleAction::Table(30), 0xb8, Some((1, 13))));
    assert_eq!(route(&words("10.0.0.0/8 dev a table hex"), &names).unwrap().table, 16);
    assert_eq!(route(&words("10.0.0.0/8 dev a table main"), &names).unwrap().table, 254, "every host has it");
}

#[test]
fn what_is_no_name_is_told() {
    let files = host();
    let names = Names::new(&files);
    for (line, word) in [("table no_table", 4), ("table large", 4), ("table two", 4), ("protocol large", 4)] {
        let wrong = route(&words(&format!("10.0.0.0/8 dev a {line}")), &names).unwrap_err();
        assert_eq!(wrong.word, word, "{line}: {}", wrong.message);
        assert!(wrong.message.contains("a name from /etc/iproute2"), "{}", wrong.message);
    }
    let wrong = route(&words("10.0.0.0/8 dev a table uplink"), &Names::none()).unwrap_err();
    assert!(wrong.message.starts_with("`uplink` is no value for `table`"), "{}", wrong.message);
}

#[test]
fn the_directories_can_be_others() {
    let files = host();
    let mut names = Names::new(&files);
    names.of_distribution("/own".into());
    names.of_operator("/none".into());
    assert_eq!(names.find(Kind::Table, "own"), Some(44));
    assert_eq!(names.find(Kind::Table, "uplink"), None);
}
