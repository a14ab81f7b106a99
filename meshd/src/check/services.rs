//! Checks of real servers that can never succeed, whatever the real server does.

use std::path::Path;

use mesh_config::model::{CheckKind, Config};
use mesh_config::report::{Finding, Place, Report, Severity};

use crate::probes::checks::{complaints, tls_complaint};

/// Says so for each of them. The file's beginning stands for their places, which are not kept.
pub(super) fn judge(config: &Config, file: &Path, report: &mut Report) {
    let say = |message| {
        let place = Place { file: file.to_owned(), line: 1, column: 1 };
        Finding { place, severity: Severity::Warning, message }
    };
    let mut found = Vec::new();
    let mut tls = false;
    for server in &config.virtual_servers {
        for real in &server.real_servers {
            for check in &real.checks {
                tls |= matches!(&check.kind, CheckKind::Http(http) if http.tls);
                let who = format!("`{}`: every check of real server {} will fail", server.name, real.address);
                found.extend(complaints(check).into_iter().map(|why| say(format!("{who}: {why}"))));
            }
        }
    }
    if tls && let Some(why) = tls_complaint(&config.lvs.tls) {
        found.push(say(format!("every check by TLS will fail: {why}")));
    }
    report.add(found);
}
