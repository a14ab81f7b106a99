//! UDP_CHECK: sends a datagram. Without `require_reply` it fails only where an ICMP error comes back within
//! `connect_timeout`; with it, the first answer within that time has to fit.

use mesh_config::model::{Connect, UdpReply};
use socket2::{Protocol, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::patience::Patience;
use super::{random, socket, words};

/// Without `payload`.
const PAYLOAD: usize = 24;

pub(super) async fn check(connect: &Connect, payload: Option<&[u8]>, reply: Option<&UdpReply>) -> Result<(), String> {
    let patience = Patience::new(connect.timeout);
    let socket = socket::datagrams(connect, Type::DGRAM, Protocol::UDP)?;
    let random: [u8; PAYLOAD];
    let payload = match payload {
        Some(payload) => payload,
        None => {
            random = random::bytes();
            &random
        }
    };
    patience.wait(socket.send(payload)).await?;
    match reply {
        None => no_error(&socket, connect).await,
        Some(wanted) => {
            // One byte more than is allowed shows that there are more.
            let mut buffer = vec![0; usize::from(wanted.most) + 1];
            let length = patience.wait(socket.recv(&mut buffer)).await?;
            fits(&buffer[..length], wanted)
        }
    }
}

async fn no_error(socket: &UdpSocket, connect: &Connect) -> Result<(), String> {
    match timeout(connect.timeout, socket.recv(&mut [0])).await {
        Ok(Err(error)) => Err(words::error(&error)),
        // Silence is what is expected; an answer is as good.
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// As much is compared as both have; a mask says which bits have to be equal.
fn fits(answer: &[u8], wanted: &UdpReply) -> Result<(), String> {
    let length = answer.len();
    if length < usize::from(wanted.least) {
        return Err(format!("answer of {length} bytes instead of {} or more", wanted.least));
    }
    if length > usize::from(wanted.most) {
        return Err(format!("answer of more than {} bytes", wanted.most));
    }
    let differs = |(got, (byte, mask)): (&u8, &(u8, u8))| (got ^ byte) & mask != 0;
    match answer.iter().zip(&wanted.pattern).position(differs) {
        Some(at) => Err(format!("byte {at} of the answer is {:#04x}", answer[at])),
        None => Ok(()),
    }
}
