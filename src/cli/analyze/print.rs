//! Findings in the forms that istioctl has: lines, JSON, YAML.

use analyze::Message;
use serde_json::{Value, json};

use super::files::Located;

/// The whole output. `namespace` is what was looked at, none for all.
pub(super) fn text(
    messages: &[Message],
    objects: &[Located],
    form: &str,
    namespace: Option<&str>,
) -> String {
    let place_of = |message: &Message| {
        let mut objects = objects.iter();
        let object =
            objects.find(|located| validate::reference(&located.object) == message.subject);
        object
            .map(|located| located.place.clone())
            .filter(|place| !place.is_empty())
    };
    match form {
        "json" => format!("{:#}\n", list(messages, place_of)),
        "yaml" => api::yaml::print(&list(messages, place_of)),
        _ if messages.is_empty() => {
            let place = match namespace {
                Some(namespace) => format!("namespace: {namespace}"),
                None => "all namespaces".to_owned(),
            };
            format!("✔ No validation issues found when analyzing {place}.\n")
        }
        _ => messages
            .iter()
            .map(|message| line(message, place_of(message)))
            .collect(),
    }
}

fn line(message: &Message, place: Option<String>) -> String {
    let (level, code, origin) = (
        message.code.level.as_str(),
        message.code.code,
        message.origin(),
    );
    let place = place.map(|place| format!(" {place}")).unwrap_or_default();
    format!("{level} [{code}] ({origin}{place}) {}\n", message.text)
}

fn list(messages: &[Message], place_of: impl Fn(&Message) -> Option<String>) -> Value {
    let entries = messages.iter().map(|message| {
        let mut entry = json!({
            "code": message.code.code,
            "documentationUrl": message.documentation(),
            "level": message.code.level.as_str(),
            "message": message.text,
            "origin": message.origin(),
        });
        if let Some(place) = place_of(message) {
            entry["reference"] = place.into();
        }
        entry
    });
    entries.collect()
}
