//! An answer in the forms that people and programs read.

use envoy::simulate::{Answer, Branch, Outcome, Over, Step};
use serde_json::{Value, json};

use super::request::Output;

pub(super) fn text(answer: &Answer, form: Output) -> String {
    match form {
        Output::Text => answer.to_string(),
        Output::Json => format!("{:#}\n", value(answer)),
        Output::Yaml => api::yaml::print(&value(answer)),
    }
}

fn value(answer: &Answer) -> Value {
    json!({
        "verdict": answer.verdict(),
        "steps": answer.steps.iter().map(step).collect::<Value>(),
        "branches": answer.branches.iter().map(branch).collect::<Value>(),
    })
}

fn step(step: &Step) -> Value {
    let origin = step.origin.iter().map(ToString::to_string);
    json!({
        "stage": step.stage.as_str(),
        "name": step.name,
        "said": step.said,
        "origin": origin.map(Value::from).collect::<Value>(),
    })
}

fn branch(branch: &Branch) -> Value {
    json!({
        "share": branch.share,
        "delaySeconds": branch.delay.as_secs_f64(),
        "outcome": outcome(&branch.outcome),
        "steps": branch.steps.iter().map(step).collect::<Value>(),
    })
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Reaches(reached) => json!({
            "kind": "Reaches",
            "host": reached.host,
            "port": reached.port,
            "subset": reached.subset,
            "over": match reached.over {
                Over::Mutual => "mTLS",
                Over::Tls => "TLS",
                Over::Plaintext => "plaintext",
            },
            "workloads": reached.workloads,
            "through": reached.through,
        }),
        Outcome::NoRoute => json!({"kind": "NoRoute", "status": 404}),
        Outcome::DirectResponse { status, why } => {
            json!({"kind": "DirectResponse", "status": status, "why": why})
        }
        Outcome::Redirect { status, location } => {
            json!({"kind": "Redirect", "status": status, "location": location})
        }
        Outcome::Refused { status, why } => {
            json!({"kind": "Refused", "status": status, "why": why})
        }
        Outcome::BlackHole => json!({"kind": "BlackHole"}),
        Outcome::PassThrough { to } => json!({"kind": "PassThrough", "to": to}),
    }
}
