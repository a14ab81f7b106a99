//! The terminal: taken for the whole screen, and given back at the end, however that comes.

use std::io::{self, Stdout};
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::event::{Event, KeyEvent, KeyEventKind, read};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc;

/// The terminal in our hands; dropping it gives it back.
pub(super) struct Taken {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Taken {
    pub(super) fn take() -> io::Result<Taken> {
        give_back_on_panic();
        // From here on a failure drops it, which gives the terminal back.
        let taken = Taken { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))? };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(taken)
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // It may be gone; then there is nothing to give back.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

/// What a panic says has to be said on the ordinary screen.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
}

/// Keys as they are pressed, nothing where the size changed; closed when there is no input any more. The thread
/// waits for keys until the process ends.
pub(super) fn keys(waiting: usize) -> mpsc::Receiver<Option<KeyEvent>> {
    let (send, receive) = mpsc::channel(waiting);
    std::thread::spawn(move || {
        while let Ok(event) = read() {
            let key = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => Some(key),
                Event::Resize(..) => None,
                _ => continue,
            };
            if send.blocking_send(key).is_err() {
                return;
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const INSIDE: &str = "MESHCTL_TEST_INSIDE_A_TERMINAL";

    /// The test runs itself in a terminal of script(1), and panics there.
    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        if std::env::var_os(INSIDE).is_some() {
            let _taken = Taken::take().unwrap();
            panic!("on purpose");
        }
        let name = "top::terminal::tests::a_panic_gives_the_terminal_back_before_it_is_told";
        let line = format!("{} --exact {name} --nocapture", std::env::current_exe().unwrap().display());
        let mut child = Command::new("timeout");
        child.args(["30", "script", "-qec", &line, "/dev/null"]).env("TERM", "xterm").env(INSIDE, "1");
        let output = child.stdin(Stdio::null()).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let (before, after) = shown.split_once("\u{1b}[?1049l").expect("the second screen is left");
        assert!(before.contains("\u{1b}[?1049h"), "{shown:?}");
        assert!(after.contains("on purpose") && after.contains("\u{1b}[?25h"), "{shown:?}");
    }
}
