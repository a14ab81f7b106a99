use super::*;

#[test]
fn durations_have_units() {
    assert_eq!(time("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(time("1s"), Some(Duration::from_secs(1)));
    assert_eq!(time("1.5s"), Some(Duration::from_millis(1500)));
    assert_eq!(time("2 m"), Some(Duration::from_secs(120)));
    assert_eq!(time("0s"), Some(Duration::ZERO));
    for wrong in
        ["", "1", "s", "1h", "1.s", "1.2.3s", "-1s", "1e3s", "0.0000001s", "99999999999999999999s", "400000000000000m"]
    {
        assert_eq!(time(wrong), None, "{wrong:?}");
    }
}
