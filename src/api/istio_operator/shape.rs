//! The table of an IstioOperator's fields (`fields.yaml`), read once. Says what a field looks
//! like, never what a value means.

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

    /// Follows a name that the table itself uses.
    pub(super) fn named(&self, name: &str) -> &Shape {
        self.0
            .get(name)
            .expect("every name in fields.yaml is defined there, which a test checks")
    }
}

/// The table, parsed on first use.
pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let documents = yaml::documents(include_str!("fields.yaml"))
        .expect("fields.yaml is part of the program and a test parses it");
    let shapes = documents
        .first()
        .and_then(Value::as_object)
        .expect("fields.yaml holds one map");
    Shapes(fields(shapes))
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
