//! Has the daemon read its configuration again, and waits for what comes of it.

use std::io::{self, Write};
use std::time::Duration;

use mesh_control::ReloadReply;

use crate::client::{Client, Failure};
use crate::{pretty, print, show};

/// The daemon answers sooner, if only that it is late.
const PATIENCE: Duration = Duration::from_secs(12);

/// What there is to say about the configuration goes where `meshd check` writes it.
pub(crate) async fn reload(client: &Client, json: bool) -> Result<(), Failure> {
    let reply = client.post_within("/reload", &serde_json::json!({}), PATIENCE).await?;
    if json {
        return print(&pretty(&reply));
    }
    let ReloadReply { findings, summary } = show::read(reply)?;
    for finding in &findings {
        let _ = writeln!(io::stderr(), "{}", show::clean(finding));
    }
    print(&format!("Configuration read again: {summary}\n"))
}
