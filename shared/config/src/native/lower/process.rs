//! `[process]` and `[dumps]`.

use std::path::PathBuf;

use toml::Spanned;

use super::super::Source;
use super::super::schema::{DumpsTable, ProcessTable};
use super::number;
use crate::common::{is_file_name, umask};
use crate::model::{Dumps, Process};

pub(super) fn lower(source: &mut Source<'_>, table: ProcessTable, dumps: DumpsTable) -> Process {
    Process {
        instance: table.instance.and_then(|name| plain(source, name)),
        net_namespace: table.net_namespace.and_then(|name| plain(source, name)),
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
        dumps: Dumps {
            state: dumps.state.and_then(|path| absolute(source, path)),
            stats: dumps.stats.and_then(|path| absolute(source, path)),
            json: dumps.json.and_then(|path| absolute(source, path)),
            json_version: number(source, dumps.json_version.as_ref(), 1..=2, 1),
            use_instance: dumps.use_instance,
        },
    }
}

fn plain(source: &mut Source<'_>, name: Spanned<String>) -> Option<String> {
    if !is_file_name(name.get_ref()) {
        source.error(name.span(), format!("`{}` is no name; expected one without `/`", name.get_ref()));
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
