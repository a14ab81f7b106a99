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
        let Differs { node, name, setting, here, there, .. } = self;
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        match setting {
            Some(setting) if here == there => format!("{node}: {name}: {setting} {}, differs", value(there)),
            Some(setting) => format!("{node}: {name}: {setting} {}, here {}", value(there), value(here)),
            None if there.is_some() => format!("{node}: {name} is configured there, and not here"),
            None => format!("{node}: {name} is configured here, and not there"),
        }
    }
}

impl LostAdverts {
    /// In words.
    pub fn line(&self) -> String {
        let LostAdverts { name, from, to, dropped, because, .. } = self;
        let lost = if *dropped { "will be dropped by" } else { "are not sent to" };
        format!("{name}: adverts of {from} {lost} {to}: {because}")
    }
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
            here: here.map(str::to_owned),
            there: there.map(str::to_owned),
        };
        let lost = |dropped| LostAdverts {
            subject: "4.51".to_owned(),
            name: "VI_1".to_owned(),
            from: "lb1".to_owned(),
            to: "lb2".to_owned(),
            dropped,
            because: "why".to_owned(),
        };
        let drift = Drift {
            settings: vec![
                differs(Some("advert_int"), Some("2 s"), Some("1 s")),
                differs(Some("auth_pass"), Some("set"), Some("set")),
                differs(Some("real_server 10.0.0.2:80"), None, Some("nat weight 1")),
                differs(None, Some("configured"), None),
                differs(None, None, Some("configured")),
            ],
            more: 2,
            lost_adverts: vec![lost(true), lost(false)],
            not_compared: vec![Unreachable { node: "lb3".to_owned(), because: "not connected".to_owned() }],
        };
        assert_eq!(
            drift.lines().collect::<Vec<_>>(),
            [
                "lb2: VI_1: advert_int 1 s, here 2 s",
                "lb2: VI_1: auth_pass set, differs",
                "lb2: VI_1: real_server 10.0.0.2:80 nat weight 1, here not set",
                "lb2: VI_1 is configured here, and not there",
                "lb2: VI_1 is configured there, and not here",
                "2 more settings differ",
                "VI_1: adverts of lb1 will be dropped by lb2: why",
                "VI_1: adverts of lb1 are not sent to lb2: why",
                "lb3: how it is configured is unknown: not connected",
            ]
        );
        assert!(!drift.is_empty() && Drift::default().is_empty() && Drift::default().lines().next().is_none());
    }
}
