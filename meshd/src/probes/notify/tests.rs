use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use mesh_config::model::{Fifo, Mail, Script, ScriptSecurity};
use nix::libc::O_NONBLOCK;
use nix::unistd::{User, geteuid};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::scripts::{MOST_RUNNING, MOST_WAITING, Queues};
use super::{Dropped, Notifier, NotifySettings};

const LONG: Duration = Duration::from_secs(60);

fn me() -> Option<(String, Option<String>)> {
    Some((User::from_uid(geteuid()).unwrap().expect("whoever runs the tests has a name").name, None))
}

fn script(text: &str) -> Script {
    Script { command: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(), user: me() }
}

fn notifier(mail: Mail) -> Notifier {
    let scripts = ScriptSecurity { user: me(), ..ScriptSecurity::default() };
    Notifier::new(NotifySettings { scripts, mail, fifos: Vec::new() }, None)
}

#[tokio::test]
async fn scripts_of_one_key_keep_their_order_and_never_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let notifier = notifier(Mail::default());
    for number in 0..10 {
        let text = format!("echo {number} >> {0}; sleep 0.0{1}; echo {number} >> {0}", log.display(), 9 - number);
        notifier.scripts.run("key".to_owned(), script(&text), Vec::new());
    }
    timeout(LONG, notifier.idle()).await.unwrap();
    let lines = fs::read_to_string(log).unwrap();
    let expected: String = (0..10).map(|number| format!("{number}\n{number}\n")).collect();
    assert_eq!(lines, expected);
    assert_eq!(notifier.dropped(), Dropped::default());
}

#[tokio::test]
async fn another_key_does_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let notifier = notifier(Mail::default());
    notifier.scripts.run("slow".to_owned(), script("sleep 600"), Vec::new());
    notifier.scripts.run("quick".to_owned(), script(&format!("touch {}/done", directory.path().display())), Vec::new());
    until("it is done", || directory.path().join("done").exists()).await;
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn too_many_that_wait_push_out_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let (log, go) = (directory.path().join("log"), directory.path().join("go"));
    let notifier = notifier(Mail::default());
    notifier.scripts.run(
        "key".to_owned(),
        script(&format!("until test -e {}; do sleep 0.01; done", go.display())),
        Vec::new(),
    );
    for number in 0..MOST_WAITING + 3 {
        notifier.scripts.run("key".to_owned(), script(&format!("echo {number} >> {}", log.display())), Vec::new());
    }
    assert_eq!(notifier.dropped(), Dropped { scripts: 3, ..Dropped::default() });
    fs::write(go, "").unwrap();
    timeout(LONG, notifier.idle()).await.unwrap();
    let expected: String = (3..MOST_WAITING + 3).map(|number| format!("{number}\n")).collect();
    assert_eq!(fs::read_to_string(log).unwrap(), expected);
}

#[tokio::test]
async fn one_that_never_ends_is_ended_and_the_next_has_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let queues = Queues::with_limit(ScriptSecurity::default(), None, Duration::from_millis(200));
    let start = Instant::now();
    queues.run("key".to_owned(), script("trap '' TERM; while :; do sleep 1; done"), Vec::new());
    queues.run("key".to_owned(), Script { command: vec!["/nonexistent/script".to_owned()], user: me() }, Vec::new());
    queues.run("key".to_owned(), script(&format!("touch {}/done", directory.path().display())), Vec::new());
    timeout(LONG, queues.idle()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(directory.path().join("done").exists());
}

#[tokio::test]
async fn not_more_than_some_run_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let (here, go) = (directory.path().join("here"), directory.path().join("go"));
    fs::create_dir(&here).unwrap();
    let notifier = notifier(Mail::default());
    for number in 0..MOST_RUNNING + 5 {
        let text = format!("touch {}/{number}; until test -e {}; do sleep 0.1; done", here.display(), go.display());
        notifier.scripts.run(number.to_string(), script(&text), Vec::new());
    }
    let running = || fs::read_dir(&here).unwrap().count();
    until("as many run as may", || running() == MOST_RUNNING).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(running(), MOST_RUNNING);
    fs::write(go, "").unwrap();
    timeout(LONG, notifier.idle()).await.unwrap();
    assert_eq!(running(), MOST_RUNNING + 5);
}

