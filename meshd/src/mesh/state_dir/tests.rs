use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_the_owner_reads_it() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    let dir = StateDir::create(&path).unwrap();
    dir.write(NODE_KEY, "secret").unwrap();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(NODE_KEY)), 0o600);
    assert_eq!(dir.read(NODE_KEY).unwrap().as_deref(), Some("secret"));
    assert_eq!(dir.read(CA_KEY).unwrap(), None);
}

#[test]
fn a_file_left_half_written_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::create(temp.path()).unwrap();
    fs::write(temp.path().join("node.key.new"), "ha").unwrap();
    dir.write(NODE_KEY, "whole").unwrap();
    assert_eq!(dir.read(NODE_KEY).unwrap().as_deref(), Some("whole"));
    assert!(!temp.path().join("node.key.new").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named_with_the_way_out() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("state");
    let error = format!("{:#}", StateDir::create(&below).unwrap_err());
    assert!(error.contains(below.to_str().unwrap()) && error.contains("--state-dir"), "{error}");
}

#[test]
fn one_daemon_alone_runs_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::create(temp.path()).unwrap();
    let first = dir.lock().unwrap();
    let error = format!("{:#}", dir.lock().unwrap_err());
    let path = temp.path().display().to_string();
    let process = format!("(process {})", std::process::id());
    assert!([path.as_str(), &process, "--state-dir"].iter().all(|text| error.contains(text)), "{error}");
    drop(first);
    dir.lock().unwrap();
}

#[test]
fn a_certificate_that_is_gone_is_missed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::create(temp.path()).unwrap();
    dir.is_empty_of_identity().unwrap();
    dir.write(NODE_KEY, "of a join that had no answer").unwrap();
    dir.is_empty_of_identity().unwrap();
    for name in [CA_CERT, ROSTER] {
        dir.write(name, "").unwrap();
        let error = dir.is_empty_of_identity().unwrap_err().to_string();
        assert!(error.contains(&format!("incomplete ({name} is there, node.crt is missing)")), "{error}");
    }
}

#[test]
fn keys_that_others_may_read_are_taken_from_them() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::create(temp.path()).unwrap();
    for (name, open) in [(NODE_KEY, 0o644), (CA_KEY, 0o640), (CA_CERT, 0o644)] {
        dir.write(name, "").unwrap();
        fs::set_permissions(temp.path().join(name), Permissions::from_mode(open)).unwrap();
    }
    fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
    dir.keep_private();
    let modes = ["", NODE_KEY, CA_KEY, CA_CERT].map(|name| mode(&temp.path().join(name)));
    assert_eq!(modes, [0o700, 0o600, 0o600, 0o644]);
    fs::set_permissions(temp.path().join(NODE_KEY), Permissions::from_mode(0o400)).unwrap();
    dir.keep_private();
    assert_eq!(mode(&temp.path().join(NODE_KEY)), 0o400, "what nobody else may read stays as it is");
}
