//! The text of a template as the engine wants it: without comments, whose trim markers the engine
//! gets wrong, and without the accessor methods of Go's protobuf types (`.GetTracing`, `.GetValue`,
//! `.String`), which on our data are plain fields.

/// The same template in terms that the engine knows.
pub fn prepared(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, action) = rest.split_at(start);
        out.push_str(before);
        if let Some((trim_left, trim_right, after)) = comment(action) {
            if trim_left {
                out.truncate(out.trim_end().len());
            }
            rest = if trim_right {
                after.trim_start()
            } else {
                after
            };
            continue;
        }
        let end = end_of(action);
        out.push_str(&without_methods(&action[..end]));
        rest = &action[end..];
    }
    out.push_str(rest);
    out
}

/// If the text begins with a comment: whether it trims to the left and right, and what follows.
fn comment(action: &str) -> Option<(bool, bool, &str)> {
    let inner = &action[2..];
    let (trim_left, inner) = match inner.strip_prefix('-') {
        Some(trimmed) if trimmed.starts_with(char::is_whitespace) => (true, trimmed.trim_start()),
        _ => (false, inner),
    };
    let inner = inner.strip_prefix("/*")?;
    let (_, after) = inner.split_once("*/")?;
    if let Some(after) = after.strip_prefix("}}") {
        return Some((trim_left, false, after));
    }
    let after = after.trim_start().strip_prefix("-}}")?;
    Some((trim_left, true, after))
}

/// Where an action ends, past its closing braces; braces within strings do not count.
fn end_of(action: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (index, letter) in action.char_indices() {
        match quote {
            Some('`') if letter == '`' => quote = None,
            Some('"') if escaped => escaped = false,
            Some('"') if letter == '\\' => escaped = true,
            Some('"') if letter == '"' => quote = None,
            Some(_) => {}
            None if letter == '"' || letter == '`' => quote = Some(letter),
            None if action[index..].starts_with("}}") => return index + 2,
            None => {}
        }
    }
    action.len()
}

fn without_methods(action: &str) -> String {
    let mut out = String::with_capacity(action.len());
    let mut rest = action;
    while let Some(letter) = rest.chars().next() {
        if letter == '"' || letter == '`' {
            let end = string_end(rest, letter);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if letter == '.' {
            let name = &rest[1..];
            let end = name
                .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .unwrap_or(name.len());
            out.push_str(&field(&name[..end], out.ends_with(is_name)));
            rest = &name[end..];
        } else {
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    out
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == ')'
}

/// A step of a field chain; a method of a field (`chained`) that only gives the field itself is none.
fn field(name: &str, chained: bool) -> String {
    match name {
        "GetValue" | "String" if chained => String::new(),
        _ => match name.strip_prefix("Get") {
            Some(plain) if plain.starts_with(char::is_uppercase) => format!(".{plain}"),
            _ => format!(".{name}"),
        },
    }
}

fn string_end(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, letter) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if letter == '\\' && quote == '"' {
            escaped = true;
        } else if letter == quote {
            return index + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::prepared;

    #[test]
    fn comments_trim_only_where_they_say_so() {
        assert_eq!(prepared("a\n{{- /* x */}}\n  b"), "a\n  b");
        assert_eq!(prepared("a\n{{/* x */ -}}\n  b"), "a\nb");
        assert_eq!(prepared("a {{/* }} */}} b"), "a  b");
    }

    #[test]
    fn methods_of_go_are_fields_here() {
        for (text, expected) in [
            (
                "{{ .ProxyConfig.InterceptionMode.String }}",
                "{{ .ProxyConfig.InterceptionMode }}",
            ),
            ("{{ .Hold.GetValue }}", "{{ .Hold }}"),
            (
                "{{ .P.GetTracing.GetTlsSettings }}",
                "{{ .P.Tracing.TlsSettings }}",
            ),
            (
                "{{ eq \".GetValue\" `.String` .String }}",
                "{{ eq \".GetValue\" `.String` .String }}",
            ),
            ("{{ \"}}\" }}.GetX", "{{ \"}}\" }}.GetX"),
        ] {
            assert_eq!(prepared(text), expected);
        }
    }
}
