//! What only version 2 has: seconds, and authentication data behind the addresses (RFC 3768
//! section 5.3, RFC 2338 sections 5.3.6 and 5.3.10).

use super::{Authentication, Malformed, Unit};

/// Length of the authentication data, there whatever the type.
pub(super) const TRAILER: usize = 8;

const NONE: u8 = 0;
const PASS: u8 = 1;
const HEADER: u8 = 2;

/// From bytes 4 and 5 of the header and the authentication data.
pub(super) fn parse([auth_type, seconds]: [u8; 2], trailer: &[u8]) -> Result<(Unit, Authentication), Malformed> {
    let interval = Unit::seconds(seconds.into()).ok_or(Malformed::Interval)?;
    let auth = match (auth_type, trailer.first_chunk()) {
        (NONE, _) => Authentication::None,
        (PASS, Some(password)) => Authentication::Pass(*password),
        (HEADER, _) => Authentication::Header,
        _ => return Err(Malformed::AuthenticationType(auth_type)),
    };
    Ok((interval, auth))
}

pub(super) fn auth_type(auth: &Authentication) -> u8 {
    match auth {
        Authentication::None => NONE,
        Authentication::Pass(_) => PASS,
        Authentication::Header => HEADER,
    }
}

pub(super) fn trailer(auth: &Authentication) -> Vec<u8> {
    match auth {
        Authentication::None | Authentication::Header => vec![0; TRAILER],
        Authentication::Pass(password) => password.to_vec(),
    }
}
