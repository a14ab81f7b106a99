//! What happens to a daemon itself, which no engine decides.

use mesh_control::story::Event;

use super::event::{plain, severity};

/// Something in the life of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// The run before this one died, and its guard started this one.
    Died {
        /// How, in words.
        how: String,
    },
    /// The configuration was read again, and is in use.
    ConfigurationRead {
        /// It in a line.
        summary: String,
    },
    /// The configuration was read again, and the one before it stays in use.
    ConfigurationRefused {
        /// What is wrong with it, some lines.
        error: String,
    },
}

/// Tells it in the log.
pub(super) fn record(life: &Life) {
    match life {
        Life::Died { how } => tracing::warn!("started again after a death: {how}"),
        Life::ConfigurationRead { summary } => tracing::info!(summary, "configuration read again"),
        Life::ConfigurationRefused { error } => tracing::error!("configuration not changed: {error}"),
    }
}

/// The event that it is.
pub(super) fn event(life: Life) -> Event {
    match life {
        Life::Died { how } => plain("daemon", severity(true), "meshd died and was started again".to_owned(), how),
        Life::ConfigurationRead { summary } => {
            plain("config", severity(false), "configuration read again".to_owned(), summary)
        }
        Life::ConfigurationRefused { error } => {
            // An event is a line.
            let error = error.lines().collect::<Vec<_>>().join(" ");
            plain("config", severity(true), "configuration not changed".to_owned(), error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_an_event_in_a_line() {
        let events = [
            (
                Life::Died { how: "SIGKILL (signal 9)".to_owned() },
                "warning",
                "meshd died and was started again",
                "SIGKILL (signal 9)",
            ),
            (Life::ConfigurationRead { summary: "usable".to_owned() }, "info", "configuration read again", "usable"),
            (
                Life::ConfigurationRefused { error: "f cannot be used:\nf:1:2: error: bad".to_owned() },
                "warning",
                "configuration not changed",
                "f cannot be used: f:1:2: error: bad",
            ),
        ];
        for (life, severity, text, cause) in events {
            let event = event(life);
            assert_eq!([&*event.severity, &*event.text, &*event.cause], [severity, text, cause]);
        }
    }
}
