//! A control plane in the operator's process: follows what is to be hosted, starts it, and starts it anew when what
//! it was told changes, one replica after the other. What it consists of is the same as in a process of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use install::{Command, Host};
use kube::Client;
use operator::hosted::{self, HostedBy, Hosting, Plan};
use operator::{CaHealth, Settings};
use serve::Shutdown;
use serve::health::{Check, Readiness};
use tokio::sync::watch;
use tracing::{info, warn};

use super::forward;
use super::turn::Turn;
use crate::roles::control_plane::{self, ControlPlane, Discovery, Ports};
use crate::roles::services::Services;

/// Before another attempt when a control plane could not start, or failed.
const PAUSE: Duration = Duration::from_secs(2);

/// What hosting needs to know.
pub struct Needs {
    /// The way to the API server.
    pub client: Client,
    /// Of the operator.
    pub settings: Settings,
    /// The operator's own namespace.
    pub namespace: String,
    /// How Services find the operator's pods.
    pub host: Host,
    /// Of the operator's process: it is not ready while what it hosts is not.
    pub readiness: Readiness,
    /// Where the CA of what is hosted is told about.
    pub ca_health: Arc<watch::Sender<CaHealth>>,
}

/// Hosts until `shutdown`.
pub fn start(needs: Needs, services: &mut Services, shutdown: &Shutdown) -> HostedBy {
    let (sender, hosting) = watch::channel(Hosting::default());
    let (waits, waiting) = watch::channel(None);
    let host = needs.host.clone();
    let (client, ends) = (needs.client.clone(), shutdown.clone());
    let (settings, namespace) = (needs.settings.clone(), needs.namespace.clone());
    services.spawn("IstioOperator follower", async move {
        tokio::select! {
            () = ends.cancelled() => {}
            () = hosted::follow(client, &settings, &namespace, &sender) => {}
        }
    });
    let hosted = Hosted {
        check: needs
            .readiness
            .check("control plane", "IstioOperators to be listed"),
        needs,
        hosting: hosting.clone(),
        waits,
        progress: Mutex::default(),
        shutdown: shutdown.clone(),
    };
    services.spawn("hosted control plane", hosted.run());
    HostedBy {
        host,
        hosting,
        waiting,
    }
}

struct Hosted {
    needs: Needs,
    check: Check,
    hosting: watch::Receiver<Hosting>,
    waits: watch::Sender<Option<Vec<String>>>,
    progress: Mutex<Progress>,
    shutdown: Shutdown,
}

/// How far the hosted control plane is.
#[derive(Default)]
struct Progress {
    /// Why it does not serve; empty when it does.
    failing: Vec<String>,
    /// Why it does not serve what it was told last.
    behind: Option<String>,
}

impl Hosted {
    async fn run(mut self) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            _ = self.hosting.wait_for(Hosting::is_known) => {}
        }
        let mut turn = None;
        while !self.shutdown.is_cancelled() {
            let plan = self.hosting.borrow_and_update().plan().cloned();
            let Some(plan) = plan else {
                turn = None;
                self.waits.send_replace(None);
                // Without an IstioOperator there is nothing that this process could serve.
                self.check.pass();
                self.until_other_than(None).await;
                continue;
            };
            match self.host(&plan, &mut turn).await {
                Ok(next) => turn = next,
                // It keeps its turn: the other replicas serve on as they are.
                Err(why) => {
                    warn!("the hosted control plane: {why}");
                    self.tell(vec![why]);
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = self.until_other_than(Some(&plan)) => {}
                    }
                }
            }
        }
    }

    /// Hosts `plan` until another one is to be hosted, or none. Returns this replica's turn for that, and gives
    /// `turn` up as soon as `plan` serves.
    async fn host(
        &self,
        plan: &Arc<Plan>,
        turn: &mut Option<Turn>,
    ) -> Result<Option<Turn>, String> {
        let options = options(&plan.command)?;
        options.check().map_err(|error| error.to_string())?;
        let ports = Ports::bind(&options)
            .await
            .map_err(|error| error.to_string())?;
        let owner = &plan.owner;
        info!(
            "the control plane of IstioOperator {}/{} is hosted here",
            owner.namespace, owner.name
        );
        let trust_domain = Some(plan.trust_domain.clone());
        let hosted = control_plane::start(&options, &self.needs.client, trust_domain, ports).await;
        let ControlPlane {
            readiness,
            ca,
            running,
        } = hosted;
        self.fall_behind(None);
        let asked = self.until_replaced(plan);
        let ended = tokio::select! {
            ended = running.until(&readiness, asked) => ended,
            never = readiness.follow(|failing| {
                if failing.is_empty() {
                    *turn = None;
                }
                self.tell(failing);
            }) => match never {},
            never = forward(ca, &self.needs.ca_health) => match never {},
        };
        ended.map_err(|error| error.to_string())
    }

    /// Tells why the control plane does not serve, if so.
    fn tell(&self, failing: Vec<String>) {
        match failing.is_empty() {
            true => self.check.pass(),
            false => self.check.fail(failing.join("; ")),
        }
        let mut progress = self.progress();
        progress.failing = failing;
        self.publish(&progress);
    }

    /// Tells why what serves is not what was asked for last. The process stays ready for the proxies that it has.
    fn fall_behind(&self, why: Option<String>) {
        let mut progress = self.progress();
        progress.behind = why;
        self.publish(&progress);
    }

    fn publish(&self, progress: &Progress) {
        let all = progress.failing.iter().chain(&progress.behind);
        self.waits.send_replace(Some(all.cloned().collect()));
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when `plan` is to be ended: at once when nothing is to be hosted any more, else when it is this
    /// replica's turn to start anew. What could not start does not end what serves.
    async fn until_replaced(&self, plan: &Arc<Plan>) -> Option<Turn> {
        loop {
            self.until_other_than(Some(plan)).await;
            let next = self.hosting.borrow().plan().cloned();
            let Some(next) = next.filter(|_| !self.shutdown.is_cancelled()) else {
                self.fall_behind(None);
                return None;
            };
            let possible = options(&next.command).and_then(|options| {
                let checked = options.check();
                checked.map_err(|error| error.to_string())
            });
            let came = match possible {
                Err(why) => {
                    self.fall_behind(Some(why));
                    self.until_other_than(Some(&next)).await;
                    None
                }
                Ok(()) => {
                    let why = "its turn to start anew with the changed settings, one replica after the other";
                    self.fall_behind(Some(why.to_owned()));
                    let Needs {
                        client,
                        namespace,
                        settings,
                        ..
                    } = &self.needs;
                    let mut turn = Turn::stand(client.clone(), namespace, &settings.identity);
                    tokio::select! {
                        () = self.until_other_than(Some(&next)) => None,
                        () = turn.comes() => Some(turn),
                    }
                }
            };
            if came.is_some() {
                return came;
            }
            self.fall_behind(None);
        }
    }

    /// Resolves when another control plane than `plan` is to be hosted, or on shutdown.
    async fn until_other_than(&self, plan: Option<&Arc<Plan>>) {
        let mut hosting = self.hosting.clone();
        let other = hosting.wait_for(|now| now.is_known() && now.plan() != plan);
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            // Its sender ends on shutdown only.
            Ok(_) = other => {}
        }
    }
}