#[tokio::test]
async fn scripts_end_with_the_notifier() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let notifier = notifier(Mail::default());
    notifier.scripts.run(
        "key".to_owned(),
        script(&format!("echo $$ > {}.new; mv {0}.new {0}; sleep 600", pid.display())),
        Vec::new(),
    );
    until("it runs", || pid.exists()).await;
    let pid = fs::read_to_string(pid).unwrap();
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    assert!(runs());
    drop(notifier);
    until("it has ended", || !runs()).await;
}

fn reader(path: &Path) -> fs::File {
    OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).unwrap()
}

fn lines(reader: &mut fs::File) -> String {
    let mut text = Vec::new();
    // The writer keeps it open: this ends when nothing more is there.
    let _ = reader.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_fifo_is_made_kept_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    let mut notifier = notifier(Mail::default());
    notifier.fifos.write(&path, "VS [10.0.0.1]:tcp:80 UP");
    let meta = fs::metadata(&path).unwrap();
    assert!(meta.file_type().is_fifo());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let mut first = reader(&path);
    notifier.fifos.write(&path, "VS [10.0.0.1]:tcp:80 DOWN");
    assert_eq!(lines(&mut first), "VS [10.0.0.1]:tcp:80 UP\nVS [10.0.0.1]:tcp:80 DOWN\n");
    // Somebody makes another one of the same name.
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut second = reader(&path);
    notifier.fifos.write(&path, "again");
    assert_eq!(lines(&mut second), "again\n");
    assert_eq!(notifier.dropped(), Dropped::default());
    drop(notifier);
    assert!(!path.exists());
}

/// As keepalived: the owner is for FIFOs that are made, `script_user` where there is none.
#[tokio::test]
async fn root_a_fifo_belongs_to_whom_it_is_for() {
    let directory = tempfile::tempdir().unwrap();
    let named = |name: &str| User::from_name(name).unwrap().expect("Debian has it");
    let (daemon, bin, nobody) = (named("daemon"), named("bin"), named("nobody"));
    let fifo = |name: &str, owner| Fifo { owner, ..Fifo::new(directory.path().join(name)) };
    let fifos = vec![
        fifo("user", Some(("daemon".to_owned(), None))),
        fifo("both", Some(("daemon".to_owned(), Some("bin".to_owned())))),
        fifo("default", None),
        fifo("stranger", Some(("no-such-user".to_owned(), None))),
    ];
    let scripts = ScriptSecurity { user: Some(("nobody".to_owned(), None)), ..ScriptSecurity::default() };
    let notifier = Notifier::new(NotifySettings { scripts, mail: Mail::default(), fifos }, None);
    for (name, user, group) in [
        ("user", daemon.uid.as_raw(), daemon.gid.as_raw()),
        ("both", daemon.uid.as_raw(), bin.gid.as_raw()),
        ("default", nobody.uid.as_raw(), nobody.gid.as_raw()),
        ("stranger", 0, 0),
    ] {
        let meta = fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (user, group, 0o600), "{name}");
    }
    drop(notifier);
}

#[tokio::test]
async fn a_fifo_that_was_there_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut notifier = notifier(Mail::default());
    notifier.fifos.write(&path, "line");
    drop(notifier);
    assert!(path.exists());
}

#[tokio::test]
async fn a_full_fifo_drops_lines_and_counts_them_and_nothing_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    let mut notifier = notifier(Mail::default());
    // 64 KiB fit, and each line has 64 bytes.
    let line = "x".repeat(63);
    (0..1024 + 10).for_each(|_| notifier.fifos.write(&path, &line));
    assert_eq!(notifier.dropped().lines, 10);
    let mut reader = reader(&path);
    assert_eq!(lines(&mut reader).len(), 64 * 1024);
    notifier.fifos.write(&path, "there is room again");
    assert_eq!(lines(&mut reader), "there is room again\n");
    assert_eq!(notifier.dropped().lines, 10);
    notifier.fifos.write(&path, &"x".repeat(4096));
    assert_eq!(notifier.dropped().lines, 11);
}

#[tokio::test]
async fn what_is_no_fifo_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "precious").unwrap();
    let mut notifier = notifier(Mail::default());
    notifier.fifos.write(&path, "line");
    notifier.fifos.write(&directory.path().join("missing/fifo"), "line");
    assert_eq!(notifier.dropped().lines, 2);
    drop(notifier);
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

