use super::rate;

#[test]
fn a_rate_is_positive() {
    assert_eq!(rate("0.5"), Ok(0.5));
    for text in ["0", "-1", "inf", "NaN", "many"] {
        assert!(rate(text).is_err(), "{text}");
    }
}
