//! The commands: each reads its arguments and calls the library, so that tests and the demo run what people run.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use patchbay::{app::Service, check, config, connectors, demo, operator, simulate, telemetry};

/// The switchboard between Exotel and the CRMs: every call one record, nothing lost, nothing twice.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays recorded calls through the whole service, with a sandbox of Freshdesk and a simulated Exotel inside
    Demo {
        /// Verify every call's record, and exit: 0 only if all are exactly as expected
        #[arg(long)]
        once: bool,
        /// Where the service listens
        #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
        listen: SocketAddr,
    },
    /// Runs the service
    Serve {
        /// The configuration: a TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Reads a configuration, tries every credential in it, and prints what to paste into Exotel's flows
    Check {
        /// The configuration: a TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Connects a CRM by a person's consent: prints where to go, and waits until he has been there
    Connect {
        /// The integration: its name, or ACCOUNT/NAME where several accounts have one of that name
        integration: String,
        /// The configuration of the service that runs
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Plays Exotel's part: call flows, or a load of them, against a running service, or a stream against a voicebot
    Simulate(Box<simulate::Options>),
    /// Lists the connectors that are built in, and what each can do
    Connectors {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// The table of docs/CONNECTORS.md
        #[arg(long, hide = true, conflicts_with = "json")]
        markdown: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("no threads can be started: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Demo { once, listen } => demo::run(once, listen).await,
            Command::Serve { config } => serve(&config).await,
            Command::Check { config } => check::run(&config).await,
            Command::Connect { integration, config } => operator::connect(&config, &integration).await,
            Command::Simulate(options) => simulate::run(*options).await,
            Command::Connectors { json, markdown } => connectors::run(match (json, markdown) {
                (true, _) => connectors::Format::Json,
                (_, true) => connectors::Format::Markdown,
                _ => connectors::Format::Text,
            }),
        }
    })
}

async fn serve(path: &std::path::Path) -> ExitCode {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(error) => return failed(error.to_string().trim_end()),
    };
    telemetry::init(&config.log);
    let service = match Service::start(config).await {
        Ok(service) => service,
        Err(error) => return failed(&error.to_string()),
    };
    patchbay::signal::wait().await;
    service.stop().await;
    ExitCode::SUCCESS
}

fn failed(message: &str) -> ExitCode {
    eprintln!("patchbay: {message}");
    ExitCode::FAILURE
}
