//! Telemetry.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a node tells what happens. A collector may be named by the standard variables
/// (`OTEL_EXPORTER_OTLP_ENDPOINT` and others) as well; what is set here counts first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// Read-only pages (`/metrics`, `/status`, ...) by HTTP on TCP; default: nowhere.
    pub listen: Option<SocketAddr>,
    /// The collector, `http://HOST:PORT` or `https://HOST:PORT`; default: none.
    pub endpoint: Option<String>,
    /// A file with headers for the collector, `name: value` on each line.
    pub headers_file: Option<PathBuf>,
    /// `service.name`; default: meshd.
    pub service_name: Option<String>,
    /// Whether traces are sent; default: yes.
    pub sampling: bool,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        TelemetrySettings { listen: None, endpoint: None, headers_file: None, service_name: None, sampling: true }
    }
}
