//! The functions of sprig that injection templates are written with: strings, lists, maps, numbers,
//! defaults, encodings. None that reads the environment, the clock, the network or chance.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gotmpl::{FuncMap, TemplateError};
use serde_json::Value;

use super::data::{GoValue, plain, table, text, to_json};
use super::functions::{arg, list, number, refused, shown};

type Answer = Result<GoValue, TemplateError>;
type Function = fn(&[GoValue]) -> Answer;

pub(super) fn register(all: &mut FuncMap) {
    for (name, function) in STRINGS.iter().chain(LISTS).chain(MAPS).chain(OTHERS) {
        all.insert((*name).to_owned(), Arc::new(*function));
    }
}

const STRINGS: &[(&str, Function)] = &[
    ("trim", |a| Ok(text(shown(arg(a, 0)).trim()))),
    ("trimAll", |a| {
        Ok(text(
            shown(arg(a, 1)).trim_matches(|letter| shown(arg(a, 0)).contains(letter)),
        ))
    }),
    ("trimPrefix", |a| {
        Ok(text(
            shown(arg(a, 1))
                .strip_prefix(&shown(arg(a, 0)))
                .unwrap_or(&shown(arg(a, 1))),
        ))
    }),
    ("trimSuffix", |a| {
        Ok(text(
            shown(arg(a, 1))
                .strip_suffix(&shown(arg(a, 0)))
                .unwrap_or(&shown(arg(a, 1))),
        ))
    }),
    ("upper", |a| Ok(text(&shown(arg(a, 0)).to_uppercase()))),
    ("lower", |a| Ok(text(&shown(arg(a, 0)).to_lowercase()))),
    ("hasPrefix", |a| {
        Ok(GoValue::Bool(
            shown(arg(a, 1)).starts_with(&shown(arg(a, 0))),
        ))
    }),
    ("hasSuffix", |a| {
        Ok(GoValue::Bool(shown(arg(a, 1)).ends_with(&shown(arg(a, 0)))))
    }),
    ("replace", |a| {
        Ok(text(
            &shown(arg(a, 2)).replace(&shown(arg(a, 0)), &shown(arg(a, 1))),
        ))
    }),
    ("repeat", |a| {
        Ok(text(&shown(arg(a, 1)).repeat(
            whole(arg(a, 0))?.clamp(0, 10_000).unsigned_abs() as usize,
        )))
    }),
    ("trunc", trunc),
    ("nospace", |a| {
        Ok(text(
            &shown(arg(a, 0)).split_whitespace().collect::<String>(),
        ))
    }),
    ("quote", |a| {
        Ok(text(&joined(a, |value| {
            format!("{:?}", Quoted(&shown(value)))
        })))
    }),
    ("squote", |a| {
        Ok(text(&joined(a, |value| format!("'{}'", shown(value)))))
    }),
    ("cat", |a| Ok(text(&joined(a, shown)))),
    ("nindent", |a| {
        let spaces = " ".repeat(whole(arg(a, 0))?.clamp(0, 100).unsigned_abs() as usize);
        Ok(text(&format!(
            "\n{spaces}{}",
            shown(arg(a, 1)).replace('\n', &format!("\n{spaces}"))
        )))
    }),
    ("toString", |a| Ok(text(&shown(arg(a, 0))))),
    ("splitList", |a| {
        Ok(strings(shown(arg(a, 1)).split(&shown(arg(a, 0)))))
    }),
    ("join", |a| {
        let items: Vec<String> = list(arg(a, 1)).iter().map(shown).collect();
        Ok(text(&items.join(&shown(arg(a, 0)))))
    }),
    ("regexMatch", |a| {
        Ok(GoValue::Bool(regex(arg(a, 0))?.is_match(&shown(arg(a, 1)))))
    }),
    ("regexFind", |a| {
        let subject = shown(arg(a, 1));
        Ok(text(
            regex(arg(a, 0))?
                .find(&subject)
                .map_or("", |found| found.as_str()),
        ))
    }),
    ("regexReplaceAll", |a| {
        Ok(text(
            &regex(arg(a, 0))?.replace_all(&shown(arg(a, 1)), shown(arg(a, 2)).as_str()),
        ))
    }),
    ("b64enc", |a| Ok(text(&STANDARD.encode(shown(arg(a, 0)))))),
    ("b64dec", |a| {
        let bytes = STANDARD
            .decode(shown(arg(a, 0)))
            .map_err(|error| refused(format!("b64dec: {error}")))?;
        Ok(text(&String::from_utf8_lossy(&bytes)))
    }),
    ("toJson", |a| {
        Ok(text(&crate::schema::go_json(&to_json(arg(a, 0)))))
    }),
    ("fromJson", |a| {
        let found: Value = serde_json::from_str(&shown(arg(a, 0)))
            .map_err(|error| refused(format!("fromJson: {error}")))?;
        Ok(plain(&found))
    }),
];

