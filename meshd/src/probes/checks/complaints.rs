//! What a check asks for that cannot be done: for `meshd check`.

use mesh_config::model::{Check, CheckKind, Tls, Url};

use super::regex::Pattern;
use super::{dns, tls};

/// One sentence for each thing that makes every run fail, whatever the real server does; none for a check that can
/// be run.
pub fn complaints(check: &Check) -> Vec<String> {
    match &check.kind {
        CheckKind::Http(http) => http.urls.iter().flat_map(url).collect(),
        CheckKind::Dns { record, name } => dns::question(record, name).err().into_iter().collect(),
        CheckKind::Smtp { helo_name: Some(name), .. } if !printable(name) => {
            vec![format!("helo_name `{}` cannot be sent", name.escape_debug())]
        }
        _ => Vec::new(),
    }
}

/// Why `SSL` cannot be used, which makes every SSL_GET fail: files that are missing or hold something else. Reads them.
pub fn tls_complaint(tls: &Tls) -> Option<String> {
    tls::config(tls).err()
}

fn url(url: &Url) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(regex) = &url.regex
        && let Err(why) = Pattern::new(regex)
    {
        found.push(why);
    }
    if let Some(digest) = &url.digest
        && (digest.len() != 32 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        found.push(format!("digest `{digest}` is not 32 hexadecimal digits"));
    }
    for text in [Some(&url.path), url.virtualhost.as_ref()].into_iter().flatten() {
        if !printable(text) {
            found.push(format!("`{}` cannot be part of an HTTP request", text.escape_debug()));
        }
    }
    found
}

fn printable(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ')
}
