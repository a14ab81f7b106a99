//! The text that is left when nothing of the language is: every line knows where it came from.

use std::path::PathBuf;
use std::rc::Rc;

use super::super::tree::At;
use crate::report::Place;

/// The whole text, and the origin of each of its lines.
#[derive(Debug, Default)]
pub(in super::super) struct Source {
    /// Each line ends with `\n`.
    pub(in super::super) text: String,
    pub(super) files: Vec<PathBuf>,
    pub(super) lines: Vec<Origin>,
    pub(super) uses: Vec<Use>,
    /// Names of variables that were defined, sorted.
    pub(in super::super) defined: Vec<Rc<str>>,
}

/// Where a line stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct From {
    pub(super) file: u32,
    pub(super) line: u32,
    /// The variable it is a part of: index of a [`Use`].
    pub(super) via: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Origin {
    pub(super) from: From,
    /// Nothing for a line as it was written.
    pub(super) pieces: Option<Box<[Piece]>>,
}

/// From this column of the line on, columns come from there in the file. All count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) column: usize,
    /// As it was written; otherwise all of it stands for one column: a variable's.
    pub(super) literal: bool,
}

/// A variable of several lines where it is used.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) name: Rc<str>,
    pub(super) from: From,
}

/// The column in the file for a column of a line.
pub(super) fn column(pieces: &[Piece], column: usize) -> usize {
    match pieces.partition_point(|p| p.start <= column).checked_sub(1).map(|i| pieces[i]) {
        Some(Piece { start, column: first, literal: true }) => first + (column - start),
        Some(Piece { column, literal: false, .. }) => column,
        None => column,
    }
}

impl Source {
    fn origin(&self, at: At) -> Option<&Origin> {
        self.lines.get(at.line.saturating_sub(1)).or(self.lines.last())
    }

    /// The place in the file it came from.
    pub(in super::super) fn place(&self, at: At) -> Place {
        let Some(origin) = self.origin(at) else {
            return Place { file: self.files.first().cloned().unwrap_or_default(), line: at.line, column: at.column };
        };
        let column = origin.pieces.as_deref().map_or(at.column, |pieces| column(pieces, at.column));
        self.place_of(origin.from, column)
    }

    pub(super) fn place_of(&self, from: From, column: usize) -> Place {
        let file = self.files.get(from.file as usize).cloned().unwrap_or_default();
        Place { file, line: from.line as usize, column }
    }

    /// `line 7`, and of which file if not of the one that `seen_from` is in.
    pub(in super::super) fn line(&self, at: At, seen_from: At) -> String {
        let (place, seen_from) = (self.place(at), self.place(seen_from));
        self.line_of(place.line, (place.file != seen_from.file).then_some(&place.file))
    }

    fn line_of(&self, line: usize, file: Option<&PathBuf>) -> String {
        file.map_or_else(|| format!("line {line}"), |file| format!("line {line} of {}", file.display()))
    }

    /// Whether the line before, or the one after, comes from the same: a loop's.
    pub(in super::super) fn repeated(&self, at: At) -> bool {
        let from = |index: Option<usize>| index.and_then(|i| self.lines.get(i)).map(|origin| origin.from);
        let here = at.line.checked_sub(1);
        let this = from(here);
        this.is_some() && (from(here.and_then(|i| i.checked_sub(1))) == this || from(here.map(|i| i + 1)) == this)
    }

    /// The variable that a line is a part of, and where that is used.
    pub(in super::super) fn via(&self, at: At) -> Option<String> {
        let from = self.origin(at)?.from;
        let used = self.uses.get(from.via? as usize)?;
        let file = (used.from.file != from.file).then(|| &self.files[used.from.file as usize]);
        Some(format!("in `${}`, used in {}", used.name, self.line_of(used.from.line as usize, file)))
    }
}
