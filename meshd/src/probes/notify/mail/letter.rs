//! A mail as keepalived writes it, and the addresses on it.

use std::time::SystemTime;

use lettre::Address;
use lettre::message::Body;
use lettre::message::header::{
    ContentTransferEncoding, ContentType, Date, HeaderName, HeaderValue, Headers, MIME_VERSION_1_0, Subject,
};

use crate::clock;

/// A sender or a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mailbox {
    /// As it is configured, and shown to who reads the mail.
    shown: String,
    /// What the server is told of it.
    path: String,
}

impl Mailbox {
    /// `NAME@DOMAIN`, with angle brackets and words before it or without, or `NAME` alone: whose that is, the server
    /// knows, as with keepalived.
    ///
    /// # Errors
    ///
    /// It is none of them, and why.
    pub(super) fn parse(text: &str) -> Result<Mailbox, String> {
        let text = text.trim();
        let bracketed = text.strip_suffix('>').and_then(|text| text.rsplit_once('<'));
        let path = bracketed.map_or(text, |(_, path)| path);
        let valid = if path.contains('@') { path.parse() } else { Address::new(path, "localhost") };
        let refused = |error: &dyn std::fmt::Display| {
            format!("`{}` is no mail address: {error}; expected NAME or NAME@DOMAIN", text.escape_debug())
        };
        valid.map_err(|error| refused(&error))?;
        // The library lets some quoted ones pass, that would end the command or the line.
        if text.contains(|c: char| c.is_control()) || path.contains(|c: char| c.is_whitespace() || "<>".contains(c)) {
            return Err(refused(&"Invalid input found"));
        }
        Ok(Mailbox { shown: text.to_owned(), path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// What comes after DATA: headers in keepalived's order.
pub(super) fn text(from: &Mailbox, to: &[Mailbox], subject: &str, body: &str) -> Vec<u8> {
    let receivers = to.iter().map(|mailbox| mailbox.shown.as_str()).collect::<Vec<_>>().join(", ");
    let as_it_is = |name, value| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
    let mut headers = Headers::new();
    headers.set(Date::from(SystemTime::UNIX_EPOCH + clock::unix_time()));
    headers.insert_raw(as_it_is("From", from.shown.clone()));
    headers.set(Subject::from(subject.to_owned()));
    headers.insert_raw(as_it_is("X-Mailer", "Keepalived".to_owned()));
    headers.insert_raw(as_it_is("To", receivers));
    // The library ends the last line.
    let body = Body::new(body.strip_suffix('\n').unwrap_or(body).to_owned());
    if body.encoding() != ContentTransferEncoding::SevenBit {
        headers.set(MIME_VERSION_1_0);
        headers.set(ContentType::TEXT_PLAIN);
        headers.set(body.encoding());
    }
    [headers.to_string().as_bytes(), b"\r\n", &body.into_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, String), String> {
        Mailbox::parse(text).map(|Mailbox { shown, path }| (shown, path))
    }

    #[test]
    fn addresses_with_and_without_a_domain_or_words() {
        for (text, path) in [
            ("root", "root"),
            ("one@example.com", "one@example.com"),
            ("<one@example.com>", "one@example.com"),
            ("Kee Pal <k@p>", "k@p"),
            ("Kee <root>", "root"),
            ("One <o@[192.0.2.1]>", "o@[192.0.2.1]"),
        ] {
            assert_eq!(parsed(text), Ok((text.to_owned(), path.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_would_be_more_than_an_address_is_refused_with_its_reason() {
        for text in [
            "",
            "<>",
            "no address",
            "bad@@x",
            "@x",
            "a@",
            "Kee <a> b",
            "a>b",
            "a\r\nDATA",
            "Kee\r\nBcc: x <a@b.c>",
            "\"a b\"",
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.contains("is no mail address") && error.contains("expected NAME"), "{error}");
            assert!(!error.contains(['\r', '\n']), "{error}");
        }
    }

    #[test]
    fn the_text_is_keepalived_s_and_in_plain_characters() {
        let to = ["root", "Zo\u{eb} <z@example.com>"].map(|text| Mailbox::parse(text).unwrap());
        let from = Mailbox::parse("Kee Pal <k@p>").unwrap();
        let plain = String::from_utf8(text(&from, &to[..1], "[lb] down", "one\n\ntwo\n")).unwrap();
        let (date, rest) = plain.split_once("\r\n").unwrap();
        assert!(date.starts_with("Date: ") && date.ends_with(" +0000"), "{date}");
        assert_eq!(
            rest,
            "From: Kee Pal <k@p>\r\nSubject: [lb] down\r\nX-Mailer: Keepalived\r\nTo: root\r\n\r\none\r\n\r\ntwo"
        );
        let other = String::from_utf8(text(&from, &to, "[lb] \u{fc}ber", "\u{fc}ber")).unwrap();
        assert!(other.is_ascii() && other.contains("To: root, =?utf-8?") && other.contains(" <z@example.com>\r\n"));
        assert!(other.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{other}");
    }
}
