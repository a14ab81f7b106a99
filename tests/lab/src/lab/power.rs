//! Hosts get power, and lose it.

use std::fs;

use anyhow::{Context, Result};

use super::{Lab, feed, ip};
use crate::fault::Fault;
use crate::host::{self, Host};

impl Lab {
    /// Takes a host's power away: its processes, addresses, routes and rules are gone, and its runtime directory with
    /// them. What else is in its directory is its disk. The boot id is the machine's own, and stays.
    pub fn power_off(&self, host: &str) -> Result<()> {
        let host = self.host(host);
        host::kill_all_in(&host.netns)?;
        // By itself, as deleting a namespace returns before its interfaces are gone.
        ip(&["-n", &self.switch(), "link", "del", "dev", &host.name])?;
        ip(&["netns", "del", &host.netns])?;
        let run = host.dir.join("run");
        if run.exists() {
            fs::remove_dir_all(&run).with_context(|| format!("remove {}", run.display()))?;
        }
        Ok(())
    }

    /// Gives it power again: a fresh network, and nothing that runs.
    pub fn power_on(&self, host: &str) -> Result<()> {
        self.plug_in(self.host(host))?;
        if self.faults.contains(&Fault::Cable(host.to_string())) {
            self.port(host, "down")?;
        }
        Ok(())
    }

    // A host's network, and its port on the bridge.
    pub(super) fn plug_in(&self, host: &Host) -> Result<()> {
        let switch = self.switch();
        fs::create_dir_all(&host.dir)?;
        ip(&["netns", "add", &host.netns])?;
        let mac = host.mac.to_string();
        let mut link = vec!["link", "add", "eth0", "address", &mac, "netns", &host.netns, "type", "veth"];
        link.extend(["peer", "name", &host.name, "netns", &switch]);
        ip(&link)?;
        ip(&["-n", &switch, "link", "set", "dev", &host.name, "master", "br0", "up"])?;
        let address = host.address;
        feed(
            &["ip", "-n", &host.netns, "-batch", "-"],
            &format!("link set dev lo up\naddr add {address}/24 brd + dev eth0\nlink set dev eth0 up\n"),
        )
    }
}
