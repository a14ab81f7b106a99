//! Reading a large keepalived.conf: ten thousand real servers, as written, and made by loops.

use std::fmt::Write as _;
use std::path::Path;

use mesh_config::host::Host;

fn main() {
    divan::main();
}

const REAL_SERVERS: usize = 10_000;

/// A hundred virtual servers with a hundred real servers each. The benchmark leaves it in the target
/// directory, for `keepalived -t -f` beside it.
fn written() -> String {
    let mut text = String::new();
    for service in 0..REAL_SERVERS / 100 {
        let _ = write!(text, "virtual_server 10.1.{service}.1 80 {{\n  lb_algo rr\n  lb_kind DR\n  protocol TCP\n");
        for real in 0..100 {
            let _ = write!(
                text,
                "  real_server 10.2.{service}.{} 80 {{\n    weight 1\n    TCP_CHECK {{\n      connect_timeout 3\n      \
                 retry 3\n      delay_before_retry 3\n    }}\n  }}\n",
                real + 1
            );
        }
        text.push_str("}\n");
    }
    text
}

/// The same with variables and loops.
fn looped() -> String {
    "$REAL= \\\n  real_server 10.2.${S}.${R} 80 { \\\n    weight 1 \\\n    TCP_CHECK { \\\n      connect_timeout 3 \\\n      \
     retry 3 \\\n      delay_before_retry 3 \\\n    } \\\n  }\n$SERVICE= \\\nvirtual_server 10.1.${S}.1 80 { \\\n  lb_algo rr \
     \\\n  lb_kind DR \\\n  protocol TCP \\\n  ~SEQ(R,1,100) $REAL \\\n}\n~SEQ(S,0,99) $SERVICE\n"
        .into()
}

fn read(bencher: divan::Bencher<'_, '_>, text: &str) {
    let real_servers = |text: &str| {
        let (config, _) = mesh_config::parse(Path::new("keepalived.conf"), text, &Host::none());
        config.expect("usable").virtual_servers.iter().map(|s| s.real_servers.len()).sum::<usize>()
    };
    assert_eq!(real_servers(text), REAL_SERVERS);
    bencher.bench(|| real_servers(text));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn ten_thousand_real_servers(bencher: divan::Bencher<'_, '_>) {
    let text = written();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ten-thousand.conf");
    std::fs::write(file, &text).expect("a file in the target directory");
    read(bencher, &text);
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn ten_thousand_real_servers_by_loops(bencher: divan::Bencher<'_, '_>) {
    read(bencher, &looped());
}
