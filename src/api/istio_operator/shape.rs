//! The tables of an IstioOperator's fields (`fields.yaml`, `mesh_fields.yaml`), read once. They say
//! what a field looks like, never what a value means.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::yaml;

/// What a field may hold. `null` is allowed everywhere: it takes a default away.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Text,
    Flag,
    Whole,
    Number,
    Any,
    Object,
    Texts,
    TextsOrNumbers,
    TextOrNumber,
    WholeOrText,
    /// One of these words.
    OneOf(Vec<String>),
    /// A type of the Kubernetes API, by its schema's name.
    Kubernetes(String),
    /// A shape of the table, by its name.
    Use(String),
    Fields(BTreeMap<String, Shape>),
    List(Box<Shape>),
}

/// The table's shapes by name; the resource's own is `spec`.
pub(super) struct Shapes(BTreeMap<String, Shape>);

impl Shapes {
    /// The shape of `spec`.
    pub(super) fn spec(&self) -> &Shape {
        self.named("spec")
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &Shape> {
        self.0.values()
    }

    /// The fields of a shape of the tables.
    pub(super) fn fields(&'static self, name: &str) -> impl Iterator<Item = &'static str> {
        let fields = match self.named(name) {
            Shape::Fields(fields) => Some(fields),
            _ => None,
        };
        fields.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Follows a name that the tables themselves use.
    pub(super) fn named(&self, name: &str) -> &Shape {
        self.0
            .get(name)
            .expect("every name in the tables is defined there, which a test checks")
    }
}

/// The tables, parsed on first use.
pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let mut shapes = BTreeMap::new();
    for table in [
        include_str!("fields.yaml"),
        include_str!("mesh_fields.yaml"),
    ] {
        let documents = yaml::documents(table)
            .expect("the tables are part of the program and a test parses them");
        let table = documents
            .first()
            .and_then(Value::as_object)
            .expect("each holds one map");
        shapes.extend(fields(table));
    }
    Shapes(shapes)
});

fn fields(map: &Map<String, Value>) -> BTreeMap<String, Shape> {
    map.iter()
        .map(|(name, value)| (name.clone(), shape(value)))
        .collect()
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::Object(map) => Shape::Fields(fields(map)),
        Value::Array(items) => Shape::List(Box::new(items.first().map_or(Shape::Any, shape))),
        Value::String(word) => match word.split_once(' ') {
            Some(("k8s", name)) => Shape::Kubernetes(name.to_owned()),
            Some(("use", name)) => Shape::Use(name.to_owned()),
            Some(("one-of", words)) => {
                Shape::OneOf(words.split_whitespace().map(str::to_owned).collect())
            }
            _ => self::word(word),
        },
        other => panic!("{other} is no shape; fields.yaml is part of the program"),
    }
}

fn word(word: &str) -> Shape {
    match word {
        "text" => Shape::Text,
        "flag" => Shape::Flag,
        "whole" => Shape::Whole,
        "number" => Shape::Number,
        "any" => Shape::Any,
        "object" => Shape::Object,
        "texts" => Shape::Texts,
        "texts-or-numbers" => Shape::TextsOrNumbers,
        "text-or-number" => Shape::TextOrNumber,
        "whole-or-text" => Shape::WholeOrText,
        other => panic!("{other:?} is no shape; fields.yaml is part of the program"),
    }
}
