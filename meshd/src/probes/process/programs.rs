//! Programs started by tasks that must not wait.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mesh_config::model::{Script, ScriptSecurity};
use tokio::task::spawn_blocking;

use super::{Account, Group, account};

/// User and group by name.
type User = Option<(String, Option<String>)>;

/// Who runs what, and whose programs root runs.
#[derive(Debug)]
pub(crate) struct Programs {
    security: ScriptSecurity,
    /// What the user database said; its failures are not kept.
    accounts: Mutex<BTreeMap<User, Account>>,
}

impl Programs {
    pub(crate) fn new(security: ScriptSecurity) -> Programs {
        Programs { security, accounts: Mutex::default() }
    }

    /// The user database may be across the network, and starting a program copies the tables of this one: neither
    /// is for a thread that others wait for.
    pub(crate) async fn start(&self, script: &Script) -> Result<Group, String> {
        let (script, security) = (script.clone(), self.security.clone());
        let known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(&script.user).cloned();
        let user = script.user.clone();
        let started = spawn_blocking(move || {
            let account = known.map_or_else(|| account(script.user.as_ref(), &security), Ok)?;
            super::start(&script.command, &account, &security).map(|group| (account, group))
        });
        let (account, group) = started.await.map_err(|_| "the program was not started".to_owned())??;
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(user, account);
        Ok(group)
    }
}
