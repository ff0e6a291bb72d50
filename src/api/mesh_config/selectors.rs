//! Selectors of namespaces: which ones the mesh sees, and how far their ServiceEntries are seen.

use serde::Deserialize;

use crate::snapshot::Labels;

/// A label selector as Kubernetes has them; an empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All must match.
    pub match_labels: Labels,
    /// All must hold.
    pub match_expressions: Vec<Requirement>,
}

/// One expression of a selector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// Values for `In` and `NotIn`.
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Whether labels are selected; an unknown operator selects nothing.
    pub fn selects(&self, labels: &Labels) -> bool {
        crate::snapshot::selects(&self.match_labels, labels)
            && self.match_expressions.iter().all(|one| one.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let among = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => among,
            "NotIn" => !among,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

/// How far ServiceEntries are seen at most, by their namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntryVisibility {
    /// Where no policy matches.
    pub default_visibility: EntryVisibility,
    /// The first that matches counts.
    pub policies: Vec<VisibilityPolicy>,
    /// Whether it holds of sidecars.
    pub apply_to_sidecars: bool,
}

/// One policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VisibilityPolicy {
    /// What holds where it matches.
    pub visibility: EntryVisibility,
    /// All must match.
    pub matching_rules: Vec<VisibilityRule>,
}

/// One rule; without anything known it matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VisibilityRule {
    /// Labels of the namespace.
    pub namespace_selector: Option<LabelSelector>,
}

/// How far a ServiceEntry is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryVisibility {
    /// As it says itself.
    #[default]
    #[serde(alias = "VISIBILITY_UNSPECIFIED", alias = "UNSPECIFIED")]
    Public,
    /// Within its namespace.
    Namespace,
    /// Nowhere.
    None,
}

impl ServiceEntryVisibility {
    /// What holds of ServiceEntries in a namespace with these labels.
    pub fn of(&self, labels: &Labels) -> EntryVisibility {
        let matches = |rule: &VisibilityRule| {
            let selector = rule.namespace_selector.as_ref();
            selector.is_some_and(|selector| selector.selects(labels))
        };
        let policy = self
            .policies
            .iter()
            .find(|policy| policy.matching_rules.iter().all(matches));
        policy.map_or(self.default_visibility, |policy| policy.visibility)
    }
}
