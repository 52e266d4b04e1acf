//! Files that lie about their length, or try to bring down who reads them.
//!
//! Each row of the tables is a file, what must come out, and why. Every one is read by the child
//! process under its limits: a row that killed it would come out as `Err`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod matroska;
mod mp4;
mod mutations;
mod pictures;
mod sound;
mod whole_path;

use std::time::{Duration, Instant};

use meterline::domain::media::{Measurement, TrackLength};
use meterline::media::Error;
use meterline::media::probe::child::Prober;

/// Longest time that any of the files may take, the start of the process included.
const TIME_MAX: Duration = Duration::from_secs(8);

/// What must come out of a file: the length of the track that is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    /// So many milliseconds that all readings agree on.
    Agreed(u64),
    /// So many milliseconds, flagged.
    Doubted(u64),
    /// Media without a length that can be believed.
    Unmeasured,
    /// No media at all.
    NotMedia,
    /// The child was ended by its limits: media without a length.
    Ended,
}

type Row = (&'static str, Vec<u8>, Out);

async fn probe(bytes: &[u8]) -> Result<Measurement, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let began = Instant::now();
    let measured = Prober::new(env!("CARGO_BIN_EXE_meterline"))
        .measure(&path)
        .await;
    assert!(began.elapsed() < TIME_MAX, "{:?}", began.elapsed());
    measured
}

/// Reads each file and compares the track that `track` picks.
async fn check(rows: Vec<Row>, track: fn(&Measurement) -> Option<TrackLength>) {
    let mut wrong = Vec::new();
    for (why, bytes, expected) in rows {
        let out = match probe(&bytes).await {
            Ok(measured) => match track(&measured) {
                Some(track) if track.is_agreed() => Out::Agreed(track.ms),
                Some(track) => Out::Doubted(track.ms),
                None => Out::Unmeasured,
            },
            Err(Error::NotMedia) => Out::NotMedia,
            Err(Error::Unmeasurable(_)) => Out::Ended,
            Err(error) => panic!("{why}: {error}"),
        };
        if out != expected {
            wrong.push(format!("{why}: {out:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn video(measured: &Measurement) -> Option<TrackLength> {
    measured.video
}

fn audio(measured: &Measurement) -> Option<TrackLength> {
    measured.audio
}
