//! The image of the proxy and of its init container, from hub, tag and variant.

use serde_json::Value;

use crate::pod::annotation;
use crate::settings::Settings;

const IMAGE_TYPE: &str = "sidecar.istio.io/proxyImageType";

/// `<hub>/<name>:<tag>[-<variant>]`. The variant is the pod's, else the proxy config's (`configured`), else the values'.
pub fn image(settings: &Settings, section: &str, configured: Option<&str>, pod: &Value) -> String {
    let name = match settings.global_text(&format!("/{section}/image")) {
        name if name.is_empty() => "proxyv2".to_owned(),
        name => name,
    };
    let installed = settings.global_text("/variant");
    let variant = annotation(pod, IMAGE_TYPE)
        .or(configured.filter(|variant| !variant.is_empty()))
        .unwrap_or(&installed);
    let tag = with_variant(&settings.global_text("/tag"), variant);
    format!("{}/{name}:{tag}", settings.global_text("/hub"))
}

/// Replaces the variant that a tag ends with; `default` takes it away.
fn with_variant(tag: &str, variant: &str) -> String {
    if variant.is_empty() {
        return tag.to_owned();
    }
    let bare = ["-distroless", "-debug"]
        .into_iter()
        .find_map(|suffix| tag.strip_suffix(suffix))
        .unwrap_or(tag);
    match variant {
        "default" => bare.to_owned(),
        variant => format!("{bare}-{variant}"),
    }
}

#[cfg(test)]
mod tests {
    use super::with_variant;

    #[test]
    fn a_variant_replaces_the_one_that_is_there() {
        for (tag, variant, expected) in [
            ("1.0", "", "1.0"),
            ("1.0", "debug", "1.0-debug"),
            ("1.0-distroless", "debug", "1.0-debug"),
            ("1.0-distroless", "default", "1.0"),
            ("1.0", "default", "1.0"),
        ] {
            assert_eq!(with_variant(tag, variant), expected);
        }
    }
}
