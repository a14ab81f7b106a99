use super::*;

const JUDGE: MacAddr = MacAddr(2, 0, 10, 1, 1, 51);
const LB1: MacAddr = MacAddr(2, 0, 10, 1, 1, 11);
const LB2: MacAddr = MacAddr(2, 0, 10, 1, 1, 12);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 80);

fn prober() -> Prober {
    Prober::new(JUDGE, Ipv4Addr::new(10, 1, 1, 51), VIP, vec![LB1, LB2])
}

// What a host that serves the VIP makes of an echo request: RFC 792, addresses swapped and type 0.
fn reply(request: &[u8], from: MacAddr) -> Vec<u8> {
    let mut frame = request.to_vec();
    frame[0..6].copy_from_slice(&JUDGE.octets());
    frame[6..12].copy_from_slice(&from.octets());
    let (source, destination): (Vec<_>, Vec<_>) = (frame[26..30].to_vec(), frame[30..34].to_vec());
    frame[26..30].copy_from_slice(&destination);
    frame[30..34].copy_from_slice(&source);
    frame[34] = 0;
    frame[36..38].fill(0);
    let sum = checksum(&frame[34..], 1);
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn a_round_asks_everybody_once_and_all_together() {
    let frames = prober().round(7);
    let to: Vec<_> = frames.iter().map(|f| EthernetPacket::new(f).unwrap().get_destination()).collect();
    assert_eq!(to, [MacAddr::broadcast(), LB1, LB2]);
    assert!(frames.iter().all(|f| EthernetPacket::new(f).unwrap().get_source() == JUDGE));
}

#[test]
fn an_answer_is_matched_to_its_round() {
    let prober = prober();
    let frames = prober.round(70_000);
    assert_eq!(prober.answer(&reply(&frames[2], LB2)), Some(Answer::Echo { host: 1, round: 70_000 }));
}

#[test]
fn a_forwarded_probe_is_not_an_answer_of_the_host_that_forwarded_it() {
    let prober = prober();
    let frames = prober.round(1);
    assert_eq!(prober.answer(&reply(&frames[1], LB2)), None);
}

#[test]
fn an_arp_reply_names_its_host() {
    let prober = prober();
    let asker = Ipv4Addr::new(10, 1, 1, 130);
    let mut frame = prober.round_from(1, asker).remove(0);
    frame[0..6].copy_from_slice(&JUDGE.octets());
    {
        let mut arp = MutableArpPacket::new(&mut frame[ETHERNET..]).unwrap();
        arp.set_operation(ArpOperations::Reply);
        arp.set_sender_hw_addr(LB2);
        assert_eq!(arp.get_sender_proto_addr(), asker);
        arp.set_target_proto_addr(arp.get_sender_proto_addr());
        arp.set_sender_proto_addr(VIP);
    }
    assert_eq!(prober.answer(&frame), Some(Answer::Arp { host: 1, asker }));
}

#[test]
fn what_is_no_answer_is_nothing() {
    let prober = prober();
    for frame in prober.round(1) {
        assert_eq!(prober.answer(&frame), None, "a question of its own");
    }
    let answer = reply(&prober.round(1)[1], LB1);
    for length in 0..answer.len() {
        assert_eq!(prober.answer(&answer[..length]), None, "cut to {length}");
    }
    let mut damaged = answer.clone();
    damaged[40] ^= 1;
    assert_eq!(prober.answer(&damaged), None, "wrong checksum");
}
