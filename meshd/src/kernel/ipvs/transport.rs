//! One generic netlink socket: batches of changes and questions, each wait with a deadline.

use std::io;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_GENERIC;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use rtnetlink::packet_core::{
    ErrorBuffer, ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, Parseable,
};

use super::IpvsError;
use super::attributes::Writer;
use super::decode::{self, Malformed};
use super::encode::Request;
use super::names::{FAMILY, VERSION, control};
use crate::kernel::fence::split;
use crate::kernel::refusal;

/// The kernel answers before `sendto` returns; only a lost answer makes us wait.
const DEADLINE_MS: i64 = 500;
/// Requests of one datagram. All of them may be refused, and the refusals have to find room in a
/// receive buffer of the default size.
const BATCH: usize = 128;
/// Longest datagram of a dump.
const RECEIVE_BUFFER: usize = 64 << 10;
/// A dump is asked again when what it shows changed below it, at most this often.
const DUMP_ATTEMPTS: usize = 10;
/// A netlink header, a generic one.
const HEADER_LEN: usize = 16;
const GENERIC_HEADER_LEN: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A socket, and the number the IPVS family has at present. It is not for several threads.
pub(super) struct Transport {
    socket: Socket,
    family: u16,
    sequence: u32,
}

/// What the kernel says instead of doing it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) errno: i32,
    pub(super) text: String,
}

/// One message of an answer.
pub(super) enum Answer {
    Attributes(Vec<u8>),
    /// The end of a dump, or an acknowledgement.
    Done,
    Refused(Failure),
    /// What a dump shows has changed meanwhile.
    Torn,
}

impl Transport {
    pub(super) fn open() -> Result<Transport, IpvsError> {
        let socket = Socket::new(NETLINK_GENERIC).and_then(|mut socket| {
            socket.bind_auto()?;
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(DEADLINE_MS))?;
            Ok(socket)
        });
        let mut transport = Transport { socket: socket.map_err(IpvsError::Io)?, family: 0, sequence: 0 };
        transport.resolve()?;
        Ok(transport)
    }

    /// Asks for one thing.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Vec<u8>, IpvsError> {
        let answers = self.again_after_reload(|transport| transport.ask_once(request, NLM_F_ACK))?;
        let answer = answers.and_then(|answers| answers.into_iter().next());
        answer.ok_or_else(|| Malformed("no answer before its end".to_owned()).into())
    }

    /// Asks for all of a kind.
    pub(super) fn dump(&mut self, request: &Request) -> Result<Vec<Vec<u8>>, IpvsError> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(answers) = self.again_after_reload(|transport| transport.ask_once(request, NLM_F_DUMP))? {
                return Ok(answers);
            }
        }
        let text = "services change faster than they can be read";
        Err(IpvsError::Io(io::Error::new(io::ErrorKind::Interrupted, text)))
    }

    /// Brings all of these about, in order; a refused one does not stop the others. Many go in one
    /// datagram, of which the kernel acknowledges only the last and refuses each by its number.
    pub(super) fn batch(&mut self, requests: &[&Request]) -> Result<Vec<Option<Failure>>, IpvsError> {
        let mut results = Vec::with_capacity(requests.len());
        for requests in requests.chunks(BATCH) {
            let mut answers = self.batch_once(requests)?;
            // That there is no such family is the same errno as that there is no such scheduler.
            if answers.iter().flatten().any(|failure| failure.errno == libc::ENOENT) && self.has_reloaded()? {
                answers = self.batch_once(requests)?;
            }
            results.append(&mut answers);
        }
        Ok(results)
    }

    fn batch_once(&mut self, requests: &[&Request]) -> Result<Vec<Option<Failure>>, IpvsError> {
        let Some(last) = requests.len().checked_sub(1) else { return Ok(Vec::new()) };
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            let flags = if index == last { NLM_F_REQUEST | NLM_F_ACK } else { NLM_F_REQUEST };
            self.append(&mut bytes, self.family, flags, request);
        }
        self.send(&bytes)?;
        let mut results: Vec<Option<Failure>> = requests.iter().map(|_| None).collect();
        loop {
            for (number, answer) in self.receive()? {
                let index = number.wrapping_sub(first) as usize;
                // An answer to something else that came too late for it.
                let Some(result) = results.get_mut(index) else { continue };
                if let Answer::Refused(failure) = answer {
                    *result = Some(failure);
                }
                if index == last {
                    return Ok(results);
                }
            }
        }
    }

    /// The answers to one question; none where they do not fit together.
    fn ask_once(&mut self, request: &Request, flags: u16) -> Result<Option<Vec<Vec<u8>>>, IpvsError> {
        self.ask_family(self.family, request, flags)
    }

    fn ask_family(&mut self, family: u16, request: &Request, flags: u16) -> Result<Option<Vec<Vec<u8>>>, IpvsError> {
        let mut bytes = Vec::new();
        let asked = self.append(&mut bytes, family, NLM_F_REQUEST | flags, request);
        self.send(&bytes)?;
        let (mut answers, mut torn) = (Vec::new(), false);
        loop {
            for (number, answer) in self.receive()? {
                match answer {
                    _ if number != asked => {}
                    Answer::Attributes(attributes) => answers.push(attributes),
                    Answer::Torn => torn = true,
                    Answer::Done => return Ok((!torn).then_some(answers)),
                    Answer::Refused(failure) if failure.errno == libc::EINTR => return Ok(None),
                    Answer::Refused(failure) => return Err(failure.into()),
                }
            }
        }
    }

    /// Repeats a question after the module was loaded anew: the family has another number then.
    fn again_after_reload<T>(&mut self, ask: impl Fn(&mut Self) -> Result<T, IpvsError>) -> Result<T, IpvsError> {
        match ask(self) {
            Err(IpvsError::Io(error)) if error.kind() == io::ErrorKind::NotFound && self.has_reloaded()? => ask(self),
            answer => answer,
        }
    }

    fn has_reloaded(&mut self) -> Result<bool, IpvsError> {
        let before = self.family;
        self.resolve()?;
        Ok(self.family != before)
    }

    /// Asks for the family's number. The kernel loads the module when it has to.
    fn resolve(&mut self) -> Result<(), IpvsError> {
        let mut writer = Writer::default();
        writer.name(control::FAMILY_NAME, FAMILY);
        let request = Request { command: control::GETFAMILY, attributes: writer.finish() };
        let answers = self.ask_family(control::FAMILY, &request, NLM_F_ACK).map_err(|error| match error {
            IpvsError::Io(error) if error.kind() == io::ErrorKind::NotFound => IpvsError::Missing,
            error => error,
        })?;
        let answer = answers.and_then(|answers| answers.into_iter().next()).ok_or(IpvsError::Missing)?;
        self.family = decode::family_id(&answer)?;
        Ok(())
    }

    /// Appends one message and tells its number.
    fn append(&mut self, bytes: &mut Vec<u8>, family: u16, flags: u16, request: &Request) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        frame(bytes, family, flags, self.sequence, request);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<(), IpvsError> {
        let sent = self.socket.send(bytes, 0).map_err(IpvsError::Io)?;
        if sent != bytes.len() {
            return Err(IpvsError::Io(io::Error::other(format!("the kernel took {sent} of {} bytes", bytes.len()))));
        }
        Ok(())
    }

    /// The messages of one datagram, with their numbers.
    fn receive(&self) -> Result<Vec<(u32, Answer)>, IpvsError> {
        let mut bytes = Vec::with_capacity(RECEIVE_BUFFER);
        loop {
            match self.socket.recv(&mut bytes, 0) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let text = "no answer from the kernel";
                    return Err(IpvsError::Io(io::Error::new(io::ErrorKind::TimedOut, text)));
                }
                Err(error) => return Err(IpvsError::Io(error)),
            }
        }
        split(&bytes).map(|message| unframe(message).map_err(IpvsError::from)).collect()
    }
}

