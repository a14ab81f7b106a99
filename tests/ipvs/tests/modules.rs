//! A kernel without ip_vs, and one whose ip_vs is loaded anew. In a binary of its own: nothing else may
//! use ip_vs meanwhile.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use mesh_core::ipvs::Forwarding;
use mesh_ipvs::inside;
use mesh_ipvs::values::{all_of, by, pool, tcp};
use mesh_lab::clock;
use meshd::kernel::ipvs::{Ipvs, IpvsError};

/// What the kernel runs to load a module.
const LOADER: &str = "/proc/sys/kernel/modprobe";

#[test]
fn root_ip_vs_is_missed_loaded_and_found_again() -> Result<()> {
    inside(|| {
        let loader = fs::read_to_string(LOADER)?;
        fs::write(LOADER, "/bin/false")?;
        match Ipvs::open() {
            Err(error @ IpvsError::Missing) => {
                assert!(error.to_string().starts_with("this kernel has no ip_vs"), "{error}");
            }
            other => bail!("{:?} instead of a kernel without ip_vs", other.err()),
        }

        // Asking for it loads it.
        fs::write(LOADER, loader.trim())?;
        let mut ipvs = Ipvs::open()?;
        assert_eq!(ipvs.info()?.version, (1, 2, 1));
        assert_eq!(ipvs.table()?, [].into());

        // The family has another number afterwards; the old socket finds that out.
        unload()?;
        assert_eq!(ipvs.table()?, [].into());
        unload()?;
        let table = [(tcp("10.0.0.1:80"), pool("rr", by(Forwarding::Nat), &["10.1.0.1:80"]))].into();
        for result in ipvs.apply(&all_of(&table))? {
            result?;
        }
        assert_eq!(ipvs.table()?, table);
        Ok(())
    })
}

/// Takes ip_vs out of the kernel; a scheduler that was used stays until it is not.
fn unload() -> Result<()> {
    clock::wait_for("ip_vs to be unloaded", Duration::from_secs(5), || {
        let output = Command::new("rmmod").arg("ip_vs").output()?;
        Ok(output.status.success().then_some(()))
    })
}
