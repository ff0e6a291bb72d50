//! Which conditions are due: what is known of objects against what their status says. Pure.
//!
//! An object that nothing was ever wrong with gets no condition: there may be thousands, and each would cost a
//! write after every edit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::finding::{Finding, Told};
use base::condition::{PROGRAMMED, Status, reason};
use base::{Condition, ObjectRef, Problem, Severity};
use imbl::OrdMap;

/// Longest message, in characters: the API server takes 32768, people read less.
const LONGEST: usize = 2000;

/// A condition that an object is to carry and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// What it is to say.
    pub condition: Condition,
    /// The generation that was judged; unknown for an object that is only known by what was made of it.
    pub generation: Option<i64>,
}

/// All that is due, and how many objects are bad.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdicts {
    pub due: BTreeMap<ObjectRef, Due>,
    pub bad: usize,
}

/// Decides.
pub(crate) fn verdicts(
    findings: &OrdMap<ObjectRef, Arc<Finding>>,
    problems: &[Problem],
    refused: &BTreeMap<ObjectRef, String>,
) -> Verdicts {
    let mut wrong: BTreeMap<&ObjectRef, BTreeSet<String>> = BTreeMap::new();
    let own = findings.values().flat_map(|finding| &finding.problems);
    for problem in own.chain(problems) {
        if problem.severity == Severity::Error {
            wrong
                .entry(&problem.subject)
                .or_default()
                .insert(words(problem));
        }
    }
    let objects: BTreeSet<&ObjectRef> = findings
        .keys()
        .chain(wrong.keys().copied())
        .chain(refused.keys())
        .collect();
    let mut verdicts = Verdicts::default();
    for object in objects {
        let finding = findings.get(object);
        let condition = match (wrong.get(object), refused.get(object)) {
            (Some(problems), _) => {
                let all: Vec<&str> = problems.iter().map(String::as_str).collect();
                not(reason::INVALID, &all.join("; "))
            }
            (None, Some(words)) => not(reason::REFUSED_BY_PROXIES, words),
            (None, None) => Condition::new(PROGRAMMED, Status::True, reason::PROGRAMMED, ""),
        };
        verdicts.bad += usize::from(condition.status == Status::False);
        let generation = finding.map(|finding| finding.generation);
        let told = finding.and_then(|finding| finding.told.as_ref());
        let is_due = match told {
            None => condition.status == Status::False,
            Some(told) => !says(told, &condition, generation),
        };
        if is_due {
            let due = Due {
                condition,
                generation,
            };
            verdicts.due.insert(object.clone(), due);
        }
    }
    verdicts
}

/// Whether a carried condition says what it is to say.
pub(crate) fn says(told: &Told, condition: &Condition, generation: Option<i64>) -> bool {
    told.status == condition.status.as_str()
        && told.reason == condition.reason
        && told.message == condition.message
        && generation.is_none_or(|generation| told.observed == generation)
}

fn not(reason: &str, words: &str) -> Condition {
    let message = match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    };
    Condition::new(PROGRAMMED, Status::False, reason, message)
}

/// A problem on the object itself, which needs no name.
fn words(problem: &Problem) -> String {
    match problem.field.is_empty() {
        true => problem.message.clone(),
        false => format!("{} {}", problem.field, problem.message),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use api::finding::{Finding, Told};
    use base::{ObjectRef, Problem};
    use imbl::OrdMap;

    use super::verdicts;

    fn object(name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "VirtualService".to_owned(),
            namespace: Some("shop".to_owned()),
            name: name.to_owned(),
        }
    }

    /// What is known of one object: its problems, and the condition that it carries of a generation.
    fn known(problems: &[&str], told: Option<(&str, &str, i64)>) -> Finding {
        let subject = object("a");
        let problems = problems.iter();
        let problems = problems.map(|words| Problem::error(&subject, "spec.x", "R", *words));
        Finding {
            generation: 5,
            problems: problems.collect(),
            told: told.map(|(status, message, observed)| Told {
                status: status.to_owned(),
                reason: match status {
                    "True" => "Programmed",
                    _ => "Invalid",
                }
                .to_owned(),
                message: message.to_owned(),
                observed,
            }),
            subject,
        }
    }

    /// `status reason message` of what is due for the one object.
    fn due(finding: Option<Finding>, between: &[&str], refused: &[&str]) -> Option<String> {
        let findings: OrdMap<_, _> = finding
            .into_iter()
            .map(|finding| (object("a"), Arc::new(finding)))
            .collect();
        let problems: Vec<Problem> = between
            .iter()
            .map(|words| Problem::error(&object("a"), "spec.y", "R", *words))
            .collect();
        let refused: BTreeMap<_, _> = refused
            .iter()
            .map(|words| (object("a"), (*words).to_owned()))
            .collect();
        let verdicts = verdicts(&findings, &problems, &refused);
        verdicts.due.get(&object("a")).map(|due| {
            let of = &due.condition;
            format!("{} {} {}", of.status.as_str(), of.reason, of.message)
        })
    }

    #[test]
    fn a_condition_is_due_only_where_something_differs() {
        let bad = "False Invalid spec.x no";
        for (finding, between, refused, expected) in [
            (None, &[][..], &[][..], None),
            (Some(known(&["no"], None)), &[], &[], Some(bad)),
            (
                Some(known(&["no"], Some(("False", "spec.x no", 5)))),
                &[],
                &[],
                None,
            ),
            (
                Some(known(&["no"], Some(("False", "spec.x no", 4)))),
                &[],
                &[],
                Some(bad),
            ),
            (
                Some(known(&["no"], Some(("True", "", 5)))),
                &[],
                &[],
                Some(bad),
            ),
            (
                Some(known(&[], Some(("False", "spec.x no", 4)))),
                &[],
                &[],
                Some("True Programmed "),
            ),
            (
                Some(known(&[], Some(("True", "", 4)))),
                &[],
                &[],
                Some("True Programmed "),
            ),
            (Some(known(&[], Some(("True", "", 5)))), &[], &[], None),
            (
                None,
                &["twice", "once"],
                &[],
                Some("False Invalid spec.y once; spec.y twice"),
            ),
            (
                None,
                &[],
                &["listener"],
                Some("False RefusedByProxies listener"),
            ),
            (
                None,
                &["cause"],
                &["effect"],
                Some("False Invalid spec.y cause"),
            ),
        ] {
            let found = due(finding.clone(), between, refused);
            assert_eq!(
                found.as_deref(),
                expected,
                "{finding:?} {between:?} {refused:?}"
            );
        }
    }

    #[test]
    fn warnings_make_no_condition() {
        let warning = Problem::warning(&object("a"), "", "R", "unusual");
        let found = verdicts(&OrdMap::new(), &[warning], &BTreeMap::new());
        assert_eq!((found.due.len(), found.bad), (0, 0));
    }

    #[test]
    fn a_long_complaint_is_cut() {
        let long = "ü".repeat(5000);
        let found = due(None, &[], &[&long]).expect("due");
        assert!(found.chars().count() < 2100 && found.ends_with('…'));
    }
}
