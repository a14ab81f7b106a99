//! Requests to rtnetlink, each with a deadline.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use ipnet::IpNet;
use mesh_core::input::Unusable;
use nix::libc;
use rtnetlink::packet_core::{
    ErrorMessage, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::refusal;

const DEADLINE: Duration = Duration::from_secs(1);
/// A dump is asked again when something changed below it, at most this often.
const DUMP_ATTEMPTS: usize = 5;

/// The socket for requests.
#[derive(Clone)]
pub(super) struct Requests {
    handle: rtnetlink::Handle,
    _connection: Arc<AbortOnDropHandle<()>>,
    ended: CancellationToken,
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The kernel's errno, ETIMEDOUT where it said nothing.
    pub(super) errno: i32,
    text: String,
}

impl Requests {
    /// To be called within a tokio runtime; `connection` does the work.
    pub(super) fn new(handle: rtnetlink::Handle, connection: impl Future<Output = ()> + Send + 'static) -> Requests {
        let ended = CancellationToken::new();
        let dies = ended.clone().drop_guard();
        let connection = tokio::spawn(async move {
            // By a panic and when it is stopped, too.
            let _dies = dies;
            connection.await;
        });
        Requests { handle, _connection: Arc::new(AbortOnDropHandle::new(connection)), ended }
    }

    /// As if it had died.
    #[cfg(test)]
    pub(super) fn kill(&self) {
        self._connection.abort();
    }

    /// Waits until nothing can be asked any more.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Has something done.
    pub(super) async fn execute(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Refusal> {
        self.ask(message, flags).await.map(|_| ())
    }

    /// All interfaces.
    pub(super) async fn links(&self) -> Result<Vec<LinkMessage>, Refusal> {
        let answer = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default())).await?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewLink(link) => Some(link),
                _ => None,
            })
            .collect())
    }

    /// All addresses, of one interface where given, in the kernel's order, IPv4 first.
    pub(super) async fn addresses(&self, index: Option<u32>) -> Result<Vec<AddressMessage>, Refusal> {
        let mut question = AddressMessage::default();
        question.header.family = AddressFamily::Unspec;
        question.header.index = index.unwrap_or(0);
        let answer = match self.dump(RouteNetlinkMessage::GetAddress(question)).await {
            Err(refusal) if refusal.errno == libc::ENODEV => Vec::new(),
            answer => answer?,
        };
        // A kernel without NETLINK_GET_STRICT_CHK tells them all.
        let wanted = |message: &AddressMessage| {
            matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6)
                && index.is_none_or(|index| message.header.index == index)
        };
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(address) if wanted(&address) => Some(address),
                _ => None,
            })
            .collect())
    }

    /// All addresses of all interfaces and both families.
    pub(super) async fn every_address(&self) -> Result<Vec<AddressMessage>, Refusal> {
        let answer = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default())).await?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(address) => Some(address),
                _ => None,
            })
            .collect())
    }

    pub(super) async fn dump(&self, question: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        for _ in 0..DUMP_ATTEMPTS {
            let (answer, torn) = self.ask(question.clone(), NLM_F_REQUEST | NLM_F_DUMP).await?;
            if !torn {
                return Ok(answer);
            }
        }
        Err(Refusal { errno: libc::EINTR, text: "it changes faster than it can be read".into() })
    }

    /// The answer, and whether it was changed while it was given.
    async fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(Vec<RouteNetlinkMessage>, bool), Refusal> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        let closed = |_| Refusal { errno: libc::EPIPE, text: "the netlink socket is closed".into() };
        let mut stream = self.handle.clone().request(request).map_err(closed)?;
        let collect = async {
            let (mut answer, mut torn) = (Vec::new(), false);
            while let Some(message) = stream.next().await {
                torn |= message.header.flags & NLM_F_DUMP_INTR != 0;
                match message.payload {
                    NetlinkPayload::InnerMessage(message) => answer.push(message),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(Refusal::from(&error));
                    }
                    NetlinkPayload::Overrun(_) => torn = true,
                    _ => {}
                }
            }
            Ok((answer, torn))
        };
        timeout(DEADLINE, collect).await.map_err(|_| Refusal::late())?
    }
}

impl Refusal {
    /// No answer in time.
    pub(super) fn late() -> Refusal {
        Refusal { errno: libc::ETIMEDOUT, text: "no answer from the kernel".into() }
    }

    /// The socket failed.
    pub(super) fn of(error: &std::io::Error) -> Refusal {
        Refusal { errno: error.raw_os_error().unwrap_or(libc::EIO), text: error.to_string() }
    }

    /// The address or the interface is not there, or the interface has no IPv6.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.errno, libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO)
    }
}

impl From<&ErrorMessage> for Refusal {
    fn from(error: &ErrorMessage) -> Refusal {
        Refusal { errno: error.raw_code().abs(), text: refusal(error) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// The address itself. IFA_ADDRESS is the other end on a point-to-point link; where there is none, IPv6
/// has no IFA_LOCAL.
pub(super) fn local(message: &AddressMessage) -> Option<IpNet> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let ipv6 = || {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address @ IpAddr::V6(_)) => Some(*address),
            _ => None,
        })
    };
    IpNet::new(local.or_else(ipv6)?, message.header.prefix_len).ok()
}

/// An IPv6 address that cannot be used, and why.
pub(super) fn unusable(message: &AddressMessage) -> Option<(Ipv6Addr, Unusable)> {
    let Some(IpNet::V6(net)) = local(message) else { return None };
    let flags = message.header.flags;
    // An optimistic one may be used while it is tentative (RFC 4429).
    let tentative = flags.contains(AddressHeaderFlags::Tentative) && !flags.contains(AddressHeaderFlags::Optimistic);
    let why = match (flags.contains(AddressHeaderFlags::Dadfailed), tentative) {
        (true, _) => Unusable::Duplicate,
        (false, true) => Unusable::Tentative,
        (false, false) => return None,
    };
    Some((net.addr(), why))
}

/// IFA_PROTO, `None` where there is none.
pub(super) fn protocol(message: &AddressMessage) -> Option<u8> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Protocol(protocol) => Some(u8::from(*protocol)),
        _ => None,
    })
}
