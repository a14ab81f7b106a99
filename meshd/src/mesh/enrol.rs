//! Becoming a member: founding a mesh, or joining one.
//!
//! Nothing of a member exists until `node.crt` is written, last of all. The private key is written
//! before the seed is asked, so that a joiner that lost the answer asks again with the same key and
//! gets the same membership.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use mesh_core::admission;
use mesh_core::roster::State;
use mesh_wire::mesh::codec;
use mesh_wire::mesh::enrol::{EnrolReply, EnrolRequest, MAX_REPLY, Refusal, Secret, Welcome};
use mesh_wire::mesh::roster::{Member, Role, Roster, VotePolicy};
use nix::ifaddrs::getifaddrs;
use quinn::{ConnectionError, Endpoint};
use tokio::time::{sleep, timeout};

use super::identity::{self, Identity, SERVER_NAME};
use super::shared::{CLOSE_BUSY, CLOSE_DONE};
use super::state_dir::{CA_CERT, CA_KEY, NODE_CERT, NODE_KEY, StateDir};
use super::{socket, tls, token};
use crate::kernel::ip_of;

/// The mesh port, where none is named.
pub const DEFAULT_PORT: u16 = 7946;
const CONNECT_TIME: Duration = Duration::from_secs(5);
const TOTAL_TIME: Duration = Duration::from_secs(15);
/// Between two requests to a seed that fell silent.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Founds a mesh on this node: its CA, and this node as its first member and voter.
///
/// Without a concrete address in `listen` the address is the one this host uses towards its
/// default route, else its only global one; where there are several, the operator has to say which.
pub fn init(name: &str, listen: Option<SocketAddr>, state_dir: &Path) -> anyhow::Result<(Identity, State)> {
    admission::check_name(name)?;
    if let Some((known, _)) = Identity::load(state_dir)? {
        bail!(
            "{} holds the identity of node {} of cluster {} already: start it with `meshd run`, or name another directory with --state-dir",
            state_dir.display(),
            known.node,
            known.cluster
        );
    }
    let address = founder_address(listen)?;
    drop(socket::bind(address)?);
    let dir = StateDir::create(state_dir)?;
    let key = identity::new_key()?;
    let (ca_certificate, ca_key) = identity::new_ca(&format!("mesh of {name}"))?;
    let certificate = identity::sign_own(&ca_certificate, &ca_key, &key)?;
    let identity = Identity::from_parts(dir.clone(), &certificate, &ca_certificate, &key, Some(ca_key.clone()))?;
    let (role, vote) = (Role::Director, VotePolicy::Auto);
    let founder = Member { id: identity.node, name: name.to_owned(), address, role, voter: true, vote };
    let members = vec![founder];
    let roster = Roster { cluster: identity.cluster.clone(), epoch: 1, members, ..Roster::default() };
    dir.write(NODE_KEY, &key)?;
    keep(&dir, &Welcome { certificate, ca_certificate, roster: roster.clone() }, Some(&ca_key))?;
    Ok((identity, roster.into()))
}

