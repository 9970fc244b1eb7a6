//! The simulated Exotel: plays call flows, or a load of them, against a running service.

use std::process::ExitCode;

/// What `patchbay simulate` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {}

pub async fn run(options: Options) -> ExitCode {
    let _ = options;
    ExitCode::FAILURE
}
