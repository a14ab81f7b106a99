//! How the configurations of other directors differ from that of the node that answers.

use serde::{Deserialize, Serialize};

use crate::story::Unreachable;

/// What differs, and what comes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Settings that have to be equal and are not, by node.
    pub settings: Vec<Differs>,
    /// Further ones that are not listed.
    #[serde(default)]
    pub more: u64,
    /// Adverts that are lost because of it.
    #[serde(default)]
    pub lost_adverts: Vec<LostAdverts>,
    /// Directors that do not tell how they are configured.
    #[serde(default)]
    pub not_compared: Vec<Unreachable>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differs {
    /// The other node.
    pub node: String,
    /// Family and VRID of a virtual router, as `4.51`; what a virtual server listens for.
    pub subject: String,
    /// How people call it.
    pub name: String,
    /// The word of the configuration; none where one of the two does not have the router or server at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// The director that `here` is about, where that is not the node that answers: what directors say is compared
    /// by a witness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub than: Option<String>,
    /// Its value on the node that answers, in words; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<String>,
    /// Its value on the other node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<String>,
}

/// Adverts that one director sends and another does not take, or does not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostAdverts {
    /// Family and VRID of the virtual router.
    pub subject: String,
    /// How people call it.
    pub name: String,
    /// Who sends.
    pub from: String,
    /// Who does not take them.
    pub to: String,
    /// They are sent and dropped there; otherwise they are not even sent there.
    pub dropped: bool,
    /// What has to be true of who does not take them, where nobody knows that, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provided: Option<String>,
    /// Why, in words.
    pub because: String,
}

impl Drift {
    /// Nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Drift::default()
    }

    /// One line for each thing to tell.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let settings = self.settings.iter().map(Differs::line);
        let more = (self.more > 0).then(|| format!("{} more settings differ", self.more));
        let silent =
            self.not_compared.iter().map(|n| format!("{}: how it is configured is unknown: {}", n.node, n.because));
        let lost = self.lost_adverts.iter().map(LostAdverts::line);
        settings.chain(more).chain(lost).chain(silent)
    }
}

impl Differs {
    /// In words.
    pub fn line(&self) -> String {
        let Differs { node, name, setting, than, here, there, .. } = self;
        let at = than.as_deref().unwrap_or("here");
        let only_at = than.as_ref().map_or_else(|| "here".to_owned(), |than| format!("at {than}"));
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        match setting {
            Some(setting) if is_list(setting) => {
                let list = |value: &Option<String>| value.iter().flat_map(|v| v.split(' ')).map(String::from).collect();
                let only = apart((&list(there), "there"), (&list(here), &only_at));
                format!("{node}: {name}: {setting} {only}: not served while the other one is active")
            }
            Some(setting) if here == there => format!("{node}: {name}: {setting} {}, differs", value(there)),
            Some(setting) => format!("{node}: {name}: {setting} {}, {at} {}", value(there), value(here)),
            None if there.is_some() => format!("{node}: {name} is configured there, and not {only_at}"),
            None => format!("{node}: {name} is configured {only_at}, and not there"),
        }
    }
}

impl LostAdverts {
    /// In words.
    pub fn line(&self) -> String {
        let LostAdverts { name, from, to, dropped, provided, because, .. } = self;
        let lost = if *dropped { "will be dropped by" } else { "are not sent to" };
        let provided = provided.as_ref().map_or_else(String::new, |what| format!(" if it is {what}"));
        format!("{name}: adverts of {from} {lost} {to}{provided}: {because}")
    }
}

/// Whether a setting is a list of addresses, of which what only one of the two has is said.
fn is_list(setting: &str) -> bool {
    matches!(setting, "virtual_ipaddress" | "virtual_ipaddress_excluded")
}

/// So many of a list are named, at most.
const NAMED: usize = 10;

