//! Bytes of mesh messages: one version byte, then postcard.
//!
//! Postcard is not self-describing: a change of any message type is a new [`VERSION`].

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RouterKey;
use super::lease::Message;
use super::moves::{LONGEST_TEXT, MOST_MARKS, MOST_ROUTERS, MoveMessage, Order};

/// The first byte of every message.
pub const VERSION: u8 = 2;

/// The longest message, version byte included: room for some 3 000 claims, or for a roster with all
/// members, tombstones and tokens it can have, and nothing one peer could fill the memory with.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// What is wrong with received bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all.
    #[error("empty message")]
    Empty,
    /// Longer than [`MAX_MESSAGE`].
    #[error("message of {0} bytes, the limit is {MAX_MESSAGE}")]
    TooLong(usize),
    /// Another version than [`VERSION`].
    #[error("message of version {0}, this program speaks {VERSION}")]
    Version(u8),
    /// Not what the version calls for.
    #[error("malformed message")]
    Malformed(#[from] postcard::Error),
    /// Something after the message's end.
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
    /// A virtual router identifier or a priority of zero.
    #[error("{0} is out of range")]
    Range(&'static str),
}

/// The bytes of a message between nodes.
pub fn encode(message: &Message) -> Vec<u8> {
    encode_value(message)
}

/// The message in the bytes a peer sent.
///
/// # Errors
/// Everything that [`decode_value`] refuses, and values out of the range their type documents.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let message = decode_value(bytes)?;
    check_ranges(&message)?;
    Ok(message)
}

/// The bytes of any value.
///
/// # Panics
/// For a type that serializes a sequence without saying its length, or fails by itself: an error
/// in the program that its first use shows.
pub fn encode_value<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("types of the wire know their lengths")
}

/// Any value in the bytes a peer sent.
///
/// A length inside the message that the rest of it cannot hold allocates nothing in advance, so
/// that decoding takes memory in proportion to the bytes received. That needs every element of a
/// sequence in `T` to take at least one byte (no `Vec<()>`).
///
/// # Errors
/// Too long, of another version, cut short, followed by something, or not a `T`.
pub fn decode_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let (value, rest) = postcard::take_from_bytes(body)?;
    if !rest.is_empty() {
        return Err(DecodeError::TrailingBytes(rest.len()));
    }
    Ok(value)
}

fn check_ranges(message: &Message) -> Result<(), DecodeError> {
    let exists = |router: &RouterKey| router.vrid != 0;
    let routers_exist = match message {
        Message::Request(request) => request.claims.iter().all(|claim| exists(&claim.router)),
        Message::Reply(reply) => reply.verdicts.iter().all(|(router, _)| exists(router)),
        Message::Release(releases) => releases.iter().all(|release| exists(&release.router)),
        Message::Vacant(vacancies) => vacancies.iter().all(|vacant| exists(&vacant.router)),
        Message::Preempt(preempt) => {
            if preempt.priority == 0 {
                return Err(DecodeError::Range("priority 0"));
            }
            exists(&preempt.router)
        }
        Message::Move(message) => check_move(message)?.iter().all(exists),
        Message::Parting(parting) => {
            check_text(Some(&parting.cause))?;
            parting.leases.iter().all(|(router, _)| exists(router))
        }
        Message::Roster(_) | Message::Consensus(_) => true,
    };
    if routers_exist { Ok(()) } else { Err(DecodeError::Range("virtual router identifier 0")) }
}

/// The routers a message about a move names.
fn check_move(message: &MoveMessage) -> Result<Vec<RouterKey>, DecodeError> {
    let (routers, text) = match message {
        MoveMessage::Order { order: Order::Move { router, .. } | Order::Back { router }, .. } => (vec![*router], None),
        MoveMessage::HandOver { routers, cause, .. } | MoveMessage::Prepare { routers, cause, .. } => {
            if routers.is_empty() || routers.len() > MOST_ROUTERS {
                return Err(DecodeError::Range("number of routers to move"));
            }
            (routers.clone(), Some(cause))
        }
        MoveMessage::Introduction { pins, drains, .. } => {
            if pins.len().max(drains.len()) > MOST_MARKS {
                return Err(DecodeError::Range("number of marks"));
            }
            (pins.iter().map(|pin| pin.router).collect(), None)
        }
        MoveMessage::Answer { outcome: Ok(text) | Err(text), .. } => (Vec::new(), Some(text)),
        MoveMessage::Prepared { refusal: text, .. } | MoveMessage::Ended { failure: text, .. } => {
            (Vec::new(), text.as_ref())
        }
        MoveMessage::Order { .. } | MoveMessage::Taken { .. } => (Vec::new(), None),
    };
    check_text(text)?;
    Ok(routers)
}

fn check_text(text: Option<&String>) -> Result<(), DecodeError> {
    match text {
        Some(text) if text.len() > LONGEST_TEXT => Err(DecodeError::Range("length of a text")),
        _ => Ok(()),
    }
}
