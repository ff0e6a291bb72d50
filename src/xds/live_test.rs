//! A real Envoy, connected live, takes everything that the engine derives: our own worlds, and with CORPORA
//! those of upstream, each with its own mesh configuration and then with that of an installation.
//!
//! Needs a stock Envoy (variable ENVOY), root, `ip` and `unshare`: each Envoy has a network of its own, where
//! all ports are free. Where one is missing nothing runs, and that is said.

#[path = "live_test/control_plane.rs"]
mod control_plane;
#[path = "live_test/dump.rs"]
mod dump;
#[path = "live_test/proxy.rs"]
mod proxy;
#[path = "live_test/worlds.rs"]
mod worlds;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use control_plane::ControlPlane;
use proxy::Proxy;
use worlds::Case;

/// For an Envoy to have everything that it is to have.
const SOON: Duration = Duration::from_secs(30);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(50);

/// Envoy's binary, where everything is there that the cases need.
fn envoy(what: &str, cases: usize) -> Option<PathBuf> {
    let missing = match std::env::var_os("ENVOY").map(PathBuf::from) {
        None => "ENVOY does not name its binary",
        Some(_) if !proxy::has_networks() => "there is no root, ip or unshare",
        Some(envoy) => return Some(envoy),
    };
    eprintln!("NOT RUN: {cases} proxies of {what} were not shown to Envoy, since {missing}");
    None
}

/// Shows every case to an Envoy of its own, as many at once as there are processors.
async fn shown(what: &str, cases: Vec<Case>) {
    let count = cases.len();
    let Some(envoy) = envoy(what, count) else {
        return;
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let places = Arc::new(Semaphore::new(processors));
    let mut running = JoinSet::new();
    for (number, case) in cases.into_iter().enumerate() {
        let (places, envoy) = (places.clone(), envoy.clone());
        running.spawn(async move {
            let _place = places.acquire_owned().await.expect("it stays open");
            let name = case.name.clone();
            let outcome = show(&envoy, number, case).await;
            outcome.map_err(|why| format!("{name}: {why}"))
        });
    }
    let mut failures = Vec::new();
    while let Some(ended) = running.join_next().await {
        failures.extend(ended.expect("a case does not panic").err());
    }
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {count} proxies of {what}:\n{}",
        failures.len(),
        failures.join("\n")
    );
    eprintln!("{count} proxies of {what} were shown to Envoy");
}

/// Connects one Envoy and brings it from state to state; each has to arrive whole.
async fn show(envoy: &std::path::Path, number: usize, case: Case) -> Result<(), String> {
    let proxy = Proxy::prepare(number, &case)?;
    let control_plane = ControlPlane::start(&proxy.folder, &case).await;
    let mut proxy = proxy.start(envoy)?;
    for (state, world) in &case.states {
        let expected = control_plane.become_of(world, &case).await;
        let began = Instant::now();
        loop {
            let missing = match proxy.admin("/config_dump?include_eds").await {
                Ok(text) => dump::missing(&expected, &text),
                Err(error) => vec![error],
            };
            let refused = proxy.refused().await;
            if missing.is_empty() && refused.as_ref().is_ok_and(Vec::is_empty) {
                break;
            }
            let ended = proxy.ended();
            if ended.is_some()
                || began.elapsed() > SOON
                || refused.as_ref().is_ok_and(|all| !all.is_empty())
            {
                return Err(format!(
                    "{state}: refused {refused:?}, missing {missing:#?}, ended {ended:?}; Envoy said:\n{}",
                    proxy.said()
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_every_world_of_ours() {
    shown("our own worlds", worlds::ours()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_every_scenario_of_upstream() {
    let Some(corpora) = std::env::var_os("CORPORA").map(PathBuf::from) else {
        eprintln!("NOT RUN: CORPORA is not set, no scenario of upstream was shown to Envoy");
        return;
    };
    shown("upstream's scenarios", worlds::of_corpora(&corpora)).await;
}
