//! Text to a tree of statements and blocks, every word with its place.
//!
//! The language knows lines, not types. A statement is the words of one line; `{` opens a block for
//! the statement before it, on the same line or on an earlier one; `}` ends it, wherever it stands.
//! `#` and `!` start a comment anywhere outside double quotes, also inside a word, but not after `\`. Which words
//! belong where is not known here, with one exception: [`Tree::parse`] asks where a block may stand, to say
//! which brace was forgotten rather than that one is missing at the end of the file.

use std::borrow::Cow;

/// Blocks nest four deep in a sensible file; the limit keeps a file of braces from exhausting the stack.
const MAX_DEPTH: usize = 32;
/// Bounds the memory; ten thousand real servers have 200,000.
const MAX_WORDS: usize = 8_000_000;

/// Line and column, from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// One word, without its quotes.
#[derive(Debug)]
pub(super) struct Word<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) at: At,
    /// It stands in quotes.
    pub(super) quoted: bool,
    /// Bytes of the word in the text, quotes included.
    start: usize,
    end: usize,
}

/// A keyword, its parameters, and its block if it has one. Never without a word.
#[derive(Debug)]
pub(super) struct Statement<'t> {
    pub(super) words: Vec<Word<'t>>,
    pub(super) block: Option<Block<'t>>,
}

impl Statement<'_> {
    /// The first word.
    pub(super) fn keyword(&self) -> &str {
        &self.words[0].text
    }
    /// Where the first word stands.
    pub(super) fn at(&self) -> At {
        self.words[0].at
    }
    /// The words after the first.
    pub(super) fn parameters(&self) -> &[Word<'_>] {
        &self.words[1..]
    }
    /// All parameters as they were written, quotes included.
    pub(super) fn raw_parameters<'s>(&self, text: &'s str) -> &'s str {
        match self.parameters() {
            [] => "",
            [first, .., last] => &text[first.start..last.end],
            [only] => &text[only.start..only.end],
        }
    }
}

/// What stands between braces.
#[derive(Debug)]
pub(super) struct Block<'t> {
    pub(super) open: At,
    pub(super) statements: Vec<Statement<'t>>,
}

/// A broken structure: the place and what to say.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) at: At,
    pub(super) message: String,
    /// A second place, named at the end of the message, and what follows that.
    pub(super) other: Option<(At, &'static str)>,
}

impl Broken {
    fn new(at: At, message: impl Into<String>) -> Self {
        Broken { at, message: message.into(), other: None }
    }
}

/// The whole text.
#[derive(Debug, Default)]
pub(super) struct Tree<'t> {
    pub(super) statements: Vec<Statement<'t>>,
    /// Closing braces that close nothing.
    pub(super) stray: Vec<At>,
}

impl<'t> Tree<'t> {
    /// Reads a text. `fits(parent, child)` tells whether a block `child` may stand in a block
    /// `parent` (`None`: the top level); it only helps to place a forgotten brace.
    pub(super) fn parse(text: &'t str, fits: impl Fn(Option<&str>, &str) -> bool) -> Result<Tree<'t>, Broken> {
        Builder {
            text,
            fits,
            open: Vec::new(),
            statements: Vec::new(),
            line: Vec::new(),
            stray: Vec::new(),
            misfit: None,
            count: 0,
        }
        .run()
    }
}

/// A block whose end has not been seen.
struct Open<'t> {
    words: Vec<Word<'t>>,
    at: At,
    /// Statements before it, in the block around it.
    outer: Vec<Statement<'t>>,
}

struct Builder<'t, F> {
    text: &'t str,
    fits: F,
    open: Vec<Open<'t>>,
    statements: Vec<Statement<'t>>,
    line: Vec<Word<'t>>,
    stray: Vec<At>,
    /// The first block that stands where it does not belong: (depth and place of the block around
    /// it, its own keyword and place).
    misfit: Option<Misfit>,
    /// Words so far.
    count: usize,
}

struct Misfit {
    outer: String,
    outer_at: At,
    inner: String,
    inner_at: At,
}

