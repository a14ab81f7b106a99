//! Real servers on every address of loopback, and when each of them was asked.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use mesh_lab::{Host, clock};

/// Where a connection is all that is asked for.
pub(super) const TCP: u16 = 8001;
/// Where there is a page.
pub(super) const HTTP: u16 = 8002;

/// Real server, and when.
type Seen = ((IpAddr, u16), Duration);

/// Runs as long as the process.
pub(super) struct Servers(Arc<Mutex<Vec<Seen>>>);

impl Servers {
    pub(super) fn start(host: &Host) -> Result<Servers> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        for port in [TCP, HTTP] {
            let (host, seen) = (host.clone(), Arc::clone(&seen));
            let listen = move || -> Result<TcpListener> {
                host.enter()?;
                Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?)
            };
            let listener = thread::spawn(listen).join().map_err(|_| anyhow!("listening panicked"))??;
            thread::spawn(move || serve(&listener, port, &seen));
        }
        Ok(Servers(seen))
    }

    /// How many were asked.
    pub(super) fn different(&self) -> Result<usize> {
        Ok(self.seen()?.iter().map(|(server, _)| *server).collect::<BTreeSet<_>>().len())
    }

    pub(super) fn forget(&self) -> Result<()> {
        self.seen()?.clear();
        Ok(())
    }

    /// Checks since then; and from each check of a real server to its next one what is beyond `delay`, sorted.
    pub(super) fn figures(&self, delay: Duration) -> Result<(usize, Vec<Duration>)> {
        let mut seen = self.seen()?.clone();
        seen.sort_unstable();
        let pairs = seen.windows(2).filter(|two| two[0].0 == two[1].0);
        let mut late: Vec<_> = pairs.map(|two| (two[1].1 - two[0].1).saturating_sub(delay)).collect();
        late.sort_unstable();
        Ok((seen.len(), late))
    }

    fn seen(&self) -> Result<MutexGuard<'_, Vec<Seen>>> {
        self.0.lock().map_err(|_| anyhow!("a real server panicked"))
    }
}

fn serve(listener: &TcpListener, port: u16, seen: &Mutex<Vec<Seen>>) {
    for mut stream in listener.incoming().flatten() {
        let Ok(at) = stream.local_addr() else { continue };
        let Ok(mut seen) = seen.lock() else { return };
        seen.push(((at.ip(), port), clock::now()));
        drop(seen);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        if port == HTTP && stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nup\n");
        }
    }
}
