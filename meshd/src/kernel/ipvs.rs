//! Virtual services of this network namespace, by generic netlink: needs no `ipvsadm` binary.
//!
//! ```text
//! encode      changes -> requests           names       the numbers of linux/ip_vs.h
//! decode      answers -> values             attributes  their wrapping
//! transport   batches and dumps, each wait with a deadline
//! refusal     what a refused change means
//! ```
//!
//! Everything blocks: for as long as the kernel works on the requests, and for half a second where an
//! answer does not come. The first use of ip_vs or of a scheduler loads its module, which may take
//! longer. So this is for a thread of its own, never for the one that renews leases.

mod attributes;
mod decode;
mod encode;
mod names;
mod refusal;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use mesh_core::ipvs::{Change, ServiceKey, ServiceStatistics, SyncDaemon, SyncRole, Table, Timeouts};
use nix::libc;

pub use decode::Info;
use decode::Malformed;
pub use refusal::Refusal;
use transport::{Failure, Transport};

/// The ip_vs of the network namespace in which it was opened.
pub struct Ipvs {
    transport: Transport,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum IpvsError {
    /// Asking for it would have loaded the module, if there were one that may be loaded.
    #[error(
        "this kernel has no ip_vs: neither is it built in, nor is its module loaded or could be loaded (`modprobe ip_vs`)"
    )]
    Missing,
    /// The network namespace it is to be of cannot be entered.
    #[error("ip_vs: {0}")]
    Namespace(String),
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted: virtual services need CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel says something else than its header file.
    #[error("ip_vs: {0}")]
    Malformed(#[from] Malformed),
    /// No answer, or an unexpected refusal.
    #[error("ip_vs: {0}")]
    Io(io::Error),
}

impl Ipvs {
    /// Finds ip_vs, which loads its module where that is possible, and changes nothing.
    pub fn open() -> Result<Ipvs, IpvsError> {
        let mut ipvs = Ipvs { transport: Transport::open()? };
        ipvs.info()?;
        Ok(ipvs)
    }

    /// What this ip_vs is.
    pub fn info(&mut self) -> Result<Info, IpvsError> {
        let answer = self.transport.ask(&encode::get_info())?;
        Ok(decode::info(&answer)?)
    }

    /// All services and their destinations, whoever made them.
    pub fn table(&mut self) -> Result<Table, IpvsError> {
        let mut table = Table::new();
        self.each(|key, service, destinations| {
            let destinations = destinations.into_iter().map(|found| (found.key, found.destination)).collect();
            table.insert(key, mesh_core::ipvs::Pool { service: service.service, destinations });
        })?;
        Ok(table)
    }

    /// What went through all services and to their destinations, whoever made them.
    pub fn statistics(&mut self) -> Result<BTreeMap<ServiceKey, ServiceStatistics>, IpvsError> {
        let mut statistics = BTreeMap::new();
        self.each(|key, service, destinations| {
            let destinations = destinations.into_iter().map(|found| (found.key, found.statistics)).collect();
            statistics.insert(key, ServiceStatistics { through: service.statistics, destinations });
        })?;
        Ok(statistics)
    }

    /// Brings changes about, in order; one that is refused does not stop the others. The answers stand
    /// in the order of the changes. An error of the whole leaves it open which of them came about.
    pub fn apply(&mut self, changes: &[Change]) -> Result<Vec<Result<(), Refusal>>, IpvsError> {
        let encoded: Vec<_> = changes.iter().map(encode::change).collect();
        let sent: Vec<_> = encoded.iter().filter_map(|request| request.as_ref().ok()).collect();
        let mut answers = self.transport.batch(&sent)?.into_iter();
        let results = changes.iter().zip(encoded).map(|(change, request)| {
            let answer = request.and_then(|_| match answers.next().flatten() {
                Some(failure) => Err(Refusal::new(change, failure)),
                None => Ok(()),
            });
            if let Err(refusal) = &answer
                && refusal.errno == libc::EPERM
            {
                return Err(IpvsError::NotPermitted);
            }
            Ok(answer)
        });
        results.collect()
    }

    /// The timeouts of connections.
    pub fn timeouts(&mut self) -> Result<Timeouts, IpvsError> {
        let answer = self.transport.ask(&encode::get_timeouts())?;
        Ok(decode::timeouts(&answer)?)
    }

    /// The synchronisation daemons that run.
    pub fn sync_daemons(&mut self) -> Result<BTreeMap<SyncRole, SyncDaemon>, IpvsError> {
        let answers = self.transport.dump(&encode::get_daemons())?;
        let daemons = answers.iter().map(|answer| decode::daemon(answer).map(|daemon| (daemon.role, daemon)));
        Ok(daemons.collect::<Result<_, _>>()?)
    }

    /// Every service of a protocol this program knows; another one cannot be ours. A service that goes
    /// while this looks has no destinations.
    fn each(
        &mut self,
        mut found: impl FnMut(ServiceKey, decode::Service, Vec<decode::Destination>),
    ) -> Result<(), IpvsError> {
        for answer in self.transport.dump(&encode::get_services())? {
            let Some((key, service)) = decode::service(&answer)? else { continue };
            let answers = self.transport.dump(&encode::get_destinations(&key))?;
            let destinations: Result<_, _> =
                answers.iter().map(|answer| decode::destination(answer, key.family())).collect();
            found(key, service, destinations?);
        }
        Ok(())
    }
}

impl From<Failure> for IpvsError {
    fn from(failure: Failure) -> IpvsError {
        match failure.errno {
            libc::EPERM | libc::EACCES => IpvsError::NotPermitted,
            _ => IpvsError::Io(io::Error::new(io::Error::from_raw_os_error(failure.errno).kind(), failure.text)),
        }
    }
}
