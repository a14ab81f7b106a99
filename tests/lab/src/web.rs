//! A web server that says on which host it is, and the client for it: nothing to install.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::host::Host;

const PORT: u16 = 80;
/// One request at a time, so one that hangs must not hang the next.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers every request on every address of this network with `name`; returns only if it can not listen.
pub fn serve(name: &str) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).context("listen on port 80")?;
    loop {
        // A client that went away is its own matter.
        let _ = listener.accept().and_then(|(stream, _)| answer(stream, name));
    }
}

/// Asks the web server at `address` from `host`, as a browser there would; gives the name it answers with.
pub fn get(host: &Host, address: Ipv4Addr) -> Result<String> {
    let host = host.clone();
    let thread = std::thread::spawn(move || {
        host.enter()?;
        ask(address)
    });
    thread.join().map_err(|_| anyhow!("the web client panicked"))?
}

fn ask(address: Ipv4Addr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddrV4::new(address, PORT).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.take(4096).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    anyhow::ensure!(head.starts_with("HTTP/1.0 200"), "{head}");
    Ok(body.trim().to_string())
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let length = stream.read(&mut buffer)?;
        if length == 0 || request.len() > 8192 {
            return Err(ErrorKind::InvalidData.into());
        }
        request.extend_from_slice(&buffer[..length]);
    }
    let body = format!("{name}\n");
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