/// One message: its headers and the request.
fn frame(bytes: &mut Vec<u8>, family: u16, flags: u16, sequence: u32, request: &Request) {
    let length = HEADER_LEN + GENERIC_HEADER_LEN + request.attributes.len();
    bytes.extend(u32::try_from(length).expect("requests are short").to_ne_bytes());
    bytes.extend(family.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // Port 0: the kernel fills it in.
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([request.command, VERSION, 0, 0]);
    bytes.extend(&request.attributes);
}

/// What one message says, and its number.
pub(super) fn unframe(message: &[u8]) -> Result<(u32, Answer), Malformed> {
    let cut = || Malformed("a message is cut".to_owned());
    let (header, payload) = message.split_first_chunk::<HEADER_LEN>().ok_or_else(cut)?;
    let [_, _, _, _, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
    let (kind, flags) = (u16::from_ne_bytes([k0, k1]), u16::from_ne_bytes([f0, f1]));
    let answer = match kind {
        NLMSG_ERROR => {
            let error = ErrorBuffer::new_checked(&payload).and_then(|buffer| ErrorMessage::parse(&buffer));
            refused(&error.map_err(|error| Malformed(error.to_string()))?)
        }
        // A dump ends with an errno where it failed.
        NLMSG_DONE => match payload.first_chunk().map(|errno| i32::from_ne_bytes(*errno)) {
            Some(errno) if errno < 0 => failed(errno),
            _ if flags & NLM_F_DUMP_INTR != 0 => failed(-libc::EINTR),
            _ => Answer::Done,
        },
        _ if flags & NLM_F_DUMP_INTR != 0 => Answer::Torn,
        _ => Answer::Attributes(payload.get(GENERIC_HEADER_LEN..).ok_or_else(cut)?.to_vec()),
    };
    Ok((u32::from_ne_bytes([s0, s1, s2, s3]), answer))
}

fn refused(error: &ErrorMessage) -> Answer {
    match error.raw_code() {
        0 => Answer::Done,
        code => Answer::Refused(Failure { errno: code.saturating_abs(), text: refusal(error) }),
    }
}

fn failed(code: i32) -> Answer {
    let errno = code.saturating_abs();
    Answer::Refused(Failure { errno, text: io::Error::from_raw_os_error(errno).to_string() })
}