impl<'t, F: Fn(Option<&str>, &str) -> bool> Builder<'t, F> {
    fn run(mut self) -> Result<Tree<'t>, Broken> {
        let mut scanner = Scanner::new(self.text);
        while let Some(token) = scanner.next()? {
            match token {
                Token::Word(word) => {
                    self.count += 1;
                    if self.count > MAX_WORDS {
                        return Err(Broken::new(word.at, format!("more than {MAX_WORDS} words")));
                    }
                    self.line.push(word);
                }
                Token::EndOfLine => self.end_statement(),
                Token::Open(at) => self.open_block(at)?,
                Token::Close(at) => self.close_block(at),
            }
        }
        self.end_statement();
        match self.open.pop() {
            None => Ok(Tree { statements: self.statements, stray: self.stray }),
            Some(innermost) => Err(self.unclosed(&innermost)),
        }
    }

    fn end_statement(&mut self) {
        if !self.line.is_empty() {
            let words = std::mem::take(&mut self.line);
            self.statements.push(Statement { words, block: None });
        }
    }

    fn open_block(&mut self, at: At) -> Result<(), Broken> {
        if self.line.is_empty() {
            match self.statements.pop_if(|s| s.block.is_none()) {
                Some(statement) => self.line = statement.words,
                None => {
                    let message = "`{` without a keyword before it; expected a keyword such as `vrrp_instance NAME`";
                    return Err(Broken::new(at, message));
                }
            }
        }
        if self.open.len() == MAX_DEPTH {
            return Err(Broken::new(at, format!("blocks nest deeper than {MAX_DEPTH} levels")));
        }
        let words = std::mem::take(&mut self.line);
        if let (None, Some(outer)) = (&self.misfit, self.open.last())
            && !(self.fits)(Some(&outer.words[0].text), &words[0].text)
            && self.fits_further_out(&words[0].text)
        {
            self.misfit = Some(Misfit {
                outer: outer.words[0].text.to_string(),
                outer_at: outer.at,
                inner: words[0].text.to_string(),
                inner_at: words[0].at,
            });
        }
        self.open.push(Open { words, at, outer: std::mem::take(&mut self.statements) });
        Ok(())
    }

    fn fits_further_out(&self, keyword: &str) -> bool {
        let around = self.open.len().saturating_sub(1);
        self.open[..around].iter().any(|o| (self.fits)(Some(&o.words[0].text), keyword)) || (self.fits)(None, keyword)
    }

    fn close_block(&mut self, close: At) {
        self.end_statement();
        match self.open.pop() {
            Some(Open { words, at, outer }) => {
                let statements = std::mem::replace(&mut self.statements, outer);
                self.statements.push(Statement { words, block: Some(Block { open: at, statements }) });
            }
            None => self.stray.push(close),
        }
    }

    fn unclosed(&self, innermost: &Open<'_>) -> Broken {
        match &self.misfit {
            Some(Misfit { outer, outer_at, inner, inner_at }) => Broken {
                at: *outer_at,
                message: format!("the block `{outer}` opened here is not closed; expected `}}` before `{inner}`"),
                other: Some((*inner_at, ", which does not belong in it")),
            },
            None => Broken::new(
                innermost.at,
                format!(
                    "the block `{}` opened here is not closed; expected `}}` before the end of the file",
                    innermost.words[0].text
                ),
            ),
        }
    }
}

enum Token<'t> {
    Word(Word<'t>),
    Open(At),
    Close(At),
    EndOfLine,
}

struct Scanner<'t> {
    text: &'t str,
    position: usize,
    at: At,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        // A byte order mark is no part of the first word.
        let position = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Scanner { text, position, at: At { line: 1, column: 1 } }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn advance(&mut self) {
        if let Some(c) = self.peek() {
            self.position += c.len_utf8();
            if c == '\n' {
                self.at = At { line: self.at.line + 1, column: 1 };
            } else {
                self.at.column += 1;
            }
        }
    }

    fn next(&mut self) -> Result<Option<Token<'t>>, Broken> {
        while let Some(c) = self.peek() {
            let at = self.at;
            match c {
                '\n' => {
                    self.advance();
                    return Ok(Some(Token::EndOfLine));
                }
                '#' | '!' => self.skip_comment(),
                '{' => {
                    self.advance();
                    return Ok(Some(Token::Open(at)));
                }
                '}' => {
                    self.advance();
                    return Ok(Some(Token::Close(at)));
                }
                c if c.is_whitespace() => self.advance(),
                '"' => return self.quoted().map(|word| Some(Token::Word(word))),
                c if c.is_control() => {
                    return Err(Broken::new(at, format!("{c:?} is no text; expected a configuration in UTF-8")));
                }
                _ => return Ok(Some(Token::Word(self.bare()))),
            }
        }
        Ok(None)
    }

    fn skip_comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.advance();
        }
    }

    /// A word up to blank, brace, comment or quote. A variable (`${NAME}`) keeps its braces, so that
    /// it can be reported as one.
    fn bare(&mut self) -> Word<'t> {
        let (start, at) = (self.position, self.at);
        let mut variable = false;
        let mut escaped = false;
        while let Some(c) = self.peek() {
            match c {
                '$' if self.text[self.position..].starts_with("${") => {
                    variable = true;
                    self.advance();
                }
                '}' if variable => variable = false,
                '{' if variable => {}
                '\\' if self.text[self.position + 1..].starts_with(['#', '!']) => {
                    escaped = true;
                    self.advance();
                }
                '{' | '}' | '#' | '!' | '"' => break,
                c if c.is_whitespace() || c.is_control() => break,
                _ => {}
            }
            self.advance();
        }
        let text = Cow::Borrowed(&self.text[start..self.position]);
        let text = if escaped { text.replace("\\#", "#").replace("\\!", "!").into() } else { text };
        Word { text, at, quoted: false, start, end: self.position }
    }

    /// A word in double quotes, which end on their line. `\"` is a quote inside.
    fn quoted(&mut self) -> Result<Word<'t>, Broken> {
        let (start, at) = (self.position, self.at);
        self.advance();
        let mut escaped = false;
        loop {
            match self.peek() {
                Some('"') => break,
                Some('\\') if self.text[self.position..].starts_with("\\\"") => {
                    escaped = true;
                    self.advance();
                    self.advance();
                }
                None | Some('\n') => {
                    let message = "the quote opened here is not closed; expected `\"` before the end of the line";
                    return Err(Broken::new(at, message));
                }
                Some(_) => self.advance(),
            }
        }
        let inside = &self.text[start + 1..self.position];
        self.advance();
        let text = if escaped { Cow::Owned(inside.replace("\\\"", "\"")) } else { Cow::Borrowed(inside) };
        Ok(Word { text, at, quoted: true, start, end: self.position })
    }
}

#[cfg(test)]
mod tests;
