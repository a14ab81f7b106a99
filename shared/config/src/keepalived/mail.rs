//! What `global_defs` says of mail.

use std::net::IpAddr;
use std::time::Duration;

use super::lower::Lower;
use super::lvs::switch;
use super::tree::{Block, Statement, Word};
use super::values;
use crate::model::Mail;

/// Reads a keyword; false when it is none of these.
pub(super) fn keyword(lower: &mut Lower<'_>, mail: &mut Mail, statement: &Statement<'_>) -> bool {
    match (statement.keyword(), &statement.block) {
        ("notification_email", Some(block)) => {
            addresses(lower, mail, block);
            return true;
        }
        ("notification_email", None) => {
            lower.error(statement.at(), "`notification_email` has no block; expected `{` after it".into());
        }
        ("notification_email_from", _) => {
            text(lower, &mut mail.from, statement, "an address");
            sender(lower, statement);
        }
        ("smtp_server", _) => server(lower, mail, statement),
        ("smtp_helo_name", _) => text(lower, &mut mail.helo_name, statement, "a name"),
        ("smtp_connect_timeout", _) => {
            let read = |word: &str| values::unsigned(word).filter(|n| (1..=4294).contains(n)).map(Duration::from_secs);
            let timeout = lower.value(statement, "whole seconds from 1 to 4294", "skipped", read);
            mail.connect_timeout = timeout.unwrap_or(mail.connect_timeout);
        }
        ("smtp_alert", _) => mail.alert = switch(lower, statement).or(mail.alert),
        ("smtp_alert_vrrp", _) => mail.alert_vrrp = switch(lower, statement).or(mail.alert_vrrp),
        ("smtp_alert_checker", _) => mail.alert_checker = switch(lower, statement).or(mail.alert_checker),
        ("no_email_faults", _) => mail.no_faults = true,
        ("no_checker_emails", _) => mail.no_checker = true,
        _ => return false,
    }
    lower.no_block(statement);
    true
}

fn addresses(lower: &mut Lower<'_>, mail: &mut Mail, block: &Block<'_>) {
    for statement in &block.statements {
        if !lower.language(statement) {
            lower.no_block(statement);
            for word in &statement.words {
                place(lower, word);
                mail.to.push(word.text.to_string());
            }
            if let Some(word) = statement.words[1..].iter().find(|word| word.text.starts_with('<')) {
                let message = "each word is a receiver of its own, as with keepalived: expected quotes around a name \
                               with its address";
                lower.warning(word.at, message.into());
            }
        }
    }
    if block.statements.is_empty() {
        lower.warning(block.open, "`notification_email` is empty; expected an address in each line".into());
    }
}

/// What comes after the first word of `notification_email_from` is lost.
fn sender(lower: &mut Lower<'_>, statement: &Statement<'_>) {
    let [first, rest @ ..] = statement.parameters() else { return };
    place(lower, first);
    if let Some(second) = rest.first() {
        let rest = rest.iter().map(|word| &*word.text).collect::<Vec<_>>().join(" ");
        let message = format!(
            "`{rest}` is lost, as with keepalived: mail comes from `{first}`; expected quotes: \"{first} {rest}\"",
            first = first.text
        );
        lower.warning(second.at, message);
    }
}

fn place(lower: &mut Lower<'_>, address: &Word<'_>) {
    let place = lower.place(address.at);
    lower.places().mail.push((address.text.to_string(), place));
}

/// A text; keepalived goes on without, other than with most keywords.
fn text(lower: &mut Lower<'_>, to: &mut Option<String>, statement: &Statement<'_>, expected: &str) {
    match statement.parameters().first() {
        Some(word) => *to = Some(word.text.to_string()),
        None => {
            let message = format!("`{}` has no value; expected {expected}; skipped", statement.keyword());
            lower.warning(statement.at(), message);
        }
    }
}

fn server(lower: &mut Lower<'_>, mail: &mut Mail, statement: &Statement<'_>) {
    let Some(host) = lower.parameter(statement, "an address and perhaps a port") else { return };
    let port = match statement.parameters().get(1) {
        None => Some(25),
        Some(word) => values::unsigned(&word.text).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0),
    };
    let named = host.text == "localhost" || host.text.contains('.');
    match port.filter(|_| named || host.text.parse::<IpAddr>().is_ok()) {
        Some(port) => mail.server = Some((host.text.to_string(), port)),
        None => {
            let message = format!("`{}` is no mail server: expected an address and perhaps a port; skipped", host.text);
            lower.warning(host.at, message);
        }
    }
}
