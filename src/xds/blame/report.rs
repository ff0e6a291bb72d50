//! What the proxies of this replica refuse, as a text that other replicas read: each complaint once, however many
//! proxies make it, those that name the fewest objects first, and no more than an object of Kubernetes can hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ObjectRef;
use serde_json::{Value, json};

use super::{MOST, users};
use crate::debug::Refused;
use crate::session::Refusal;

/// Longest text, in bytes; a ConfigMap holds 1 MiB.
const LONGEST: usize = 256 * 1024;
/// Longest words of a proxy, in characters.
const LONGEST_MESSAGE: usize = 1000;

/// A JSON array; empty when nothing is refused that could be blamed on anybody.
pub fn report(refused: &Refused) -> Arc<str> {
    // Proxies that differ in the names of their resources only say the same.
    let mut complaints: BTreeMap<(usize, Vec<&ObjectRef>, &str, &str), &str> = BTreeMap::new();
    for refusal in refused.values().flat_map(|of_stream| of_stream.iter()) {
        let suspects = users(refusal);
        if !(1..=MOST).contains(&suspects.len()) {
            continue;
        }
        let key = (
            suspects.len(),
            suspects,
            &*refusal.message,
            &*refusal.type_url,
        );
        let name = complaints.entry(key).or_insert(&refusal.name);
        *name = (*name).min(&refusal.name);
    }
    let mut text = String::new();
    for ((_, suspects, message, type_url), name) in complaints {
        let complaint = json!({
            "type": type_url,
            "name": name,
            "message": shortened(message),
            "suspects": suspects,
        });
        let complaint = complaint.to_string();
        if text.len() + complaint.len() + 2 > LONGEST {
            break;
        }
        text.push(match text.is_empty() {
            true => '[',
            false => ',',
        });
        text.push_str(&complaint);
    }
    if !text.is_empty() {
        text.push(']');
    }
    text.into()
}

/// The refusals of a report; what cannot be read, as that of another version, is left out.
pub fn refusals(report: &str) -> Vec<Refusal> {
    let complaints: Vec<Value> = serde_json::from_str(report).unwrap_or_default();
    complaints.iter().filter_map(refusal).collect()
}

fn refusal(complaint: &Value) -> Option<Refusal> {
    let text = |field: &str| complaint[field].as_str();
    let suspects: Vec<ObjectRef> = serde_json::from_value(complaint["suspects"].clone()).ok()?;
    Some(Refusal {
        type_url: text("type")?.to_owned(),
        name: text("name")?.into(),
        message: text("message")?.into(),
        suspects: suspects.into(),
    })
}

fn shortened(message: &str) -> &str {
    let end = message.char_indices().nth(LONGEST_MESSAGE);
    end.map_or(message, |(end, _)| &message[..end])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use base::ObjectRef;
    use proto::codec::type_url::LISTENER;

    use super::{LONGEST, refusals, report};
    use crate::blame::blame;
    use crate::debug::Refused;
    use crate::session::Refusal;

    fn object(name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "Gateway".to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
        }
    }

    fn refusal(name: &str, message: &str, suspects: &[&str]) -> Refusal {
        Refusal {
            type_url: LISTENER.to_owned(),
            name: name.into(),
            message: message.into(),
            suspects: suspects.iter().map(|name| object(name)).collect(),
        }
    }

    /// One stream for each.
    fn refused(refusals: Vec<Refusal>) -> Refused {
        let streams = (0..).zip(refusals);
        streams
            .map(|(number, refusal)| (number, Arc::from([refusal])))
            .collect()
    }

    #[test]
    fn nothing_refused_is_nothing_to_say() {
        assert_eq!(&*report(&BTreeMap::new()), "");
        assert_eq!(&*report(&refused(vec![refusal("a", "bad", &[])])), "");
    }

    #[test]
    fn a_thousand_proxies_with_one_complaint_say_it_once() {
        let same = |number| refusal(&format!("0.0.0.0_{number}"), "bad", &["guilty"]);
        let text = report(&refused((1000..2000).map(same).collect()));
        let read = refusals(&text);
        assert_eq!(read, [refusal("0.0.0.0_1000", "bad", &["guilty"])]);
        // In whatever order they come.
        let reversed = report(&refused((1000..2000).rev().map(same).collect()));
        assert_eq!(text, reversed);
    }

    #[test]
    fn reports_of_two_replicas_blame_as_if_they_were_one() {
        let unsure = report(&refused(vec![refusal("a", "bad", &["good", "guilty"])]));
        let sure = report(&refused(vec![refusal("b", "bad", &["guilty"])]));
        let both: Vec<Refusal> = [unsure, sure]
            .iter()
            .flat_map(|one| refusals(one))
            .collect();
        let blamed: Vec<ObjectRef> = blame(&both).into_keys().collect();
        assert_eq!(blamed, [object("guilty")]);
    }

    #[test]
    fn what_is_too_much_is_cut_and_the_surest_stays() {
        let words = "x".repeat(5000);
        let many = (0..2000).map(|number| {
            let suspects = [format!("a{number}"), format!("b{number}")];
            refusal("a", &words, &[&suspects[0], &suspects[1]])
        });
        let sure = refusal("z", &words, &["z"]);
        let text = report(&refused(many.chain([sure]).collect()));
        assert!(text.len() <= LONGEST, "{}", text.len());
        let read = refusals(&text);
        assert!(read.len() > 100, "{}", read.len());
        assert_eq!(*read[0].suspects, [object("z")]);
        assert_eq!(read[0].message.len(), 1000);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(refusals(""), []);
        assert_eq!(refusals("{"), []);
        let text =
            r#"[{"type":"t"},{"type":"t","name":"n","message":"m","suspects":[],"more":1},7]"#;
        assert_eq!(refusals(text).len(), 1);
    }
}
