//! The file in the state directory: when grants were given last, and how far epochs went.

use anyhow::Context;
use serde_json::json;

use super::Owner;
use crate::mesh::StateDir;

/// Its name.
const FILE: &str = "boot";

/// What survives a reboot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// The boot in which this voter ran last.
    pub(super) boot: String,
    /// Counts its starts: a memory of any other run than the last is out of date.
    pub(super) run: u64,
    /// Epochs up to here were granted before that boot, or by a run whose memory was lost.
    pub(super) epoch_floor: u64,
    /// Epochs up to here may have been granted at all.
    pub(super) epoch_ceiling: u64,
}

impl Marker {
    /// The marker of the run before, where there was one. One that says nothing (it is replaced as a
    /// whole, so that only a damaged disk leaves such a thing) stands for a run that is forgotten.
    pub(super) fn read(state: &StateDir, owner: &Owner) -> anyhow::Result<Option<Marker>> {
        let Some(text) = state.read(FILE)? else { return Ok(None) };
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let number = |key: &str| value.get(key).and_then(serde_json::Value::as_u64);
        let boot = value.get("boot_id").and_then(serde_json::Value::as_str);
        let marker = match (boot, number("run"), number("epoch_floor"), number("epoch_ceiling")) {
            (Some(boot), Some(run), Some(epoch_floor), Some(epoch_ceiling)) => {
                Marker { boot: boot.to_owned(), run, epoch_floor, epoch_ceiling }
            }
            _ => {
                let path = state.path().join(FILE);
                tracing::warn!("{} is damaged: epochs of earlier takeovers may be used again", path.display());
                Marker { boot: owner.boot.clone(), run: 0, epoch_floor: 0, epoch_ceiling: 0 }
            }
        };
        Ok(Some(marker))
    }

    /// On the disk when this returns.
    pub(super) fn write(&self, state: &StateDir) -> anyhow::Result<()> {
        let Marker { boot, run, epoch_floor, epoch_ceiling } = self;
        let text = json!({"boot_id": boot, "run": run, "epoch_floor": epoch_floor, "epoch_ceiling": epoch_ceiling});
        state.write(FILE, &format!("{text:#}\n")).context("this voter cannot note that it votes")
    }
}
