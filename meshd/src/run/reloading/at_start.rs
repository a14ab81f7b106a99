//! What of a configuration is read at the start only.

use std::net::SocketAddr;

use mesh_config::model::{Config, TelemetrySettings, Threads};

/// What this run began with.
#[derive(Debug)]
pub(super) struct AtStart {
    telemetry: TelemetrySettings,
    name: Option<String>,
    listen: Option<SocketAddr>,
    realtime: bool,
    threads: Threads,
}

impl AtStart {
    pub(super) fn of(config: &Config) -> AtStart {
        AtStart {
            telemetry: config.telemetry.clone(),
            name: config.mesh.name.clone(),
            listen: config.mesh.listen,
            realtime: config.mesh.realtime,
            threads: config.process.threads.clone(),
        }
    }

    /// What another configuration has otherwise, in a line: it waits for the next run.
    pub(super) fn differs_from(&self, config: &Config) -> Option<String> {
        let after = AtStart::of(config);
        let differing = [
            (self.telemetry != after.telemetry, "telemetry"),
            (self.name != after.name, "the node's name"),
            (self.listen != after.listen, "the mesh's address"),
            (self.realtime != after.realtime, "realtime"),
            (self.threads != after.threads, "priorities of threads"),
        ];
        let names: Vec<&str> = differing.into_iter().filter_map(|(differs, name)| differs.then_some(name)).collect();
        (!names.is_empty()).then(|| format!("{}: read at the start only, so run `meshctl upgrade`", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_next_run_is_named() {
        let began = Config::default();
        let at_start = AtStart::of(&began);
        assert_eq!(at_start.differs_from(&began), None);
        let mut after = began.clone();
        after.router_id = Some("lb1".to_owned());
        assert_eq!(at_start.differs_from(&after), None, "that is in use at once");
        after.telemetry.listen = Some("127.0.0.1:9111".parse().unwrap());
        after.mesh.realtime = !began.mesh.realtime;
        let told = at_start.differs_from(&after).unwrap();
        assert_eq!(told, "telemetry, realtime: read at the start only, so run `meshctl upgrade`");
    }
}
