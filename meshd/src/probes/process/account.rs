//! Who a script runs as.

use mesh_config::model::ScriptSecurity;
use nix::unistd::{Gid, Group, Uid, User, geteuid};

/// keepalived's default, where that user exists.
const DEFAULT_USER: &str = "keepalived_script";

/// Who a script runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// What to change to; only root can.
    pub(super) switch: Option<Ids>,
}

/// A user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Account {
    /// Whether the script has root's rights over files.
    pub(super) fn is_root(self) -> bool {
        self.switch.is_some_and(|ids| ids.user == 0)
    }
}

/// Who runs a script that is to run as `user`, or why nobody can. Asks the user database.
pub(crate) fn account(user: Option<&(String, Option<String>)>, security: &ScriptSecurity) -> Result<Account, String> {
    let wanted = match user.or(security.user.as_ref()) {
        Some((user, group)) => Some(ids(user, group.as_deref())?),
        None => None,
    };
    if geteuid().is_root() {
        let default = || ids(DEFAULT_USER, None).unwrap_or(Ids { user: 0, group: 0 });
        return Ok(Account { switch: Some(wanted.unwrap_or_else(default)) });
    }
    match wanted {
        Some(ids) if ids.user != geteuid().as_raw() => {
            Err(format!("it is to run as user {}, which only a daemon run by root can do", ids.user))
        }
        _ => Ok(Account { switch: None }),
    }
}

fn ids(user: &str, group: Option<&str>) -> Result<Ids, String> {
    let found = User::from_name(user).map_err(|e| format!("looking up user {user}: {e}"))?;
    let found = found.ok_or_else(|| format!("there is no user {user}"))?;
    let Some(group) = group else {
        return Ok(Ids { user: found.uid.as_raw(), group: found.gid.as_raw() });
    };
    let gid = Group::from_name(group).map_err(|e| format!("looking up group {group}: {e}"))?;
    let gid = gid.ok_or_else(|| format!("there is no group {group}"))?.gid;
    Ok(Ids { user: found.uid.as_raw(), group: gid.as_raw() })
}

/// User and group of scripts that name none of their own; nothing for the daemon's own.
pub(crate) fn owner(security: &ScriptSecurity) -> Result<(Option<Uid>, Option<Gid>), String> {
    let switch = account(None, security)?.switch;
    Ok((switch.map(|ids| Uid::from_raw(ids.user)), switch.map(|ids| Gid::from_raw(ids.group))))
}
