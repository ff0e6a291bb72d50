//! Answers in words: the end in one line, then the steps that led there.

use std::fmt;
use std::time::Duration;

use base::ObjectRef;

use super::{Answer, Branch, Outcome, Over, Reached, Step};

/// A share in percents, with at most four digits after the point.
fn percents(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{short}%")
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.share < 1.0 - 1e-9 {
            write!(f, "{} ", percents(self.share))?;
        }
        if self.delay > Duration::ZERO {
            write!(f, "after {:?}: ", self.delay)?;
        }
        self.outcome.fmt(f)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Reaches(reached) => reached.fmt(f),
            Outcome::NoRoute => f.write_str("404, no route"),
            Outcome::DirectResponse { status, why } => write!(f, "{status}, {why}"),
            Outcome::Redirect { status, location } => write!(f, "{status} to {location}"),
            Outcome::Refused { status: None, why } => write!(f, "refused: {why}"),
            Outcome::Refused {
                status: Some(status),
                why,
            } => write!(f, "{status}, {why}"),
            Outcome::BlackHole => {
                f.write_str("goes nowhere: unknown destinations are not allowed (REGISTRY_ONLY)")
            }
            Outcome::PassThrough { to } => write!(f, "passes through to {to}"),
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reaches {}", self.name)?;
        if !self.subset.is_empty() {
            write!(f, " {}", self.subset)?;
        }
        if !self.through.is_empty() {
            write!(f, " by way of {}", self.through.join(" and "))?;
        }
        f.write_str(match self.over {
            Over::Mutual => " over mTLS",
            Over::Tls => " over TLS",
            Over::Plaintext => " in plaintext",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}  {}", self.stage.as_str(), self.name)?;
        if !self.said.is_empty() {
            write!(f, ": {}", self.said)?;
        }
        /// Beyond these it no longer helps to see each.
        const SHOWN: usize = 3;
        let shown = self.origin.iter().take(SHOWN).map(ObjectRef::to_string);
        let mut shown: Vec<String> = shown.collect();
        match self.origin.len().saturating_sub(SHOWN) {
            0 => {}
            more => shown.push(format!("{more} more")),
        }
        if !shown.is_empty() {
            write!(f, " [{}]", shown.join(", "))?;
        }
        Ok(())
    }
}

/// The verdict, then the steps below it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict())?;
        for step in &self.steps {
            writeln!(f, "  {step}")?;
        }
        for branch in &self.branches {
            let indent = if self.branches.len() > 1 {
                writeln!(f, "  {branch}")?;
                "    "
            } else {
                "  "
            };
            for step in &branch.steps {
                writeln!(f, "{indent}{step}")?;
            }
        }
        Ok(())
    }
}
