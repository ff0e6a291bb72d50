//! Which headers of an incoming request go along with the requests it causes: those that join spans into one
//! trace, and those by which a mesh tells users apart.

use hyper::HeaderMap;

const NAMES: [&str; 10] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
    "x-ot-span-context",
];
/// B3 in several headers: trace id, span id, parent, sampled, flags.
const PREFIX: &str = "x-b3-";

/// The headers of `incoming` that go along.
pub fn passed_on(incoming: &HeaderMap) -> HeaderMap {
    incoming
        .iter()
        .filter(|(name, _)| NAMES.contains(&name.as_str()) || name.as_str().starts_with(PREFIX))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value.clone());
            headers
        })
}

#[cfg(test)]
mod tests;
