//! Media of the simulated provider: real files, with ffmpeg as the judge.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use meterline::dev::simulator::making::{Kind, Wish, make};
use meterline::domain::media::{Measurement, MediaKind, TrackLength};
use meterline::media::probe::measure;

fn made(dir: &Path, wish: Wish) -> PathBuf {
    let path = dir.join(format!(
        "{}-{}.{}",
        wish.length_ms,
        wish.seed,
        wish.kind.extension()
    ));
    std::fs::write(&path, make(wish).unwrap()).unwrap();
    path
}

/// Runs a judge and gives what it printed on both channels.
fn judge(program: &str, arguments: &[&str], path: &Path) -> String {
    let mut command = Command::new(program);
    for argument in arguments {
        match *argument {
            "FILE" => command.arg(path),
            plain => command.arg(plain),
        };
    }
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    String::from_utf8(printed).unwrap().trim().to_owned()
}

/// Decodes everything; prints only what is wrong.
fn decode_errors(path: &Path) -> String {
    judge(
        "ffmpeg",
        &["-v", "error", "-xerror", "-i", "FILE", "-f", "null", "-"],
        path,
    )
}

fn probe_field(path: &Path, stream: &str, field: &str) -> String {
    let entries = format!("stream={field}");
    let arguments = [
        "-v",
        "error",
        "-count_frames",
        "-select_streams",
        stream,
        "-show_entries",
        &entries,
    ];
    judge(
        "ffprobe",
        &[&arguments[..], &["-of", "csv=p=0", "FILE"]].concat(),
        path,
    )
}

fn agreed(ms: u64) -> Option<TrackLength> {
    Some(TrackLength::agreed(ms))
}

#[test]
fn videos_play_to_the_end_and_have_the_asked_length() {
    let dir = tempfile::tempdir().unwrap();
    // Asked, frames, measured.
    let table = [
        (5_062, 81, 5_062),
        (5_063, 81, 5_062),
        (5_000, 80, 5_000),
        (5_250, 84, 5_250),
        (5_251, 84, 5_251),
        (12_000, 192, 12_000),
        (200, 3, 200),
        (1, 1, 1),
        (999, 15, 999),
    ];
    for (length_ms, frames, measured_ms) in table {
        let path = made(
            dir.path(),
            Wish {
                kind: Kind::Video,
                length_ms,
                seed: 7,
            },
        );
        assert_eq!(decode_errors(&path), "", "{length_ms}");
        assert_eq!(
            probe_field(&path, "v:0", "nb_read_frames"),
            frames.to_string()
        );
        for stream in ["v:0", "a:0"] {
            let seconds: f64 = probe_field(&path, stream, "duration").parse().unwrap();
            let asked = length_ms as f64 / 1_000.0;
            assert!(
                (seconds - asked).abs() < 0.000_6,
                "{stream}: {seconds} for {asked}"
            );
        }
        let expected = Measurement {
            kind: MediaKind::Video,
            video: agreed(measured_ms),
            audio: agreed(measured_ms),
        };
        assert_eq!(measure(&path).unwrap(), expected, "{length_ms}");
    }
}

#[test]
fn every_decoded_frame_of_a_video_differs() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(
        dir.path(),
        Wish {
            kind: Kind::Video,
            length_ms: 10_000,
            seed: 3,
        },
    );
    let hashes = judge(
        "ffmpeg",
        &[
            "-v", "error", "-i", "FILE", "-map", "0:v", "-f", "framemd5", "-",
        ],
        &path,
    );
    let frames: Vec<&str> = hashes
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.rsplit(',').next())
        .collect();
    let different: std::collections::HashSet<_> = frames.iter().collect();
    assert_eq!(frames.len(), 160);
    assert_eq!(different.len(), 160);
}

#[test]
fn a_minute_of_video_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let path = made(
        dir.path(),
        Wish {
            kind: Kind::Video,
            length_ms: 60_000,
            seed: 0,
        },
    );
    assert!(path.metadata().unwrap().len() < 8_000_000);
    assert_eq!(decode_errors(&path), "");
    assert_eq!(measure(&path).unwrap().video, agreed(60_000));
}

#[test]
fn sounds_play_to_the_end_and_have_the_asked_length() {
    let dir = tempfile::tempdir().unwrap();
    for length_ms in [1, 200, 5_063, 60_000] {
        let path = made(
            dir.path(),
            Wish {
                kind: Kind::Audio,
                length_ms,
                seed: 5,
            },
        );
        assert_eq!(decode_errors(&path), "", "{length_ms}");
        let expected = Measurement {
            kind: MediaKind::Audio,
            video: None,
            audio: agreed(length_ms),
        };
        assert_eq!(measure(&path).unwrap(), expected);
    }
}

#[test]
fn pictures_open_and_have_no_length() {
    let dir = tempfile::tempdir().unwrap();
    for seed in [0, 1, 2] {
        let path = made(
            dir.path(),
            Wish {
                kind: Kind::Image,
                length_ms: 0,
                seed,
            },
        );
        assert_eq!(decode_errors(&path), "", "{seed}");
        let expected = Measurement {
            kind: MediaKind::Image,
            video: None,
            audio: None,
        };
        assert_eq!(measure(&path).unwrap(), expected);
    }
}

#[test]
fn the_same_wish_gives_the_same_bytes_and_another_seed_gives_others() {
    for kind in [Kind::Image, Kind::Video, Kind::Audio] {
        let wish = Wish {
            kind,
            length_ms: 500,
            seed: 1,
        };
        assert_eq!(make(wish).unwrap(), make(wish).unwrap());
        assert_ne!(make(wish).unwrap(), make(Wish { seed: 2, ..wish }).unwrap());
    }
}
