//! What happened: paths, and following it.

use crate::client::{Client, Failure};
use crate::{look, print, show};

/// Fewer digits than that name no trace.
const LEAST_DIGITS: usize = 6;

pub(crate) fn events_path(path: &str, since: Option<u32>) -> String {
    since.map_or_else(|| path.to_owned(), |seconds| format!("{path}?since={seconds}"))
}

/// By id, where it looks like one; else a VIP or a name.
pub(crate) fn trace_path(which: Option<&str>) -> String {
    match which {
        None => "/traces".to_owned(),
        Some(id) if id.len() >= LEAST_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit()) => format!("/traces?id={id}"),
        Some(router) => format!("/traces?router={}", encoded(router)),
    }
}

pub(crate) fn explain_path(vip: &str) -> String {
    format!("/explain?router={}", encoded(vip))
}

/// Events as they come, until the daemon is gone or output fails.
pub(crate) async fn follow(client: &Client, since: Option<u32>, json: bool) -> Result<(), Failure> {
    let mut events = client.events(&events_path("/events/follow", since)).await?;
    loop {
        let event = events.next_whenever().await?;
        if json { print(&format!("{event}\n"))? } else { print(&show::event(&show::read(event)?, &look()))? }
    }
}

/// As a value in a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    let encode = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_an_address_and_a_name() {
        assert_eq!(trace_path(None), "/traces");
        assert_eq!(trace_path(Some("0123abcdef")), "/traces?id=0123abcdef");
        assert_eq!(trace_path(Some("10.1.1.80")), "/traces?router=10.1.1.80");
        assert_eq!(trace_path(Some("fe80::1")), "/traces?router=fe80::1");
        assert_eq!(trace_path(Some("beef")), "/traces?router=beef");
        assert_eq!(explain_path("web & ü"), "/explain?router=web%20%26%20%C3%BC");
        assert_eq!(events_path("/events", Some(60)), "/events?since=60");
    }
}
