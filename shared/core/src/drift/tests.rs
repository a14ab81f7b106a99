use mesh_config::model::{Config, VirtualRouter};

use super::*;
use crate::fixture::{key, router, vip};

fn config(routers: Vec<VirtualRouter>) -> Config {
    Config { routers, ..Config::default() }
}

fn lines(here: &Config, there: &Config) -> Vec<String> {
    let told = Description { settings: there.settings(), secrets: there.secrets([7; 32]) };
    let compared = compare("lb2", (&here.settings(), &here.secrets([7; 32])), &told);
    compared.differences.iter().map(Differs::line).collect()
}

#[test]
fn what_only_one_of_them_has_is_named() {
    let second = VirtualRouter { addresses: vec![vip("10.1.1.90/24")], ..VirtualRouter::new("VI_2", key(52), "eth0") };
    let (one, two) = (config(vec![router(200)]), config(vec![router(100), second]));
    assert_eq!(lines(&one, &two), ["lb2: VI_2 is configured there, and not here"]);
    assert_eq!(lines(&two, &one), ["lb2: VI_2 is configured here, and not there"]);
    assert_eq!(lines(&one, &one), Vec::<String>::new());
}

#[test]
fn more_than_can_be_listed_is_counted() {
    let many = (1..=150).map(|vrid| VirtualRouter::new(format!("VI_{vrid}"), key(vrid), "eth0")).collect();
    let told = Description { settings: config(many).settings(), ..Description::default() };
    let compared = compare("lb2", (&Settings::default(), &Secrets::default()), &told);
    assert_eq!((compared.differences.len(), compared.more), (MOST_DIFFERENCES, 50));
}

#[test]
fn a_setting_that_another_version_does_not_know_is_as_it_is_usually() {
    let here = config(vec![router(200)]).settings();
    let mut told = Description { settings: here.clone(), ..Description::default() };
    let settings = &mut told.settings.subjects.get_mut("4.51").unwrap().settings;
    settings.remove("down_timer_adverts");
    settings.insert("new".to_owned(), Setting { value: "no".to_owned(), usual: true });
    let differences = |told: &Description| {
        let compared = compare("lb2", (&here, &Secrets::default()), told);
        compared.differences.iter().map(Differs::line).collect::<Vec<_>>()
    };
    assert_eq!(differences(&told), Vec::<String>::new());
    let settings = &mut told.settings.subjects.get_mut("4.51").unwrap().settings;
    settings.insert("new".to_owned(), Setting { value: "yes".to_owned(), usual: false });
    assert_eq!(differences(&told), ["lb2: VI_1: new yes, here not set"]);
}

#[test]
fn what_is_told_is_read_as_it_was_told() {
    let there = config(vec![router(200)]);
    let told = Description { settings: there.settings(), secrets: there.secrets([7; 32]) };
    let text = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Description>(&text).unwrap(), told);
}