/// Joins the mesh the token belongs to, through the member at `seed` (`HOST[:PORT]`).
///
/// A node that is a member of that mesh already keeps its identity, and the seed is not asked.
/// `listen` is as for [`init`], but an address that is missing is the one used towards the seed.
pub async fn enrol(
    seed: &str,
    token: &str,
    name: &str,
    role: Role,
    listen: Option<SocketAddr>,
    state_dir: &Path,
) -> anyhow::Result<(Identity, State)> {
    let claims = token::read(token)?;
    if let Some((known, state)) = Identity::find(state_dir)? {
        ensure!(
            token::fingerprint(&known.ca_certificate) == claims.fingerprint,
            "{} holds an identity in another cluster ({}) than the token's: start it with `meshd run`, or name another directory with --state-dir",
            state_dir.display(),
            known.cluster
        );
        return Ok((known, state));
    }
    admission::check_name(name)?;
    let made = !state_dir.exists();
    let dir = StateDir::create(state_dir)?;
    let seeds =
        timeout(CONNECT_TIME, resolve(seed)).await.map_err(|_| anyhow!("{seed} cannot be resolved in time"))??;
    let kept = dir.read(NODE_KEY)?;
    let fresh = kept.is_none();
    let key = match kept {
        Some(key) => key,
        None => {
            let key = identity::new_key()?;
            dir.write(NODE_KEY, &key)?;
            key
        }
    };
    let csr = identity::signing_request(&key)
        .with_context(|| format!("{} is damaged: remove it and join again", dir.path().join(NODE_KEY).display()))?;
    let ask = async {
        let mut last = anyhow!("{seed} has no address");
        for seed in seeds {
            let address = joiner_address(listen, seed)?;
            let token = Secret(token.trim().to_owned());
            let request = EnrolRequest { token, csr: csr.clone(), name: name.to_owned(), address, role };
            match ask_seed(seed, claims.fingerprint, &request).await {
                Ok(EnrolReply::Welcome(welcome)) => return Ok(*welcome),
                Ok(EnrolReply::Refused(refusal)) => {
                    // Nothing has changed on the seed's side, so nothing is kept on this one.
                    if fresh {
                        dir.remove(NODE_KEY)?;
                    }
                    if made {
                        dir.remove_itself();
                    }
                    bail!("{seed} refused: {refusal}");
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let welcome = timeout(TOTAL_TIME, ask).await.map_err(|_| {
        anyhow!("enrolment at {seed} took longer than {} s: try again with the same token", TOTAL_TIME.as_secs())
    })??;
    let identity = Identity::from_parts(dir.clone(), &welcome.certificate, &welcome.ca_certificate, &key, None)
        .context("the seed sent what cannot be used")?;
    ensure!(
        token::fingerprint(&identity.ca_certificate) == claims.fingerprint
            && welcome.roster.cluster == identity.cluster
            && welcome.roster.member(identity.node).is_some(),
        "the seed sent another cluster's identity"
    );
    keep(&dir, &welcome, None)?;
    Ok((identity, welcome.roster.into()))
}

/// Writes all that makes a member, the certificate last.
fn keep(dir: &StateDir, welcome: &Welcome, ca_key: Option<&str>) -> anyhow::Result<()> {
    dir.write(CA_CERT, &welcome.ca_certificate)?;
    match ca_key {
        Some(key) => dir.write(CA_KEY, key)?,
        None => dir.remove(CA_KEY)?,
    }
    dir.write_roster(&welcome.roster.clone().into())?;
    dir.write(NODE_CERT, &welcome.certificate)
}

/// Asks until there is an answer, within the time of the caller: a seed that is too busy to show a sign of life in time
/// may have taken the request, and tells whoever asks again with the same key the same.
async fn ask_seed(seed: SocketAddr, pin: token::Fingerprint, request: &EnrolRequest) -> anyhow::Result<EnrolReply> {
    loop {
        if let Some(reply) = ask_once(seed, pin, request).await? {
            return Ok(reply);
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Nothing where the seed fell silent.
async fn ask_once(
    seed: SocketAddr,
    pin: token::Fingerprint,
    request: &EnrolRequest,
) -> anyhow::Result<Option<EnrolReply>> {
    let unspecified = if seed.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    // From the address others will use, so that a firewall between them shows now; from any port,
    // so that the daemon finds its own free.
    let from = if request.address.is_ipv4() == seed.is_ipv4() { request.address.ip() } else { unspecified };
    let socket = UdpSocket::bind((from, 0)).with_context(|| format!("{from} cannot be used"))?;
    let endpoint = Endpoint::new(quinn::EndpointConfig::default(), None, socket, Arc::new(quinn::TokioRuntime))?;
    let pin = tls::Pin::new(pin);
    let client = tls::joiner_client(pin.clone())?;
    // One attempt ends after the idle timeout; a seed may be starting at this very moment.
    let connect = async {
        loop {
            match endpoint.connect_with(client.clone(), seed, SERVER_NAME)?.await {
                Err(ConnectionError::TimedOut) => {}
                done => return anyhow::Ok(done?),
            }
        }
    };
    let connection = match timeout(CONNECT_TIME, connect).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) if pin.saw_other_cluster() => bail!("{seed}: {}", Refusal::TokenOtherCluster),
        Ok(Err(error)) => return Err(error.context(format!("no connection to {seed}"))),
        Err(_) => bail!("{seed} does not answer: is meshd running there, and is UDP port {} open?", seed.port()),
    };
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(&codec::encode_value(request)).await?;
        send.finish()?;
        anyhow::Ok(codec::decode_value(&recv.read_to_end(MAX_REPLY).await?)?)
    };
    let reply = exchange.await;
    let silent = reply.is_err() && connection.close_reason() == Some(ConnectionError::TimedOut);
    let busy = matches!(connection.close_reason(),
        Some(ConnectionError::ApplicationClosed(close)) if close.error_code == CLOSE_BUSY);
    endpoint.close(CLOSE_DONE, b"");
    // A courtesy to the seed, which otherwise waits for the idle timeout.
    let _ = timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
    if busy {
        return Ok(Some(EnrolReply::Refused(Refusal::Busy)));
    }
    if silent {
        return Ok(None);
    }
    reply.map(Some).with_context(|| format!("{seed} broke off; try again with the same token"))
}

async fn resolve(seed: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let way_out = || format!("--seed {seed} is no HOST or HOST:PORT that can be reached");
    if let Ok(ip) = seed.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, DEFAULT_PORT)]);
    }
    let with_port = match seed.rsplit_once(':') {
        Some(_) => seed.to_owned(),
        None => format!("{seed}:{DEFAULT_PORT}"),
    };
    let found: Vec<SocketAddr> = tokio::net::lookup_host(with_port).await.with_context(way_out)?.collect();
    ensure!(!found.is_empty(), way_out());
    Ok(found)
}

