//! TCP_CHECK: connects, and closes at once, with FIN and not RST.

use mesh_config::model::Connect;

use super::patience::Patience;
use super::socket;

pub(super) async fn check(connect: &Connect) -> Result<(), String> {
    socket::connect(connect, &Patience::new(connect.timeout)).await.map(drop)
}
