//! Lengths measured from files: honest ones, hostile ones, and in the child process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use meterline::dev::simulator::making::{Kind, Wish, make};
use meterline::domain::media::{Measurement, MediaKind, Support, TrackLength};
use meterline::media::Error;
use meterline::media::probe::child::Prober;
use meterline::media::probe::measure;
use tempfile::TempDir;

fn prober() -> Prober {
    Prober::new(env!("CARGO_BIN_EXE_meterline"))
}

fn video(length_ms: u64) -> Vec<u8> {
    make(Wish {
        kind: Kind::Video,
        length_ms,
        seed: 1,
    })
    .unwrap()
}

fn written(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn fifo(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

fn length(ms: u64, support: Support) -> Option<TrackLength> {
    Some(TrackLength { ms, support })
}

#[tokio::test]
async fn the_child_measures_what_this_process_measures() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "clip", &video(5_062));
    let measured = prober().measure(&path).await.unwrap();
    assert_eq!(measured.video, length(5_062, Support::Agreed));
    assert_eq!(measured, measure(&path).unwrap());
}

#[tokio::test]
async fn what_is_no_media_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "page.mp4", b"<html>expired</html>");
    assert!(matches!(
        prober().measure(&path).await,
        Err(Error::NotMedia)
    ));
}

#[tokio::test]
async fn a_child_that_dies_or_talks_nonsense_measures_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "clip", &video(200));
    for program in ["/bin/false", "/bin/true", "/bin/echo", "/usr/bin/yes"] {
        let refused = Prober::new(program).measure(&path).await;
        assert!(
            matches!(refused, Err(Error::Unmeasurable(_))),
            "{program}: {refused:?}"
        );
    }
    let missing = dir.path().join("missing");
    let refused = prober().measure(&missing).await;
    assert!(
        matches!(refused, Err(Error::Unmeasurable(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_child_that_takes_too_long_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody writes into it, so the child waits for ever to open it.
    let path = fifo(&dir);
    let impatient = Prober {
        wall_limit: Duration::from_millis(200),
        ..prober()
    };
    let refused = impatient.measure(&path).await;
    assert!(
        matches!(refused, Err(Error::Unmeasurable("the probe took too long"))),
        "{refused:?}"
    );
}

#[test]
fn the_child_limits_itself_before_it_opens_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(&dir);
    let mut child = Command::new(env!("CARGO_BIN_EXE_meterline"))
        .arg("probe-media")
        .arg(&path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Opening the pipe waits for the child to open its end.
    let mut pipe = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    pipe.write_all(b"no media").unwrap();
    drop(pipe);
    child.wait().unwrap();
    for (name, most) in [
        ("Max address space", "536870912"),
        ("Max cpu time", "5"),
        ("Max core file size", "0"),
        ("Max file size", "0"),
    ] {
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        let fields: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!(fields, [most, most], "{name}");
    }
}

/// Runs ffmpeg to make or change a file.
fn ffmpeg(arguments: &str, path: &Path) -> PathBuf {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-y"])
        .args(arguments.split_whitespace())
        .arg(path);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    path.to_owned()
}

#[test]
fn files_of_another_writer_are_measured_wherever_their_index_stands() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = "-f lavfi -i testsrc=duration=3:rate=25:size=64x48 -f lavfi -i sine=duration=4";
    for (name, options) in [
        ("last.mp4", ""),
        ("first.mp4", "-movflags +faststart"),
        ("q.mov", ""),
    ] {
        let arguments = format!("{inputs} -c:v mpeg4 -bf 2 -c:a aac {options}");
        let measured = measure(&ffmpeg(&arguments, &dir.path().join(name))).unwrap();
        assert_eq!(measured.kind, MediaKind::Video, "{name}");
        assert_eq!(measured.video, length(3_000, Support::Agreed), "{name}");
        let audio = measured.audio.unwrap();
        assert!(
            audio.is_agreed() && (4_000..4_060).contains(&audio.ms),
            "{name}: {audio:?}"
        );
    }
    let sound = ffmpeg(
        "-f lavfi -i sine=duration=3 -c:a aac",
        &dir.path().join("s.m4a"),
    );
    let measured = measure(&sound).unwrap();
    assert_eq!((measured.kind, measured.video), (MediaKind::Audio, None));
    assert!(measured.audio.is_some_and(|audio| audio.is_agreed()));
}

#[test]
fn what_is_not_read_is_unmeasured_and_not_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = "-f lavfi -i testsrc=duration=1:rate=25:size=64x48";
    for name in ["clip.avi", "clip.ogv"] {
        let path = ffmpeg(inputs, &dir.path().join(name));
        let unmeasured = Measurement {
            kind: MediaKind::Video,
            video: None,
            audio: None,
        };
        assert_eq!(measure(&path).unwrap(), unmeasured, "{name}");
    }
}

/// Writes over a field of the n-th box of a kind; the offset counts from behind the kind.
fn patched(mut bytes: Vec<u8>, kind: &[u8; 4], nth: usize, offset: usize, field: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, w)| w == kind)
        .map(|(at, _)| at)
        .collect();
    let at = places[nth] + 4 + offset;
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes
}