/// What only one of two lists has, or has more often, each with the place it is at: `10.1.1.81 only there, 10.1.1.90
/// only here`.
pub fn apart(one: (&Vec<String>, &str), other: (&Vec<String>, &str)) -> String {
    let only = |(list, at): (&Vec<String>, &str), other: &Vec<String>| {
        let times = |list: &[String], a: &String| list.iter().filter(|b| *b == a).count();
        let more = |(i, a): &(usize, &String)| *a != "none" && times(&list[..=*i], a) > times(other, a);
        let missing: Vec<&str> = list.iter().enumerate().filter(more).map(|(_, a)| a.as_str()).collect();
        let more = missing.len().saturating_sub(NAMED);
        let named = missing[..missing.len() - more].join(" ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!missing.is_empty()).then(|| format!("{named}{more} only {at}"))
    };
    [only(one, other.0), only(other, one.0)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_in_words() {
        let differs = |setting: Option<&str>, here: Option<&str>, there: Option<&str>| Differs {
            node: "lb2".to_owned(),
            subject: "4.51".to_owned(),
            name: "VI_1".to_owned(),
            setting: setting.map(str::to_owned),
            than: None,
            here: here.map(str::to_owned),
            there: there.map(str::to_owned),
        };
        let lost = |dropped, provided: Option<&str>| LostAdverts {
            subject: "4.51".to_owned(),
            name: "VI_1".to_owned(),
            from: "lb1".to_owned(),
            to: "lb2".to_owned(),
            dropped,
            provided: provided.map(str::to_owned),
            because: "why".to_owned(),
        };
        let drift = Drift {
            settings: vec![
                differs(Some("advert_int"), Some("2 s"), Some("1 s")),
                differs(Some("auth_pass"), Some("set"), Some("set")),
                differs(Some("real_server 10.0.0.2:80"), None, Some("nat weight 1")),
                differs(Some("virtual_ipaddress"), Some("10.1.1.80 10.1.1.90"), Some("10.1.1.80 10.1.1.81 10.1.1.82")),
                differs(Some("virtual_ipaddress_excluded"), Some("none"), Some("10.1.1.99")),
                differs(None, Some("configured"), None),
                differs(None, None, Some("configured")),
            ],
            more: 2,
            lost_adverts: vec![lost(true, None), lost(false, None), lost(true, Some("keepalived"))],
            not_compared: vec![Unreachable { node: "lb3".to_owned(), because: "not connected".to_owned() }],
        };
        assert_eq!(
            drift.lines().collect::<Vec<_>>(),
            [
                "lb2: VI_1: advert_int 1 s, here 2 s",
                "lb2: VI_1: auth_pass set, differs",
                "lb2: VI_1: real_server 10.0.0.2:80 nat weight 1, here not set",
                "lb2: VI_1: virtual_ipaddress 10.1.1.81 10.1.1.82 only there, 10.1.1.90 only here: \
                 not served while the other one is active",
                "lb2: VI_1: virtual_ipaddress_excluded 10.1.1.99 only there: not served while the other one is active",
                "lb2: VI_1 is configured here, and not there",
                "lb2: VI_1 is configured there, and not here",
                "2 more settings differ",
                "VI_1: adverts of lb1 will be dropped by lb2: why",
                "VI_1: adverts of lb1 are not sent to lb2: why",
                "VI_1: adverts of lb1 will be dropped by lb2 if it is keepalived: why",
                "lb3: how it is configured is unknown: not connected",
            ]
        );
        assert!(!drift.is_empty() && Drift::default().is_empty() && Drift::default().lines().next().is_none());
    }
    #[test]
    fn a_witness_names_both_directors() {
        let differs = |setting: Option<&str>, here: Option<&str>, there: Option<&str>| Differs {
            node: "lb2".to_owned(),
            subject: "4.51".to_owned(),
            name: "VI_1".to_owned(),
            setting: setting.map(str::to_owned),
            than: Some("lb1".to_owned()),
            here: here.map(str::to_owned),
            there: there.map(str::to_owned),
        };
        assert_eq!(
            [
                differs(Some("advert_int"), Some("2 s"), Some("1 s")),
                differs(Some("virtual_ipaddress"), Some("10.1.1.80"), Some("10.1.1.81")),
                differs(None, Some("configured"), None),
                differs(None, None, Some("configured")),
            ]
            .map(|differs| differs.line()),
            [
                "lb2: VI_1: advert_int 1 s, lb1 2 s",
                "lb2: VI_1: virtual_ipaddress 10.1.1.81 only there, 10.1.1.80 only at lb1: \
                 not served while the other one is active",
                "lb2: VI_1 is configured at lb1, and not there",
                "lb2: VI_1 is configured there, and not at lb1",
            ]
        );
    }

    #[test]
    fn of_long_lists_some_are_named() {
        let many: Vec<String> = (1..=12).map(|n| format!("10.1.1.{n}")).collect();
        let (ten, none) = (many[..10].join(" "), Vec::new());
        assert_eq!(apart((&many, "there"), (&none, "here")), format!("{ten} and 2 more only there"));
        assert_eq!(apart((&many, "there"), (&many[2..].to_vec(), "here")), "10.1.1.1 10.1.1.2 only there");
        assert_eq!(apart((&many, "there"), (&many, "here")), "");
        let twice = vec![many[0].clone(), many[1].clone(), many[0].clone()];
        assert_eq!(apart((&twice, "there"), (&many[..2].to_vec(), "here")), "10.1.1.1 only there");
    }
}
