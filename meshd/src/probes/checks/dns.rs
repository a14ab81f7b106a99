//! DNS_CHECK: one question by UDP. An answer to it without an error will do, as with keepalived; records are not
//! looked at, nor asked for again by TCP where they were cut.

use std::io;
use std::str::FromStr;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use mesh_config::model::Connect;
use socket2::{Protocol, Type};

use super::patience::Patience;
use super::socket;

/// Only the header is looked at; longer answers are cut.
const ROOM: usize = 512;

pub(super) async fn check(connect: &Connect, record: &str, name: &str) -> Result<(), String> {
    let question = question(record, name)?;
    let patience = Patience::new(connect.timeout);
    let socket = socket::datagrams(connect, Type::DGRAM, Protocol::UDP)?;
    let code = patience.wait(async {
        socket.send(&question).await?;
        let mut buffer = [0; ROOM];
        loop {
            let length = socket.recv(&mut buffer).await?;
            // Late answers to earlier questions, and what is no answer at all, do not count.
            if let Some(code) = code(&buffer[..length], &question) {
                return io::Result::Ok(code);
            }
        }
    });
    match code.await? {
        0 => Ok(()),
        code => Err(rcode(code)),
    }
}

/// Why nothing can be asked, in words, or the packet.
pub(super) fn question(record: &str, name: &str) -> Result<Vec<u8>, String> {
    let kind =
        RecordType::from_str(&record.to_ascii_uppercase()).map_err(|_| format!("`{record}` is no type of record"))?;
    let name = if name.is_empty() { "." } else { name };
    let mut asked = Name::from_ascii(name).map_err(|error| format!("`{name}` is no domain name: {error}"))?;
    asked.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(asked, kind));
    message.to_vec().map_err(|error| format!("`{name}`: {error}"))
}

/// The response code (RFC 1035 section 4.1.1), if this is an answer to the question.
fn code(answer: &[u8], question: &[u8]) -> Option<u8> {
    let header = answer.first_chunk::<12>()?;
    let response = header[2] & 0x80 != 0;
    (response && header[..2] == question[..2]).then_some(header[3] & 0x0f)
}

fn rcode(code: u8) -> String {
    let name = match code {
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        _ => return format!("error {code}"),
    };
    format!("{name} (error {code})")
}
