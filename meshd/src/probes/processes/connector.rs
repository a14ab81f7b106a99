//! The proc connector: the kernel tells which processes change.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_CONNECTOR;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

/// CN_IDX_PROC and CN_VAL_PROC, the group and the kind of its messages.
const PROC: u32 = 1;
/// PROC_CN_MCAST_LISTEN.
const LISTEN: u32 = 1;
/// Sizes of nlmsghdr and cn_msg.
const HEADER: usize = 16;
const CONNECTOR: usize = 20;
/// Offset of what is particular to an event in proc_event: behind what, cpu and timestamp.
const DATA: usize = 16;
/// Room for tens of thousands of events.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What has happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It is there, or is another program, or has another name: look at it.
    Changed(u32),
    /// It is gone.
    Ended(u32),
}

/// The kernel's events, for as long as this lives.
pub(super) struct Connector(Socket);

impl Connector {
    /// Subscribes.
    pub(super) fn open() -> io::Result<Connector> {
        let mut socket = Socket::new(NETLINK_CONNECTOR)?;
        socket.bind(&SocketAddr::new(0, PROC))?;
        // An overflow is more likely without it, and no harm.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        socket.set_non_blocking(true)?;
        socket.send_to(&subscription(), &SocketAddr::new(0, 0), 0)?;
        Ok(Connector(socket))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// What there is; `None` when something was lost.
    pub(super) fn read(&self) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let mut buffer = Vec::with_capacity(4096);
        loop {
            buffer.clear();
            match self.0.recv(&mut buffer, libc::MSG_DONTWAIT) {
                Ok(_) => events.extend(event(&buffer)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(events),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({})", self.0.as_raw_fd())
    }
}

/// nlmsghdr, cn_msg and the wish to listen.
fn subscription() -> Vec<u8> {
    let length = (HEADER + CONNECTOR + size_of_val(&LISTEN)) as u32;
    let done = u32::from(libc::NLMSG_DONE as u16);
    // Length, type and flags, sequence, sender; id, sequence, acknowledgement, length and flags.
    let words = [length, done, 0, 0, PROC, PROC, 0, 0, size_of_val(&LISTEN) as u32, LISTEN];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// One event of interest. A thread is none: its process is another's.
pub(super) fn event(message: &[u8]) -> Option<Event> {
    let event = message.get(HEADER + CONNECTOR..)?;
    let word = |at: usize| Some(u32::from_ne_bytes(event.get(at..at + 4)?.try_into().ok()?));
    let data = |index: usize| word(DATA + 4 * index);
    match word(0)? {
        // PROC_EVENT_FORK: the parent's thread and process, then the child's.
        1 => (data(2)? == data(3)?).then_some(Event::Changed(data(3)?)),
        // PROC_EVENT_EXEC and PROC_EVENT_COMM: thread and process.
        2 => Some(Event::Changed(data(1)?)),
        0x200 => (data(0)? == data(1)?).then_some(Event::Changed(data(1)?)),
        // PROC_EVENT_EXIT: thread and process.
        0x8000_0000 => (data(0)? == data(1)?).then_some(Event::Ended(data(1)?)),
        _ => None,
    }
}