/// A mail server that takes everything, and tells each mail it got: what came before DATA, and its text.
async fn server() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, receive) = mpsc::channel(100);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let send = send.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut seen = String::new();
                let mut data = false;
                stream.get_mut().write_all(b"220 ready\r\n").await.unwrap();
                let mut line = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    seen.push_str(&line);
                    let reply = match (data, line.trim_end()) {
                        (true, ".") => {
                            data = false;
                            send.send(std::mem::take(&mut seen)).await.unwrap();
                            "250 taken\r\n"
                        }
                        (true, _) => "",
                        (false, "DATA") => {
                            data = true;
                            "354 go on\r\n"
                        }
                        (false, line) if line.contains("refused@") => "550 nobody here\r\n",
                        (false, _) => "250 fine\r\n",
                    };
                    if stream.get_mut().write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    (port, receive)
}

fn mail(port: u16) -> Mail {
    Mail {
        to: ["one@example.com", "no address", "refused@example.com", "Two <two@example.com>", "root"]
            .map(String::from)
            .into(),
        from: Some("lb".to_owned()),
        server: Some(("127.0.0.1".to_owned(), port)),
        helo_name: Some("lb.example.com".to_owned()),
        connect_timeout: Duration::from_secs(30),
        ..Mail::default()
    }
}

#[tokio::test]
async fn mail_goes_to_all_addresses_through_the_server() {
    let (port, mut taken) = server().await;
    let notifier = notifier(mail(port));
    notifier.mail.send("[lb] it is down".to_owned(), "=> CHECK failed <=\n.\nend".to_owned());
    let seen = timeout(LONG, taken.recv()).await.unwrap().unwrap();
    let (date, rest) = seen.split_once("Date: ").unwrap();
    assert_eq!(
        date,
        "EHLO lb.example.com\r\nMAIL FROM:<lb>\r\nRCPT TO:<one@example.com>\r\nRCPT TO:<refused@example.com>\r\n\
         RCPT TO:<two@example.com>\r\nRCPT TO:<root>\r\nDATA\r\n"
    );
    let (_, rest) = rest.split_once("\r\n").unwrap();
    assert_eq!(
        rest,
        "From: lb\r\nSubject: [lb] it is down\r\nX-Mailer: Keepalived\r\n\
         To: one@example.com, refused@example.com, Two <two@example.com>, root\r\n\r\n\
         => CHECK failed <=\r\n..\r\nend\r\n.\r\n"
    );
    timeout(LONG, notifier.idle()).await.unwrap();
    assert_eq!(notifier.dropped(), Dropped::default());
}

#[tokio::test]
async fn without_addresses_or_a_server_nothing_is_sent_or_counted() {
    let unusable = || vec!["no address".to_owned()];
    for settings in [
        Mail::default(),
        Mail { to: Vec::new(), ..mail(1) },
        Mail { to: unusable(), ..mail(1) },
        Mail { from: unusable().pop(), ..mail(1) },
        Mail { server: None, ..mail(1) },
    ] {
        let notifier = notifier(settings);
        notifier.mail.send("subject".to_owned(), "body".to_owned());
        timeout(LONG, notifier.idle()).await.unwrap();
        assert_eq!(notifier.dropped(), Dropped::default());
    }
}

#[tokio::test]
async fn a_mail_that_nobody_may_get_is_counted() {
    let (port, _taken) = server().await;
    let notifier = notifier(Mail { to: vec!["refused@example.com".to_owned()], ..mail(port) });
    notifier.mail.send("subject".to_owned(), "body".to_owned());
    timeout(LONG, notifier.idle()).await.unwrap();
    assert_eq!(notifier.dropped().mail, 1);
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_mail_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Mail { connect_timeout: Duration::from_millis(100), ..mail(listener.local_addr().unwrap().port()) };
    let notifier = notifier(settings);
    let start = Instant::now();
    (0..3).for_each(|number| notifier.mail.send(format!("mail {number}"), String::new()));
    assert!(start.elapsed() < Duration::from_millis(100), "asking waits");
    timeout(LONG, notifier.idle()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    assert_eq!(notifier.dropped().mail, 3);
}

#[tokio::test]
async fn more_mail_than_can_wait_is_dropped_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let notifier = notifier(mail(listener.local_addr().unwrap().port()));
    // On this thread the first is not taken out of the queue before this function waits.
    (0..super::mail::MOST_WAITING + 2).for_each(|_| notifier.mail.send("subject".to_owned(), String::new()));
    assert_eq!(notifier.dropped().mail, 2);
}
