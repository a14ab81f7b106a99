//! How the demonstration looks: short paragraphs, colour only on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use mesh_lab::Report;

fn paint(code: &str, text: &str) -> String {
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// A headline.
pub(crate) fn head(text: &str) {
    println!("\n{}", paint("1;36", &format!("== {text}")));
}

/// What happens and why it matters.
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// What was measured.
pub(crate) fn measured(text: &str) {
    println!("{}", paint("1;32", text));
}

/// What a command says, after the command.
pub(crate) fn shell(command: &str, output: &str) {
    println!("\n{}", paint("2", &format!("  $ {command}")));
    for line in output.trim_end().lines() {
        println!("{}", format!("  {line}").trim_end());
    }
    println!();
}

/// One line of the closing table.
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) seen: Report,
    pub(crate) keepalived: &'static str,
}

/// The closing table.
pub(crate) fn table(rows: &[Row]) {
    let line = |cells: [&str; 5]| {
        println!("  {:<16} {:>17} {:>12} {:>14}   {}", cells[0], cells[1], cells[2], cells[3], cells[4]);
    };
    println!();
    line(["fault", "without the VIP", "the client", "two at once", "keepalived 2.2.7 (measured earlier, not now)"]);
    for row in rows {
        let cells = [row.seen.gap(), row.seen.client_gap(), row.seen.dual()].map(milliseconds);
        line([row.fault, &cells[0], &cells[1], &cells[2], row.keepalived]);
    }
    println!();
}

/// `812 ms`.
pub(crate) fn milliseconds(span: Duration) -> String {
    format!("{} ms", span.as_millis())
}
