//! Rules and matches of a VirtualService that can never be the first to match.

use serde_json::Value;

use crate::field::{Field, Findings};

/// A rule that no request reaches.
pub const RULE: &str = "VirtualServiceUnreachableRule";
/// A match that an earlier one covers.
pub const MATCH: &str = "VirtualServiceIneffectiveMatch";

/// Warns about rules of one protocol; `http` also compares prefixes of paths.
pub fn check(findings: &mut Findings, rules: &Field, http: bool) {
    let mut everything: Option<String> = None;
    let mut seen: Vec<(Value, String)> = Vec::new();
    let mut prefixes: Vec<Prefix> = Vec::new();
    for (place, rule) in rules.items().enumerate() {
        let name = name_of(&rule, place);
        let matches: Vec<Field> = rule.get("match").items().collect();
        if matches.is_empty() {
            if everything.is_some() {
                let message =
                    format!("rule {name} is never reached: an earlier rule matches everything");
                findings.warning_of(&rule, RULE, message);
            }
            everything = Some(name);
            continue;
        }
        let mut covered = 0;
        for (place, entry) in matches.iter().enumerate() {
            let entry_name = name_of(entry, place);
            if let Some(earlier) = &everything {
                let message = format!(
                    "rule {name} is never reached: rule {earlier} before it matches everything"
                );
                findings.warning_of(&rule, RULE, message);
                break;
            }
            let mut condition = entry.value().clone();
            if let Some(members) = condition.as_object_mut() {
                members.shift_remove("name");
            }
            if let Some((_, earlier)) = seen.iter().find(|(known, _)| *known == condition) {
                let message = format!(
                    "match {entry_name} of rule {name} is never used: rule {earlier} has the same"
                );
                findings.warning_of(entry, MATCH, message);
                covered += 1;
                continue;
            }
            if http && let Some(prefix) = Prefix::of(entry, &name) {
                let earlier = prefixes.iter().find(|earlier| earlier.covers(&prefix));
                if let Some(earlier) = earlier {
                    let message = format!(
                        "match {entry_name} of rule {name} is never used: prefix {:?} of rule {} covers {:?}",
                        earlier.path, earlier.rule, prefix.path
                    );
                    findings.warning_of(entry, MATCH, message);
                }
                prefixes.push(prefix);
            }
            seen.push((condition, name.clone()));
        }
        if covered == matches.len() {
            let message =
                format!("rule {name} is never reached: earlier rules have all its matches");
            findings.warning_of(&rule, RULE, message);
        }
    }
}

fn name_of(field: &Field, place: usize) -> String {
    match field.get("name").text() {
        "" => format!("#{place}"),
        name => format!("{name:?}"),
    }
}

/// A match by a prefix of the path, with its other conditions.
struct Prefix {
    path: String,
    /// All conditions but the path's.
    others: Value,
    rule: String,
}

impl Prefix {
    fn of(entry: &Field, rule: &str) -> Option<Self> {
        let path = entry.get("uri").get("prefix").text();
        if path.is_empty() {
            return None;
        }
        let mut others = entry.value().clone();
        let members = others.as_object_mut()?;
        for own in ["uri", "name"] {
            members.shift_remove(own);
        }
        Some(Prefix {
            path: path.to_owned(),
            others,
            rule: rule.to_owned(),
        })
    }

    /// Whether a request that the later one matches is matched by this one already: a shorter path, and no condition
    /// that the later one lacks.
    fn covers(&self, later: &Prefix) -> bool {
        self.path != later.path
            && later.path.starts_with(&self.path)
            && is_part(&self.others, &later.others)
    }
}

/// Whether all conditions of `some` are among `all`; headers and parameters are conditions each.
fn is_part(some: &Value, all: &Value) -> bool {
    let conditions = some.as_object().into_iter().flatten();
    conditions
        .into_iter()
        .all(|(name, condition)| match name.as_str() {
            "headers" | "withoutHeaders" | "queryParams" => {
                let mut each = condition.as_object().into_iter().flatten();
                each.all(|(key, value)| all[name].get(key) == Some(value))
            }
            _ => all.get(name) == Some(condition),
        })
}
