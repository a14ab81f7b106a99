//! Skew_Time and Active_Down_Interval, in integers: at priority 254 and 10 ms adverts the skew is
//! 78 microseconds and must not become zero.

use std::time::Duration;

use mesh_config::model::Version;

/// Skew_Time: ((256 - priority) * Active_Adver_Interval) / 256 in version 3 (RFC 9568 section 6.1),
/// (256 - priority) / 256 seconds in version 2 (RFC 3768 section 6.1).
pub fn skew_time(version: Version, priority: u8, active_interval: Duration) -> Duration {
    let base = match version {
        Version::V2 => Duration::from_secs(1),
        Version::V3 => active_interval,
    };
    base * (256 - u32::from(priority)) / 256
}

/// Active_Down_Interval: so many intervals, which are three unless `down_timer_adverts` says otherwise,
/// and the skew.
pub fn down_interval(version: Version, priority: u8, active_interval: Duration, adverts: u8) -> Duration {
    active_interval * adverts.into() + skew_time(version, priority, active_interval)
}
