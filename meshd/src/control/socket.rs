//! Taking the socket: never from a daemon that lives, always from one that died.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError, remove_file, symlink_metadata};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use socket2::{Domain, SockAddr, Type};
use tokio::net::UnixListener;

/// Connections waiting to be accepted.
const BACKLOG: i32 = 64;

/// A socket that listens. The file goes away with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    held: Held,
}

/// The right to the socket's path.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    /// Locked for as long as this process lives, by the kernel's word.
    _lock: File,
}

impl Socket {
    pub(super) fn into_parts(self) -> (UnixListener, Held) {
        (self.listener, self.held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Gone already is fine; the lock file stays, because removing it would let two daemons hold it.
        let _ = remove_file(&self.path);
    }
}

/// Listens on `path` (mode 0600: a token made here opens the mesh), in a directory that is made (0755) where it
/// is missing. What a dead daemon left there is replaced; while another one lives this fails and changes nothing.
/// Needs a tokio runtime.
pub fn bind(path: &Path) -> anyhow::Result<Socket> {
    let shown = path.display();
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        bail!("control socket {shown}: not a path with a directory");
    };
    make_directory(directory)?;
    let lock = lock(&path.with_extension("lock"), &format!("on {shown}"), "--runtime-dir")?;
    match symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            remove_file(path).with_context(|| format!("control socket {shown}: a dead daemon's, cannot be removed"))?;
        }
        Ok(_) => bail!(
            "control socket {shown}: something else than a socket is there; remove it or choose another --runtime-dir"
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("control socket {shown}")),
    }
    let listener = listen(path).with_context(|| format!("control socket {shown}"))?;
    Ok(Socket { listener, held: Held { path: path.to_owned(), _lock: lock } })
}

/// Makes a runtime directory where it is missing.
pub(crate) fn make_directory(directory: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
    made.with_context(|| {
        format!("runtime directory {}: cannot be made; choose one with --runtime-dir", directory.display())
    })
}

/// Locks a file that says what one daemon alone may use, and holds its process id. The kernel lets go of the lock
/// when this process ends, however it ends.
pub(crate) fn lock(path: &Path, what: &str, option: &str) -> anyhow::Result<File> {
    match try_lock(path)? {
        Lock::Taken(file) => Ok(file),
        Lock::Held(pid) => {
            let pid = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            bail!("another meshd{pid} is running {what}; stop it or choose another {option}")
        }
    }
}

/// What became of an attempt to lock a file.
pub(crate) enum Lock {
    /// It is ours while it is open.
    Taken(File),
    /// It is another process's; its id, where the file tells it.
    Held(Option<u32>),
}

/// [`lock`], for who has words of its own for another that holds it.
pub(crate) fn try_lock(path: &Path) -> anyhow::Result<Lock> {
    let context = || format!("lock file {}", path.display());
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).with_context(context)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message; an unreadable number is left out.
            let _ = file.take(16).read_to_string(&mut pid);
            return Ok(Lock::Held(pid.trim().parse().ok()));
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(context),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .with_context(context)?;
    Ok(Lock::Taken(file))
}

/// Whether a daemon lives that holds this socket.
pub fn is_held(socket: &Path) -> bool {
    let lock = OpenOptions::new().read(true).write(true).open(socket.with_extension("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let address = SockAddr::unix(path).context("the path is too long for a socket (107 bytes)")?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux makes the file with the mode the socket has: nobody can connect before it is private.
    let socket = File::from(OwnedFd::from(socket));
    socket.set_permissions(Permissions::from_mode(0o600))?;
    let socket = socket2::Socket::from(OwnedFd::from(socket));
    socket.bind(&address)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from_std(OwnedFd::from(socket).into())?)
}
