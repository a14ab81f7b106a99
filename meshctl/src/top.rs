//! `meshctl top`: the mesh on a whole screen, until q.
//!
//! ```text
//! top        connects, waits for whatever comes first, draws
//! sources    the daemon's streams, looked for again when they end
//! state      what is known and what the operator wants to see: pure
//! rows       what stands in which pane: pure
//! draw       state to screen: pure
//! terminal   takes the terminal, and gives it back whatever happens
//! ```
//!
//! Nothing waits for the daemon: the screen goes on and says how old it is.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Client, Failure};
use state::{Outcome, State};
use terminal::Taken;

mod draw;
mod rows;
mod sources;
mod state;
mod terminal;
#[cfg(test)]
mod tests;

/// Ages go on while nothing changes.
const REDRAW: Duration = Duration::from_secs(1);
/// News and keys that wait for the screen; whoever has more waits.
const WAITING: usize = 64;

/// Shows the mesh until the operator leaves. Only the first connection has to succeed.
pub(crate) async fn run(client: Client) -> Result<(), Failure> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) || !crate::look().color && is_dumb() {
        return Err(Failure::Failed(anyhow!(
            "top needs a terminal; `meshctl status --watch` and `meshctl events --follow` do without"
        )));
    }
    let (send, mut news) = mpsc::channel(WAITING);
    sources::start(client, send).await?;
    let stop = |kind| signal(kind).map_err(Failure::Output);
    let (mut interrupt, mut terminate) = (stop(SignalKind::interrupt())?, stop(SignalKind::terminate())?);
    let mut hangup = stop(SignalKind::hangup())?;
    let mut state = State::new(crate::look().color);
    let mut screen = Taken::take().map_err(Failure::Output)?;
    let mut keys = terminal::keys(WAITING);
    let mut tick = interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            found = news.recv() => match found {
                Some(news) => state.learn(news, Timestamp::now()),
                None => return Ok(()),
            },
            key = keys.recv() => match key {
                Some(Some(key)) => if state.press(key) == Outcome::Leave { return Ok(()) },
                Some(None) => {} // The size changed: the next drawing finds it.
                None => return Err(Failure::Output(io::ErrorKind::UnexpectedEof.into())),
            },
            _ = tick.tick() => {}
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
        screen.draw(|frame| draw::draw(frame, &state, Timestamp::now())).map_err(Failure::Output)?;
    }
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
