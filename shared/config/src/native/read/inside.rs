//! What else is wrong in a table that lacks a key. Such a table is left out of what is read, so it is looked at once
//! more with something in place of the key, and what is found at its own keys and values is told.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue, Deserializer};

use super::super::{Source, lower, schema::File};
use super::{Gone, MOST_ERRORS, Repair, words};
use crate::report::{Finding, Place};

/// What a key can hold: the first that is taken stands in for it.
const TEXTS: [&str; 5] = ["", "0.0.0.0", "0.0.0.0:1", "0.0.0.0/0", "1s"];

/// Something in place of a key.
struct Stand {
    table: Range<usize>,
    key: String,
    /// How many were tried.
    tried: usize,
}

/// Looks once more; `lacking` are the tables, by where they stand.
pub(super) fn look(source: &mut Source<'_>, mut table: Spanned<DeTable<'_>>, lacking: &[Range<usize>]) -> Vec<Finding> {
    let mut inside = Vec::new();
    for span in lacking {
        let mut at = |span: Range<usize>| inside.push(source.place(span));
        if let Some(found) = find(table.get_mut(), span) {
            places(found, &mut at);
        }
    }
    let report = source.report.clone();
    let mut gone = Gone::default();
    if let Some(file) = filled(source, &mut table, &mut gone) {
        lower::lower(source, file);
    }
    let before = std::mem::replace(&mut source.report, report);
    let told = source.report.findings.iter().map(|finding| finding.place.clone()).collect::<Vec<Place>>();
    let news = |finding: &Finding| inside.contains(&finding.place) && !told.contains(&finding.place);
    before.findings.into_iter().filter(|finding| news(finding) && !gone.explains(finding)).collect()
}

/// The keys with something in place of those that lack, everything wrong told and taken out.
fn filled(source: &mut Source<'_>, table: &mut Spanned<DeTable<'_>>, gone: &mut Gone) -> Option<File> {
    // Behind everything: nothing else stands there.
    let nowhere = source.text.len()..source.text.len();
    let mut stands: Vec<Stand> = Vec::new();
    for _ in 0..MOST_ERRORS {
        let error = match File::deserialize(Deserializer::from(table.clone())) {
            Ok(file) => return Some(file),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let wrong = words::read(error.message(), source.text.get(span.clone()).unwrap_or_default());
        let known = |stand: &&mut Stand| Some(&stand.key) == wrong.missing.as_ref() && stand.table == span;
        let refused = if span == nowhere { stands.last_mut() } else { stands.iter_mut().find(known) };
        let stand = match (refused, wrong.missing) {
            (Some(stand), _) => stand,
            (None, Some(key)) => {
                stands.push(Stand { table: span.clone(), key, tried: 0 });
                stands.last_mut()?
            }
            (None, None) => {
                source.error(span.clone(), wrong.message);
                let place = |span: Range<usize>| source.place(span);
                let around = table.span();
                let repair = Repair { at: &span, meant: wrong.meant.as_deref(), place: &place };
                if !repair.table(table.get_mut(), &around, gone) {
                    return None;
                }
                continue;
            }
        };
        let value = value(stand.tried, &nowhere, error.message())?;
        stand.tried += 1;
        let key = Spanned::new(nowhere.clone(), Cow::Owned(stand.key.clone()));
        let place = find(table.get_mut(), &stand.table)?;
        place.remove(stand.key.as_str());
        place.insert(key, Spanned::new(nowhere.clone(), value));
    }
    None
}

/// The next thing to try; `None` where nothing is left.
fn value<'t>(tried: usize, nowhere: &Range<usize>, message: &str) -> Option<DeValue<'t>> {
    // One of the words that are known.
    if let Some(rest) = message.strip_prefix("unknown variant ")
        && let Some(word) = words::quoted(rest).nth(1)
    {
        return (tried <= TEXTS.len() + 3).then(|| DeValue::String(Cow::Owned(word.to_owned())));
    }
    match tried {
        0..5 => Some(DeValue::String(Cow::Borrowed(TEXTS[tried]))),
        5 => Some(DeValue::Integer(DeInteger::default())),
        6 => Some(DeValue::Array(DeArray::new())),
        7 => Some(DeValue::Table(DeTable::new())),
        8 => Some(DeValue::Array(std::iter::once(Spanned::new(nowhere.clone(), DeValue::String("".into()))).collect())),
        _ => None,
    }
}

/// The table that stands there.
fn find<'r, 't>(table: &'r mut DeTable<'t>, at: &Range<usize>) -> Option<&'r mut DeTable<'t>> {
    table.iter_mut().find_map(|(_, value)| find_in(value, at))
}

fn find_in<'r, 't>(value: &'r mut Spanned<DeValue<'t>>, at: &Range<usize>) -> Option<&'r mut DeTable<'t>> {
    let here = value.span() == *at;
    match value.get_mut() {
        DeValue::Table(table) => {
            if here {
                Some(table)
            } else {
                find(table, at)
            }
        }
        DeValue::Array(array) => array.iter_mut().find_map(|element| find_in(element, at)),
        _ => None,
    }
}

/// Where all its keys and values stand.
fn places(table: &DeTable<'_>, tell: &mut dyn FnMut(Range<usize>)) {
    for (key, value) in table {
        tell(key.span());
        places_in(value, tell);
    }
}

fn places_in(value: &Spanned<DeValue<'_>>, tell: &mut dyn FnMut(Range<usize>)) {
    tell(value.span());
    match value.get_ref() {
        DeValue::Table(table) => places(table, tell),
        DeValue::Array(array) => array.iter().for_each(|element| places_in(element, tell)),
        _ => {}
    }
}
