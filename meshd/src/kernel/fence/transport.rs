//! One nfnetlink socket: transactions and questions, each with a deadline.

use std::convert::Infallible;
use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::nftables::NfTablesMessage;
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily as Family, NetfilterSubsystem,
};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::super::refusal;

/// The kernel answers before `sendto` returns; only a lost answer makes us wait.
const DEADLINE_MS: i64 = 500;
/// Room for a transaction of some 10,000 addresses: the kernel takes no longer one than this.
const SEND_BUFFER: usize = 4 << 20;
/// Longest datagram of a dump.
const RECEIVE_BUFFER: usize = 64 << 10;
/// A dump is asked again when the rules changed below it, at most this often.
const DUMP_ATTEMPTS: usize = 10;

/// Messages that become true together, or not at all.
#[derive(Default)]
pub(super) struct Transaction(Vec<(Family, u16, NfTablesMessage)>);

impl Transaction {
    /// Something to be there; what is there already is left as it is.
    pub(super) fn create(&mut self, family: Family, message: NfTablesMessage) {
        self.0.push((family, NLM_F_REQUEST | NLM_F_CREATE, message));
    }

    /// A rule to be the last of its chain.
    pub(super) fn append(&mut self, family: Family, message: NfTablesMessage) {
        self.0.push((family, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND, message));
    }

    /// Something to go.
    pub(super) fn delete(&mut self, family: Family, message: NfTablesMessage) {
        self.0.push((family, NLM_F_REQUEST, message));
    }
}

/// A socket. It is not for several threads.
pub(super) struct Transport {
    socket: Socket,
    port: u32,
    sequence: u32,
    /// Kept, for both are large, and needed several times a second.
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Transport {
    pub(super) fn open() -> io::Result<Transport> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        let port = socket.bind_auto()?.port_number();
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(DEADLINE_MS))?;
        // Fails without CAP_NET_ADMIN, and then the first request tells better what is missing.
        let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER);
        let answer = Vec::with_capacity(RECEIVE_BUFFER);
        Ok(Transport { socket, port, sequence: 0, request: Vec::new(), answer })
    }

    /// The address other listeners see as the author of our changes.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Brings a transaction about.
    pub(super) fn commit(&mut self, transaction: Transaction) -> io::Result<()> {
        self.batch(transaction, true)
    }

    /// Whether the kernel would accept a transaction, without bringing it about: a batch without
    /// its end is checked and then dropped.
    pub(super) fn check(&mut self, transaction: Transaction) -> io::Result<()> {
        self.batch(transaction, false)
    }

    fn batch(&mut self, Transaction(messages): Transaction, commit: bool) -> io::Result<()> {
        let Some(last) = messages.len().checked_sub(1) else { return Ok(()) };
        self.request.clear();
        let first = self.append(NLM_F_REQUEST, control(ControlMessage::BatchBegin));
        let mut acknowledged = first;
        for (index, (family, flags, message)) in messages.into_iter().enumerate() {
            let flags = if index == last { flags | NLM_F_ACK } else { flags };
            let header = NetfilterHeader::new(family, 0, 0);
            acknowledged = self.append(flags, NetfilterMessage::new(header, message));
        }
        if commit {
            self.append(NLM_F_REQUEST, control(ControlMessage::BatchEnd));
        }
        self.send()?;
        // The first refusal names the culprit; what follows it are its consequences. A refusal of the
        // batch as a whole carries the number of its beginning and comes alone.
        let mut refused = None;
        loop {
            for message in self.receive::<NetfilterMessage>()? {
                let (number, payload) = (message.header.sequence_number, message.payload);
                let NetlinkPayload::Error(error) = payload else { continue };
                if number.wrapping_sub(first) > acknowledged.wrapping_sub(first) {
                    continue;
                }
                if error.code.is_some() && refused.is_none() {
                    refused = Some(io::Error::new(error.to_io().kind(), Refused::from(&error)));
                }
                if number == acknowledged || number == first {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Asks for one thing (`dump` false) or for all of a kind.
    pub(super) fn ask(
        &mut self,
        family: Family,
        message: &NfTablesMessage,
        dump: bool,
    ) -> io::Result<Vec<NfTablesMessage>> {
        let answer = self.ask_for::<NetfilterMessage>(family, message, dump)?;
        let of_tables = |message: NetfilterMessage| match message.inner {
            NetfilterMessageInner::NfTables(message) => Some(message),
            _ => None,
        };
        Ok(answer.into_iter().filter_map(of_tables).collect())
    }

    /// Asks for all of a kind, for answers of any kind.
    pub(super) fn ask_for<T: NetlinkDeserializable>(
        &mut self,
        family: Family,
        message: &NfTablesMessage,
        dump: bool,
    ) -> io::Result<Vec<T>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(answer) = self.ask_once(family, message.clone(), dump)? {
                return Ok(answer);
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "the rules change faster than they can be read"))
    }

    fn ask_once<T: NetlinkDeserializable>(
        &mut self,
        family: Family,
        message: NfTablesMessage,
        dump: bool,
    ) -> io::Result<Option<Vec<T>>> {
        self.request.clear();
        let flags = NLM_F_REQUEST | if dump { NLM_F_DUMP } else { NLM_F_ACK };
        let number = self.append(flags, NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message));
        self.send()?;
        let (mut answer, mut torn) = (Vec::new(), false);
        loop {
            for message in self.receive()? {
                if message.header.sequence_number != number {
                    continue;
                }
                torn |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => answer.push(message),
                    NetlinkPayload::Error(error) if error.raw_code() == -nix::libc::EINTR => return Ok(None),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(io::Error::new(error.to_io().kind(), Refused::from(&error)));
                    }
                    NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => return Ok((!torn).then_some(answer)),
                    _ => {}
                }
            }
        }
    }

    /// Appends one message to the request and tells its number.
    fn append(&mut self, flags: u16, message: NetfilterMessage) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let start = self.request.len();
        self.request.resize(start + message.buffer_len(), 0);
        message.serialize(&mut self.request[start..]);
        self.sequence
    }

    fn send(&self) -> io::Result<()> {
        let sent = self.socket.send(&self.request, 0)?;
        if sent != self.request.len() {
            return Err(io::Error::other(format!("the kernel took {sent} of {} bytes", self.request.len())));
        }
        Ok(())
    }

    /// The messages of one datagram.
    fn receive<T: NetlinkDeserializable>(&mut self) -> io::Result<Vec<NetlinkMessage<T>>> {
        self.answer.clear();
        self.socket.recv(&mut self.answer, 0).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer from the kernel"),
            _ => error,
        })?;
        split(&self.answer)
            .map(|message| {
                NetlinkMessage::deserialize(message)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
            })
            .collect()
    }
}

