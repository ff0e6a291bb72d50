//! Whether a text is an expression in CEL (Common Expression Language): its form only, by the grammar of the
//! language's definition. Whether its names and types mean anything is for those who evaluate it.

/// How deep expressions may be nested.
const DEPTH: usize = 100;

/// Operators between two operands. Which binds closer is of no matter to the form.
const BETWEEN: [&str; 13] = [
    "||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%",
];

/// Checks a text.
///
/// # Errors
/// What is wrong and where, as the rest of a sentence about it.
pub fn check(text: &str) -> Result<(), String> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    reader.expression()?;
    match reader.rest() {
        "" => Ok(()),
        _ => Err(reader.wrong("an operator or the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type Checked = Result<(), String>;

impl<'a> Reader<'a> {
    /// What follows, without white space and comments before it.
    fn rest(&mut self) -> &'a str {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return trimmed;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn wrong(&self, expected: &str) -> String {
        let rest = &self.text[self.at..];
        let found = match rest.chars().next() {
            None => "ends".to_owned(),
            Some(_) => {
                let shown: String = rest.chars().take(12).collect();
                format!("has {shown:?}")
            }
        };
        format!(
            "is no expression in CEL: it {found} at character {}, expected {expected}",
            self.text[..self.at].chars().count() + 1
        )
    }

    /// Takes a sign, when it is next.
    fn takes(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn needs(&mut self, sign: &str) -> Checked {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.wrong(&format!("{sign:?}"))),
        }
    }

    /// Takes a name, when one is next.
    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        if rest[..end].is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.at += end;
        Some(&rest[..end])
    }

    fn expression(&mut self) -> Checked {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!(
                "is nested too deeply, expected at most {DEPTH} levels"
            ));
        }
        self.operands()?;
        if self.takes("?") {
            self.operands()?;
            self.needs(":")?;
            self.expression()?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn operands(&mut self) -> Checked {
        loop {
            // `!` and `-` stand before an operand, each as often as one likes.
            while self.takes("!") || self.takes("-") {}
            self.member()?;
            let at = self.at;
            if self.name() == Some("in") {
                continue;
            }
            self.at = at;
            if !BETWEEN.iter().any(|operator| self.takes(operator)) {
                return Ok(());
            }
        }
    }

    /// An operand with what is selected of it.
    fn member(&mut self) -> Checked {
        self.primary()?;
        loop {
            if self.takes(".") {
                self.takes("?");
                let quoted = self.takes("`");
                match quoted {
                    true => self.until("`")?,
                    false if self.name().is_none() => return Err(self.wrong("a name")),
                    false => {}
                }
                if self.takes("(") {
                    self.list(")")?;
                }
            } else if self.takes("[") {
                self.takes("?");
                self.expression()?;
                self.needs("]")?;
            } else if self.takes("{") {
                self.pairs()?;
            } else {
                return Ok(());
            }
        }
    }

    fn primary(&mut self) -> Checked {
        let rest = self.rest();
        if self.takes("(") {
            self.expression()?;
            return self.needs(")");
        }
        if self.takes("[") {
            return self.list("]");
        }
        if self.takes("{") {
            return self.pairs();
        }
        if self.string(rest)? || self.number(rest) {
            return Ok(());
        }
        self.takes(".");
        match self.name() {
            None | Some("in") => Err(self.wrong("an operand")),
            Some(_) if self.takes("(") => self.list(")"),
            Some(_) => Ok(()),
        }
    }

    /// Expressions up to a sign; the last one may be followed by a comma.
    fn list(&mut self, end: &str) -> Checked {
        while !self.takes(end) {
            self.takes("?");
            self.expression()?;
            if !self.takes(",") {
                return self.needs(end);
            }
        }
        Ok(())
    }

    /// Keys with values.
    fn pairs(&mut self) -> Checked {
        while !self.takes("}") {
            self.takes("?");
            self.expression()?;
            self.needs(":")?;
            self.expression()?;
            if !self.takes(",") {
                return self.needs("}");
            }
        }
        Ok(())
    }

    /// Takes a number, when one is next.
    fn number(&mut self, rest: &str) -> bool {
        let point = rest
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if !point && !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return false;
        }
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        let mut before = ' ';
        for (place, c) in rest.char_indices() {
            let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !hex;
            // A point selects unless a digit follows it.
            let fraction =
                c == '.' && rest[place + 1..].starts_with(|c: char| c.is_ascii_digit()) && !hex;
            if !(c.is_ascii_alphanumeric() || sign || fraction) {
                break;
            }
            before = c;
            self.at += 1;
        }
        true
    }

    /// Takes a text, when one is next.
    fn string(&mut self, rest: &str) -> Result<bool, String> {
        let prefix = rest
            .find(|c: char| !matches!(c, 'r' | 'R' | 'b' | 'B'))
            .unwrap_or(rest.len());
        let body = &rest[prefix..];
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let Some(quote) = quotes.into_iter().find(|quote| body.starts_with(quote)) else {
            return Ok(false);
        };
        if prefix > 2 {
            return Ok(false);
        }
        let raw = rest[..prefix].contains(['r', 'R']);
        self.at += prefix + quote.len();
        let mut escaped = false;
        let body = &body[quote.len()..];
        for (place, c) in body.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if !raw => escaped = true,
                '\n' | '\r' if quote.len() == 1 => break,
                _ if body[place..].starts_with(quote) => {
                    self.at += place + quote.len();
                    return Ok(true);
                }
                _ => {}
            }
        }
        self.at = self.text.len();
        Err(self.wrong(&format!("the end of a text, {quote}")))
    }

    fn until(&mut self, end: &str) -> Checked {
        match self.text[self.at..].find(end) {
            Some(place) => {
                self.at += place + end.len();
                Ok(())
            }
            None => {
                self.at = self.text.len();
                Err(self.wrong(&format!("{end:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn expressions_are_taken() {
        for text in [
            "response.code >= 400",
            "response.code >= 400 || request.url_path.startsWith('/v1') && !(connection.mtls)",
            "'x-a' in request.headers ? request.headers['x-a'] != \"b\\\"\" : false",
            "has(request.headers) && xds.cluster_name.matches(r'^a\\d+$')",
            "metadata.filter_metadata['envoy.common']['access_log_hint'] == true",
            "[1, 2u, 0xFFu, 3.5e-7, .5, -1,].exists(x, x in {'a': 1, 'b': [2]}) // done",
            "google.protobuf.Duration{seconds: 1} == duration('1s')",
            "--1 < 2 ? b'''a'b''' : null",
            ".a.?b[?0].`c-d`",
            "size(\"ä\") > 0",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_place() {
        for (text, expected) in [
            ("", "ends at character 1, expected an operand"),
            (
                "response.code >=",
                "ends at character 17, expected an operand",
            ),
            (
                "a b",
                "has \"b\" at character 3, expected an operator or the end",
            ),
            ("(a", "ends at character 3, expected \")\""),
            ("a.", "expected a name"),
            ("a && || b", "has \"|| b\" at character 6"),
            ("'a", "expected the end of a text, '"),
            ("a ? b", "expected \":\""),
            ("f(a,,b)", "has \",b)\" at character 5"),
            ("{a}", "expected \":\""),
            ("a = b", "has \"= b\" at character 3"),
            ("in", "expected an operand"),
        ] {
            let refusal = check(text).expect_err(text);
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |open: &str| check(&open.repeat(100_000)).expect_err("too deep");
        for open in ["(", "[", "f(", "a[", "{", "a ? b : "] {
            assert!(deep(open).contains("nested too deeply"), "{open}");
        }
        assert!(check(&"!".repeat(100_000)).is_err());
    }
}
