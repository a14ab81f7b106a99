//! Health checks: how many a thread manages, and how late they are at the rate that is asked for.
//!
//! `cargo bench -p mesh-benches --bench checks` needs nothing but two processors: the checkers have one, the servers on
//! 127.0.0.0/8 the other. A check is late by the time from the moment it was due until its answer arrived, server and
//! loopback included. Checks per second of processor time are those of the checkers' thread alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use mesh_config::model::{Check, CheckKind, HttpCheck, Url};
use mesh_core::services::Input;
use mesh_core::services::input::{CheckRun, Outcome};
use meshd::probes::checks::{CheckerSettings, Checkers};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Of each measurement.
const SECONDS: u64 = 10;
/// Real servers: so many that ports in TIME_WAIT do not run out.
const SERVERS: u64 = 250;
/// Under way at the same time where nothing is due at any time.
const FLAT_OUT: u64 = 256;

fn main() {
    let port = serve();
    println!(
        "{:<6} {:>10} {:>12} {:>16} {:>10} {:>10} {:>10}",
        "", "due/s", "done/s", "done/cpu-second", "p50 ms", "p99 ms", "max ms"
    );
    for (name, http, rate) in [("tcp", false, 10_000), ("tcp", false, 0), ("http", true, 3_000), ("http", true, 0)] {
        let checks: Vec<_> = (0..SERVERS).map(|n| Arc::new(check(http, server(n, port)))).collect();
        let run = thread::spawn(move || on_processor(0, measure(checks, rate)));
        run.join().expect("the measurement ends").print(name, rate);
    }
}

fn check(http: bool, to: SocketAddr) -> Check {
    let kind = if http { CheckKind::Http(HttpCheck::new(false, vec![Url::new("/")])) } else { CheckKind::Tcp };
    Check::new(kind, to)
}

fn server(number: u64, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 1, number as u8], port))
}

/// What came out.
struct Figures {
    wall: Duration,
    processor: Duration,
    /// Sorted.
    late: Vec<Duration>,
}

impl Figures {
    fn print(&self, name: &str, rate: u64) {
        let done = self.late.len() as f64;
        let at = |share: f64| self.late[((self.late.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{name:<6} {:>10} {:>12.0} {:>16.0} {:>10.2} {:>10.2} {:>10.2}",
            if rate == 0 { "flat out".to_owned() } else { rate.to_string() },
            done / self.wall.as_secs_f64(),
            done / self.processor.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(1.0),
        );
    }
}

/// Starts checks when they are due, or as fast as they end.
async fn measure(checks: Vec<Arc<Check>>, rate: u64) -> Figures {
    let (send, mut receive) = mpsc::channel(4096);
    let checkers = Checkers::new(CheckerSettings::default(), send);
    let begin = Instant::now();
    let processor = processor_time();
    let end = Duration::from_secs(SECONDS);
    let mut due = Vec::new();
    let mut late = Vec::new();
    let mut tick = interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let start = |due: &mut Vec<Instant>, when: Instant| {
        let number = due.len() as u64;
        due.push(when);
        checkers.start(
            CheckRun { check: number % SERVERS, number },
            Arc::clone(&checks[(number % SERVERS) as usize]),
            0,
        );
    };
    if rate == 0 {
        (0..FLAT_OUT).for_each(|_| start(&mut due, Instant::now()));
    }
    while begin.elapsed() < end || late.len() < due.len() {
        tokio::select! {
            _ = tick.tick(), if rate > 0 && begin.elapsed() < end => {
                let passed = begin.elapsed();
                while begin + Duration::from_nanos(due.len() as u64 * 1_000_000_000 / rate) <= begin + passed {
                    let when = begin + Duration::from_nanos(due.len() as u64 * 1_000_000_000 / rate);
                    start(&mut due, when);
                }
            }
            input = receive.recv() => match input {
                Some(Input::Checked { run, outcome: Outcome::Success }) => {
                    late.push(due[run.number as usize].elapsed());
                    if rate == 0 && begin.elapsed() < end {
                        start(&mut due, Instant::now());
                    }
                }
                other => panic!("{other:?}"),
            },
        }
    }
    let figures = (begin.elapsed(), processor_time() - processor);
    late.sort_unstable();
    Figures { wall: figures.0, processor: figures.1, late }
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has this clock").into()
}

/// Servers on every address of loopback, on a processor of their own; their port.
fn serve() -> u16 {
    let (send, receive) = std_mpsc::channel();
    thread::spawn(move || {
        on_processor(1, async move {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([0, 0, 0, 0], 0))).expect("a port");
            let listener = socket.listen(4096).expect("a listener");
            send.send(listener.local_addr().expect("its address").port()).expect("main waits");
            accept(listener).await;
        });
    });
    receive.recv().expect("the servers start")
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream));
    }
}

/// Waits for the end of a TCP_CHECK, or answers an HTTP_GET.
async fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: text/plain\r\n\r\nHello world\n";
        if stream.write_all(page.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Runs a future to its end on this processor, where there are so many.
fn on_processor<T>(number: usize, work: impl Future<Output = T>) -> T {
    let mut set = CpuSet::new();
    if set.set(number).is_ok() && sched_setaffinity(Pid::from_raw(0), &set).is_err() {
        eprintln!("there is no processor {number} to have alone");
    }
    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}
