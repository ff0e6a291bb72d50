//! `pilot-agent`: reads the command line and runs one command. What the commands do is in the library.

use std::collections::BTreeMap;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use agent::arguments::Arguments;
use agent::{capture, logging, proxy, request, wait};

const USAGE: &str = "\
usage: pilot-agent COMMAND

  proxy sidecar|router   start Envoy and serve it
  istio-iptables         send the pod's traffic through Envoy
  wait                   wait until Envoy is ready
  request METHOD PATH    make a request to Envoy's admin port
  version                print the version";

fn main() -> ExitCode {
    let arguments = Arguments::parse(std::env::args().skip(1));
    let json = arguments.is_set("log_as_json");
    logging::init(
        arguments.value("log_output_level").unwrap_or_default(),
        json,
    );

    let positional: Vec<&str> = arguments.positional.iter().map(String::as_str).collect();
    let outcome = match positional[..] {
        ["proxy", ..] => run(proxy::run(&arguments, environment())),
        ["istio-iptables", ..] => capture::run(&arguments, &environment()).map_err(Into::into),
        ["wait"] => run(wait::run(&arguments)),
        ["request", ..] => run(request::run(&arguments)),
        ["version"] => {
            print_version(&arguments);
            Ok(ExitCode::SUCCESS)
        }
        [] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        [other, ..] => Err(format!("{other:?} is not a command\n{USAGE}").into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("Error: {error}");
        ExitCode::FAILURE
    })
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

/// One thread is enough for one Envoy, and the memory of more would be paid in every pod. The
/// few threads that resolve names end when they are idle.
fn run<E: std::error::Error + 'static>(
    command: impl Future<Output = Result<ExitCode, E>>,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(1))
        .build()?;
    let outcome = runtime.block_on(command)?;
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    Ok(outcome)
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn print_version(arguments: &Arguments) {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.is_set("short") || arguments.value("output") == Some("short") {
        println!("{version}");
    } else if arguments.value("output") == Some("json") {
        println!(
            "{}",
            serde_json::json!({"clientVersion": {"version": version}})
        );
    } else {
        println!("version: {version}");
    }
}
