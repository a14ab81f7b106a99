use super::super::ping;
use super::*;

#[tokio::test]
async fn root_this_host_answers() {
    for to in ["127.0.0.1:80", "[::1]:0"] {
        assert_eq!(ask(check(CheckKind::Ping, to.parse().unwrap())).await, Outcome::Success, "{to}");
    }
}

/// Where the kernel's own kind of socket may not be used.
#[tokio::test]
async fn root_a_raw_socket_does_as_well() {
    for to in ["127.0.0.1:80", "[::1]:0"] {
        let connect = check(CheckKind::Ping, to.parse().unwrap()).connect;
        let v6 = connect.to.is_ipv6();
        let protocol = if v6 { socket2::Protocol::ICMPV6 } else { socket2::Protocol::ICMPV4 };
        let mut connect = connect;
        connect.to.set_port(0);
        let socket = super::super::socket::datagrams(&connect, socket2::Type::RAW, protocol).unwrap();
        timeout(LONG, ping::exchange(&socket, true, v6)).await.unwrap().unwrap();
    }
}

/// 198.51.100.0/24 is for documentation: nobody answers there, and a router on the way may say so or not.
#[tokio::test]
async fn root_nobody_is_down() {
    let mut check = check(CheckKind::Ping, "198.51.100.1:0".parse().unwrap());
    check.connect.timeout = SHORT;
    check.connect.interface = Some("lo".to_owned());
    let (outcome, took) = timed(check).await;
    assert_eq!(outcome, failure("no answer in 0.2 s"));
    assert!(took >= SHORT, "{took:?}");
}

#[test]
fn only_the_answer_to_this_very_echo_counts() {
    for (v6, reply) in [(false, 0), (true, 129)] {
        let request = ping::echo(v6);
        let mut answer = request;
        answer[0] = reply;
        // Another checksum, and another identifier, which the kernel's own kind of socket has.
        answer[2..6].copy_from_slice(&[1, 2, 3, 4]);
        assert!(ping::answers(&answer, &request, v6));
        assert!(!ping::answers(&request, &request, v6), "the request itself");
        assert!(!ping::answers(&answer[..63], &request, v6), "a short one");
        for at in [0, 1, 6, 7, 8, 63] {
            let mut other = answer;
            other[at] ^= 1;
            assert!(!ping::answers(&other, &request, v6), "byte {at}");
        }
    }
}

#[test]
fn the_checksum_makes_the_sum_vanish() {
    assert_eq!(ping::checksum(&ping::echo(false)), 0);
}
