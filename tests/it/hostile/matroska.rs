//! Hostile WebM and Matroska: lying clocks, open sizes, laces, second films.

use super::Out::{Agreed, Doubted, NotMedia, Unmeasured};
use super::{Row, check, video};
use crate::support::files::{ebml, fixture, patched, patched_all, places};

/// 7.5 s in 120 frames of VP8, and sound.
fn clip() -> Vec<u8> {
    fixture("clip.webm")
}

/// The same without a duration, and with clusters of open size.
fn live() -> Vec<u8> {
    fixture("live.webm")
}

const SCALE: &[u8] = b"\x2a\xd7\xb1\x83";
const DURATION: &[u8] = b"\x44\x89\x88";
const FRAME: &[u8] = b"\x23\xe3\x83\x84";
const CLUSTER: &[u8] = b"\x1f\x43\xb6\x75";
const SIMPLE_BLOCK: u8 = 0xa3;

fn duration(ms: f64) -> Vec<u8> {
    patched(clip(), DURATION, 0, 0, &ms.to_be_bytes())
}

/// The file with every block of the video track changed, by a function of its head.
fn with_blocks(mut bytes: Vec<u8>, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let heads: Vec<usize> = (0..bytes.len() - 8)
        .filter(|at| {
            // Small blocks have a size of one or two bytes; the video track is number 1.
            bytes[*at] == SIMPLE_BLOCK && bytes[at + 1] >= 0x80 && bytes[at + 2] == 0x81
        })
        .collect();
    assert!(heads.len() > 50, "{} blocks", heads.len());
    for at in heads {
        change(&mut bytes[at + 2..at + 8]);
    }
    bytes
}

#[tokio::test]
async fn headers_and_clocks_that_lie_never_lengthen_a_film() {
    let second_long = 1_000_000_000u32.to_be_bytes();
    let all_lie = patched(duration(3_600_000.0), FRAME, 0, 0, &ALL);
    let all_lie = with_far_cluster(all_lie);
    let rows: Vec<Row> = vec![
        ("nothing was changed", clip(), Agreed(7_500)),
        (
            "live: no duration, open sizes, but frames of one length",
            live(),
            Agreed(7_500),
        ),
        (
            "a duration of an hour: clock and count of the pictures agree without it",
            duration(3_600_000.0),
            Agreed(7_500),
        ),
        (
            "a duration of a second: the smaller one counts",
            duration(1_000.0),
            Doubted(1_000),
        ),
        ("no number", duration(f64::NAN), Agreed(7_500)),
        ("for ever", duration(f64::INFINITY), Agreed(7_500)),
        ("less than nothing", duration(-5.0), Agreed(7_500)),
        (
            "a duration that no integer holds",
            duration(1e300),
            Agreed(7_500),
        ),
        (
            "frames of a second, by their header alone",
            patched(clip(), FRAME, 0, 0, &second_long),
            Doubted(7_500),
        ),
        (
            "frames of no length",
            patched(clip(), FRAME, 0, 0, &[0; 4]),
            Doubted(7_500),
        ),
        (
            "units of sixteen milliseconds",
            patched(clip(), SCALE, 0, 0, &[0xff; 3]),
            Doubted(7_500),
        ),
        (
            "units of nothing",
            patched(clip(), SCALE, 0, 0, &[0; 3]),
            Doubted(0),
        ),
        (
            "a cluster in two months: as many frames as before",
            with_far_cluster(clip()),
            Doubted(7_500),
        ),
        ("all lie: the smallest lie counts", all_lie, Doubted(69_551)),
    ];
    check(rows, video).await;
}

const ALL: [u8; 4] = [0xff; 4];

/// The file with its last cluster far in the future.
fn with_far_cluster(bytes: Vec<u8>) -> Vec<u8> {
    let last = places(&bytes, CLUSTER).len() - 1;
    let at = places(&bytes, CLUSTER)[last];
    let clock = at + places(&bytes[at..], b"\xe7")[0];
    let width = usize::from(bytes[clock + 1] & 0x7f);
    let mut bytes = bytes;
    bytes[clock + 2..clock + 2 + width].fill(0xff);
    bytes
}

#[tokio::test]
async fn blocks_count_only_where_they_are() {
    let laced = with_blocks(clip(), |head| {
        head[3] |= 0x04;
        head[4] = 0xff;
    });
    let unknown_track = with_blocks(clip(), |head| head[0] = 0x9f);
    let backwards = with_blocks(clip(), |head| {
        head[1..3].copy_from_slice(&(-30_000i16).to_be_bytes())
    });
    let last = *places(&clip(), CLUSTER).last().unwrap();
    let first = places(&clip(), CLUSTER)[0];
    let rows: Vec<Row> = vec![
        ("256 frames in a block of a few bytes", laced, Doubted(250)),
        (
            "blocks of a track that is not there",
            unknown_track,
            Doubted(250),
        ),
        (
            "blocks that all begin at the same time",
            backwards,
            Doubted(7_500),
        ),
        (
            "cut off in the last cluster",
            clip()[..last + 200].to_vec(),
            Doubted(4_000),
        ),
        (
            "cut off before the first",
            clip()[..first].to_vec(),
            Unmeasured,
        ),
        (
            "a second film in the same file",
            [clip(), clip()].concat(),
            Doubted(7_500),
        ),
        (
            "a page behind the film",
            [clip(), b"<html>".to_vec()].concat(),
            Doubted(7_500),
        ),
    ];
    check(rows, video).await;
}

#[tokio::test]
async fn elements_of_any_size_depth_and_number_are_survived() {
    let head = clip()[..places(&clip(), b"\x18\x53\x80\x67")[0]].to_vec();
    let file = |segment: Vec<u8>| [head.clone(), ebml(b"\x18\x53\x80\x67", &segment)].concat();
    let nested = (0..2_000).fold(Vec::new(), |inner, _| ebml(CLUSTER, &inner));
    let groups = (0..2_000).fold(Vec::new(), |inner, _| ebml(b"\xa0", &inner));
    let open = [
        head.clone(),
        b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff".repeat(500),
    ]
    .concat();
    let tracks = ebml(
        b"\x16\x54\xae\x6b",
        &ebml(b"\xae", b"\xd7\x81\x01\x83\x81\x01").repeat(5_000),
    );
    let twice = ebml(
        b"\x15\x49\xa9\x66",
        b"\x44\x89\x84\x45\xea\x60\x00\x44\x89\x84\x45\xea\x60\x00",
    );
    let beyond = patched_all(clip(), CLUSTER, 0, b"\x01\xff\xff\xff\xff\xff\xff\xfe");
    let rows: Vec<Row> = vec![
        ("clusters in clusters", file(nested), Unmeasured),
        ("groups in groups", file(ebml(CLUSTER, &groups)), Unmeasured),
        ("segments of open size in each other", open, Unmeasured),
        ("five thousand tracks", file(tracks), Unmeasured),
        ("two durations and no film", file(twice), Unmeasured),
        (
            "a million empty elements",
            file(b"\xec\x80".repeat(1_000_000)),
            Unmeasured,
        ),
        ("a cluster of 2^56 bytes", beyond, Unmeasured),
        (
            "an index that lies is never asked",
            patched(clip(), b"\x1c\x53\xbb\x6b", 0, 1, &[0xec, 0x80]),
            Agreed(7_500),
        ),
        (
            "an id of no width",
            [head.clone(), vec![0; 64]].concat(),
            Unmeasured,
        ),
        ("nothing but a head", head.clone(), Unmeasured),
        ("half a head", head[..4].to_vec(), NotMedia),
    ];
    check(rows, video).await;
}
