//! Files broken at random: whatever comes out, it is no longer than the bytes can prove.

use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use meterline::domain::media::{Measurement, TrackLength};
use meterline::media::Error;
use meterline::media::probe::measure;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::support::files::{CLIPS, fixture};

/// Every base file with its honest lengths.
static BASES: LazyLock<Vec<(&str, Vec<u8>, Measurement)>> = LazyLock::new(|| {
    let base = |name| {
        let bytes = fixture(name);
        let honest = measured(&bytes).expect("an honest file");
        (name, bytes, honest)
    };
    CLIPS.map(base).into()
});

/// Longest time that one small file may take in this process.
const TIME_MAX: Duration = Duration::from_secs(2);

fn measured(bytes: &[u8]) -> Result<Measurement, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    measure_within_time(file.path())
}

fn measure_within_time(path: &Path) -> Result<Measurement, Error> {
    let began = Instant::now();
    let measured = measure(path);
    assert!(began.elapsed() < TIME_MAX, "{:?}", began.elapsed());
    measured
}

/// One way to break a file. Places are fractions of its length.
#[derive(Debug, Clone)]
enum Break {
    Flip(Index, u8),
    Fill(Index, u8, usize),
    Cut(Index),
    Remove(Index, usize),
    Repeat(Index, usize),
    Splice(Index, Index, Index),
}

fn breaks() -> impl Strategy<Value = Break> {
    let place = any::<Index>;
    let value = prop_oneof![Just(0x00), Just(0xff), Just(0x7f), Just(0x80), any::<u8>()];
    prop_oneof![
        4 => (place(), any::<u8>()).prop_map(|(at, flip)| Break::Flip(at, flip)),
        4 => (place(), value, 1usize..9).prop_map(|(at, value, n)| Break::Fill(at, value, n)),
        1 => place().prop_map(Break::Cut),
        1 => (place(), 1usize..400).prop_map(|(at, n)| Break::Remove(at, n)),
        1 => (place(), 1usize..2_000).prop_map(|(at, n)| Break::Repeat(at, n)),
        1 => (place(), place(), place()).prop_map(|(at, which, from)| Break::Splice(at, which, from)),
    ]
}

impl Break {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() {
            return bytes;
        }
        let size = bytes.len();
        let stretch = |at: &Index, n: usize| {
            let at = at.index(size);
            at..(at + n).min(size)
        };
        match self {
            Self::Flip(at, flip) => bytes[at.index(size)] ^= flip,
            Self::Fill(at, value, n) => bytes[stretch(at, *n)].fill(*value),
            Self::Cut(at) => bytes.truncate(at.index(size)),
            Self::Remove(at, n) => drop(bytes.drain(stretch(at, *n))),
            Self::Repeat(at, n) => {
                let range = stretch(at, *n);
                let piece = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, piece);
            }
            Self::Splice(at, which, from) => {
                let other = &BASES[which.index(BASES.len())].1;
                bytes.truncate(at.index(size));
                bytes.extend(&other[from.index(other.len())..]);
            }
        }
        bytes
    }
}

/// The longest that a broken file may come out as: each byte can be a frame, and a frame proves a second.
fn provable_ms(bytes: &[u8]) -> u64 {
    bytes.len() as u64 * 1_000
}

/// The longest that readings may agree on by accident. Pieces that are there twice are heard twice, and
/// what is spliced on is there; but no broken field makes a file hours long and unsuspicious. Ogg and
/// AIFF state a rate in one place only, so that a broken rate is the rate.
fn agreed_ms(name: &str, honest: &Measurement) -> u64 {
    let has_one_rate = ["ogg", "opus", "aiff"].iter().any(|e| name.ends_with(e));
    if has_one_rate {
        u64::MAX
    } else {
        longest(honest) * 2 + 8_000
    }
}

fn longest(measurement: &Measurement) -> u64 {
    let tracks = [measurement.video, measurement.audio];
    tracks
        .iter()
        .flatten()
        .map(|track| track.ms)
        .max()
        .unwrap_or(0)
}

#[test]
fn broken_files_neither_bring_the_probe_down_nor_prove_more_than_their_bytes() {
    let strategy = (any::<Index>(), prop::collection::vec(breaks(), 1..4));
    let config = Config {
        // More of them, on and on from the same seed, where PROPTEST_CASES asks for more.
        cases: Config::default().cases.max(3_000),
        failure_persistence: None,
        ..Config::default()
    };
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, seed);
    let outcome = runner.run(&strategy, |(which, breaks)| {
        let (name, base, honest) = &BASES[which.index(BASES.len())];
        let bytes = breaks.iter().fold(base.clone(), |bytes, b| b.apply(bytes));
        if let Ok(measurement) = measured(&bytes) {
            let ms = longest(&measurement);
            let tracks = [measurement.video, measurement.audio];
            for track in tracks
                .into_iter()
                .flatten()
                .filter(|track| track.is_agreed())
            {
                let most_ms = agreed_ms(name, honest);
                prop_assert!(track.ms <= most_ms, "{name}: agreed on {}", track.ms);
            }
            prop_assert!(
                ms <= provable_ms(&bytes),
                "{name}: {ms} ms of {} bytes",
                bytes.len()
            );
        }
        Ok(())
    });
    outcome.unwrap();
}

/// A single byte can be any header field. A length that comes out longer than the honest one by more
/// than a frame needs two fields that agree, except where a rate stands in one place only.
#[test]
fn one_broken_byte_lengthens_no_film_that_has_two_readings() {
    let films = [
        "silent.mp4",
        "indexed.mp4",
        "hybrid.mp4",
        "clip.webm",
        "live.webm",
        "clip.mkv",
    ];
    for name in films {
        let base = fixture(name);
        let honest = measured(&base).unwrap().video.unwrap().ms;
        // The headers come first; every eleventh byte of them is enough to hit all kinds of field.
        for at in (0..base.len().min(3_000)).step_by(11) {
            for value in [0x00, 0x7f, 0xff] {
                let mut bytes = base.clone();
                bytes[at] = value;
                let track = measured(&bytes).ok().and_then(|m| m.video);
                let ms = track.map_or(0, |track: TrackLength| track.ms);
                assert!(ms <= honest + 63, "{name}: byte {at} = {value:#x}: {ms}");
            }
        }
    }
}
