//! `[process]` and `[dumps]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::super::Source;
use super::super::schema::{DumpsTable, ProcessTable, SchedulingTable};
use super::{number, time, within};
use crate::common::{self, LONGEST_PROCESS_NAME, PROCESSORS, is_file_name, umask};
use crate::model::{Dumps, Process, Scheduling, Threads};

/// The shortest time that keepalived takes.
const MICROSECOND: Duration = Duration::from_micros(1);

pub(super) fn lower(source: &mut Source<'_>, table: ProcessTable, dumps: DumpsTable) -> Process {
    Process {
        instance: table.instance.and_then(|name| plain(source, name)),
        net_namespace: table.net_namespace.and_then(|name| plain(source, name)),
        ipvs_namespace: table.net_namespace_ipvs.and_then(|name| namespace(source, name)),
        use_pid_dir: table.use_pid_dir,
        umask: table.umask.and_then(|mask| {
            let read = umask(mask.get_ref());
            if read.is_none() {
                let message =
                    format!("`{}` is no mask; expected one such as \"0177\" or \"IWGRP|IWOTH\"", mask.get_ref());
                source.error(mask.span(), message);
            }
            read
        }),
        reload_file: table.reload_file.and_then(|path| absolute(source, path)),
        reload_log: table.reload_log.and_then(|path| absolute(source, path)),
        reload_time_file: table.reload_time_file.and_then(|path| absolute(source, path)),
        reload_repeat: table.reload_repeat,
        save_directory: table.save_directory.and_then(|path| absolute(source, path)),
        name: table.name.and_then(|name| process_name(source, name)),
        threads: Threads {
            vrrp: scheduling(source, table.vrrp),
            checker: scheduling(source, table.checker),
            bfd: scheduling(source, table.bfd),
            most_automatic: number(source, table.most_automatic.as_ref(), 0..=99, 0),
            late: time(source, table.late.as_ref(), MICROSECOND..=Duration::from_secs(10), Threads::default().late),
        },
        dumps: Dumps {
            state: dumps.state.and_then(|path| absolute(source, path)),
            stats: dumps.stats.and_then(|path| absolute(source, path)),
            json: dumps.json.and_then(|path| absolute(source, path)),
            json_version: number(source, dumps.json_version.as_ref(), 1..=2, 1),
            use_instance: dumps.use_instance,
        },
    }
}

fn scheduling(source: &mut Source<'_>, table: SchedulingTable) -> Scheduling {
    let longest = MICROSECOND..=Duration::from_micros(u32::MAX.into());
    let processors = table.processors.iter().filter_map(|n| processor(source, n)).collect();
    Scheduling {
        processors,
        nice: table.nice.as_ref().and_then(|n| within(source, n, -20..=19)?.try_into().ok()),
        realtime: table.realtime.as_ref().and_then(|n| within(source, n, 1..=99)?.try_into().ok()),
        longest_run: table.longest_run.as_ref().map(|run| time(source, Some(run), longest, Duration::ZERO)),
        no_swap: table.no_swap,
        name: table.name.and_then(|name| process_name(source, name)),
    }
}

/// One that this host can have.
fn processor(source: &mut Source<'_>, number: &Spanned<i64>) -> Option<u16> {
    let number = (number.span(), u16::try_from(within(source, number, 0..=i64::from(PROCESSORS) - 1)?).ok()?);
    let most = common::processors(source.files);
    if number.1 >= most {
        let message = format!("{} is no processor of this host: expected 0 to {}; not used", number.1, most - 1);
        source.warning(number.0, message);
    }
    (number.1 < most).then_some(number.1)
}

fn process_name(source: &mut Source<'_>, name: Spanned<String>) -> Option<String> {
    let length = name.get_ref().len();
    if !(1..=LONGEST_PROCESS_NAME).contains(&length) || name.get_ref().contains('\0') {
        source.error(name.span(), format!("a name of {length} bytes; expected 1 to {LONGEST_PROCESS_NAME}"));
        return None;
    }
    Some(name.into_inner())
}

fn plain(source: &mut Source<'_>, name: Spanned<String>) -> Option<String> {
    if !is_file_name(name.get_ref()) {
        source.error(name.span(), format!("`{}` is no name; expected one without `/`", name.get_ref()));
        return None;
    }
    Some(name.into_inner())
}

/// By its name, or by a file.
fn namespace(source: &mut Source<'_>, name: Spanned<String>) -> Option<String> {
    if !is_file_name(name.get_ref()) && !Path::new(name.get_ref()).is_absolute() {
        let message = format!("`{}` is no network namespace; expected a name, or a whole path", name.get_ref());
        source.error(name.span(), message);
        return None;
    }
    Some(name.into_inner())
}

fn absolute(source: &mut Source<'_>, path: Spanned<PathBuf>) -> Option<PathBuf> {
    if !path.get_ref().is_absolute() {
        source.error(
            path.span(),
            format!("`{}` is no whole path; expected one that begins with `/`", path.get_ref().display()),
        );
        return None;
    }
    Some(path.into_inner())
}
