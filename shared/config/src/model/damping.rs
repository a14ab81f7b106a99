//! How long a router is held back on a director where it comes and goes.

use std::time::Duration;

/// `flap_damping` in `[mesh]`: what falls too often is held back after it recovers, twice as long each time.
/// It is for a mesh only; keepalived has nothing like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlapDamping {
    /// So many falls are a flapping; default 3, 2 to 100.
    pub falls: u32,
    /// Falls that many seconds old count no more; default 60 s, 1 s to an hour.
    pub within: Duration,
    /// How long the first hold lasts; default 10 s, 1 s to an hour.
    pub hold: Duration,
    /// How long any does, and how long after one the next begins with `hold` again; default 300 s, `hold` to an hour.
    pub max: Duration,
}

impl Default for FlapDamping {
    fn default() -> Self {
        let [within, hold, max] = [60, 10, 300].map(Duration::from_secs);
        FlapDamping { falls: 3, within, hold, max }
    }
}
