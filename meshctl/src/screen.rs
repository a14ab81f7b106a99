//! The terminal while it is redrawn in place.

use std::io::{self, IsTerminal, Read, Write};

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use tokio::sync::mpsc;

/// Second screen, no cursor, no wrapping of long lines.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
/// The opposite.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Ctrl-C, which is a key like any other in raw mode.
const CTRL_C: u8 = 3;

/// Takes the terminal, gives it back when dropped.
pub(crate) struct Screen {
    raw: bool,
}

impl Screen {
    pub(crate) fn enter() -> io::Result<Screen> {
        // Without keys there is still Ctrl-C, as a signal.
        let raw = io::stdin().is_terminal() && enable_raw_mode().is_ok();
        let screen = Screen { raw };
        write(ENTER)?;
        Ok(screen)
    }

    /// Shows these lines from the top, as many as there is room for. One write and no erasing first, so that
    /// nothing flickers.
    pub(crate) fn draw(&mut self, text: &str) -> io::Result<()> {
        let room = crate::terminal_size().map_or(24, |(_, lines)| usize::from(lines));
        let lines: Vec<_> = text.lines().collect();
        let shown = if lines.len() > room { room - 1 } else { lines.len() };
        let mut frame = "\x1b[H".to_owned();
        for (index, line) in lines[..shown].iter().enumerate() {
            frame += if index == 0 { "" } else { "\r\n" };
            frame += line;
            frame += "\x1b[K";
        }
        if shown < lines.len() {
            frame += &format!("\r\n... {} more lines\x1b[K", lines.len() - shown);
        }
        frame += "\x1b[J";
        write(&frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to give back.
        let _ = write(LEAVE);
        if self.raw {
            let _ = disable_raw_mode();
        }
    }
}

/// Tells when q or Ctrl-C is typed; closed when there is no input. The thread waits for keys until the process ends.
pub(crate) fn quit_keys() -> mpsc::Receiver<()> {
    let (send, receive) = mpsc::channel(1);
    std::thread::spawn(move || {
        for key in io::stdin().lock().bytes().map_while(Result::ok) {
            if matches!(key, b'q' | b'Q' | CTRL_C) && send.blocking_send(()).is_err() {
                return;
            }
        }
    });
    receive
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
