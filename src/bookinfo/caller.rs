//! Who calls, as the proxy beside this server found out from the caller's certificate. The application does not
//! need it; it shows it, so that mutual TLS can be seen.

use hyper::HeaderMap;

/// One element for each proxy on the way, the nearest last; each element has fields `Key=value;…`.
const CLIENT_CERTIFICATE: &str = "x-forwarded-client-cert";

/// The SPIFFE identity of who called; nothing when the connection was plaintext, or no proxy is there.
pub fn identity(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get_all(CLIENT_CERTIFICATE).iter().next_back()?;
    let nearest = header.to_str().ok()?.rsplit(',').next()?;
    nearest
        .split(';')
        .find_map(|field| field.trim().strip_prefix("URI="))
}

#[cfg(test)]
mod tests;
