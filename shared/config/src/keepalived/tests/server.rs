//! Virtual servers: what reaches the model, and what is found.

mod check;
mod global;
mod group;
mod pool;

use super::*;

/// A sound service; `service` from line 5 on, the real server two lines further down.
fn server(service: &str, real: &str) -> String {
    format!(
        "virtual_server 10.0.0.1 80 {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n{service}\n real_server 10.0.0.2 80 {{\n{real}\n }}\n}}\n"
    )
}

/// The first service and the findings.
fn found(text: &str) -> (Option<VirtualServer>, Vec<String>) {
    let (config, found) = read(text);
    (config.and_then(|c| c.virtual_servers.into_iter().next()), found)
}

/// One finding, and the service.
#[track_caller]
fn warned(text: &str, start: &str) -> Option<VirtualServer> {
    let (server, found) = found(text);
    assert_eq!(found.len(), 1, "{found:#?}\n{text}");
    assert!(found[0].starts_with(start), "{}", found[0]);
    server
}

/// No finding, and the first service.
#[track_caller]
fn clean(text: &str) -> VirtualServer {
    assert_clean(text).virtual_servers.remove(0)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn script_of(words: &[&str], user: Option<(&str, Option<&str>)>) -> Script {
    let command = words.iter().map(|w| (*w).to_string()).collect();
    Script { command, user: user.map(|(user, group)| (user.to_string(), group.map(str::to_string))) }
}
