//! What a node has to be allowed to do.

use std::io;

use anyhow::bail;

use crate::adverts::Adverts;

/// Number of the capability, from linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;

/// Tells what is missing before anything is changed.
///
/// # Errors
///
/// This process may not open raw sockets.
pub(crate) fn check_director() -> anyhow::Result<()> {
    Adverts::new().map(drop).map_err(explain_privileges)?;
    if !has_net_admin() {
        return Err(explain_privileges(io::ErrorKind::PermissionDenied.into()));
    }
    Ok(())
}

/// The same for a real server, which opens no raw socket.
///
/// # Errors
///
/// This process may not change addresses.
pub(crate) fn check_server() -> anyhow::Result<()> {
    if !has_net_admin() {
        bail!("missing privileges: run as root, or grant CAP_NET_ADMIN (the systemd unit in deploy/ does)");
    }
    Ok(())
}

/// Whether this process may change addresses. Where /proc does not say, the first request to the
/// kernel will.
fn has_net_admin() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_none_or(|set| set & (1 << CAP_NET_ADMIN) != 0)
}

/// Says which privileges are missing, where that is what went wrong.
pub(crate) fn explain_privileges(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return anyhow::anyhow!(
            "missing privileges: run as root, or grant CAP_NET_ADMIN and CAP_NET_RAW (the systemd unit in deploy/ does)"
        );
    }
    error.into()
}
