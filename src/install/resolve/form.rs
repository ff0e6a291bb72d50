//! Forms of names: DNS labels, registries, tags.

/// Longest DNS label.
pub(super) const LABEL: usize = 63;
/// Longest tag of an image.
pub(super) const TAG: usize = 128;

/// RFC 1123: at most 63 of lower case letters, digits and `-`, which is neither first nor last.
pub(super) fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LABEL
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A registry, maybe with a port, and a path.
pub(super) fn is_hub(text: &str) -> bool {
    let good = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let (registry, path) = text.split_once('/').unwrap_or((text, "x"));
    let (host, port) = registry.split_once(':').unwrap_or((registry, "1"));
    good(host) && port.parse::<u16>().is_ok() && path.split('/').all(good)
}

pub(super) fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TAG
        && !text.starts_with(['.', '-'])
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}
