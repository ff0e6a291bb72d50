//! The page as HTML. Everything that came from elsewhere is escaped.

use std::fmt::Write;

use serde_json::Value;

use crate::book;
use crate::identity::Identity;

/// `/static/page.css`.
pub const STYLE: &str = include_str!("static/page.css");
/// `/static/icon.svg`.
pub const ICON: &str = include_str!("static/icon.svg");

/// What the page shows; a message stands where a backend failed.
pub struct View<'a> {
    pub user: Option<&'a str>,
    pub details: Result<&'a Value, &'a str>,
    pub reviews: Result<&'a Value, &'a str>,
    pub identity: &'a Identity,
}

/// The whole document.
pub fn page(view: &View) -> String {
    let mut out = String::with_capacity(4096);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<link rel=\"icon\" href=\"/static/icon.svg\">\n\
         <link rel=\"stylesheet\" href=\"/static/page.css\">\n</head>\n<body>\n\
         <header><a href=\"/productpage\">The Harbour Bookshop</a>{account}</header>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"lead\">{description}</p>\n",
        title = escape(book::TITLE),
        description = escape(book::DESCRIPTION),
        account = account(view.user),
    );
    details(&mut out, view.details);
    reviews(&mut out, view.reviews);
    let _ = write!(
        out,
        "</main>\n<footer>page by {}</footer>\n</body>\n</html>\n",
        by(&view.identity.pod, &view.identity.version)
    );
    out
}

fn account(user: Option<&str>) -> String {
    match user {
        Some(user) => format!(
            "<form action=\"/logout\" method=\"post\">{} <button>log out</button></form>",
            escape(user)
        ),
        None => "<form action=\"/login\" method=\"post\">\
                 <input name=\"username\" placeholder=\"any name\" aria-label=\"name\" required> \
                 <button>log in</button></form>"
            .to_owned(),
    }
}

fn details(out: &mut String, details: Result<&Value, &str>) {
    let _ = writeln!(out, "<section id=\"details\">\n<h2>The book</h2>");
    match details {
        Err(message) => failed(out, "Nothing can be said about the book itself", message),
        Ok(details) => {
            let _ = writeln!(out, "<dl>");
            for (label, field) in [
                ("Author", "author"),
                ("Published", "year"),
                ("Publisher", "publisher"),
                ("Pages", "pages"),
                ("Language", "language"),
                ("Kind", "kind"),
            ] {
                let _ = writeln!(
                    out,
                    "<dt>{label}</dt><dd>{}</dd>",
                    escape(&text(&details[field]))
                );
            }
            let _ = writeln!(out, "</dl>");
            source(out, "details", details);
        }
    }
    let _ = writeln!(out, "</section>");
}

fn reviews(out: &mut String, reviews: Result<&Value, &str>) {
    let _ = writeln!(out, "<section id=\"reviews\">\n<h2>What readers say</h2>");
    match reviews {
        Err(message) => failed(out, "The readers' words are not to be had", message),
        Ok(reviews) => {
            for review in reviews["reviews"].as_array().into_iter().flatten() {
                let _ = writeln!(
                    out,
                    "<blockquote><p>{}</p><cite>{}</cite>",
                    escape(&text(&review["text"])),
                    escape(&text(&review["reader"]))
                );
                rating(out, &review["rating"]);
                let _ = writeln!(out, "</blockquote>");
            }
            source(out, "reviews", reviews);
        }
    }
    let _ = writeln!(out, "</section>");
}

fn rating(out: &mut String, rating: &Value) {
    if let Some(error) = rating["error"].as_str() {
        failed(out, "No stars", error);
    } else if let Some(stars) = rating["stars"].as_u64() {
        let full = usize::try_from(stars.min(5)).unwrap_or(5);
        let _ = writeln!(
            out,
            "<span class=\"stars {colour}\" title=\"{colour}, {full} of 5\">{}{}</span>",
            "★".repeat(full),
            "☆".repeat(5 - full),
            colour = escape(&text(&rating["colour"])),
        );
    }
}

fn failed(out: &mut String, what: &str, why: &str) {
    let _ = writeln!(
        out,
        "<p class=\"failed\"><strong>{what}.</strong> {}</p>",
        escape(why)
    );
}

/// Which pod said it.
fn source(out: &mut String, service: &str, answer: &Value) {
    let who = by(&text(&answer["pod"]), &text(&answer["version"]));
    let _ = write!(out, "<p class=\"source\">{service} by {who}");
    if let Some(caller) = answer["caller"].as_str() {
        let _ = write!(
            out,
            ", which knew its caller as <code>{}</code>",
            escape(caller)
        );
    }
    let _ = writeln!(out, "</p>");
}

fn by(pod: &str, version: &str) -> String {
    format!("<code>{}</code> <b>{}</b>", escape(pod), escape(version))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, char| {
            match char {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                other => out.push(other),
            }
            out
        })
}
