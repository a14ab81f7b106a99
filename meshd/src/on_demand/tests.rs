use super::*;

/// Never over in these tests.
const LONG: Duration = Duration::from_secs(3600);

/// The answer to somebody who asks while the maker makes this.
async fn answer(maker: &mut Maker<u32>, asker: &Asker<u32>, what: u32, pause: Duration) -> u32 {
    let make = async {
        maker.due().await;
        maker.show(what, pause);
    };
    let (answer, ()) = tokio::join!(asker.ask(LONG), make);
    *answer.expect("an answer")
}

#[tokio::test]
async fn nothing_is_made_that_nobody_asks_for() {
    let (mut maker, asker) = channel(0);
    assert_eq!(maker.due().now_or_never(), None);
    assert_eq!(asker.ask(LONG).now_or_never().map(Result::ok), None, "what was there before is not good enough");
    assert_eq!(maker.due().now_or_never(), Some(()), "who asked and went away has asked");
    assert_eq!(answer(&mut maker, &asker, 1, Duration::ZERO).await, 1);
    assert_eq!(maker.due().now_or_never(), None, "it is made once");
}

#[tokio::test]
async fn all_that_ask_are_given_the_same_until_the_pause_is_over() {
    let (mut maker, asker) = channel(0);
    let make = async {
        maker.due().await;
        maker.show(1, LONG);
    };
    let (one, other, ()) = tokio::join!(asker.ask(LONG), asker.ask(LONG), make);
    assert_eq!((*one.unwrap(), *other.unwrap()), (1, 1));
    assert_eq!(*asker.ask(LONG).now_or_never().unwrap().unwrap(), 1, "without its maker");

    let (mut maker, mut asker) = channel(0);
    assert_eq!(answer(&mut maker, &asker, 1, LONG).await, 1);
    assert_eq!(asker.next().now_or_never().flatten().as_deref(), Some(&1), "it is new to who follows");
    assert_eq!(asker.next().now_or_never(), None);
    assert_eq!(maker.due().now_or_never(), None, "who follows waits for the maker's pause");
}

#[tokio::test]
async fn after_the_pause_all_is_made_anew() {
    let (mut maker, mut asker) = channel(0);
    for what in 1..=3 {
        assert_eq!(answer(&mut maker, &asker, what, Duration::ZERO).await, what);
    }
    assert_eq!(asker.next().await.as_deref(), Some(&3));
    let make = async {
        maker.due().await;
        maker.show(4, Duration::ZERO);
    };
    let (followed, ()) = tokio::join!(asker.next(), make);
    assert_eq!(followed.as_deref(), Some(&4));
    drop(maker);
    assert_eq!(asker.next().await, None, "it ends with its maker");
}

#[tokio::test]
async fn a_maker_that_does_not_answer_is_not_waited_for_longer() {
    let (mut maker, asker) = channel(0);
    assert_eq!(answer(&mut maker, &asker, 7, Duration::ZERO).await, 7);
    let patience = Duration::from_millis(20);
    let silence = asker.ask(patience).await.unwrap_err();
    assert_eq!((*silence.last, (patience..LONG).contains(&silence.age)), (7, true), "{silence:?}");
    // It comes back late, and knows that somebody asked.
    maker.due().await;
    maker.show(8, LONG);
    assert_eq!(*asker.ask(LONG).await.unwrap(), 8);
    drop(maker);
    let silence = asker.ask(LONG).await.unwrap_err();
    assert_eq!(*silence.last, 8, "nobody is waited for who is gone");
}
