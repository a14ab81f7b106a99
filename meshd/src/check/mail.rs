//! Addresses that no mail can go to or come from.

use mesh_config::report::{Finding, Report, Severity};

use crate::probes::notify::unusable_address;

/// Says so for each of them, where it stands.
pub(super) fn judge(report: &mut Report) {
    let unusable = report.places.mail.iter().filter_map(|(address, place)| {
        let message = format!("{}; not used", unusable_address(address)?);
        Some(Finding { place: place.clone(), severity: Severity::Warning, message })
    });
    let found: Vec<Finding> = unusable.collect();
    report.add(found);
}
