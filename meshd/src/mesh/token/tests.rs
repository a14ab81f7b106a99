use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn issuer() -> Issuer {
    Issuer::new(b"a CA certificate", b"its key")
}

#[test]
fn a_token_holds_until_it_expires() {
    let token = issuer().create(7, NOW, HOUR);
    assert_eq!(token.expires_unix, 1_800_003_600);
    let claims = issuer().check(&token.text, NOW).unwrap();
    assert_eq!((claims.nonce, claims.expires_unix), (7, 1_800_003_600));
    assert_eq!(issuer().check(&format!(" {}\n", token.text), NOW + HOUR - Duration::from_secs(1)), Ok(claims));
    assert_eq!(issuer().check(&token.text, NOW + HOUR), Err(Refusal::TokenExpired { ago_s: 0 }));
    assert_eq!(issuer().check(&token.text, NOW + HOUR * 2), Err(Refusal::TokenExpired { ago_s: 3600 }));
}

#[test]
fn another_cluster_and_a_forgery_are_told_apart() {
    let token = issuer().create(7, NOW, HOUR).text;
    assert_eq!(Issuer::new(b"another CA", b"its key").check(&token, NOW), Err(Refusal::TokenOtherCluster));
    assert_eq!(Issuer::new(b"a CA certificate", b"guess").check(&token, NOW), Err(Refusal::TokenForged));
}

#[test]
fn every_bit_counts() {
    let token = BASE64_URL_SAFE_NO_PAD.decode(issuer().create(7, NOW, HOUR).text).unwrap();
    for bit in 0..token.len() * 8 {
        let mut changed = token.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let text = BASE64_URL_SAFE_NO_PAD.encode(&changed);
        let expected = match bit / 8 {
            0 => Refusal::TokenMalformed,
            1..=16 => Refusal::TokenOtherCluster,
            _ => Refusal::TokenForged,
        };
        assert_eq!(issuer().check(&text, NOW), Err(expected), "bit {bit}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let token = issuer().create(7, NOW, HOUR).text;
    for text in ["", "x", "not a token", &token[1..], &token[..token.len() - 4], &format!("{token}AAAA")] {
        assert_eq!(read(text), Err(Refusal::TokenMalformed), "{text:?}");
    }
}

#[test]
fn the_text_stays_out_of_debug_output() {
    let token = issuer().create(7, NOW, HOUR);
    assert!(!format!("{token:?}").contains(&token.text));
}
