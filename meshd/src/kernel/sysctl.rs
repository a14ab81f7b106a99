//! Settings of this network namespace, by the names `sysctl` has for them.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, bail};

/// The value of a setting; `None` where there is no such setting.
///
/// # Errors
///
/// It cannot be read, or is no number.
pub fn read(setting: &str) -> anyhow::Result<Option<u32>> {
    let path = path(setting);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let value = text.trim().parse();
            Ok(Some(value.with_context(|| format!("{} holds {:?}, which is no number", path.display(), text.trim()))?))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Gives a setting a value, and makes sure that it has it.
///
/// # Errors
///
/// It cannot be written, or the kernel keeps another value.
pub fn write(setting: &str, value: u32) -> anyhow::Result<()> {
    let path = path(setting);
    fs::write(&path, value.to_string()).with_context(|| match path.exists() {
        true => format!(
            "{} cannot be written (it takes CAP_NET_ADMIN, and /proc/sys not mounted read-only)",
            path.display()
        ),
        false => format!("there is no {}", path.display()),
    })?;
    match read(setting)? {
        Some(kept) if kept == value => Ok(()),
        kept => bail!("{} was written, but holds {kept:?}", path.display()),
    }
}

/// An interface's name as a part of a setting's.
pub(crate) fn written(interface: &str) -> String {
    interface.replace('.', "/")
}

/// A dot separates; the dots of an interface's name are written as slashes, as sysctl(8) has it.
fn path(setting: &str) -> PathBuf {
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    PathBuf::from("/proc/sys").join(setting.chars().map(swapped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::with_neighbour;

    #[test]
    fn what_does_not_exist_is_named() {
        assert_eq!(read("net.ipv4.conf.nosuchdevice.arp_ignore").unwrap(), None);
        let error = format!("{:#}", write("net.ipv4.conf.nosuchdevice.arp_ignore", 1).unwrap_err());
        assert!(error.starts_with("there is no /proc/sys/net/ipv4/conf/nosuchdevice/arp_ignore"), "{error}");
    }

    #[test]
    fn root_a_setting_keeps_what_is_written() {
        with_neighbour(|_| {
            for value in [1, 2, 0] {
                write("net.ipv4.conf.all.arp_ignore", value).unwrap();
                assert_eq!(read("net.ipv4.conf.all.arp_ignore").unwrap(), Some(value));
            }
        });
    }
}
