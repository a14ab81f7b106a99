use std::net::Ipv4Addr;

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn each_address_is_told_once_a_minute() {
    let mut told = Told::default();
    let (one, other) = (([10, 1, 1, 12], 7946).into(), ([10, 1, 1, 13], 7946).into());
    assert!(told.is_news(at(1), one) && told.is_news(at(1), other));
    assert!(!told.is_news(at(60), one) && told.is_news(at(61), one) && !told.is_news(at(62), one));
}

#[test]
fn strangers_do_not_fill_the_memory() {
    let mut told = Told::default();
    let stranger = |n: u32| SocketAddr::from((Ipv4Addr::from(n), 1));
    let news = (0..1000).filter(|n| told.is_news(at(1), stranger(*n))).count();
    assert_eq!((news, told.0.len()), (MOST_ADDRESSES, MOST_ADDRESSES));
    assert!(told.is_news(at(61), stranger(5000)), "all others are old");
    assert_eq!(told.0.len(), 1);
}

#[test]
fn reasons_are_words() {
    assert_eq!(words(&io::Error::from_raw_os_error(1)), "Operation not permitted");
    assert_eq!(words(&io::Error::other("a reason")), "a reason");
}

/// What the kernel refuses is lost and counted, no error; what it takes arrives.
#[tokio::test]
async fn a_packet_that_is_refused_is_lost() {
    let counters = Arc::new(Counters::default());
    let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let cids = Cids(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"a secret"));
    let udp = Arc::new(Udp::new(bind(), cids, counters.clone()).unwrap());
    let receiver = bind();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut poller = udp.clone().create_io_poller();
    let send = |destination| {
        let contents: &[u8] = b"x";
        udp.try_send(&Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None })
    };
    std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.unwrap();
    // A socket of 127.0.0.1 reaches no other host.
    send(([192, 0, 2, 1], 9).into()).unwrap();
    assert_eq!(counters.get(Counter::SendsRefused), 1);
    send(receiver.local_addr().unwrap()).unwrap();
    assert_eq!(counters.get(Counter::SendsRefused), 1);
    let mut buffer = [0; 8];
    assert_eq!(receiver.recv(&mut buffer).unwrap(), 1);
    assert!(udp.told.lock().unwrap().0.contains_key(&([192, 0, 2, 1], 9).into()));
}
