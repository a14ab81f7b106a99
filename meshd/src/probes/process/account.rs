//! Who a script runs as.

use std::ffi::CString;

use mesh_config::model::ScriptSecurity;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};

/// keepalived's default, where that user exists.
const DEFAULT_USER: &str = "keepalived_script";

/// Who a script runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// What to change to; only root can.
    pub(super) switch: Option<Ids>,
}

/// A user and its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) user: u32,
    pub(super) group: u32,
    /// Supplementary ones.
    pub(super) groups: Vec<u32>,
}

impl Account {
    /// Whether the script has root's rights over files.
    pub(super) fn is_root(&self) -> bool {
        self.switch.as_ref().is_some_and(|ids| ids.user == 0)
    }
}

/// Who runs a script that is to run as `user`, or why nobody can. Asks the user database.
pub(crate) fn account(user: Option<&(String, Option<String>)>, security: &ScriptSecurity) -> Result<Account, String> {
    let wanted = match user.or(security.user.as_ref()) {
        Some((user, group)) => Some(ids(user, group.as_deref(), security)?),
        None => None,
    };
    if geteuid().is_root() {
        let root = Ids { user: 0, group: 0, groups: Vec::new() };
        let default = || ids(DEFAULT_USER, None, security).unwrap_or(root);
        return Ok(Account { switch: Some(wanted.unwrap_or_else(default)) });
    }
    match wanted {
        Some(ids) if ids.user != geteuid().as_raw() => {
            Err(format!("it is to run as user {}, which only a daemon run by root can do", ids.user))
        }
        _ => Ok(Account { switch: None }),
    }
}

fn ids(user: &str, group: Option<&str>, security: &ScriptSecurity) -> Result<Ids, String> {
    let found = User::from_name(user).map_err(|e| format!("looking up user {user}: {e}"))?;
    let found = found.ok_or_else(|| format!("there is no user {user}"))?;
    let gid = match group {
        None => found.gid,
        Some(group) => {
            let gid = Group::from_name(group).map_err(|e| format!("looking up group {group}: {e}"))?;
            gid.ok_or_else(|| format!("there is no group {group}"))?.gid
        }
    };
    let groups = if security.supplementary_groups { supplementary(user, gid)? } else { Vec::new() };
    Ok(Ids { user: found.uid.as_raw(), group: gid.as_raw(), groups })
}

/// All groups of a user, with the one it runs as.
fn supplementary(user: &str, group: Gid) -> Result<Vec<u32>, String> {
    let name = CString::new(user).map_err(|_| format!("{user} is no name of a user"))?;
    let groups = getgrouplist(&name, group).map_err(|e| format!("looking up the groups of {user}: {e}"))?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

/// User and group of what is to belong to `owner`, else to scripts that name nobody; nothing for the daemon's own.
pub(crate) fn owner(
    owner: Option<&(String, Option<String>)>,
    security: &ScriptSecurity,
) -> Result<(Option<Uid>, Option<Gid>), String> {
    let switch = account(owner, security)?.switch;
    let ids = |ids: Ids| (Some(Uid::from_raw(ids.user)), Some(Gid::from_raw(ids.group)));
    Ok(switch.map_or((None, None), ids))
}
