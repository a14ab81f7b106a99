//! SMTP_CHECK: greeting, HELO, QUIT. As keepalived has it, 220 and 250 are wanted, and any answer to QUIT will do.

use std::io;

use mesh_config::model::Connect;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::patience::Patience;
use super::socket;

/// Of one line, its end included; RFC 5321 section 4.5.3.1.5 says 512.
const MOST_LINE: u64 = 2048;
/// Of one reply.
const MOST_LINES: usize = 128;

/// Asks the host with this number.
pub(super) async fn check(helo_name: Option<&str>, hosts: &[Connect], step: usize) -> Result<(), String> {
    let connect = hosts.get(step).ok_or_else(|| format!("there is no host {step}"))?;
    let patience = Patience::new(connect.timeout);
    let mut stream = BufReader::new(socket::connect(connect, &patience).await?);
    expect(&mut stream, "greeting", 220, &patience).await?;
    let hello = format!("HELO {}\r\n", helo_name.map_or_else(own_name, str::to_owned));
    patience.wait(async { stream.get_mut().write_all(hello.as_bytes()).await }).await?;
    expect(&mut stream, "HELO", 250, &patience).await?;
    patience.wait(async { stream.get_mut().write_all(b"QUIT\r\n").await }).await?;
    reply(&mut stream, &patience).await.map(drop).map_err(|why| format!("QUIT: {why}"))
}

/// RFC 5321 section 4.1.3 wants something in brackets from a host without a name.
fn own_name() -> String {
    mesh_files::whole_host_name().unwrap_or_else(|| "[127.0.0.1]".to_owned())
}

async fn expect(stream: &mut BufReader<TcpStream>, to: &str, wanted: u16, patience: &Patience) -> Result<(), String> {
    match reply(stream, patience).await {
        Ok(Some(code)) if code == wanted => Ok(()),
        Ok(Some(code)) => Err(format!("{to}: reply {code} instead of {wanted}")),
        Ok(None) => Err(format!("{to}: no SMTP reply")),
        Err(why) => Err(format!("{to}: {why}")),
    }
}

/// The code of the next reply, which may have several lines; none where it does not begin with one.
async fn reply(stream: &mut BufReader<TcpStream>, patience: &Patience) -> Result<Option<u16>, String> {
    for _ in 0..MOST_LINES {
        let line = patience.wait(line(stream)).await?;
        let Some((code, rest)) = line.split_at_checked(3) else { return Ok(None) };
        if !code.iter().all(u8::is_ascii_digit) {
            return Ok(None);
        }
        if rest.first() != Some(&b'-') {
            return Ok(code.iter().try_fold(0_u16, |sum, digit| Some(sum * 10 + u16::from(digit - b'0'))));
        }
    }
    Err(format!("reply of more than {MOST_LINES} lines"))
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let read = stream.take(MOST_LINE).read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => Ok(line),
        _ if read as u64 == MOST_LINE => Err(io::Error::other("line without end")),
        _ => Err(io::Error::other("connection closed")),
    }
}