#[test]
fn hostile_files_never_measure_longer_than_their_samples() {
    let dir = tempfile::tempdir().unwrap();
    let honest = video(3_000);
    // The first track is the video. Version-1 headers: duration behind 4 + 8 + 8 + 4 bytes.
    let hour = (3_600u64 * 16_000).to_be_bytes();
    let many = 0x7fff_ffff_u32.to_be_bytes();
    let one = 1u32.to_be_bytes();
    let bomb = patched(
        patched(honest.clone(), b"stts", 0, 8, &many),
        b"stsz",
        0,
        4,
        &one,
    );
    let bomb = patched(bomb, b"stsz", 0, 8, &many);
    let mut moof = honest.clone();
    moof.extend(b"\0\0\0\x08moof");
    let mut second_moov = honest.clone();
    second_moov.extend(b"\0\0\0\x08moov");
    let table = [
        (
            "nothing changed",
            honest.clone(),
            length(3_000, Support::Agreed),
        ),
        (
            "mvhd lies",
            patched(honest.clone(), b"mvhd", 0, 24, &hour),
            length(3_000, Support::Agreed),
        ),
        (
            "mvhd has no timescale",
            patched(honest.clone(), b"mvhd", 0, 20, &[0; 4]),
            length(3_000, Support::Agreed),
        ),
        (
            "mdhd lies",
            patched(honest.clone(), b"mdhd", 0, 24, &hour),
            length(3_000, Support::Differing),
        ),
        (
            "mdhd unknown",
            patched(honest.clone(), b"mdhd", 0, 24, &[0xff; 8]),
            length(3_000, Support::Agreed),
        ),
        (
            "mdhd has no timescale",
            patched(honest.clone(), b"mdhd", 0, 20, &[0; 4]),
            None,
        ),
        (
            "elst lies",
            patched(honest.clone(), b"elst", 0, 8, &many),
            length(3_000, Support::Differing),
        ),
        (
            "stts counts more",
            patched(honest.clone(), b"stts", 0, 8, &many),
            None,
        ),
        ("both count more", bomb, None),
        (
            "stts stretches",
            patched(honest.clone(), b"stts", 0, 12, &many),
            length(3_000, Support::Differing),
        ),
        (
            "track is off",
            patched(honest.clone(), b"tkhd", 0, 0, &[1, 0, 0, 0]),
            None,
        ),
        (
            "box runs over the end",
            patched(honest.clone(), b"stbl", 0, 0, &many),
            None,
        ),
        ("fragments follow", moof, None),
        ("two indexes", second_moov, None),
        ("cut off", honest[..honest.len() - 1].to_vec(), None),
        ("only a head", honest[..40].to_vec(), None),
    ];
    for (case, bytes, expected) in table {
        let path = written(&dir, "hostile", &bytes);
        assert_eq!(measure(&path).unwrap().video, expected, "{case}");
    }
}

#[test]
fn no_broken_byte_makes_a_clip_longer_or_the_probe_fall() {
    let dir = tempfile::tempdir().unwrap();
    let honest = video(200);
    let index_ends = honest.windows(4).position(|w| w == b"mdat").unwrap();
    for at in 0..index_ends {
        for value in [0x00, 0x7f, 0xff] {
            let mut bytes = honest.clone();
            bytes[at] = value;
            let path = written(&dir, "broken", &bytes);
            if let Ok(Measurement {
                video: Some(track), ..
            }) = measure(&path)
            {
                // Readings that agree may differ by a frame, and one lie leaves an honest reading.
                let most_ms = if track.is_agreed() { 275 } else { 200 };
                assert!(track.ms <= most_ms, "byte {at} = {value:#x}: {track:?}");
            }
        }
    }
}
