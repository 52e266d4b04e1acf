//! What the HTTP API adds to a submit.

use serde_json::json;

use super::door::{Door, Submitter};
use super::finding::Finding;
use super::load::Load;
use super::measure::{Spread, round};
use super::{ACCOUNTS, Ground, progress};
use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};

/// A submit over HTTP may take this much longer than one straight on the store, the middle of each.
const MARK: f64 = 2.5;

/// How much longer is a submit over HTTP than straight on Redis?
///
/// The same jobs of the same accounts at the same pace, in turns: over HTTP with the typed client from a
/// server process of its own, and by this process on the store. Ends with 1 above 2.5 times.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline bench http --rate 100 --rounds 5")]
pub(super) struct Args {
    /// Submits a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long each turn is, s
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turn_seconds: u32,
    /// Turns of each
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Let the private Redis keep an append-only file, fsync once a second
    #[arg(long)]
    aof: bool,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let ground = Ground::of(call, args.aof).await?;
    let load = Load::new(ground.store.clone(), ACCOUNTS, 0)?;
    load.fund(u32::MAX).await?;
    let folder = tempfile::tempdir()?;
    let door = Door::open(call, &ground, folder.path(), "127.0.0.1:0").await?;
    let over_http = Submitter::Http(door.client(&ground).await?);
    let straight = Submitter::Straight(ground.house.producer(ground.store.clone()));
    let bar = progress(u64::from(args.rounds));
    bar.set_message("in turns");
    // The first call of each opens connections and loads the script.
    for submitter in [&straight, &over_http] {
        submitter.paced(load.accounts(), args.rate, 1).await?;
    }
    let (mut http_us, mut straight_us) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        for (submitter, into) in [(&straight, &mut straight_us), (&over_http, &mut http_us)] {
            let took = submitter.paced(load.accounts(), args.rate, args.turn_seconds);
            into.extend(took.await?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let [http, straight] =
        [http_us, straight_us].map(|us| Spread::of(us.into_iter().map(f64::from)));
    let ratio = round(http.p50_ms / straight.p50_ms);
    let line = |s: Spread| format!("{:.2} / {:.2} / {:.2} ms", s.p50_ms, s.p90_ms, s.p99_ms);
    let lines = vec![
        ("submits a second", args.rate.to_string()),
        ("straight, p50 / p90 / p99", line(straight)),
        ("over http, p50 / p90 / p99", line(http)),
        (
            "http / straight, p50",
            format!("{ratio:.2}, at most {MARK}"),
        ),
    ];
    let json = json!({"rate": args.rate, "straight": straight, "http": http, "ratio": ratio});
    Finding {
        json,
        lines,
        reached: ratio <= MARK,
    }
    .show(call)
}
