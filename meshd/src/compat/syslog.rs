//! The log of a daemon in the background: syslog, by its socket.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

/// Where syslog listens.
const SOCKET: &str = "/dev/log";

/// Priority "informational": the line itself says how bad it is.
const INFORMATIONAL: u8 = 6;

/// Each write is one message; without anybody who listens it is lost, and the next one tries again.
pub(crate) struct Syslog {
    facility: u8,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub(crate) fn new(facility: u8) -> Syslog {
        Syslog { facility, socket: None }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.connect(SOCKET)?;
            socket.set_nonblocking(true)?;
            self.socket = Some(socket);
        }
        let sent = self.socket.as_ref().map_or(Ok(0), |socket| socket.send(message));
        if sent.is_err() {
            self.socket = None;
        }
        sent.map(drop)
    }
}

impl Write for Syslog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.trim_ascii_end();
        let priority = self.facility * 8 + INFORMATIONAL;
        let head = format!("<{priority}>Keepalived[{}]: ", std::process::id());
        let message = [head.as_bytes(), text].concat();
        if self.send(&message).is_err() {
            // It may have been started anew.
            let _ = self.send(&message);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