/// The address a founder tells others.
fn founder_address(listen: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let port = listen.map_or(DEFAULT_PORT, |listen| listen.port());
    if let Some(listen) = listen.filter(|listen| !listen.ip().is_unspecified()) {
        admission::check_address(listen)?;
        return Ok(listen);
    }
    // 192.0.2.1 is for documentation (RFC 5737): nothing is sent, the kernel only picks a route.
    if let Ok(ip) = route_source(SocketAddr::from(([192, 0, 2, 1], 9))) {
        return Ok(SocketAddr::new(ip, port));
    }
    let addresses: Vec<IpAddr> = getifaddrs()
        .context("the addresses of this host cannot be read")?
        .filter_map(|interface| ip_of(&interface.address?))
        .filter(is_global)
        .collect();
    match addresses.as_slice() {
        [only] => Ok(SocketAddr::new(*only, port)),
        [] => bail!("this host has no address others could reach: name one with --listen ADDR:{port}"),
        several => {
            let list: Vec<String> = several.iter().map(IpAddr::to_string).collect();
            bail!("this host has several addresses ({}): say which with --listen ADDR:{port}", list.join(", "))
        }
    }
}

/// The address a joiner tells others: of its port nothing else may be using.
fn joiner_address(listen: Option<SocketAddr>, seed: SocketAddr) -> anyhow::Result<SocketAddr> {
    let port = listen.map_or(DEFAULT_PORT, |listen| listen.port());
    let address = match listen.filter(|listen| !listen.ip().is_unspecified()) {
        Some(listen) => listen,
        None => {
            let ip = route_source(seed).with_context(|| format!("there is no route to {seed}"))?;
            SocketAddr::new(ip, port)
        }
    };
    admission::check_address(address)?;
    drop(socket::bind(address)?);
    Ok(address)
}

/// The source address this host uses towards another one.
fn route_source(to: SocketAddr) -> anyhow::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

fn is_global(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local()),
    }
}
