//! What the process says of itself while it works: log lines on stderr.
//!
//! `METERLINE_LOG` filters them (`info`, `meterline=debug,warn`, ...). People at a terminal get
//! plain lines, everybody else gets one JSON object a line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The variable with the filter.
pub const LOG_VARIABLE: &str = "METERLINE_LOG";

/// Sends log lines to stderr from `usual` on, unless the variable says otherwise. Does nothing where
/// a process has set that up before.
pub fn start(usual: LevelFilter) {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(usual.into())
        .from_env_lossy();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        lines.with_ansi(colours(&std::io::stderr())).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    // Only a second call in one process fails, and then the first one stands.
    drop(started);
}

/// Whether a stream shows colours: at a terminal, unless `NO_COLOR` is set.
pub fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
