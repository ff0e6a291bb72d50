//! Resource quantities (`100m`, `1Gi`, `12e3`): read, and brought into the one form that
//! Kubernetes prints for each. Does no arithmetic beyond that.

/// Thousandths per unit, so that a quantity is a whole number of nano-units below.
const NANO: i128 = 1_000_000_000;
const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

/// The form in which Kubernetes prints a quantity (`2000m` is `2`, `1024Mi` is `1Gi`); `None` for
/// what is no quantity.
pub fn canonical(text: &str) -> Option<String> {
    let (nano, format) = parse(text)?;
    let whole = nano % NANO == 0;
    match format {
        Format::Binary if whole && (nano / NANO).abs() >= 1024 => Some(binary(nano / NANO)),
        Format::Exponent => Some(exponent(nano)),
        _ => Some(decimal(nano)),
    }
}

/// Nano-units, and the format that the suffix asks for.
fn parse(text: &str) -> Option<(i128, Format)> {
    let end = text
        .char_indices()
        .find(|(index, letter)| {
            !(letter.is_ascii_digit()
                || *letter == '.'
                || (*index == 0 && matches!(letter, '+' | '-')))
        })
        .map_or(text.len(), |(index, _)| index);
    let (number, suffix) = text.split_at(end);
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((scaled(number, 0)?.checked_mul(1 << power)?, Format::Binary));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((scaled(number, *power)?, Format::Decimal));
    }
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((scaled(number, power)?, Format::Exponent))
}

/// A decimal number times a power of ten, in nano-units; rounded away from zero below those.
fn scaled(number: &str, power: i32) -> Option<i128> {
    let negative = number.starts_with('-');
    let digits = number.trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let value: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let shift = 9 + power - i32::try_from(fraction.len()).ok()?;
    let nano = if shift >= 0 {
        value.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?
    } else {
        let divisor = 10_i128.checked_pow(shift.unsigned_abs())?;
        (value + divisor - 1) / divisor
    };
    Some(if negative { -nano } else { nano })
}

fn binary(value: i128) -> String {
    let (suffix, power) = BINARY
        .iter()
        .rev()
        .find(|(_, power)| value % (1 << power) == 0)
        .copied()
        .unwrap_or(("", 0));
    format!("{}{suffix}", value >> power)
}

fn decimal(nano: i128) -> String {
    if nano == 0 {
        return "0".to_owned();
    }
    let (suffix, divisor) = largest(nano);
    format!("{}{suffix}", nano / divisor)
}

fn exponent(nano: i128) -> String {
    if nano == 0 {
        return "0".to_owned();
    }
    let (suffix, divisor) = largest(nano);
    let power = DECIMAL
        .iter()
        .find(|(name, _)| *name == suffix)
        .map_or(0, |(_, power)| *power);
    match power {
        0 => (nano / divisor).to_string(),
        power => format!("{}e{power}", nano / divisor),
    }
}

/// The largest suffix that leaves a whole number, and how many nano-units it stands for.
fn largest(nano: i128) -> (&'static str, i128) {
    DECIMAL
        .iter()
        .rev()
        .map(|(suffix, power)| (*suffix, 10_i128.pow((power + 9).unsigned_abs())))
        .find(|(_, divisor)| nano % divisor == 0)
        .unwrap_or(("n", 1))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn each_quantity_has_one_form() {
        for (text, expected) in [
            ("2000m", "2"),
            ("1024Mi", "1Gi"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("0", "0"),
            ("0.5", "500m"),
            ("128Mi", "128Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("12e3", "12e3"),
            ("0.5Ki", "512"),
            ("-1", "-1"),
            ("10Ei", "10Ei"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_quantity() {
        for text in ["", "m", "1 Gi", "one", "1.2.3", "1KB", "1e", "10\nm"] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
    }
}
