//! Many requests in one datagram: a thousand addresses take a few milliseconds, not a round trip each.

use std::io;
use std::time::Duration;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use rtnetlink::packet_core::{NLM_F_ACK, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

use super::requests::Refusal;
use crate::clock;
use crate::kernel::fence::split;

/// The kernel answers before `sendto` returns; only a lost answer makes us wait.
const DEADLINE: Duration = Duration::from_secs(1);
/// Requests in one datagram: their answers have to fit the receive buffer, some 100 bytes each.
const LARGEST: usize = 256;
const BUFFER: usize = 1 << 20;
const DATAGRAM: usize = 64 << 10;

/// A socket for requests that wait for nothing but the kernel.
pub(super) struct Batch {
    socket: Socket,
    sequence: u32,
}

impl Batch {
    pub(super) fn open() -> io::Result<Batch> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(DEADLINE.as_millis() as i64))?;
        // Without CAP_NET_ADMIN both fail, and so does every request.
        let _ = setsockopt(&socket, sockopt::SndBufForce, &BUFFER);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
        Ok(Batch { socket, sequence: 0 })
    }

    /// Has all of it done, one after another; what the kernel said to each, in order.
    pub(super) fn execute(&mut self, messages: Vec<RouteNetlinkMessage>, flags: u16) -> Vec<Result<(), Refusal>> {
        let mut answers = Vec::with_capacity(messages.len());
        let mut rest = messages.into_iter().peekable();
        while rest.peek().is_some() {
            answers.extend(self.execute_some(rest.by_ref().take(LARGEST).collect(), flags));
        }
        answers
    }

    fn execute_some(&mut self, messages: Vec<RouteNetlinkMessage>, flags: u16) -> Vec<Result<(), Refusal>> {
        let first = self.sequence.wrapping_add(1);
        let count = messages.len();
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            let mut message = NetlinkMessage::from(message);
            message.header.flags = flags | NLM_F_ACK;
            message.header.sequence_number = self.sequence;
            message.finalize();
            let start = bytes.len();
            bytes.resize(start + message.buffer_len(), 0);
            message.serialize(&mut bytes[start..]);
        }
        let mut answers: Vec<Option<Result<(), Refusal>>> = (0..count).map(|_| None).collect();
        let failure = self.socket.send(&bytes, 0).and_then(|_| self.collect(first, &mut answers)).err();
        let lost = || Err(failure.as_ref().map_or_else(Refusal::late, Refusal::of));
        answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    fn collect(&self, first: u32, answers: &mut [Option<Result<(), Refusal>>]) -> io::Result<()> {
        let end = clock::now() + DEADLINE;
        while answers.iter().any(Option::is_none) && clock::now() < end {
            let mut datagram = Vec::with_capacity(DATAGRAM);
            self.socket.recv(&mut datagram, 0)?;
            for message in split(&datagram) {
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else { continue };
                let number = message.header.sequence_number.wrapping_sub(first) as usize;
                if let (Some(answer), NetlinkPayload::Error(error)) = (answers.get_mut(number), message.payload) {
                    *answer = Some(if error.code.is_some() { Err(Refusal::from(&error)) } else { Ok(()) });
                }
            }
        }
        Ok(())
    }
}
