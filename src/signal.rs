//! The signals that end the service: SIGTERM and SIGINT. Under a container the process is PID 1, where a signal nobody
//! listens for is ignored.

use crate::codes::Code;

/// Resolves when the process is asked to end.
pub async fn wait() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
            tracing::error!(
                code = %Code::NoSignals,
                "signals cannot be listened for; end the process with SIGKILL, nothing is lost by it"
            );
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
}
