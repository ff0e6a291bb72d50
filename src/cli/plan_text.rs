//! A plan as text: what would be created, changed and removed, and what is refused.

use rollout::{Action, FieldChange, Plan, PlannedChange};
use similar::TextDiff;

/// What a dry run ends with.
///
/// # Errors
/// When something is refused: an installation would fail, and the plan is printed before that is said.
pub(crate) fn outcome(plan: &Plan, whole: bool) -> Result<String, String> {
    let text = print(plan, whole);
    let is_refused = |change: &&PlannedChange| matches!(change.action, Action::Refuse(_));
    match plan.objects.iter().filter(is_refused).count() {
        0 => Ok(text),
        refused => {
            crate::print(&text);
            Err(format!("the API server refuses {refused} of these objects"))
        }
    }
}

/// A line for each change; `whole` prints the objects, changed lines marked.
fn print(plan: &Plan, whole: bool) -> String {
    if plan.objects.is_empty() {
        return "nothing would change\n".to_owned();
    }
    let mut text = String::new();
    let (mut created, mut changed, mut removed, mut refused) = (0, 0, 0, 0);
    for change in &plan.objects {
        match &change.action {
            Action::Create => {
                created += 1;
                text += &format!("create {}\n", change.object);
            }
            Action::Remove => {
                removed += 1;
                text += &format!("remove {}\n", change.object);
            }
            Action::Refuse(why) => {
                refused += 1;
                text += &format!("refuse {}\n    {why}\n", change.object);
            }
            Action::Change(fields) => {
                changed += 1;
                text += &format!("change {}\n", change.object);
                if !whole {
                    let lines = fields.iter().map(FieldChange::to_string);
                    text.extend(lines.map(|line| format!("    {line}\n")));
                }
            }
        }
        if whole {
            let print =
                |value: &Option<_>| value.as_ref().map(api::yaml::print).unwrap_or_default();
            let (before, after) = (print(&change.before), print(&change.after));
            let diff = TextDiff::from_lines(&before, &after);
            text += &diff.unified_diff().context_radius(3).to_string();
        }
    }
    let refused = match refused {
        0 => String::new(),
        count => format!(", {count} refused"),
    };
    text + &format!("{created} to create, {changed} to change, {removed} to remove{refused}\n")
}

#[cfg(test)]
mod tests {
    use base::ObjectRef;
    use rollout::{Action, FieldChange, Plan, PlannedChange};
    use serde_json::json;

    use super::print;

    fn change(name: &str, action: Action, before: bool, after: bool) -> PlannedChange {
        let body = |replicas: u8| json!({"kind": "Deployment", "spec": {"replicas": replicas}});
        PlannedChange {
            object: ObjectRef {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: Some("istio-system".to_owned()),
                name: name.to_owned(),
            },
            action,
            before: before.then(|| body(1)),
            after: after.then(|| body(2)),
        }
    }

    #[test]
    fn a_plan_counts_what_it_does() {
        let field = FieldChange {
            field: "spec.replicas".to_owned(),
            from: Some(json!(1)),
            to: Some(json!(2)),
            by: None,
        };
        let plan = Plan {
            objects: vec![
                change("a", Action::Create, false, true),
                change("b", Action::Change(vec![field]), true, true),
                change("c", Action::Remove, true, false),
                change("d", Action::Refuse("is forbidden".to_owned()), true, true),
            ],
        };
        let text = print(&plan, false);
        let expected = "create deployment istio-system/a\nchange deployment istio-system/b\n    spec.replicas ";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.ends_with("    is forbidden\n1 to create, 1 to change, 1 to remove, 1 refused\n"),
            "{text}"
        );
        let whole = print(&plan, true);
        assert!(
            whole.contains("-  replicas: 1\n+  replicas: 2\n"),
            "{whole}"
        );
        assert_eq!(print(&Plan::default(), false), "nothing would change\n");
    }
}
