//! Which BFD sessions are up, for the engine.

use std::collections::BTreeMap;
use std::future;

use mesh_core::Input;
use mesh_core::bfd::Told;
use mesh_core::tracking::Kind;
use tokio::sync::watch;

/// What the thread of the sessions says, and what the engine was told of that.
pub(super) struct Sessions {
    seen: watch::Receiver<Told>,
    told: BTreeMap<String, bool>,
    /// What is there has not been looked at.
    fresh: bool,
}

impl Sessions {
    pub(super) fn new(seen: watch::Receiver<Told>) -> Sessions {
        Sessions { seen, told: BTreeMap::new(), fresh: true }
    }

    /// Resolves when there may be news; never once that thread is gone, which others notice.
    pub(super) async fn changed(&mut self) {
        match self.seen.changed().await {
            Ok(()) => self.fresh = true,
            Err(_) => future::pending().await,
        }
    }

    /// Another configuration may track what was not tracked before.
    pub(super) fn forget(&mut self) {
        self.told.clear();
        self.fresh = true;
    }

    /// What differs from what was told. A session that is gone is down for whoever still tracks it.
    pub(super) fn news(&mut self) -> Vec<Input> {
        if !std::mem::take(&mut self.fresh) {
            return Vec::new();
        }
        let now = self.seen.borrow_and_update().routers.clone();
        let before = std::mem::replace(&mut self.told, now.clone());
        let gone = before.keys().filter(|name| !now.contains_key(*name)).map(|name| (name.clone(), false));
        let differs =
            now.iter().filter(|(name, up)| before.get(*name) != Some(up)).map(|(name, up)| (name.clone(), *up));
        let input = |(name, up)| Input::Tracked { kind: Kind::Bfd, name, value: i64::from(up) };
        gone.chain(differs).map(input).collect()
    }
}

#[cfg(test)]
mod tests;
