//! BFD control packets (RFC 5880 section 4.1), without authentication.
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
//!  |vers | diag    |sta|P|F|C|A|D|M|  detect mult  |    length     |
//!  +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
//!  |                       my discriminator                        |
//!  |                      your discriminator                       |
//!  |            desired min TX interval, microseconds              |
//!  |            required min RX interval, microseconds             |
//!  |          required min echo RX interval, microseconds          |
//!  +---------------------------------------------------------------+
//! ```
//!
//! What is judged here needs nothing but the packet, in the order of RFC 5880 section 6.8.6. Which
//! session it belongs to, and how many hops it came, is the receiver's business.

#[cfg(test)]
mod tests;

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

/// Where control packets go on one hop (RFC 5881 section 4).
pub const PORT: u16 = 3784;
/// Where they go over several (RFC 5883 section 5).
pub const MULTIHOP_PORT: u16 = 4784;
/// First and last port they come from (RFC 5881 section 4).
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Length of a control packet without authentication.
pub const LENGTH: usize = 24;

const VERSION: u8 = 1;
/// Length of the shortest packet with authentication.
const AUTHENTICATED_LENGTH: u8 = 26;

const POLL: u8 = 1 << 5;
const FINAL: u8 = 1 << 4;
const CONTROL_PLANE_INDEPENDENT: u8 = 1 << 3;
const AUTHENTICATION: u8 = 1 << 2;
const DEMAND: u8 = 1 << 1;
const MULTIPOINT: u8 = 1;

/// State of a session, as its packets carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Held down by an operator.
    AdminDown,
    /// Down, or just created.
    Down,
    /// The other side is heard, but does not hear us as far as we know.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    fn from_bits(bits: u8) -> State {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }
}

/// Why a session changed its state last (RFC 5880 section 4.1); five bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to say.
    pub const NONE: Diagnostic = Diagnostic(0);
    /// Nothing was heard for the detection time.
    pub const EXPIRED: Diagnostic = Diagnostic(1);
    /// The neighbour says that the session is down.
    pub const NEIGHBOUR_DOWN: Diagnostic = Diagnostic(3);
    /// An operator holds the session down.
    pub const ADMIN_DOWN: Diagnostic = Diagnostic(7);

    /// The number on the wire, 0 to 31.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbour signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            code => return write!(f, "diagnostic {code}"),
        })
    }
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Why the sender's session changed its state last.
    pub diagnostic: Diagnostic,
    /// State of the sender's session.
    pub state: State,
    /// Asks for an answer with `answers_poll`.
    pub poll: bool,
    /// F: the answer to a packet with `poll`.
    pub answers_poll: bool,
    /// The sender's BFD lives apart from its control plane.
    pub control_plane_independent: bool,
    /// Demand mode: the sender wants no periodic packets.
    pub demand: bool,
    /// How many packets in a row have to be missed.
    pub detect_multiplier: NonZeroU8,
    /// The sender's name for the session.
    pub my_discriminator: NonZeroU32,
    /// The receiver's name for it; none while the sender does not know it.
    pub your_discriminator: Option<NonZeroU32>,
    /// Microseconds between two packets of the sender, if it has its way.
    pub desired_min_tx: u32,
    /// Microseconds between two packets that the sender can take; 0: it wants none.
    pub required_min_rx: u32,
    /// The same for echo packets; 0: it takes none.
    pub required_min_echo_rx: u32,
}

/// Why a packet is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    /// Shorter than any control packet.
    #[error("shorter than a control packet")]
    Short,
    /// Not version 1.
    #[error("version is not 1")]
    Version,
    /// Its length field is below the least.
    #[error("length field too small")]
    LengthTooSmall,
    /// Its length field goes beyond the datagram.
    #[error("length field beyond the datagram")]
    LengthBeyond,
    /// The multiplier is 0.
    #[error("detection multiplier is 0")]
    Multiplier,
    /// M is set.
    #[error("multipoint bit is set")]
    Multipoint,
    /// The sender's discriminator is 0.
    #[error("my discriminator is 0")]
    MyDiscriminator,
    /// It knows no discriminator of ours, and is beyond Down.
    #[error("your discriminator is 0 in state Init or Up")]
    YourDiscriminator,
    /// A is set, and no authentication is in use.
    #[error("authenticated")]
    Authenticated,
}

impl Control {
    /// Reads the payload of a datagram. What follows the packet's own length is passed over, as the
    /// RFC has it.
    ///
    /// # Errors
    /// The first rule of RFC 5880 section 6.8.6 that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Control, Malformed> {
        let Some((head, body)) = bytes.first_chunk::<LENGTH>().and_then(|b| b.split_first_chunk::<4>()) else {
            return Err(short(bytes));
        };
        let [first, flags, multiplier, length] = *head;
        if first >> 5 != VERSION {
            return Err(Malformed::Version);
        }
        let least = if flags & AUTHENTICATION == 0 { LENGTH as u8 } else { AUTHENTICATED_LENGTH };
        if length < least {
            return Err(Malformed::LengthTooSmall);
        }
        if usize::from(length) > bytes.len() {
            return Err(Malformed::LengthBeyond);
        }
        let detect_multiplier = NonZeroU8::new(multiplier).ok_or(Malformed::Multiplier)?;
        if flags & MULTIPOINT != 0 {
            return Err(Malformed::Multipoint);
        }
        let word = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let my_discriminator = NonZeroU32::new(word(0)).ok_or(Malformed::MyDiscriminator)?;
        let state = State::from_bits(flags >> 6);
        let your_discriminator = NonZeroU32::new(word(4));
        if your_discriminator.is_none() && matches!(state, State::Init | State::Up) {
            return Err(Malformed::YourDiscriminator);
        }
        if flags & AUTHENTICATION != 0 {
            return Err(Malformed::Authenticated);
        }
        Ok(Control {
            diagnostic: Diagnostic(first & 0x1f),
            state,
            poll: flags & POLL != 0,
            answers_poll: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx: word(8),
            required_min_rx: word(12),
            required_min_echo_rx: word(16),
        })
    }

    /// The payload of a datagram.
    pub fn emit(&self) -> [u8; LENGTH] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = (self.state as u8) << 6
            | flag(self.poll, POLL)
            | flag(self.answers_poll, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&[
            VERSION << 5 | self.diagnostic.0,
            flags,
            self.detect_multiplier.get(),
            LENGTH as u8,
        ]);
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator.map_or(0, NonZeroU32::get),
            self.desired_min_tx,
            self.required_min_rx,
            self.required_min_echo_rx,
        ];
        for (to, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// The rule that a datagram breaks which is no whole packet: its version comes first where it has one.
fn short(bytes: &[u8]) -> Malformed {
    match bytes.first() {
        Some(first) if first >> 5 != VERSION => Malformed::Version,
        _ => Malformed::Short,
    }
}

/// An interval as packets carry it: whole microseconds, at most 71 minutes.
pub fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}
