//! Giving leases back in the name of a daemon that is dead: a short connection to each voter, with
//! this node's own identity.
//!
//! Voters may believe for a moment that the dead daemon's connection is alive. They read every
//! connection of a member, so that it does not matter; the daemon's next run connects as usual.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use mesh_core::Will;
use mesh_wire::mesh::lease::{Message, Parting};
use mesh_wire::mesh::{NodeId, codec};
use quinn::Endpoint;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::identity::{Identity, SERVER_NAME};
use super::peer::peer_node;
use super::shared::{CLOSE_RESTART, FRAME_MESSAGE};
use super::tls;

/// Why leases are given back, in the dead daemon's words.
const CAUSE: &str = "this daemon died";
/// For all voters together: whoever is not reached by then lets the leases run out.
const DEADLINE: Duration = Duration::from_millis(300);
/// Between the acknowledgement and the end of the connection: a voter may still have to read what
/// its kernel has acknowledged.
const GRACE: Duration = Duration::from_millis(20);

/// Gives back every lease of a will at all voters in parallel, within 300 ms; tells how many
/// voters have it.
///
/// # Errors
///
/// There is no identity, or no socket to send from.
pub async fn release(state_dir: &Path, will: &Will) -> anyhow::Result<usize> {
    let (identity, _) = Identity::load(state_dir)?.context("the identity is gone")?;
    let client = tls::member_client(&identity)?;
    let leases = will.releases.iter().map(|release| (release.router, release.epoch)).collect();
    let said = [Message::Parting(Parting::new(CAUSE, leases)), Message::Release(will.releases.clone())];
    let frames = said.map(|message| {
        let mut frame = vec![FRAME_MESSAGE];
        frame.extend(codec::encode(&message));
        frame
    });
    let mut attempts = JoinSet::new();
    for (voter, address) in will.voters.iter().copied() {
        let endpoint = Endpoint::client(any(address.ip())).context("no UDP socket")?;
        attempts.spawn(tell(endpoint, client.clone(), voter, address, frames.clone()));
    }
    let mut told = 0;
    let all = async {
        while let Some(ended) = attempts.join_next().await {
            match ended {
                Ok(Ok(())) => told += 1,
                Ok(Err(error)) => tracing::debug!("a voter was not told: {error:#}"),
                Err(error) => tracing::debug!("a voter was not told: {error}"),
            }
        }
    };
    // What is under way then is given up with the set.
    let _ = timeout(DEADLINE, all).await;
    Ok(told)
}

/// Says each as a datagram and in a stream of its own, whose acknowledgement tells that it arrived.
async fn tell(
    endpoint: Endpoint,
    client: quinn::ClientConfig,
    voter: NodeId,
    address: SocketAddr,
    frames: [Vec<u8>; 2],
) -> anyhow::Result<()> {
    let connection = endpoint.connect_with(client, address, SERVER_NAME)?.await?;
    ensure!(peer_node(&connection)? == voter, "another node answers at {address}");
    let fit = connection.max_datagram_size().unwrap_or(0);
    for frame in frames.iter().filter(|frame| frame.len() <= fit) {
        connection.send_datagram(frame.clone().into())?;
    }
    let mut streams = Vec::new();
    for frame in &frames {
        let mut stream = connection.open_uni().await?;
        stream.write_all(frame).await?;
        stream.finish()?;
        streams.push(stream);
    }
    for stream in streams {
        stream.stopped().await?;
    }
    sleep(GRACE).await;
    connection.close(CLOSE_RESTART, b"in the name of a daemon that died");
    // The close is sent by the endpoint's own task.
    let _ = timeout(GRACE, endpoint.wait_idle()).await;
    Ok(())
}

fn any(like: IpAddr) -> SocketAddr {
    let ip = match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, 0)
}
