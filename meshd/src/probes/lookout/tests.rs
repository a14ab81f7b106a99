use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Lookout;

const LONG: Duration = Duration::from_secs(30);

/// One that tells every number it is given, and panics at 0.
fn teller() -> (Lookout<u32>, mpsc::UnboundedReceiver<u32>) {
    let (tell, told) = mpsc::unbounded_channel();
    let lookout = Lookout::start("numbers", move |mut wishes| {
        loop {
            poll(&mut [PollFd::new(wishes.fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
            match wishes.take() {
                Err(super::Unwanted) => return,
                Ok(None) => {}
                Ok(Some(number)) => {
                    assert_ne!(number, 0, "this one cannot be looked at");
                    tell.send(number).unwrap();
                }
            }
        }
    });
    (lookout.unwrap(), told)
}

#[tokio::test]
async fn each_set_arrives_and_wakes_it() {
    let (mut lookout, mut told) = teller();
    for number in [1, 2, 3] {
        lookout.watch(number);
        assert_eq!(timeout(LONG, told.recv()).await.unwrap(), Some(number));
    }
    drop(lookout);
    assert_eq!(timeout(LONG, told.recv()).await.unwrap(), None, "it ends with whoever started it");
}

#[tokio::test]
async fn its_death_is_noticed_without_another_set() {
    let (mut lookout, _told) = teller();
    let early = timeout(Duration::from_millis(10), lookout.ended()).await;
    assert!(early.is_err(), "it lives: {early:?}");
    lookout.watch(0);
    let why = timeout(LONG, lookout.ended()).await.unwrap().unwrap_err();
    assert_eq!(why.to_string(), "the thread that looks at numbers died");
    // And afterwards nothing else goes wrong.
    lookout.watch(1);
}
