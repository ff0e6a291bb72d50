use std::time::Duration;

use super::parse;

#[test]
fn a_number_with_a_unit_is_a_duration() {
    for (text, milliseconds) in [
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5s", 1500),
        ("2m", 120_000),
        ("1h", 3_600_000),
    ] {
        assert_eq!(
            parse(text),
            Ok(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
}

#[test]
fn anything_else_is_refused() {
    for text in ["", "s", "30", "30 s", "-1s", "1d", "NaNs", "1e400s"] {
        assert!(parse(text).is_err(), "{text}");
    }
}
