//! Virtual addresses of routers that have many: gossip passes on values of some length, and the short ones first, so a
//! report has a list that is short at any rate, and keys of their own have the rest. Until these are there, others know
//! the router, but not all of its addresses.

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::gossip::{MAX_VALUE, RouterReport, VIPS_PREFIX, VipsReport};

use super::{Engine, json};

/// Longest list in a report, in bytes: 50 addresses of IPv4, and at a cold start the reports of 255 routers are passed
/// on in a few rounds.
const IN_REPORT: usize = 1024;

/// Longest list of another part.
const IN_PART: usize = MAX_VALUE / 2;

/// Leaves in a report what it has room for, says how many parts have the rest, and gives these.
pub(super) fn set_apart(report: &mut RouterReport) -> Vec<VipsReport> {
    let mut lists: Vec<Vec<String>> = vec![Vec::new()];
    let (mut length, mut room) = (0, IN_REPORT);
    for vip in report.vips.drain(..) {
        // With its quotes and a comma.
        let more = vip.len() + 3;
        if length + more > room {
            lists.push(Vec::new());
            (length, room) = (0, IN_PART);
        }
        length += more;
        lists.last_mut().expect("there is one from the start").push(vip);
    }
    let rest = lists.split_off(1);
    report.vips = lists.remove(0);
    report.vips_parts = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    (0..).zip(rest).map(|(part, vips)| VipsReport { router: report.key, part, vips }).collect()
}

impl Engine {
    /// Gossips these, in place of those that were told before.
    pub(super) fn publish_addresses(&mut self, router: RouterKey, parts: Vec<VipsReport>) {
        let of_router = prefix(&router);
        let told =
            self.published.range(of_router.clone()..).map(|(key, _)| key).take_while(|k| k.starts_with(&of_router));
        let stays = |key: &String| parts.iter().any(|part| *key == vips_key(&router, part.part));
        let gone: Vec<String> = told.filter(|key| !stays(key)).cloned().collect();
        gone.into_iter().for_each(|key| self.withdraw(key));
        for part in parts {
            self.publish_value(vips_key(&router, part.part), json(&part));
        }
    }
}

/// What the keys of a router's parts begin with.
fn prefix(router: &RouterKey) -> String {
    format!("{VIPS_PREFIX}{router}/")
}

fn vips_key(router: &RouterKey, part: u32) -> String {
    format!("{}{part}", prefix(router))
}