/// The command line of the discovery role.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct CommandLine {
    #[command(flatten)]
    discovery: Discovery,
}

/// What `command` means. Its variables count where it has no argument; the process's own come after them, so that
/// it knows its pod.
fn options(command: &Command) -> Result<Discovery, String> {
    let mut words = command.arguments.clone();
    for argument in CommandLine::command().get_arguments() {
        let (Some(variable), Some(long)) = (argument.get_env(), argument.get_long()) else {
            continue;
        };
        let value = variable
            .to_str()
            .and_then(|variable| command.environment.get(variable));
        let flag = format!("--{long}");
        let given = |word: &String| *word == flag || word.starts_with(&format!("{flag}="));
        if let Some(value) = value
            && !words.iter().any(given)
        {
            words.push(format!("{flag}={value}"));
        }
    }
    let parsed = CommandLine::try_parse_from(words);
    let mut options = parsed.map(|line| line.discovery).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    })?;
    options.switch(&command.environment);
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use install::Command;

    use clap::CommandFactory;

    use super::{CommandLine, options};

    #[test]
    fn an_installation_knows_which_variables_the_control_plane_reads() {
        let command = CommandLine::command();
        let variables = command
            .get_arguments()
            .filter_map(|argument| argument.get_env());
        let mut variables: Vec<_> = variables.filter_map(|name| name.to_str()).collect();
        variables.sort_unstable();
        assert_eq!(variables, install::READ_BY_DISCOVERY);
    }

    fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let own = |text: &&str| (*text).to_owned();
        Command {
            namespace: "istio-system".to_owned(),
            arguments: arguments.iter().map(own).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn arguments_win_over_variables() {
        let asked = command(
            &[
                "--monitoringAddr=:15014",
                "--domain",
                "cluster.local",
                "--clusterID=mine",
            ],
            &[
                ("REVISION", "canary"),
                ("CLUSTER_ID", "other"),
                ("FOREIGN", "x"),
            ],
        );
        let options = options(&asked).expect("it reads");
        assert_eq!(options.revision(), "canary");
        assert_eq!(options.cluster_id, "mine");
        assert_eq!(options.monitoring_addr, ":15014");
    }

    #[test]
    fn variables_switch_what_proxies_get() {
        for (value, expected) in [("true", true), ("false", false)] {
            let asked = command(&[], &[("ISTIO_DUAL_STACK", value)]);
            let options = options(&asked).expect("it reads");
            assert_eq!(options.features.dual_stack, expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let asked = command(&["--nonsense"], &[]);
        let error = options(&asked).expect_err("an unknown flag");
        assert_eq!(error, "unexpected argument '--nonsense' found");
        let asked = command(&[], &[("MAX_WORKLOAD_CERT_TTL", "soon")]);
        let error = options(&asked).expect_err("no duration");
        assert!(error.contains("soon"), "{error}");
    }
}
