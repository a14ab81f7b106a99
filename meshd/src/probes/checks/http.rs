//! HTTP_GET and SSL_GET: gets one URL, with the request keepalived sends, and looks at status, digest and body.
//!
//! A redirect is a status like any other. The body is read to its end, by length, by chunks or until the server closes,
//! also where nothing has to be in it: a server that stops in the middle of it does not serve. One that closes early
//! has answered (as with keepalived); `digest` and `regex` tell whether that will do.

use mesh_config::model::{Connect, HttpCheck, HttpProtocol, Url};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::patience::Patience;
use super::{Tools, socket};

use answer::Answer;

mod answer;
mod body;

/// Gets the URL with this number.
pub(super) async fn check(tools: &Tools, connect: &Connect, http: &HttpCheck, step: usize) -> Result<(), String> {
    let url = http.urls.get(step).ok_or_else(|| format!("there is no url {step}"))?;
    let patience = Patience::new(connect.timeout);
    let stream = socket::connect(connect, &patience).await?;
    let request = request(connect, http.protocol, url);
    let answer = if http.tls {
        let stream = tools.tls.handshake(stream, connect.to, http.sni.as_deref(), &patience).await?;
        exchange(stream, &request, url, &patience).await?
    } else {
        exchange(stream, &request, url, &patience).await?
    };
    judge(tools, url, answer).await
}

/// In keepalived's own form: some servers are picky.
pub(super) fn request(connect: &Connect, protocol: HttpProtocol, url: &Url) -> String {
    let (version, close) = match protocol {
        HttpProtocol::V10 => ("1.0", ""),
        HttpProtocol::V10Close => ("1.0", "Connection: close\r\n"),
        HttpProtocol::V11 => ("1.1", "Connection: close\r\n"),
    };
    let host = match &url.virtualhost {
        Some(host) => host.clone(),
        None if connect.to.is_ipv6() => format!("[{}]:{}", connect.to.ip(), connect.to.port()),
        None => connect.to.to_string(),
    };
    format!("GET {} HTTP/{version}\r\nUser-Agent: KeepAliveClient\r\n{close}Host: {host}\r\n\r\n", url.path)
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
    url: &Url,
    patience: &Patience,
) -> Result<Answer, String> {
    patience.wait(async { stream.write_all(request.as_bytes()).await }).await?;
    // TLS keeps what it encrypted until then.
    patience.wait(stream.flush()).await?;
    answer::read(&mut stream, url, patience).await
}

async fn judge(tools: &Tools, url: &Url, answer: Answer) -> Result<(), String> {
    if let Some(wanted) = &url.digest
        && !answer.digests.iter().any(|digest| digest.eq_ignore_ascii_case(wanted))
    {
        let got = answer.digests.first().map(String::as_str).unwrap_or_default();
        return Err(format!("digest {got} instead of {wanted}"));
    }
    let Some(regex) = &url.regex else { return Ok(()) };
    let pattern = tools.patterns.get(regex)?;
    // Some expressions take long, and here is where all other checks run.
    let search = tokio::task::spawn_blocking(move || pattern.check(&answer.kept, answer.cut));
    search.await.unwrap_or_else(|_| Err("the search for the regex failed".to_owned()))
}
