//! `simulate-provider`: a provider that makes real media without a model, and fails when asked to.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::serve::Signals;
use crate::dev::simulator;

const EXAMPLES: &str = "Examples:
  meterline simulate-provider --listen 127.0.0.1:9100
  meterline serve --config config/dev --provider-url sim=http://127.0.0.1:9100
  curl http://127.0.0.1:9100/_sim/submissions";

/// Run a simulated provider: real media without a model, and failures on request
///
/// Prints `listening http://...` first. With the development settings a job steers it by the
/// parameter `sim`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9100")]
    listen: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let unusable = |error: std::io::Error| {
        Failure::new(
            Kind::Io,
            format!("failed to listen on {}: {error}", args.listen),
        )
    };
    let listener = TcpListener::bind(&args.listen).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let mut signals = Signals::new()?;
    call.out.text(&format!("listening http://{address}"))?;
    let stop = CancellationToken::new();
    tokio::select! {
        served = simulator::serve(listener, stop.clone()) => served?,
        () = signals.next() => stop.cancel(),
    }
    Ok(Exit::Done)
}
