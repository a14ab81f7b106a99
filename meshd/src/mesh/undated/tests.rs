//! Handshakes in memory, at times of every kind.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::mesh::identity::{Identity, SERVER_NAME};
use crate::mesh::state_dir::StateDir;
use crate::mesh::tls;

/// A clock that shows always the same.
#[derive(Debug)]
struct Stopped(UnixTime);

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

fn year(year: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952))
}

fn dated(from: i32, to: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    params
}

/// A CA for the years 2020 to 2040, as earlier versions made it.
fn ca() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = dated(2020, 2040);
    params.distinguished_name.push(DnType::CommonName, "mesh of lb1");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    (params.self_signed(&key).unwrap().pem(), key)
}

/// A member of it, certified for these years.
fn member(ca: &(String, KeyPair), from: i32, to: i32) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = dated(from, to);
    params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into().unwrap())];
    let certificate = params.signed_by(&key, &Issuer::from_ca_cert_pem(&ca.0, &ca.1).unwrap()).unwrap();
    let dir = StateDir::open("/nonexistent".as_ref());
    Identity::from_parts(dir, &certificate.pem(), &ca.0, &key.serialize_pem(), None).unwrap()
}

/// Whether both ends of a handshake believe each other, with clocks that show these times.
fn handshake(dials: (&Identity, UnixTime), accepts: (&Identity, UnixTime)) -> Result<(), Error> {
    let client = tls::dialling(dials.0, Arc::new(Stopped(dials.1))).unwrap();
    let server = tls::accepting(accepts.0, Arc::new(Stopped(accepts.1))).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), SERVER_NAME.try_into().unwrap())?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert_eq!(server.peer_certificates().unwrap()[0], dials.0.chain()[0]);
    assert_eq!(client.peer_certificates().unwrap()[0], accepts.0.chain()[0]);
    Ok(())
}

#[test]
fn members_believe_each_other_whatever_their_clocks_show() {
    let ca = ca();
    let (lb1, lb2) = (member(&ca, 2020, 2040), member(&ca, 2026, 2046));
    for here in [1970, 2019, 2030, 2100] {
        for there in [1970, 2030, 2100] {
            assert_eq!(handshake((&lb1, year(here)), (&lb2, year(there))), Ok(()), "{here}, {there}");
            assert_eq!(handshake((&lb2, year(here)), (&lb1, year(there))), Ok(()), "{here}, {there}");
        }
    }
}

/// One that was certified by a host whose clock was wrong.
#[test]
fn a_certificate_of_other_years_than_the_ca_is_as_good() {
    let ca = ca();
    let (lb1, lb2) = (member(&ca, 2020, 2040), member(&ca, 1970, 1971));
    assert_eq!(handshake((&lb1, year(2030)), (&lb2, year(1970))), Ok(()));
    assert_eq!(handshake((&lb2, year(1970)), (&lb1, year(2030))), Ok(()));
}

#[test]
fn members_of_another_mesh_are_not_believed_at_any_time() {
    let (lb1, other) = (member(&ca(), 2020, 2040), member(&ca(), 2020, 2040));
    let unknown = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::InvalidCertificate(_) | Error::AlertReceived(_))), "{result:?}");
    };
    for now in [1970, 2030, 2100] {
        unknown(handshake((&lb1, year(now)), (&other, year(now))));
        unknown(handshake((&other, year(now)), (&lb1, year(now))));
    }
}

/// Older versions look at the dates.
#[test]
fn what_is_made_now_is_valid_for_ever() {
    let (ca, ca_key) = crate::mesh::identity::new_ca("mesh of lb1").unwrap();
    let key = crate::mesh::identity::new_key().unwrap();
    let certificate = crate::mesh::identity::sign_own(&ca, &ca_key, &key).unwrap();
    for pem in [&ca, &certificate] {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let validity = pem.parse_x509().unwrap().validity().clone();
        assert_eq!((validity.not_before.timestamp(), validity.not_after.timestamp()), (0, 253_402_214_400));
    }
}
