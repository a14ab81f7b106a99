use super::*;

fn options(arguments: &str) -> Options {
    let words = std::iter::once("keepalived").chain(arguments.split_whitespace()).map(OsString::from);
    match Options::parse(words) {
        Parsed::Options(options) => *options,
        Parsed::Said(text, _) => panic!("{arguments}: {text}"),
    }
}

fn said(arguments: &str) -> (String, u8) {
    let words = std::iter::once("keepalived").chain(arguments.split_whitespace()).map(OsString::from);
    match Options::parse(words) {
        Parsed::Options(_) => panic!("{arguments} is understood"),
        Parsed::Said(text, code) => (text, code),
    }
}

#[test]
fn the_name_tells() {
    for (name, is) in [("keepalived", true), ("/usr/sbin/keepalived", true), ("meshd", false), ("/keepalived/x", false)]
    {
        assert_eq!(is_keepalived(&name.into()), is, "{name}");
    }
}

/// What units, container images and operators of clusters start it with.
#[test]
fn command_lines_in_use_are_understood() {
    let debian = options("--dont-fork");
    assert!(debian.dont_fork && debian.without_meaning().is_empty());
    let image = options("-n -l -D -f /etc/keepalived/keepalived.conf -p /run/k.pid");
    assert_eq!(image.use_file.as_deref(), Some(Path::new("/etc/keepalived/keepalived.conf")));
    assert_eq!(image.pid.as_deref(), Some(Path::new("/run/k.pid")));
    assert_eq!(image.without_meaning(), ["--log-detail"]);
    let joined = options("-nld -p/run/keepalived.pid");
    assert!(joined.dont_fork && joined.log_console);
    assert_eq!(joined.pid.as_deref(), Some(Path::new("/run/keepalived.pid")));
    assert_eq!(joined.without_meaning(), ["--dump-conf"]);
    let attached = options("-nDg/var/log/keepalived.log -M/tmp/core -t/tmp/said -p/run/group.pid");
    assert_eq!(attached.config_test.as_deref(), Some("/tmp/said"));
    assert_eq!(attached.pid.as_deref(), Some(Path::new("/run/group.pid")));
    assert_eq!(attached.without_meaning(), ["--log-detail", "--log-file", "--core-dump-pattern"]);
    let operator = options("-f a.conf --dont-fork --vrrp --log-detail --log-console");
    assert!(operator.vrrp && !operator.check);
    let redhat = options("-D -S 3 --use-file=b.conf");
    assert_eq!((redhat.facility(), redhat.dont_fork), (19, false));
    assert_eq!((options("").facility(), options("-S local7").facility(), options("-S user").facility()), (3, 23, 1));
    assert_eq!((options("-u 022").umask, options("--umask=0x1f").umask), (Some(0o22), Some(0x1f)));
}

#[test]
fn every_option_of_keepalived_2_2_7_is_read() {
    let every = "-f a -P -C -B --all -l -D -S 1 -G -u 022 -X -V -I -R -n -d -p b -r c -T -c d -a -b e -x -A f -s g -m \
                 -M=h -e -i j --signum=STOP -t=k -v --debug=l --debug -g=m --flush-log-file -M -g";
    assert_eq!(options(every).without_meaning().len(), 19);
    let long = "--use-file=a --vrrp --check --no_bfd --all --log-console --log-detail --log-facility=1 --no-syslog \
                --umask=022 --release-vips --dont-release-vrrp --dont-release-ipvs --dont-respawn --dont-fork \
                --dump-conf --pid=b --vrrp_pid=c --genhash --checkers_pid=d --address-monitoring --bfd_pid=e --snmp \
                --snmp-agent-socket=f --namespace=g --core-dump --core-dump-pattern=h --all-config --config-id=j \
                --signum=STOP --config-test=k --version --log-file=m";
    assert_eq!(options(long).without_meaning().len(), 17);
}

#[test]
fn what_is_not_understood_ends_with_1_and_help_with_0() {
    let (text, code) = said("--bogus");
    assert!(text.contains("--bogus"), "{text}");
    assert_eq!(code, 1);
    assert_eq!(said("-S 9").1, 1);
    assert_eq!(said("-u 01000").1, 1);
    let (help, code) = said("--help");
    assert_eq!(code, 0);
    assert!(help.contains("--use-file <FILE>") && help.contains("--checkers_pid"), "{help}");
}

#[test]
fn signals_have_keepalived_s_numbers() {
    let names = ["STOP", "RELOAD", "DATA", "STATS", "JSON", "STATS_CLEAR", "FOO"];
    let numbers = [Some(15), Some(1), Some(10), Some(12), Some(36), Some(63), None];
    assert_eq!(names.map(signal_number), numbers);
}

#[test]
fn pid_files_are_where_keepalived_s_would_be() {
    use mesh_config::model::Process;
    let names = |arguments: &str, process: &Process, namespace: Option<&str>| {
        let files = PidFiles::new(&options(arguments), process, namespace);
        format!("{files:?}")
    };
    let shown = |parent: &str, vrrp: &str, checkers: &str| {
        format!(
            "PidFiles {{ parent: {parent:?}, vrrp: {vrrp:?}, checkers: {checkers:?}, written: Cell {{ value: false }} }}"
        )
    };
    let plain = Process::default();
    let expected = shown("/run/keepalived.pid", "/run/vrrp.pid", "/run/checkers.pid");
    assert_eq!(names("", &plain, None), expected);
    assert_eq!(names("-p /a -r /b -c /c", &plain, None), shown("/a", "/b", "/c"));
    let foo = Process { instance: Some("foo".into()), ..Process::default() };
    let expected =
        shown("/run/keepalived/keepalived_foo.pid", "/run/keepalived/vrrp_foo.pid", "/run/keepalived/checkers_foo.pid");
    assert_eq!(names("", &foo, None), expected);
    assert!(names("", &plain, Some("blue")).contains("/run/keepalived/vrrp_blue.pid"));
}
