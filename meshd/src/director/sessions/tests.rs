use std::time::Duration;

use super::*;

fn told(routers: &[(&str, bool)]) -> Told {
    Told { routers: routers.iter().map(|(name, up)| ((*name).to_owned(), *up)).collect(), ..Told::default() }
}

fn bfd(name: &str, value: i64) -> Input {
    Input::Tracked { kind: Kind::Bfd, name: name.to_owned(), value }
}

#[tokio::test]
async fn the_engine_is_told_what_differs() {
    let (say, seen) = watch::channel(told(&[("a", true), ("b", false)]));
    let mut sessions = Sessions::new(seen);
    assert_eq!(sessions.news(), [bfd("a", 1), bfd("b", 0)]);
    assert_eq!(sessions.news(), []);
    say.send_replace(told(&[("a", false), ("b", false), ("c", true)]));
    sessions.changed().await;
    assert_eq!(sessions.news(), [bfd("a", 0), bfd("c", 1)]);
    say.send_replace(told(&[("a", false), ("b", false)]));
    sessions.changed().await;
    assert_eq!(sessions.news(), [bfd("c", 0)]);
    sessions.forget();
    assert_eq!(sessions.news(), [bfd("a", 0), bfd("b", 0)]);
    drop(say);
    assert!(tokio::time::timeout(Duration::from_millis(1), sessions.changed()).await.is_err());
}
