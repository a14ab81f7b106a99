//! A text to its keys, with every error there is.
//!
//! Reading stops at the first error. So whatever is wrong is told, set right or taken out, and the rest is read once
//! more, until nothing is wrong; then it is looked at as if it were the whole file, and what follows only from
//! something being left out is not told. A table that lacks a key is left out; what else is wrong in it, `inside` finds.

mod inside;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::schema::File;
use super::{Source, lower};
use crate::model::Config;
use crate::report::{Finding, Place};

/// More errors than these are not looked for: each is another reading of the file.
const MOST_ERRORS: usize = 100;

/// Reads the source's text.
pub(super) fn read(source: &mut Source<'_>) -> Config {
    if let Ok(file) = toml::from_str(source.text) {
        return lower::lower(source, file);
    }
    let (mut table, errors) = DeTable::parse_recoverable(source.text);
    if !errors.is_empty() {
        unreadable(source, &errors);
        return Config::default();
    }
    let whole = table.clone();
    let mut gone = Gone::default();
    let Some(file) = repaired(source, &mut table, &mut gone) else { return Config::default() };
    let told = source.report.findings.len();
    let config = lower::lower(source, file);
    let later = source.report.findings.split_off(told);
    source.report.findings.extend(later.into_iter().filter(|finding| !gone.explains(finding)));
    if !gone.lacking.is_empty() {
        let others = inside::look(source, whole, &gone.lacking);
        source.report.findings.extend(others);
    }
    config
}

/// It is no TOML. Of each line the first error counts, and none counts after a list that is not closed: the others
/// come of these.
fn unreadable(source: &mut Source<'_>, errors: &[toml::de::Error]) {
    let mut errors: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let mut last = None;
    for (span, message) in errors.into_iter().take(MOST_ERRORS) {
        let line = source.place(span.clone()).line;
        if last.replace(line) != Some(line) {
            source.error(span, message.to_owned());
        }
        if message.contains("between array elements") || message.starts_with("unclosed array") {
            return;
        }
    }
}

/// The keys that are left once everything wrong is told; `None` where that has no end.
fn repaired(source: &mut Source<'_>, table: &mut Spanned<DeTable<'_>>, gone: &mut Gone) -> Option<File> {
    for _ in 0..MOST_ERRORS {
        let error = match File::deserialize(Deserializer::from(table.clone())) {
            Ok(file) => return Some(file),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let wrong = words::read(error.message(), source.text.get(span.clone()).unwrap_or_default());
        if !wrong.missing.as_ref().is_some_and(|key| gone.keys.contains(&(span.clone(), key.clone()))) {
            source.error(span.clone(), wrong.message);
        }
        if wrong.missing.is_some() {
            gone.lacking.push(span.clone());
        }
        let place = |span: Range<usize>| source.place(span);
        let around = table.span();
        let repair = Repair { at: &span, meant: wrong.meant.as_deref(), place: &place };
        if !repair.table(table.get_mut(), &around, gone) {
            return None;
        }
    }
    source.error(0..0, format!("more than {MOST_ERRORS} errors; the rest is not looked for"));
    None
}

/// What was left out, and what may be missed because of that.
#[derive(Default)]
struct Gone {
    /// Keys, with where their table is.
    keys: Vec<(Range<usize>, String)>,
    /// Names that others may refer to.
    names: Vec<String>,
    /// Tables that were taken out because a key is missing in them.
    lacking: Vec<Range<usize>>,
    /// Lists that are shorter now.
    lists: Vec<Place>,
}

impl Gone {
    fn note(&mut self, value: &DeValue<'_>) {
        let DeValue::Table(table) = value else { return };
        if let Some(DeValue::String(name)) = table.get("name").map(Spanned::get_ref) {
            self.names.push(format!("`{name}`"));
        }
    }

    /// Whether there would be nothing to find if nothing had been left out.
    fn explains(&self, finding: &Finding) -> bool {
        let refers = |name: &String| finding.message.contains(name);
        self.lists.contains(&finding.place) || finding.message.contains("there is no ") && self.names.iter().any(refers)
    }
}

/// Sets one thing right, or takes it out.
struct Repair<'r> {
    /// Where it stands: a key, or a value.
    at: &'r Range<usize>,
    /// Which key was meant.
    meant: Option<&'r str>,
    place: &'r dyn Fn(Range<usize>) -> Place,
}

impl Repair<'_> {
    /// False where it is not in this table.
    fn table(&self, table: &mut DeTable<'_>, around: &Range<usize>, gone: &mut Gone) -> bool {
        for (_, value) in table.iter_mut() {
            if self.value(value, gone) {
                return true;
            }
        }
        let here = |(key, value): &(&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            [key.span(), value.span()].contains(self.at)
        };
        let Some(key) = table.iter().find(here).map(|(key, _)| key.get_ref().to_string()) else { return false };
        let Some((old, value)) = table.remove_entry(key.as_str()) else { return false };
        match self.meant.filter(|meant| !table.contains_key(*meant)) {
            Some(meant) => drop(table.insert(Spanned::new(old.span(), Cow::Owned(meant.to_owned())), value)),
            None => {
                gone.note(value.get_ref());
                gone.keys.push((around.clone(), key));
            }
        }
        true
    }

    fn value(&self, value: &mut Spanned<DeValue<'_>>, gone: &mut Gone) -> bool {
        let around = value.span();
        match value.get_mut() {
            DeValue::Table(table) => self.table(table, &around, gone),
            DeValue::Array(array) => {
                if array.iter_mut().any(|element| self.value(element, gone)) {
                    return true;
                }
                let Some(at) = array.iter().position(|element| element.span() == *self.at) else { return false };
                gone.note(array[at].get_ref());
                gone.lists.push((self.place)(around));
                let others = array.clone().into_iter().enumerate().filter(|(index, _)| *index != at);
                *array = others.map(|(_, element)| element).collect::<DeArray<'_>>();
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
