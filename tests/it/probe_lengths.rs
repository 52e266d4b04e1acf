//! Lengths of honest files of every kind, against ffprobe's packets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use meterline::domain::media::{Measurement, MediaKind, Support, TrackLength};
use meterline::media::probe::measure;

use crate::support::files::{CLIPS, fixture_path};

/// One packet as ffprobe shows it: when it begins and how long it lasts, in seconds.
struct Packet {
    starts: f64,
    lasts: f64,
}

fn packets(name: &str, stream: &str) -> Vec<Packet> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-of", "csv=p=0"])
        .args(["-show_entries", "packet=dts_time,duration_time"])
        .arg(fixture_path(name))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let packet = |line: &str| {
        let mut fields = line.split(',').map(str::parse::<f64>);
        let (starts, lasts) = (fields.next()?.ok()?, fields.next()?.ok()?);
        Some(Packet { starts, lasts })
    };
    text.lines().filter_map(packet).collect()
}

/// What the packets of a stream last, and the longest of them, in milliseconds.
///
/// Matroska rounds when each begins and how long it lasts to milliseconds: there the sum is off by a
/// fraction for each packet, and what counts is the time from the first to the end of the last.
fn by_packets(name: &str, stream: &str) -> (f64, f64) {
    let packets = packets(name, stream);
    let frame = packets
        .iter()
        .map(|packet| packet.lasts)
        .fold(0.0, f64::max);
    let is_rounded = name.ends_with("mkv") || name.ends_with("webm");
    let all = if is_rounded {
        let ends = packets.iter().map(|packet| packet.starts + packet.lasts);
        let starts = packets.iter().map(|packet| packet.starts);
        ends.fold(0.0, f64::max) - starts.fold(f64::MAX, f64::min)
    } else {
        packets.iter().map(|packet| packet.lasts).sum()
    };
    (all * 1_000.0, frame * 1_000.0)
}

fn agreed(ms: u64) -> Option<TrackLength> {
    Some(TrackLength::agreed(ms))
}

fn alone(ms: u64) -> Option<TrackLength> {
    let support = Support::Alone;
    Some(TrackLength { ms, support })
}

fn differing(ms: u64) -> Option<TrackLength> {
    let support = Support::Differing;
    Some(TrackLength { ms, support })
}

#[test]
fn honest_files_of_every_kind_are_measured_within_a_frame() {
    type Length = Option<TrackLength>;
    // Name, video, audio. What is not agreed on has one reading, or two that priming sets apart.
    let table: [(&str, Length, Length); 25] = [
        ("classic.mov", agreed(7_500), agreed(7_521)),
        ("classic.mp4", agreed(7_500), agreed(7_521)),
        ("clip.mkv", agreed(7_500), agreed(7_530)),
        ("clip.webm", agreed(7_500), agreed(7_521)),
        ("constant.mp3", None, agreed(7_596)),
        ("flac.ogg", None, agreed(750)),
        ("fragmented.mp4", agreed(7_500), agreed(7_521)),
        ("hybrid.mp4", agreed(7_500), None),
        ("indexed.mp4", agreed(7_500), None),
        ("live.webm", agreed(7_500), alone(7_521)),
        ("moving.gif", alone(2_000), None),
        ("moving.png", alone(2_000), None),
        ("moving.webp", alone(2_000), None),
        ("narrow.m4a", None, differing(7_500)),
        ("one-fragment.mp4", alone(7_500), None),
        ("silent.mp4", agreed(7_500), None),
        ("sound.aac", None, alone(7_530)),
        ("sound.aiff", None, agreed(750)),
        ("sound.flac", None, agreed(750)),
        ("sound.m4a", None, agreed(7_521)),
        ("sound.ogg", None, agreed(7_500)),
        ("sound.opus", None, agreed(7_500)),
        ("sound.wav", None, agreed(750)),
        ("sound.webm", None, agreed(7_521)),
        ("variable.mp3", None, alone(7_596)),
    ];
    assert_eq!(table.map(|(name, ..)| name), CLIPS);
    for (name, video, audio) in table {
        let measured = measure(&fixture_path(name)).unwrap();
        let kind = match video {
            Some(_) => MediaKind::Video,
            None => MediaKind::Audio,
        };
        assert_eq!(measured, Measurement { kind, video, audio }, "{name}");
        // This ffprobe does not read moving WebP: its length is the one it was made with.
        let judged = [("v:0", video), ("a:0", audio)];
        for (stream, length) in judged.into_iter().filter(|_| name != "moving.webp") {
            let Some(length) = length else { continue };
            let (judged_ms, frame_ms) = by_packets(name, stream);
            let off_ms = (judged_ms - length.ms as f64).abs();
            // Rounded down to whole milliseconds, ours and the judge's.
            assert!(
                off_ms <= frame_ms + 2.0,
                "{name} {stream}: {} ms, packets last {judged_ms:.1} ms",
                length.ms
            );
        }
    }
}
