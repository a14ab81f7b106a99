//! Who served each address when, as clients see it.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_lab::judge::watch::Watch;
use mesh_lab::neighbours::{ASKED_EVERY, Answers};
use mesh_lab::{Lab, NeighbourWatch, Sightings};

use super::{Kind, MS, NEXT, OWNER};

/// What a machine that is busy with other things may add.
const MARGIN: Duration = Duration::from_millis(400);
/// Between the first advert of who takes over and the last answer of who gives way, both times: on a busy machine, and
/// less than the shortest interval, after which nobody who does not believe what it hears has given way.
const HANDOVER: Duration = Duration::from_millis(200);

/// Looks at all addresses.
pub(super) struct Watching {
    four: Watch,
    six: Vec<NeighbourWatch>,
}

/// What was seen, and when what was done: cable out, in, stop, start.
pub(super) struct Tried {
    four: Sightings,
    six: Vec<Answers>,
    done: [Duration; 4],
}

/// What was seen of one address.
struct Story {
    owners: Vec<String>,
    dual: Duration,
    /// Without an answer: between the first and the last question that got none.
    outages: Vec<(Duration, Duration)>,
}

impl Watching {
    /// Begins to look.
    pub(super) fn start(lab: &Lab, kinds: &[Kind]) -> Result<Watching> {
        let addresses: Vec<_> = kinds.iter().filter(|kind| !kind.six).map(Kind::v4).collect();
        let six = kinds.iter().filter(|kind| kind.six).map(|kind| NeighbourWatch::start(lab, kind.v6())).collect();
        Ok(Watching { four: Watch::start(lab, &addresses)?, six })
    }

    /// Ends.
    pub(super) fn finish(self, done: [Duration; 4]) -> Result<Tried> {
        let six = self.six.into_iter().map(NeighbourWatch::finish).collect::<Result<_>>()?;
        Ok(Tried { four: self.four.finish()?, six, done })
    }
}

impl Tried {
    /// Each kind in turn.
    pub(super) fn check(&self, kinds: &[Kind]) -> Result<()> {
        let four = kinds.iter().filter(|kind| !kind.six).enumerate().map(|(vip, kind)| (kind, self.four(vip)));
        let six = kinds.iter().filter(|kind| kind.six).zip(self.six.iter().map(six));
        four.chain(six).try_for_each(|(kind, story)| self.judge(kind, &story))
    }

    fn four(&self, vip: usize) -> Story {
        let mut owners: Vec<_> = self.four.stays(vip).iter().map(|stay| self.four.names[stay.host].clone()).collect();
        owners.dedup();
        let outages = self.four.outages(vip).into_iter().map(|outage| (outage.start, outage.end)).collect();
        Story { owners, dual: self.four.dual(vip), outages }
    }

    fn judge(&self, kind: &Kind, story: &Story) -> Result<()> {
        let title = kind.title;
        ensure!(story.owners == [OWNER, NEXT, OWNER, NEXT, OWNER], "{title}: {:?}", story.owners);
        ensure!(story.dual <= HANDOVER, "{title}: two answered for {:?}", story.dual);
        let [silent, healed, goodbye, back] = self.done;
        // By its end: it may seem to begin before what caused it, where the judge had to wait for a processor.
        let longest = |from: Duration, to: Duration| {
            let there = story.outages.iter().filter(|(_, end)| (from..to).contains(end));
            there.map(|(begin, end)| *end - *begin).max().unwrap_or_default()
        };
        let (gone, left) = (longest(silent, healed), longest(goodbye, back));
        let (returned, restarted) = (longest(healed, goodbye), longest(back, Duration::MAX));
        println!(
            "{title}: silence {gone:?}, back {returned:?}, goodbye {left:?}, back {restarted:?}, two {:?}",
            story.dual
        );
        // Three intervals after the last advert, which was up to one ago, and the skew.
        let [two, three] = [2, 3].map(|intervals| kind.interval() * intervals + kind.skew());
        ensure!((two - MS(50)..three + MARGIN).contains(&gone), "{title}: {gone:?} after silence");
        ensure!((kind.skew() - MS(50)..kind.skew() + MARGIN).contains(&left), "{title}: {left:?} after a goodbye");
        ensure!(returned.max(restarted) <= MARGIN, "{title}: {returned:?} and {restarted:?} as the owner came back");
        Ok(())
    }
}

fn six(answers: &Answers) -> Story {
    let single =
        answers.0.iter().filter_map(|(_, names)| if let [name] = &names[..] { Some(name.clone()) } else { None });
    let mut owners: Vec<String> = single.collect();
    owners.dedup();
    let answered: Vec<Duration> = answers.0.iter().filter(|(_, names)| !names.is_empty()).map(|(at, _)| *at).collect();
    let pairs = answered.windows(2).map(|pair| (pair[0] + ASKED_EVERY, pair[1]));
    // One question without an answer is a lost frame.
    let outages = pairs.filter(|(begin, end)| *end - *begin > MS(25)).collect();
    Story { owners, dual: ASKED_EVERY * answers.dual() as u32, outages }
}