const LISTS: &[(&str, Function)] = &[
    ("list", |a| Ok(GoValue::List(a.into()))),
    ("append", |a| Ok(chained(&[list(arg(a, 0)), &a[1..]]))),
    ("prepend", |a| Ok(chained(&[&a[1..], list(arg(a, 0))]))),
    ("concat", |a| {
        Ok(GoValue::List(
            a.iter()
                .flat_map(|part| list(part).iter().cloned())
                .collect(),
        ))
    }),
    ("first", |a| {
        Ok(list(arg(a, 0)).first().cloned().unwrap_or(GoValue::Nil))
    }),
    ("last", |a| {
        Ok(list(arg(a, 0)).last().cloned().unwrap_or(GoValue::Nil))
    }),
    ("rest", |a| {
        Ok(GoValue::List(
            list(arg(a, 0)).get(1..).unwrap_or_default().into(),
        ))
    }),
    ("initial", |a| {
        Ok(GoValue::List(
            list(arg(a, 0))
                .split_last()
                .map_or(&[][..], |(_, others)| others)
                .into(),
        ))
    }),
    ("reverse", |a| {
        Ok(GoValue::List(
            list(arg(a, 0)).iter().rev().cloned().collect(),
        ))
    }),
    ("has", |a| {
        Ok(GoValue::Bool(list(arg(a, 1)).contains(arg(a, 0))))
    }),
    ("without", |a| {
        Ok(GoValue::List(
            list(arg(a, 0))
                .iter()
                .filter(|item| !a[1..].contains(item))
                .cloned()
                .collect(),
        ))
    }),
    ("compact", |a| {
        Ok(GoValue::List(
            list(arg(a, 0))
                .iter()
                .filter(|item| item.is_truthy())
                .cloned()
                .collect(),
        ))
    }),
    ("uniq", |a| {
        let mut found: Vec<GoValue> = Vec::new();
        for item in list(arg(a, 0)) {
            if !found.contains(item) {
                found.push(item.clone());
            }
        }
        Ok(GoValue::List(found.into()))
    }),
    ("sortAlpha", |a| {
        let mut items: Vec<String> = list(arg(a, 0)).iter().map(shown).collect();
        items.sort();
        Ok(strings(items.iter().map(String::as_str)))
    }),
    ("until", |a| {
        Ok(GoValue::List(
            (0..whole(arg(a, 0))?.min(100_000))
                .map(GoValue::Int)
                .collect(),
        ))
    }),
];

const MAPS: &[(&str, Function)] = &[
    ("dict", |a| {
        let pairs: Vec<(String, GoValue)> = a
            .chunks(2)
            .map(|pair| (shown(arg(pair, 0)), arg(pair, 1).clone()))
            .collect();
        Ok(table(
            pairs
                .iter()
                .map(|(key, value)| (key.as_str(), value.clone())),
        ))
    }),
    ("get", |a| {
        Ok(arg(a, 0)
            .field(&shown(arg(a, 1)))
            .cloned()
            .unwrap_or_else(|| text("")))
    }),
    ("hasKey", |a| {
        Ok(GoValue::Bool(arg(a, 0).field(&shown(arg(a, 1))).is_some()))
    }),
    ("keys", |a| match arg(a, 0) {
        GoValue::Map(map) => Ok(strings(map.keys().map(|key| &**key))),
        _ => Ok(strings([])),
    }),
    ("values", |a| match arg(a, 0) {
        GoValue::Map(map) => Ok(GoValue::List(map.values().cloned().collect())),
        _ => Ok(strings([])),
    }),
    ("pick", |a| {
        let keys: Vec<String> = a.iter().skip(1).map(shown).collect();
        Ok(table(keys.iter().filter_map(|key| {
            Some((key.as_str(), arg(a, 0).field(key)?.clone()))
        })))
    }),
];