/// The attributes of a message, as they came: for those that the library reads in a time that grows with the square of
/// their number.
pub(super) struct Attributes(pub(super) Vec<u8>);

impl NetlinkDeserializable for Attributes {
    type Error = Infallible;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        /// `struct nfgenmsg` of linux/netfilter/nfnetlink.h.
        const HEADER: usize = 4;
        Ok(Attributes(payload.get(HEADER..).unwrap_or_default().to_vec()))
    }
}

/// The messages in a datagram, each with its header; ends at the first that is cut.
pub(in crate::kernel) fn split(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    const ALIGNMENT: usize = 4;
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let message = rest.get(..length).filter(|message| message.len() >= 16)?;
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(message)
    })
}

/// The kernel refused a request.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Refused {
    pub(super) errno: i32,
    text: String,
}

impl Refused {
    /// The errno behind an error of this module, zero where it was not the kernel's answer.
    pub(super) fn errno(error: &io::Error) -> i32 {
        let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>());
        refused.map_or(error.raw_os_error().unwrap_or(0), |refused| refused.errno)
    }
}

impl From<&netlink_packet_core::ErrorMessage> for Refused {
    fn from(error: &netlink_packet_core::ErrorMessage) -> Self {
        Refused { errno: error.raw_code().abs(), text: refusal(error) }
    }
}

fn control(message: ControlMessage) -> NetfilterMessage {
    NetfilterMessage::new(
        NetfilterHeader::new(Family::Unspec, 0, u8::from(NetfilterSubsystem::NfTables).into()),
        message,
    )
}
