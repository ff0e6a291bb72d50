//! The sample application, in one program: four services that call each other, and the roles that tests of a
//! mesh need beside them. It knows nothing of the mesh; it only passes on the headers that tie calls together.

mod ask;
mod backend;
mod book;
mod call;
mod caller;
mod collector;
mod details;
mod duration;
mod echo;
mod first;
mod get;
mod header;
mod identity;
mod judge;
mod load;
mod page;
mod propagation;
mod ratings;
mod reviews;
mod server;
mod shutdown;
mod tcp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A bookshop of four services, and clients and servers to test a mesh with.
#[derive(Parser)]
#[command(name = "bookinfo")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// The page of a book: asks details and reviews
    Productpage(page::Options),
    /// What is known about a book
    Details(server::Options),
    /// What readers say: v1 without stars, v2 black ones, v3 red ones
    Reviews(reviews::Options),
    /// How many stars readers give
    Ratings(server::Options),
    /// Answers with what was asked, over HTTP and TCP
    Echo(echo::Options),
    /// Sends HTTP requests and prints one JSON object about the answers
    Load(load::Options),
    /// Sends one HTTP request and prints the body of the answer
    Get(get::Options),
    /// Sends many HTTP requests and prints the status of each
    Ask(ask::Options),
    /// Decides about requests that proxies ask about
    Judge(server::Options),
    /// Opens one TCP connection and prints what the other side says
    Tcp(tcp::Options),
    /// Sends one HTTP request at once, prints its result, then waits for its end
    First(first::Options),
    /// Takes access logs and spans, and prints them
    Collector(collector::Options),
    /// Waits for its end: a place to run the others in
    Idle,
}

fn main() -> ExitCode {
    let role = Arguments::parse().role;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(role)),
        Err(error) => Err(format!("the runtime does not start: {error}")),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(role: Role) -> Result<ExitCode, String> {
    match role {
        Role::Productpage(options) => page::run(options).await?,
        Role::Details(options) => details::run(options).await?,
        Role::Reviews(options) => reviews::run(options).await?,
        Role::Ratings(options) => ratings::run(options).await?,
        Role::Echo(options) => echo::run(options).await?,
        Role::Load(options) => load::run(options).await?,
        Role::Get(options) => return get::run(options).await,
        Role::Ask(options) => ask::run(options).await?,
        Role::Judge(options) => judge::run(&options).await?,
        Role::Tcp(options) => return tcp::run(options).await,
        Role::First(options) => first::run(options).await?,
        Role::Collector(options) => collector::run(options).await?,
        Role::Idle => shutdown::signal()?.await,
    }
    Ok(ExitCode::SUCCESS)
}
