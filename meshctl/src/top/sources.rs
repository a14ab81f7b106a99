//! The daemon's streams: its map, and what happens. Each wait has a deadline, and a stream that ends is looked
//! for again.

use std::time::Duration;

use mesh_control::Status;
use mesh_control::story::Event;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::client::{Client, Failure};
use crate::{show, watch};

/// Events of the past to begin with, in seconds.
const SINCE: u32 = 3600;
/// Between two attempts to find the daemon again.
const RETRY: Duration = Duration::from_millis(500);

/// What comes from the daemon.
#[derive(Debug)]
pub(super) enum News {
    /// The map.
    Status(Box<Status>),
    /// It does not come any more, and why.
    Lost(String),
    /// Something happened.
    Event(Box<Event>),
    /// That is not told any more, and why.
    EventsLost(String),
}

/// Follows both. Fails where there is no daemon to begin with.
pub(super) async fn start(client: Client, news: mpsc::Sender<News>) -> Result<(), Failure> {
    let maps = client.events("/status/watch").await?;
    let (send, updates) = mpsc::channel(4);
    tokio::spawn(watch::follow(client.clone(), maps, send));
    tokio::spawn(pass_on(updates, news.clone()));
    tokio::spawn(follow_events(client, news));
    Ok(())
}

async fn pass_on(mut updates: mpsc::Receiver<watch::Update>, news: mpsc::Sender<News>) {
    while let Some(update) = updates.recv().await {
        let what = match update {
            watch::Update::Status(status) => match show::read(status) {
                Ok(status) => News::Status(Box::new(status)),
                Err(error) => News::Lost(show::clean(&format!("{error:#}"))),
            },
            watch::Update::Lost(why) => News::Lost(why),
        };
        if news.send(what).await.is_err() {
            return;
        }
    }
}

/// Events are told again after a loss: the state knows those it has.
async fn follow_events(client: Client, news: mpsc::Sender<News>) {
    while !news.is_closed() {
        let why = watch::words(events_until_lost(&client, &news).await);
        if news.send(News::EventsLost(why)).await.is_err() {
            return;
        }
        sleep(RETRY).await;
    }
}

async fn events_until_lost(client: &Client, news: &mpsc::Sender<News>) -> Failure {
    let mut events = match client.events(&format!("/events/follow?since={SINCE}")).await {
        Ok(events) => events,
        Err(failure) => return failure,
    };
    loop {
        match events.next_whenever().await.and_then(|event| Ok(show::read(event)?)) {
            Ok(event) => {
                if news.send(News::Event(Box::new(event))).await.is_err() {
                    return Failure::Output(std::io::ErrorKind::BrokenPipe.into());
                }
            }
            Err(failure) => return failure,
        }
    }
}
