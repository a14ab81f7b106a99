//! `enable_script_security`: what root runs, only root may be able to change. As keepalived judges it: symbolic links
//! are followed first, and what they lead to is judged and started. With `use_symlink_paths` it is started by the name
//! given, so that this is judged as well.

use std::ffi::OsStr;
use std::fs::{Metadata, canonicalize, metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What to start for `program`. Fails when somebody else than root could change what it is: the file, or any directory
/// on the way to it. `search` is the PATH for a bare name.
pub(crate) fn only_root_writes(program: &str, search: &OsStr, symlink_paths: bool) -> Result<PathBuf, String> {
    let file = locate(program, search).ok_or_else(|| format!("{program}: not found"))?;
    let real = canonicalize(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let as_given = file.ancestors().filter(|_| symlink_paths);
    for path in real.ancestors().chain(as_given) {
        let meta = metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
        if let Some(who) = writer(&meta) {
            let path = path.display();
            return Err(format!("script security: {program} runs as root, but {who} can write {path}"));
        }
    }
    Ok(if symlink_paths { file } else { real })
}

/// The file of a program. A path with a slash is relative to the working directory scripts get, `/`.
pub(crate) fn locate(program: &str, search: &OsStr) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(Path::new("/").join(program));
    }
    let absolute = std::env::split_paths(search).filter(|directory| directory.is_absolute());
    absolute.map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Who else than root can replace it. A sticky directory of root's is safe: what root owns in it stays.
fn writer(meta: &Metadata) -> Option<String> {
    const GROUP: u32 = 0o020;
    const OTHERS: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    if meta.uid() != 0 {
        return Some(format!("user {}", meta.uid()));
    }
    if meta.is_dir() && meta.mode() & STICKY != 0 {
        return None;
    }
    if meta.mode() & OTHERS != 0 {
        return Some("everybody".to_owned());
    }
    (meta.mode() & GROUP != 0 && meta.gid() != 0).then(|| format!("group {}", meta.gid()))
}
