//! Parses the files of a downward API volume: one `key="value"` a line, the value quoted as Go
//! quotes strings.

use std::collections::BTreeMap;

/// A line that kubelet would not write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected key=\"value\" with the value quoted as Go quotes strings")]
pub struct NotDownward {
    /// Counted from 1.
    pub line: usize,
}

/// The labels or annotations in `text`. Lines without `=` are skipped, as upstream does.
pub fn parse_downward(text: &str) -> Result<BTreeMap<String, String>, NotDownward> {
    let mut pairs = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if let Some((key, quoted)) = line.split_once('=') {
            let value = unquote(quoted).ok_or(NotDownward { line: index + 1 })?;
            pairs.insert(key.to_owned(), value);
        }
    }
    Ok(pairs)
}

fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(letter) = rest.next() {
        let plain = match letter {
            '"' => return None,
            '\\' => match rest.next()? {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                escaped @ ('\\' | '"' | '\'') => escaped,
                'x' => {
                    // A byte of its own: part of what was not UTF-8.
                    bytes.push(u8::try_from(hexadecimal(&mut rest, 2)?).ok()?);
                    continue;
                }
                'u' => char::from_u32(hexadecimal(&mut rest, 4)?)?,
                'U' => char::from_u32(hexadecimal(&mut rest, 8)?)?,
                _ => return None,
            },
            other => other,
        };
        bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn hexadecimal(rest: &mut std::str::Chars<'_>, digits: usize) -> Option<u32> {
    (0..digits).try_fold(0, |number, _| {
        Some(number * 16 + rest.next()?.to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::{NotDownward, parse_downward};

    #[test]
    fn values_are_unquoted_as_go_quotes_them() {
        let text = "app=\"web\"\nnote=\"a=\\\"b\\\"\\n\\tc \\u00e9 \\x41 \\\\\"\nnothing\n";
        let pairs = parse_downward(text).expect("kubelet's form");
        assert_eq!(pairs["app"], "web");
        assert_eq!(pairs["note"], "a=\"b\"\n\tc é A \\");
        assert_eq!(pairs.len(), 2);
    }

    #[test]
    fn a_value_that_is_not_quoted_is_refused_with_its_line() {
        for text in ["a=\"b\"\nc=d", "a=\"b\"\nc=\"\\q\"", "a=\"b\"\nc=\"d\"e\""] {
            assert_eq!(parse_downward(text), Err(NotDownward { line: 2 }), "{text}");
        }
    }
}
