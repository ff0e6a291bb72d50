//! A call as people write it: `http://reviews:9080/path`, `tcp://db:5432`.

use super::{Call, Content, Hello, Request, Shown};

const EXPECTED: &str = "expected http://HOST[:PORT][/PATH], https://…, grpc://…, tcp://HOST:PORT, tls://… or HOST:PORT";

impl Call {
    /// Reads a call, with the method and headers (`NAME:VALUE`) of its request.
    ///
    /// # Errors
    /// What is wrong and what would be accepted.
    pub fn parse(text: &str, method: Option<&str>, headers: &[String]) -> Result<Self, String> {
        parse(text, method, headers)
    }
}

fn parse(text: &str, method: Option<&str>, headers: &[String]) -> Result<Call, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (authority, path) = match rest.find(['/', '?']) {
        Some(place) => rest.split_at(place),
        None => (rest, ""),
    };
    let (host, port) = split(authority);
    let wrong = |why: &str| format!("{text:?}: {why}, {EXPECTED}");
    if host.is_empty() {
        return Err(wrong("no host"));
    }
    let usual = match scheme {
        "http" if text.contains("://") => Some(80),
        "https" | "tls" => Some(443),
        "grpc" => Some(80),
        "http" | "tcp" => None,
        other => return Err(wrong(&format!("the scheme {other:?} is unknown"))),
    };
    let port = match port {
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(wrong(&format!("{port:?} is no port"))),
            Ok(port) => port,
        },
        None => usual.ok_or_else(|| wrong("no port"))?,
    };
    let http = matches!(scheme, "http" | "https" | "grpc");
    if !http && (!path.is_empty() || method.is_some() || !headers.is_empty()) {
        let why = format!("{scheme} has no path, method or headers");
        return Err(wrong(&why));
    }
    let mut request = Request {
        method: method.unwrap_or("GET").to_ascii_uppercase(),
        scheme: if scheme == "https" { "https" } else { "http" }.to_owned(),
        authority: authority.to_owned(),
        path: match path {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        },
        headers: Vec::new(),
        http2: scheme == "grpc",
    };
    if scheme == "grpc" {
        request.method = method.unwrap_or("POST").to_ascii_uppercase();
        let kind = ("content-type".to_owned(), "application/grpc".to_owned());
        request.headers.push(kind);
    }
    for header in headers {
        let Some((name, value)) = header.split_once(':').filter(|(name, _)| !name.is_empty())
        else {
            return Err(format!("header {header:?}: expected NAME:VALUE"));
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "host" => value.trim().clone_into(&mut request.authority),
            name => request
                .headers
                .push((name.to_owned(), value.trim().to_owned())),
        }
    }
    let tls = matches!(scheme, "https" | "tls").then(|| {
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let literal = name.parse::<std::net::IpAddr>().is_ok();
        let alpn: &[&str] = if http { &["h2", "http/1.1"] } else { &[] };
        Hello {
            server_name: if literal {
                String::new()
            } else {
                name.to_owned()
            },
            alpn: alpn.iter().map(|name| (*name).to_owned()).collect(),
            shown: Shown::Nothing,
        }
    });
    Ok(Call {
        host: host.to_owned(),
        port,
        tls,
        content: if http {
            Content::Http(request)
        } else {
            Content::Opaque
        },
    })
}

/// Host and port; an IPv6 address with a port stands in brackets.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, parse};

    #[test]
    fn a_call_is_read_as_it_is_written() {
        let of = |text: &str| parse(text, None, &[]).expect("a call");
        for (text, host, port, tls, http) in [
            ("http://a/x", "a", 80, false, true),
            ("https://a.b", "a.b", 443, true, true),
            ("a:9080/x", "a", 9080, false, true),
            ("grpc://a:5000", "a", 5000, false, true),
            ("tcp://db:5432", "db", 5432, false, false),
            ("tls://db", "db", 443, true, false),
            ("tcp://[fd00::1]:1", "[fd00::1]", 1, false, false),
        ] {
            let call = of(text);
            assert_eq!((call.host.as_str(), call.port), (host, port), "{text}");
            assert_eq!(call.tls.is_some(), tls, "{text}");
            assert_eq!(matches!(call.content, Content::Http(_)), http, "{text}");
        }
        let headers = ["Host: shop.example".to_owned(), "End-User:ada".to_owned()];
        let call = parse("http://a:1?q", Some("put"), &headers).expect("a call");
        let Content::Http(request) = call.content else {
            panic!("it is HTTP")
        };
        assert_eq!(request.method, "PUT");
        assert_eq!(request.authority, "shop.example");
        assert_eq!(request.path, "/?q");
        assert_eq!(request.headers, [("end-user".to_owned(), "ada".to_owned())]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_can() {
        let wrong = |text: &str, headers: &[String]| parse(text, None, headers).expect_err(text);
        assert!(wrong("ftp://a", &[]).contains("the scheme \"ftp\" is unknown, expected http://"));
        assert!(wrong("tcp://a", &[]).contains("no port"));
        assert!(wrong("a:x", &[]).contains("\"x\" is no port"));
        assert!(wrong("reviews", &[]).contains("no port"));
        assert!(wrong("tcp://a:1/x", &[]).contains("tcp has no path"));
        let error = wrong("http://a", &["x".to_owned()]);
        assert_eq!(error, "header \"x\": expected NAME:VALUE");
    }
}
