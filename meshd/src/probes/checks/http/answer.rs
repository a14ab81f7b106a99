//! Reading an answer: status line, headers, body.

use std::io;

use httparse::{EMPTY_HEADER, ParserConfig, Response, Status};
use mesh_config::model::Url;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::super::patience::Patience;
use super::super::words;
use super::body::{Body, Framing};

/// Status line and headers.
const MOST_HEAD: usize = 64 << 10;
const MOST_HEADERS: usize = 128;
/// Read at once.
const PIECE: usize = 16 << 10;

/// What there is to judge by; the status was right.
#[derive(Debug)]
pub(super) struct Answer {
    /// MD5 of the body as it came, which is what keepalived's genhash tells; and where it came in chunks, of what was
    /// in them, too.
    pub(super) digests: Vec<String>,
    /// The beginning of the body, where a regex is to be looked for.
    pub(super) kept: Vec<u8>,
    /// There was more of it.
    pub(super) cut: bool,
}

/// Reads an answer; fails at once where the status is wrong.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    url: &Url,
    patience: &Patience,
) -> Result<Answer, String> {
    let mut piece = vec![0; PIECE];
    let mut head = Vec::new();
    let (mut body, length) = loop {
        let got = patience.wait(some(stream, &mut piece)).await?;
        if got == 0 {
            let what = if head.is_empty() {
                "connection closed without an answer"
            } else {
                "connection closed in the headers"
            };
            return Err(what.to_owned());
        }
        head.extend_from_slice(&piece[..got]);
        if let Some(parsed) = parse(&head, url)? {
            break parsed;
        }
        if head.len() > MOST_HEAD {
            return Err("headers without end".to_owned());
        }
    };
    let mut done = body.take(&head[length..])?;
    while !done {
        match patience.wait(some(stream, &mut piece)).await? {
            0 => break,
            got => done = body.take(&piece[..got])?,
        }
    }
    Ok(body.end())
}

/// The next bytes; none at the end. Many servers end TLS without saying so.
async fn some(stream: &mut (impl AsyncRead + Unpin), piece: &mut [u8]) -> io::Result<usize> {
    match stream.read(piece).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        got => got,
    }
}

/// Status and headers, as soon as they are complete, and their length.
fn parse(head: &[u8], url: &Url) -> Result<Option<(Body, usize)>, String> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut response = Response::new(&mut headers);
    // Whatever a browser would put up with.
    let mut lenient = ParserConfig::default();
    lenient
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true);
    let length = match lenient.parse_response(&mut response, head) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("no HTTP answer: {}", words::text(&error.to_string()))),
    };
    let status = response.code.unwrap_or_default();
    if !url.status.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(format!("status {status}"));
    }
    let framing = framing(status, response.headers);
    Ok(Some((Body::new(framing, url.digest.is_some(), url.regex.is_some()), length)))
}

/// RFC 9112 section 6.3, without its errors: what cannot be understood ends with the connection.
fn framing(status: u16, headers: &[httparse::Header<'_>]) -> Framing {
    if status < 200 || status == 204 || status == 304 {
        return Framing::Length(0);
    }
    let value = |name: &str| {
        let header = headers.iter().rev().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let last = |coding: &str| coding.rsplit(',').next().is_some_and(|c| c.trim().eq_ignore_ascii_case("chunked"));
    match value("transfer-encoding") {
        Some(coding) if last(coding) => Framing::Chunks,
        Some(_) => Framing::Close,
        None => value("content-length").and_then(|text| text.parse().ok()).map_or(Framing::Close, Framing::Length),
    }
}
