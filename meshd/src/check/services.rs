//! Checks of real servers that can never succeed, whatever the real server does.

use mesh_config::model::{CheckKind, Config};
use mesh_config::report::{Finding, Place, Report, Severity};

use crate::probes::checks::{complaints, tls_complaint};

/// Says so for each of them, where it stands; what TLS lacks where the first one that needs it does.
pub(super) fn judge(config: &Config, report: &mut Report) {
    let mut found = Vec::new();
    let mut first_tls = None;
    for server in &config.virtual_servers {
        for real in &server.real_servers {
            let places = report.places.checks.get(&(server.name.clone(), real.address));
            for (check, place) in real.checks.iter().zip(places.into_iter().flatten()) {
                if matches!(&check.kind, CheckKind::Http(http) if http.tls) {
                    first_tls.get_or_insert(place);
                }
                let who = format!("`{}`: every check of real server {} will fail", server.name, real.address);
                found.extend(complaints(check).into_iter().map(|why| warning(place, format!("{who}: {why}"))));
            }
        }
    }
    if let Some(place) = first_tls
        && let Some(why) = tls_complaint(&config.lvs.tls)
    {
        found.push(warning(place, format!("every check by TLS will fail: {why}")));
    }
    report.add(found);
}

fn warning(place: &Place, message: String) -> Finding {
    Finding { place: place.clone(), severity: Severity::Warning, message }
}
