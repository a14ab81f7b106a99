//! `most_automatic` and `late` of `[process]`, and its tables.

use super::text::{Writer, list, string, time};
use crate::model::{Scheduling, Threads};

/// The end of `[process]`.
pub(super) fn threads(writer: &mut Writer, threads: &Threads) {
    let Threads { vrrp, checker, bfd, most_automatic, late } = threads;
    writer.unless(*most_automatic, 0, "most_automatic");
    writer.unless_time(*late, Threads::default().late, "late");
    kind(writer, "[process.vrrp]", vrrp);
    kind(writer, "[process.checker]", checker);
    kind(writer, "[process.bfd]", bfd);
}

fn kind(writer: &mut Writer, head: &'static str, kind: &Scheduling) {
    let Scheduling { nice, realtime, longest_run, no_swap, processors, name } = kind;
    writer.table(head);
    writer.some("nice", *nice);
    writer.some("realtime", *realtime);
    writer.some("longest_run", longest_run.map(time));
    writer.unless(*no_swap, false, "no_swap");
    if !processors.is_empty() {
        writer.key("processors", list(processors.iter().map(u16::to_string)));
    }
    writer.some("name", name.as_ref().map(string));
}
