use super::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn read(line: &str) -> Result<String, String> {
    let east = TimeZone::fixed(jiff::tz::offset(2));
    when(line, now(), &east).map(|due| due.to_string())
}

#[test]
fn times_are_local_or_utc_and_the_next_there_is() {
    for (line, expected) in [
        ("12:00:01Z", "2026-03-01T12:00:01Z"),
        ("12:00:00Z", "2026-03-02T12:00:00Z"),
        ("14:00:01", "2026-03-01T12:00:01Z"),
        ("13:00:00", "2026-03-02T11:00:00Z"),
        ("26-03-01 14:00:05", "2026-03-01T12:00:05Z"),
        ("2027-12-31 23:59:59Z", "2027-12-31T23:59:59Z"),
    ] {
        assert_eq!(read(line).as_deref(), Ok(expected), "{line}");
    }
}

#[test]
fn what_is_not_exactly_a_time_is_told() {
    for line in ["", "12:00", "1:00:00", " 12:00:01", "12:00:01 ", "24:00:00", "12:60:00", "2026-02-30 00:00:00"] {
        assert!(read(line).unwrap_err().contains("is no time; expected HH:MM:SS"), "{line}");
    }
    for line in ["126-03-01 14:00:00", "26-3-1 14:00:00", "26-03-01  14:00:00", "26-03-01-01 14:00:00", "+2:00:00"] {
        assert!(read(line).unwrap_err().contains("is no time"), "{line}");
    }
    assert_eq!(read("2026-03-01 13:00:00").unwrap_err(), "2026-03-01 13:00:00 is over");
}

#[test]
fn a_file_is_followed_until_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("at");
    let mut time = ReloadTime::new(&path, false);
    time.look(now());
    assert_eq!(time.due, None, "there is none");
    fs::write(&path, "12:00:01Z\nmore\n").unwrap();
    time.look(now());
    assert_eq!(time.due.map(|due| due.to_string()).as_deref(), Some("2026-03-01T12:00:01Z"));
    fs::write(&path, "nonsense").unwrap();
    time.look(now());
    assert_eq!(time.due, None);
    fs::write(&path, "13:00:00Z").unwrap();
    time.look(now());
    assert!(time.due.is_some());
    time.done();
    assert!(!path.exists(), "it has been followed");
    time.look(now());
    assert_eq!(time.due, None);
}

#[test]
fn a_file_that_stays_is_for_every_day() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("at");
    fs::write(&path, "12:00:01Z").unwrap();
    let mut time = ReloadTime::new(&path, true);
    time.look(now());
    time.done();
    assert!(path.exists());
    time.look("2026-03-01T12:00:01Z".parse().unwrap());
    assert_eq!(time.due.map(|due| due.to_string()).as_deref(), Some("2026-03-02T12:00:01Z"));
}