const OTHERS: &[(&str, Function)] = &[
    ("default", |a| {
        Ok(if arg(a, 1).is_truthy() {
            arg(a, 1)
        } else {
            arg(a, 0)
        }
        .clone())
    }),
    ("empty", |a| Ok(GoValue::Bool(!arg(a, 0).is_truthy()))),
    ("coalesce", |a| {
        Ok(a.iter()
            .find(|value| value.is_truthy())
            .cloned()
            .unwrap_or(GoValue::Nil))
    }),
    ("ternary", |a| {
        Ok(if arg(a, 2).is_truthy() {
            arg(a, 0)
        } else {
            arg(a, 1)
        }
        .clone())
    }),
    ("fail", |a| Err(refused(shown(arg(a, 0))))),
    ("int", |a| Ok(GoValue::Int(whole(arg(a, 0)).unwrap_or(0)))),
    ("int64", |a| Ok(GoValue::Int(whole(arg(a, 0)).unwrap_or(0)))),
    ("atoi", |a| {
        Ok(GoValue::Int(shown(arg(a, 0)).parse().unwrap_or(0)))
    }),
    ("add", |a| folded(a, i64::checked_add)),
    ("add1", |a| {
        folded(&[arg(a, 0).clone(), GoValue::Int(1)], i64::checked_add)
    }),
    ("sub", |a| folded(a, i64::checked_sub)),
    ("mul", |a| folded(a, i64::checked_mul)),
    ("div", |a| folded(a, i64::checked_div)),
    ("mod", |a| folded(a, i64::checked_rem)),
    ("max", |a| folded(a, |one, two| Some(one.max(two)))),
    ("min", |a| folded(a, |one, two| Some(one.min(two)))),
    ("kindOf", |a| Ok(text(kind(arg(a, 0))))),
    ("kindIs", |a| {
        Ok(GoValue::Bool(shown(arg(a, 0)) == kind(arg(a, 1))))
    }),
];

/// Prints as Go's `%q` of ordinary text does.
struct Quoted<'a>(&'a str);

impl std::fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = Value::String(self.0.to_owned());
        write!(f, "{json}")
    }
}

fn trunc(arguments: &[GoValue]) -> Answer {
    let (count, subject) = (whole(arg(arguments, 0))?, shown(arg(arguments, 1)));
    let letters = subject.chars().count();
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    Ok(text(&if size >= letters {
        subject
    } else if count < 0 {
        subject.chars().skip(letters - size).collect()
    } else {
        subject.chars().take(size).collect()
    }))
}

fn joined(arguments: &[GoValue], print: impl Fn(&GoValue) -> String) -> String {
    let parts: Vec<String> = arguments
        .iter()
        .filter(|value| !matches!(value, GoValue::Nil))
        .map(print)
        .collect();
    parts.join(" ")
}

fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> GoValue {
    GoValue::List(items.into_iter().map(text).collect())
}

fn chained(parts: &[&[GoValue]]) -> GoValue {
    GoValue::List(parts.iter().flat_map(|part| part.iter().cloned()).collect())
}

fn whole(value: &GoValue) -> Result<i64, TemplateError> {
    match value {
        GoValue::String(found) => found.parse().ok(),
        GoValue::Bool(flag) => Some(i64::from(*flag)),
        other => number(other).map(|found| found as i64),
    }
    .ok_or_else(|| refused(format!("{} is no number", shown(value))))
}

fn folded(arguments: &[GoValue], step: impl Fn(i64, i64) -> Option<i64>) -> Answer {
    let mut numbers = arguments.iter().map(whole);
    let first = numbers.next().unwrap_or(Ok(0))?;
    let result = numbers.try_fold(first, |sum, next| {
        step(sum, next?).ok_or_else(|| refused("a calculation has no result".to_owned()))
    })?;
    Ok(GoValue::Int(result))
}

fn regex(pattern: &GoValue) -> Result<regex::Regex, TemplateError> {
    regex::Regex::new(&shown(pattern)).map_err(|error| refused(error.to_string()))
}

/// The name of Go's kind.
fn kind(value: &GoValue) -> &'static str {
    match value {
        GoValue::Bool(_) => "bool",
        GoValue::Int(_) => "int",
        GoValue::Uint(_) => "uint",
        GoValue::Float(_) => "float64",
        GoValue::String(_) => "string",
        GoValue::List(_) => "slice",
        GoValue::Map(_) => "map",
        _ => "invalid",
    }
}
