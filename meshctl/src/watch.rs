//! `status --watch`: the map kept up to date, over restarts of the daemon too.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use mesh_control::Status;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::client::{Client, Events, Failure};
use crate::pick::Pick;
use crate::screen::{Screen, quit_keys};
use crate::{look, print, show};

/// Between two attempts to find the daemon again.
const RETRY: Duration = Duration::from_millis(500);
/// Ages go on while nothing changes.
const REDRAW: Duration = Duration::from_secs(1);

/// Watches until the operator leaves, or the reader of a pipe does. Only the first connection has to succeed.
pub(crate) async fn run(client: Client, pick: Pick, json: bool) -> Result<(), Failure> {
    let events = client.events("/status/watch").await?;
    let (send, updates) = mpsc::channel(4);
    tokio::spawn(follow(client, events, send));
    match (json, io::stdout().is_terminal()) {
        (true, _) => lines(updates, &pick).await,
        (false, false) => tables(updates, &pick).await,
        (false, true) => redraw(updates, &pick).await,
    }
}

/// News about the map.
pub(crate) enum Update {
    Status(Value),
    /// The daemon is not there, and why. It is being looked for.
    Lost(String),
}

/// Reads events, for ever: a daemon that goes away is waited for.
pub(crate) async fn follow(client: Client, mut events: Events, updates: mpsc::Sender<Update>) {
    while !updates.is_closed() {
        let failure = match events.next().await {
            Ok(status) => {
                let _ = updates.send(Update::Status(status)).await;
                continue;
            }
            Err(failure) => failure,
        };
        let _ = updates.send(Update::Lost(words(failure))).await;
        events = loop {
            sleep(RETRY).await;
            match client.events("/status/watch").await {
                Ok(events) => break events,
                Err(failure) => {
                    let _ = updates.send(Update::Lost(words(failure))).await;
                }
            }
        };
    }
}

/// In one line.
pub(crate) fn words(failure: Failure) -> String {
    match failure {
        Failure::Refused(refusal) => show::clean(&refusal.error),
        Failure::NoDaemon { error, .. } => show::clean(&error),
        Failure::Unreadable(error) | Failure::Failed(error) => show::clean(&format!("{error:#}")),
        Failure::Output(error) => error.to_string(),
    }
}

/// Tells of a loss on standard error, once for each.
#[derive(Default)]
struct Losses {
    told: bool,
}

impl Losses {
    fn tell(&mut self, why: &str) {
        if !std::mem::replace(&mut self.told, true) {
            // Without standard error the missing lines have to say it.
            let _ = writeln!(io::stderr(), "meshctl: {why}; waiting for it");
        }
    }

    fn over(&mut self) {
        self.told = false;
    }
}

/// JSON, one line for each status.
async fn lines(mut updates: mpsc::Receiver<Update>, pick: &Pick) -> Result<(), Failure> {
    let mut losses = Losses::default();
    let mut first = true;
    while let Some(update) = updates.recv().await {
        match update {
            Update::Status(mut status) => {
                losses.over();
                pick.choose_json(&mut status, std::mem::take(&mut first))?;
                print(&format!("{status}\n"))?;
            }
            Update::Lost(why) => losses.tell(&why),
        }
    }
    Ok(())
}

/// Tables one below the other, a new one only when more has changed than what counts down by itself.
async fn tables(mut updates: mpsc::Receiver<Update>, pick: &Pick) -> Result<(), Failure> {
    let mut losses = Losses::default();
    let mut before = None;
    while let Some(update) = updates.recv().await {
        match update {
            Update::Status(status) => {
                losses.over();
                let status: Status = show::read(status)?;
                if before.is_none() {
                    pick.check(&status)?;
                }
                let now = Some(without_clocks(status.clone()));
                if now != before {
                    let gap = if before.is_some() { "\n" } else { "" };
                    print(&format!("{gap}{}", show::status(&status, &pick.choose(&status), &look())))?;
                    before = now;
                }
            }
            Update::Lost(why) => losses.tell(&why),
        }
    }
    Ok(())
}

fn without_clocks(mut status: Status) -> Status {
    for lease in status.routers.iter_mut().filter_map(|router| router.lease.as_mut()) {
        lease.remaining_ms = 0;
    }
    for node in &mut status.nodes {
        node.rtt_ms = None;
    }
    status
}

/// One map, redrawn in place.
async fn redraw(mut updates: mpsc::Receiver<Update>, pick: &Pick) -> Result<(), Failure> {
    // Before the terminal is taken, where an error can be read.
    let mut map: Option<(Status, Timestamp)> = None;
    let mut trouble = None;
    match updates.recv().await {
        Some(Update::Status(status)) => {
            let status = show::read(status)?;
            pick.check(&status)?;
            map = Some((status, Timestamp::now()));
        }
        Some(Update::Lost(why)) => trouble = Some(why),
        None => return Ok(()),
    }
    let stop = |kind| signal(kind).map_err(Failure::Output);
    let (mut interrupt, mut terminate) = (stop(SignalKind::interrupt())?, stop(SignalKind::terminate())?);
    let (mut hangup, mut resized) = (stop(SignalKind::hangup())?, stop(SignalKind::window_change())?);
    let mut screen = Screen::enter().map_err(Failure::Output)?;
    let mut keys = quit_keys();
    let mut tick = interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            update = updates.recv() => match update {
                Some(Update::Status(status)) => {
                    map = Some((show::read(status)?, Timestamp::now()));
                    trouble = None;
                }
                Some(Update::Lost(why)) => trouble = Some(why),
                None => return Ok(()),
            },
            _ = tick.tick() => {}
            _ = resized.recv() => {}
            Some(()) = keys.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
        screen.draw(&frame(map.as_ref(), trouble.as_deref(), pick)).map_err(Failure::Output)?;
    }
}

fn frame(map: Option<&(Status, Timestamp)>, trouble: Option<&str>, pick: &Pick) -> String {
    let look = look();
    let mut text = String::new();
    if let Some(why) = trouble {
        let age = map.map_or(0, |(_, heard)| look.now.duration_since(*heard).as_secs());
        let line = format!("NO DAEMON, the map is {age} s old: {why}");
        text += &if look.color { format!("\x1b[1;37;41m{line}\x1b[0m\n") } else { format!("{line}\n") };
    }
    if let Some((status, _)) = map {
        text += &show::status(status, &pick.choose(status), &look);
    }
    text
}
