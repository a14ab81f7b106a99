//! What a refused change means.

use mesh_core::ipvs::{Change, Service};
use nix::libc;

use super::transport::Failure;

/// Why a change did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The kernel's number for it.
    pub errno: i32,
    text: String,
}

impl Refusal {
    pub(super) fn new(change: &Change, failure: Failure) -> Refusal {
        let text = meaning(change, failure.errno).unwrap_or(failure.text);
        Refusal { errno: failure.errno, text }
    }

    /// Of what was never said to the kernel.
    pub(super) fn local(text: String) -> Refusal {
        Refusal { errno: libc::EINVAL, text }
    }
}

/// What an errno means for a change, where that is more than the errno's own text.
fn meaning(change: &Change, errno: i32) -> Option<String> {
    use Change::{
        AddDestination, AddService, DeleteDestination, DeleteService, EditDestination, EditService, StartSync, StopSync,
    };
    let text = match (errno, change) {
        (libc::ENOENT, AddService { service, .. } | EditService { service, .. }) => not_in_kernel(service),
        (libc::ENOENT, EditDestination { key, .. } | DeleteDestination { key, .. }) => {
            format!("the service has no destination {key}")
        }
        (libc::EEXIST, AddService { key, .. }) => format!("there is a service {key} already"),
        (libc::EEXIST, AddDestination { key, .. }) => format!("the service has a destination {key} already"),
        (libc::EEXIST, StartSync(daemon)) => format!("a synchronisation {} runs already", daemon.role),
        (libc::ESRCH, EditService { key, .. } | DeleteService { key }) => format!("there is no service {key}"),
        (
            libc::ESRCH,
            AddDestination { service, .. } | EditDestination { service, .. } | DeleteDestination { service, .. },
        ) => format!("there is no service {service}"),
        (libc::ESRCH, StopSync(role)) => format!("no synchronisation {role} runs"),
        (libc::ENODEV, StartSync(daemon)) => format!("there is no interface {}", daemon.interface),
        (libc::ERANGE, AddDestination { .. } | EditDestination { .. }) => {
            "weight or thresholds out of range: the lower threshold may not be above the upper one".to_owned()
        }
        (libc::EINVAL, AddDestination { key, .. } | EditDestination { key, .. }) => format!(
            "the kernel does not take {key} as a destination: it has to be a unicast address, of the service's family \
             unless a tunnel leads there and no synchronisation runs, and GUE needs a port"
        ),
        (libc::EAFNOSUPPORT, _) => "ip_vs of this kernel has no IPv6".to_owned(),
        (libc::ENOMEM | libc::ENOBUFS, _) => "the kernel has no memory for it".to_owned(),
        _ => return None,
    };
    Some(text)
}

fn not_in_kernel(service: &Service) -> String {
    let scheduler = &service.scheduler;
    match &service.persistence_engine {
        None => format!("the kernel has no scheduler `{scheduler}`"),
        Some(engine) => format!("the kernel has no scheduler `{scheduler}` or no persistence engine `{engine}`"),
    }
}
