use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_config::model::TrackFile;
use mesh_core::services::Input;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::number::parse;
use super::{Files, start};

fn file(name: &str, path: PathBuf) -> TrackFile {
    TrackFile { name: name.to_owned(), path, weight: 1, reverse: false, init: None }
}

fn files() -> (Files, mpsc::Receiver<Input>) {
    let (send, receive) = mpsc::channel(1);
    (start(send, |name, value| Input::File { name, value }).unwrap(), receive)
}

async fn next(receive: &mut mpsc::Receiver<Input>) -> (String, Option<i64>) {
    match timeout(Duration::from_secs(30), receive.recv()).await.expect("a number in time") {
        Some(Input::File { name, value }) => (name, value),
        other => panic!("{other:?}"),
    }
}

fn told(name: &str, value: Option<i64>) -> (String, Option<i64>) {
    (name.to_owned(), value)
}

/// Written beside it and moved into place, as it should be done.
fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[test]
fn numbers_are_read_as_strtol_does() {
    for (text, number) in [
        ("5", Some(5)),
        (" \t\n-7\n", Some(-7)),
        ("+3 and more", Some(3)),
        ("0x1F", Some(31)),
        ("-0x10", Some(-16)),
        ("010", Some(8)),
        ("08", Some(0)),
        ("0", Some(0)),
        ("0x", Some(0)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("", None),
        ("-", None),
        ("up", None),
    ] {
        assert_eq!(parse(text.as_bytes()), number, "{text:?}");
    }
}

#[tokio::test]
async fn every_change_is_told_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    fs::write(&one, "1\n").unwrap();
    let (mut files, mut receive) = files();
    files.watch(vec![file("one", one.clone()), file("two", two.clone())]);
    assert_eq!(next(&mut receive).await, told("one", Some(1)));
    assert_eq!(next(&mut receive).await, told("two", None));
    put(&two, "-2");
    assert_eq!(next(&mut receive).await, told("two", Some(-2)));
    // The same again is no news.
    put(&two, "-2");
    put(&one, "3");
    assert_eq!(next(&mut receive).await, told("one", Some(3)));
    put(&one, "no number");
    assert_eq!(next(&mut receive).await, told("one", None));
    put(&one, "4");
    assert_eq!(next(&mut receive).await, told("one", Some(4)));
    fs::remove_file(&one).unwrap();
    assert_eq!(next(&mut receive).await, told("one", None));
}

#[tokio::test]
async fn directories_may_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    let path = inner.join("file");
    let (mut files, mut receive) = files();
    files.watch(vec![file("f", path.clone())]);
    assert_eq!(next(&mut receive).await, told("f", None));
    for number in [1, 2] {
        fs::create_dir(&inner).unwrap();
        fs::write(&path, number.to_string()).unwrap();
        assert_eq!(next(&mut receive).await, told("f", Some(number)));
        fs::remove_dir_all(&inner).unwrap();
        assert_eq!(next(&mut receive).await, told("f", None));
    }
}

/// What no event tells: the file stays open for writing.
#[tokio::test]
async fn a_file_that_is_never_closed_is_found_as_well() {
    use std::io::Write as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let mut open = fs::File::create(&path).unwrap();
    let (mut files, mut receive) = files();
    files.watch(vec![file("f", path)]);
    assert_eq!(next(&mut receive).await, told("f", None));
    open.write_all(b"6").unwrap();
    assert_eq!(next(&mut receive).await, told("f", Some(6)));
}

#[tokio::test]
async fn another_set_takes_the_place_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    fs::write(&one, "1").unwrap();
    fs::write(&two, "2").unwrap();
    let (mut files, mut receive) = files();
    files.watch(vec![file("one", one.clone())]);
    assert_eq!(next(&mut receive).await, told("one", Some(1)));
    files.watch(vec![file("two", two.clone())]);
    assert_eq!(next(&mut receive).await, told("two", Some(2)));
    put(&one, "5");
    put(&two, "6");
    assert_eq!(next(&mut receive).await, told("two", Some(6)));
}

#[tokio::test]
async fn init_file_is_written_once_and_over_what_is_there_only_when_said() {
    let directory = tempfile::tempdir().unwrap();
    let init = |name: &str, init| TrackFile { init, ..file(name, directory.path().join(name)) };
    fs::write(directory.path().join("kept"), "8").unwrap();
    fs::write(directory.path().join("lost"), "8").unwrap();
    let all = vec![init("kept", Some((1, false))), init("lost", Some((2, true))), init("made", Some((3, false)))];
    let (mut files, mut receive) = files();
    files.watch(all.clone());
    assert_eq!(next(&mut receive).await, told("kept", Some(8)));
    assert_eq!(next(&mut receive).await, told("lost", Some(2)));
    assert_eq!(next(&mut receive).await, told("made", Some(3)));
    assert_eq!(fs::read_to_string(directory.path().join("made")).unwrap(), "3\n");
    put(&directory.path().join("lost"), "9");
    assert_eq!(next(&mut receive).await, told("lost", Some(9)));
    files.watch(all);
    assert_eq!(next(&mut receive).await, told("kept", Some(8)));
    assert_eq!(next(&mut receive).await, told("lost", Some(9)));
}

#[tokio::test]
async fn what_is_no_plain_file_has_no_number_and_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (mut files, mut receive) = files();
    files.watch(vec![file("fifo", fifo), file("directory", directory.path().to_owned())]);
    assert_eq!(next(&mut receive).await, told("fifo", None));
    assert_eq!(next(&mut receive).await, told("directory", None));
}

#[tokio::test]
async fn the_thread_ends_with_the_files() {
    let (files, mut receive) = files();
    drop(files);
    assert!(timeout(Duration::from_secs(30), receive.recv()).await.unwrap().is_none());
}
