//! What becomes of a call, as a value that says in words how it came to that. Nothing is decided here.

mod words;

use std::time::Duration;

use base::ObjectRef;

/// What becomes of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// What holds of the call whatever chance decides, in the order of its way.
    pub steps: Vec<Step>,
    /// What becomes of it: one thing, or several where chance decides. Their shares add up to 1.
    pub branches: Vec<Branch>,
}

/// One of the things that may become of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// How many of all calls, from 0 to 1.
    pub share: f64,
    /// How long it is held up on purpose.
    pub delay: Duration,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The way from where chance decided.
    pub steps: Vec<Step>,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It arrives at a service.
    Reaches(Reached),
    /// No route takes the request: 404.
    NoRoute,
    /// A proxy answers by itself, as it was told to.
    DirectResponse {
        /// The HTTP status.
        status: u32,
        /// What told it to.
        why: String,
    },
    /// The caller is sent elsewhere.
    Redirect {
        /// The HTTP status.
        status: u32,
        /// Where to.
        location: String,
    },
    /// It fails.
    Refused {
        /// The HTTP status; absent where the connection just ends.
        status: Option<u32>,
        /// What is in the way.
        why: String,
    },
    /// The destination is unknown, and unknown destinations are not allowed.
    BlackHole,
    /// The destination is unknown, and the call goes where it was bound.
    PassThrough {
        /// Address and port.
        to: String,
    },
}

/// A service that a call arrives at.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Its name: short for callers beside it.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The subset that was chosen, empty for none.
    pub subset: String,
    /// How the last stretch of the way is protected.
    pub over: Over,
    /// The workloads that may answer.
    pub workloads: Vec<String>,
    /// Gateways on the way, the first one first.
    pub through: Vec<String>,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// By certificates of the mesh on both sides.
    Mutual,
    /// By other TLS.
    Tls,
    /// Not at all.
    Plaintext,
}

/// One decision on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What kind of thing decided.
    pub stage: Stage,
    /// Its name in Envoy's configuration.
    pub name: String,
    /// What it decided, and why.
    pub said: String,
    /// The user's objects that it was made from.
    pub origin: Vec<ObjectRef>,
}

/// Kinds of things that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is named as what it stands for")]
pub enum Stage {
    Name,
    Caller,
    Proxy,
    Listener,
    FilterChain,
    Filter,
    Routes,
    VirtualHost,
    Route,
    Cluster,
    Endpoint,
}

impl Stage {
    /// As people call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Name => "name",
            Stage::Caller => "caller",
            Stage::Proxy => "proxy",
            Stage::Listener => "listener",
            Stage::FilterChain => "filter chain",
            Stage::Filter => "filter",
            Stage::Routes => "routes",
            Stage::VirtualHost => "virtual host",
            Stage::Route => "route",
            Stage::Cluster => "cluster",
            Stage::Endpoint => "endpoint",
        }
    }
}

/// A step.
pub(super) fn step(
    stage: Stage,
    name: impl Into<String>,
    said: impl Into<String>,
    origin: &[ObjectRef],
) -> Step {
    Step {
        stage,
        name: name.into(),
        said: said.into(),
        origin: origin.to_vec(),
    }
}

/// It fails, with a status where the caller speaks HTTP.
pub(super) fn refused(status: Option<u32>, why: impl Into<String>) -> Answer {
    Answer::of(Outcome::Refused {
        status,
        why: why.into(),
    })
}

impl Answer {
    /// One thing, for sure.
    pub(super) fn of(outcome: Outcome) -> Self {
        Answer {
            steps: Vec::new(),
            branches: vec![Branch {
                share: 1.0,
                delay: Duration::ZERO,
                outcome,
                steps: Vec::new(),
            }],
        }
    }

    /// The same, after these steps.
    pub(super) fn after(mut self, mut steps: Vec<Step>) -> Self {
        steps.append(&mut self.steps);
        self.steps = steps;
        self
    }

    /// The same, held up.
    pub(super) fn delayed(mut self, by: Duration) -> Self {
        for branch in &mut self.branches {
            branch.delay += by;
        }
        self
    }

    /// What chance decides between; shares are of this decision and add up to 1.
    pub(super) fn split(mut parts: Vec<(f64, Answer)>) -> Self {
        parts.retain(|(share, _)| *share > 0.0);
        if let [_] = parts.as_slice() {
            return parts.remove(0).1;
        }
        let branches = parts.into_iter().flat_map(|(share, answer)| {
            let Answer { steps, branches } = answer;
            branches.into_iter().map(move |branch| Branch {
                share: branch.share * share,
                steps: steps.iter().chain(&branch.steps).cloned().collect(),
                ..branch
            })
        });
        Answer {
            steps: Vec::new(),
            branches: branches.collect(),
        }
    }

    /// As [`Answer::split`], but the same end is one branch, whose steps are those of the first.
    pub(super) fn merged(parts: Vec<(f64, Answer)>) -> Self {
        let all = Answer::split(parts);
        let mut kept: Vec<Branch> = Vec::new();
        for branch in all.branches {
            let same = kept.iter_mut().find(|known| {
                known.delay == branch.delay && known.outcome.is_like(&branch.outcome)
            });
            match same {
                Some(known) => {
                    known.share += branch.share;
                    known.outcome.join(branch.outcome);
                }
                None => kept.push(branch),
            }
        }
        if let [only] = kept.as_mut_slice() {
            let steps = std::mem::take(&mut only.steps);
            return Answer {
                steps: all.steps.into_iter().chain(steps).collect(),
                branches: kept,
            };
        }
        Answer {
            steps: all.steps,
            branches: kept,
        }
    }

    /// The end in one line: `reaches reviews v2 over mTLS`.
    pub fn verdict(&self) -> String {
        let parts: Vec<String> = self.branches.iter().map(Branch::to_string).collect();
        parts.join("; ")
    }
}

impl Outcome {
    /// Whether both are the same, whichever workload answers.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Outcome::Reaches(one), Outcome::Reaches(other)) => {
                let bare = |reached: &Reached| Reached {
                    workloads: Vec::new(),
                    ..reached.clone()
                };
                bare(one) == bare(other)
            }
            _ => self == other,
        }
    }

    fn join(&mut self, other: Self) {
        if let (Outcome::Reaches(one), Outcome::Reaches(other)) = (self, other) {
            let new = other.workloads.into_iter();
            let known = one.workloads.clone();
            one.workloads
                .extend(new.filter(|workload| !known.contains(workload)));
        }
    }
}
