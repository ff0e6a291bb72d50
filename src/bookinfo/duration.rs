//! Durations on the command line: `500ms`, `30s`, `2m`, `1h`.

use std::time::Duration;

/// # Errors
/// When it is not a positive decimal number followed by one of the units.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is not a duration, expected one like 500ms, 30s, 2m or 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let number: f64 = digits.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())
}

#[cfg(test)]
mod tests;
