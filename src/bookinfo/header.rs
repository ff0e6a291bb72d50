//! Headers on the command line: `name:value`.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// # Errors
/// When there is no colon, or what stands beside it cannot be sent.
pub fn parse(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let expected = || format!("{text:?} is not a header, expected name:value");
    let (name, value) = text.split_once(':').ok_or_else(expected)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| expected())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| expected())?;
    Ok((name, value))
}

/// A name given more than once is sent as often.
pub fn all(given: Vec<(HeaderName, HeaderValue)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.append(name, value);
    }
    headers
}

#[cfg(test)]
mod tests;
