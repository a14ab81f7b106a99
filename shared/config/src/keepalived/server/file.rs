//! `track_file` and its old name `vrrp_track_file`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::keywords::{OLD_TRACK_FILE, TRACK_FILE};
use super::super::lower::Lower;
use super::super::tree::{At, Block, Statement};
use super::super::values;
use super::words;
use crate::model::{Config, TrackFile};

/// Reads every track file, wherever it stands; the places are those of their names, the numbers say
/// which they are in the model.
pub(super) fn lower(
    lower: &mut Lower<'_>,
    config: &mut Config,
    statements: &[Statement<'_>],
) -> BTreeMap<String, (At, usize)> {
    let mut places = BTreeMap::new();
    for statement in statements.iter().filter(|s| matches!(s.keyword(), "track_file" | "vrrp_track_file")) {
        let Some(block) = &statement.block else { continue };
        let keyword = statement.keyword();
        let Some(name) = lower.parameter(statement, "a name") else { continue };
        words::extra(lower, statement, 1);
        let mut file =
            TrackFile { name: name.text.to_string(), path: PathBuf::new(), weight: 1, reverse: false, init: None };
        keywords(lower, &mut file, keyword, block);
        if file.path.as_os_str().is_empty() {
            lower.warning(name.at, format!("`{keyword} {}` has no `file`; left out", name.text));
        } else if places.contains_key(&file.name) {
            lower.warning(name.at, format!("a second `{keyword} {}`; the first one stays", name.text));
        } else {
            places.insert(file.name.clone(), (name.at, config.track_files.len()));
            config.track_files.push(file);
        }
    }
    places
}

fn keywords(lower: &mut Lower<'_>, file: &mut TrackFile, outer: &str, block: &Block<'_>) {
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match statement.keyword() {
            "file" => path(lower, file, statement),
            "weight" => weight(lower, statement, 254, &mut file.weight, &mut file.reverse),
            "init_file" => file.init = init(lower, statement).or(file.init),
            _ => {
                lower.other(if outer == "track_file" { &TRACK_FILE } else { &OLD_TRACK_FILE }, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
}

fn path(lower: &mut Lower<'_>, file: &mut TrackFile, statement: &Statement<'_>) {
    let Some(path) = words::text(lower, statement, "a file") else { return };
    if file.path.as_os_str().is_empty() {
        file.path = path.into();
    } else {
        lower.warning(statement.at(), "a second `file`; the first one stays".into());
    }
}

/// `weight NUMBER [reverse|noreverse]`.
pub(super) fn weight(lower: &mut Lower<'_>, statement: &Statement<'_>, most: i32, to: &mut i32, reverse: &mut bool) {
    words::extra(lower, statement, 2);
    let read =
        |word: &str| values::signed(word).and_then(|n| i32::try_from(n).ok()).filter(|n| (-most..=most).contains(n));
    let Some(weight) = lower.value(statement, &format!("a number from -{most} to {most}"), "skipped", read) else {
        return;
    };
    *to = weight;
    match statement.parameters().get(1).map(|w| (w.at, &*w.text)) {
        None | Some((_, "noreverse")) => *reverse = false,
        Some((_, "reverse")) => *reverse = true,
        Some((at, other)) => {
            lower.warning(at, format!("`{other}` is no option of a weight: expected reverse or noreverse; skipped"));
        }
    }
}

/// `[VALUE] [overwrite]`.
fn init(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<(i64, bool)> {
    let (mut value, mut overwrite) = (0, false);
    for word in statement.parameters() {
        if word.text == "overwrite" {
            overwrite = true;
        } else if let Some(n) = values::signed(&word.text) {
            value = n;
        } else {
            let message =
                format!("`{}` is no value for `init_file`: expected a number or overwrite; skipped", word.text);
            lower.warning(word.at, message);
        }
    }
    Some((value, overwrite))
}
