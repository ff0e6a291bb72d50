//! Answers without an upstream: redirects and direct responses.

use api::networking::virtual_service::{DirectResponse, Redirect};
use proto::envoy::config::core::v3::{DataSource, data_source};
use proto::envoy::config::route::v3 as wire;
use wire::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};

/// A redirect from a port that ends TLS, or does not.
pub(super) fn redirect(to: &Redirect, port: u16, ends_tls: bool) -> wire::route::Action {
    let mut action = wire::RedirectAction {
        host_redirect: to.authority.clone(),
        path_rewrite_specifier: Some(if to.prefix_rewrite.is_empty() {
            PathRewriteSpecifier::PathRedirect(to.uri.clone())
        } else {
            PathRewriteSpecifier::PrefixRewrite(to.prefix_rewrite.clone())
        }),
        ..Default::default()
    };
    if !to.scheme.is_empty() {
        let scheme = SchemeRewriteSpecifier::SchemeRedirect(to.scheme.clone());
        action.scheme_rewrite_specifier = Some(scheme);
    }
    let wanted = match (to.port, to.derive_port.as_deref()) {
        (Some(own), _) => own,
        (None, Some("FROM_REQUEST_PORT")) => port.into(),
        _ => 0,
    };
    // The port that a scheme has anyway is not said.
    action.port_redirect = match (to.scheme.as_str(), ends_tls, wanted) {
        ("http", _, 80) | ("https", _, 443) | ("", false, 80) | ("", true, 443) => 0,
        _ => wanted,
    };
    let code = match to.redirect_code {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    action.response_code = code as i32;
    wire::route::Action::Redirect(action)
}

pub(super) fn answer(answer: &DirectResponse) -> wire::route::Action {
    let body = answer.body.as_ref().and_then(|body| {
        let specifier = match (&body.string, &body.bytes) {
            (Some(text), _) => data_source::Specifier::InlineString(text.clone()),
            (None, Some(text)) => data_source::Specifier::InlineBytes(decode(text)?),
            (None, None) => return None,
        };
        Some(DataSource {
            specifier: Some(specifier),
            ..Default::default()
        })
    });
    wire::route::Action::DirectResponse(wire::DirectResponseAction {
        status: answer.status,
        body,
        ..Default::default()
    })
}

/// Base64 of either alphabet, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0u32, 0u32);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        buffer = (buffer << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((buffer >> bits) & 0xff).unwrap_or_default());
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn bytes_are_base64_of_either_alphabet() {
        assert_eq!(decode("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decode("a b"), None);
    }
}
