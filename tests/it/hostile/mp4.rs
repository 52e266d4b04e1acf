//! Hostile MP4: in one piece, in fragments, and both.

use meterline::dev::simulator::making::{Kind, Wish, make};

use super::Out::{Agreed, Doubted, NotMedia, Unmeasured};
use super::{Row, check, video};
use crate::support::files::{fixture, mp4_box, patched, patched_all, places};

/// 7.5 s in 120 frames of 1,024 ticks, 16,384 ticks a second; index first, one chunk, then samples.
fn silent() -> Vec<u8> {
    fixture("silent.mp4")
}

const MANY: [u8; 4] = 0x7fff_ffff_u32.to_be_bytes();
const ALL: [u8; 4] = [0xff; 4];
const HOUR_MS: [u8; 4] = 3_600_000u32.to_be_bytes();

// Where fields stand behind the kinds of version-0 boxes.
const SCALE: usize = 12;
const DURATION: usize = 16;

#[tokio::test]
async fn headers_that_lie_never_lengthen_a_file_in_one_piece() {
    let hour_ticks = (3_600 * 16_384u32).to_be_bytes();
    let half_ticks = (60 * 1_024u32).to_be_bytes();
    let frame_of_30_s = (30 * 16_384u32).to_be_bytes();
    let all_lie = patched(silent(), b"mdhd", 0, DURATION, &hour_ticks);
    let all_lie = patched(all_lie, b"stts", 0, 12, &frame_of_30_s);
    let all_lie = patched(all_lie, b"elst", 0, 8, &HOUR_MS);
    let long_headers = make(Wish {
        kind: Kind::Video,
        length_ms: 3_000,
        seed: 1,
    })
    .unwrap();
    let rows: Vec<Row> = vec![
        ("nothing was changed", silent(), Agreed(7_500)),
        (
            "the movie's length is never asked for",
            patched(silent(), b"mvhd", 0, DURATION, &ALL),
            Agreed(7_500),
        ),
        (
            "without a movie clock the edit list says nothing",
            patched(silent(), b"mvhd", 0, SCALE, &[0; 4]),
            Agreed(7_500),
        ),
        (
            "a track's length is not known to its header",
            patched(silent(), b"mdhd", 0, DURATION, &ALL),
            Agreed(7_500),
        ),
        (
            "the header says an hour, the samples do not",
            patched(silent(), b"mdhd", 0, DURATION, &hour_ticks),
            Doubted(7_500),
        ),
        (
            "the header says half: the smaller one counts",
            patched(silent(), b"mdhd", 0, DURATION, &half_ticks),
            Doubted(3_750),
        ),
        (
            "nothing is divided by a clock of zero",
            patched(silent(), b"mdhd", 0, SCALE, &[0; 4]),
            Unmeasured,
        ),
        (
            "a slow clock stretches samples and header, not the edit list",
            patched(silent(), b"mdhd", 0, SCALE, &1u32.to_be_bytes()),
            Doubted(7_500),
        ),
        (
            "2^63 ticks in the header",
            patched(long_headers, b"mdhd", 0, 24, &(1u64 << 63).to_be_bytes()),
            Doubted(3_000),
        ),
        (
            "an hour of presentation",
            patched(silent(), b"elst", 0, 8, &HOUR_MS),
            Doubted(7_500),
        ),
        (
            "a second of presentation",
            patched(silent(), b"elst", 0, 8, &1_000u32.to_be_bytes()),
            Doubted(1_000),
        ),
        (
            "frames of 36 hours",
            patched(silent(), b"stts", 0, 12, &MANY),
            Doubted(7_500),
        ),
        (
            "header, samples and edit list agree on an hour: a second a frame",
            all_lie,
            Doubted(120_000),
        ),
        (
            "a track that is off is not played",
            patched(silent(), b"tkhd", 0, 0, &[0; 4]),
            Unmeasured,
        ),
    ];
    check(rows, video).await;
}

#[tokio::test]
async fn tables_that_count_what_is_not_there_are_believed_in_nothing() {
    let one = 1u32.to_be_bytes();
    let both = patched(patched(silent(), b"stts", 0, 8, &MANY), b"stsz", 0, 4, &one);
    let both = patched(both, b"stsz", 0, 8, &MANY);
    let free = patched(silent(), b"mdat", 0, 0, &[]);
    let mdat_at = places(&free, b"mdat")[0];
    let mut emptied = free.clone();
    emptied[mdat_at..mdat_at + 4].copy_from_slice(b"free");
    let mut short = emptied.clone();
    short.extend(mp4_box(b"mdat", &[0; 100]));
    let rows: Vec<Row> = vec![
        (
            "more samples in one table",
            patched(silent(), b"stts", 0, 8, &MANY),
            Unmeasured,
        ),
        ("2^31 samples in both tables", both, Unmeasured),
        (
            "four billion entries in the table of times",
            patched(silent(), b"stts", 0, 4, &ALL),
            Unmeasured,
        ),
        (
            "four billion sizes",
            patched(silent(), b"stsz", 0, 8, &ALL),
            Unmeasured,
        ),
        (
            "four billion chunks",
            patched(silent(), b"stco", 0, 4, &ALL),
            Unmeasured,
        ),
        (
            "the chunk begins behind the file",
            patched(silent(), b"stco", 0, 8, &MANY),
            Unmeasured,
        ),
        (
            "the chunk begins in the index",
            patched(silent(), b"stco", 0, 8, &[0; 4]),
            Unmeasured,
        ),
        ("no box of samples", emptied, Unmeasured),
        ("a box of samples too short for them", short, Unmeasured),
    ];
    check(rows, video).await;
}

#[tokio::test]
async fn boxes_of_any_size_depth_and_number_are_survived() {
    let size_of = |kind: &[u8], size: &[u8; 4]| {
        let mut bytes = silent();
        let at = places(&bytes, kind)[0] - 4;
        bytes[at..at + 4].copy_from_slice(size);
        bytes
    };
    let head = silent()[..32].to_vec();
    let nested = (0..1_000).fold(Vec::new(), |inner, _| mp4_box(b"mdia", &inner));
    let nested = [head.clone(), mp4_box(b"moov", &mp4_box(b"trak", &nested))].concat();
    let crowd = mp4_box(b"free", b"").repeat(20_000);
    let crowd = [head.clone(), mp4_box(b"moov", &crowd)].concat();
    let outer = [silent(), mp4_box(b"free", b"").repeat(500_000)].concat();
    let packed = [head.clone(), mp4_box(b"moov", &mp4_box(b"cmov", b"packed"))].concat();
    let mut endless = silent();
    let at = places(&endless, b"mdat")[0] - 4;
    endless[at..at + 4].copy_from_slice(&1u32.to_be_bytes());
    endless[at + 8..at + 16].fill(0xff);
    let rows: Vec<Row> = vec![
        (
            "size 0 is the rest of the file: the last box may have it",
            size_of(b"mdat", &[0; 4]),
            Agreed(7_500),
        ),
        (
            "an index of size 0 swallows the samples",
            size_of(b"moov", &[0; 4]),
            Unmeasured,
        ),
        (
            "size 1 without a long size that makes sense",
            size_of(b"moov", &1u32.to_be_bytes()),
            Unmeasured,
        ),
        (
            "a box shorter than its header",
            size_of(b"trak", &7u32.to_be_bytes()),
            Unmeasured,
        ),
        (
            "a box of four gigabytes",
            size_of(b"stbl", &ALL),
            Unmeasured,
        ),
        (
            "an outer box beyond the end",
            size_of(b"moov", &ALL),
            Unmeasured,
        ),
        ("samples of 2^64 bytes", endless, Unmeasured),
        ("a thousand boxes in each other", nested, Unmeasured),
        (
            "twenty thousand empty boxes in the index",
            crowd,
            Unmeasured,
        ),
        ("half a million empty boxes", outer, Unmeasured),
        ("a packed index", packed, Unmeasured),
        (
            "two indexes",
            [silent(), mp4_box(b"moov", b"")].concat(),
            Unmeasured,
        ),
        (
            "fragments that nobody announced",
            [silent(), mp4_box(b"moof", b"")].concat(),
            Unmeasured,
        ),
        (
            "an archive behind the film is no box",
            [silent(), b"PK\x03\x04 and more".to_vec()].concat(),
            Unmeasured,
        ),
        ("nothing but a head", head, Unmeasured),
    ];
    check(rows, video).await;
}

/// 7.5 s, a fragment each 16 frames, and an index of all segments.
fn indexed() -> Vec<u8> {
    fixture("indexed.mp4")
}

fn one_fragment() -> Vec<u8> {
    fixture("one-fragment.mp4")
}

/// A fragment of the only track: 2^31 samples that have neither times nor sizes of their own, before
/// 16 bytes of samples.
fn weightless(count: u32) -> Vec<u8> {
    let file = one_fragment();
    let moof_at = places(&file, b"moof")[0] - 4;
    let tfhd = mp4_box(
        b"tfhd",
        &[
            &[0, 2, 0, 0x18][..],
            &1u32.to_be_bytes(),
            &1_024u32.to_be_bytes(),
            &[0; 4],
        ]
        .concat(),
    );
    let tfdt = mp4_box(b"tfdt", &[0; 8]);
    let trun = mp4_box(b"trun", &[&[0; 4][..], &count.to_be_bytes()].concat());
    let moof = mp4_box(b"moof", &mp4_box(b"traf", &[tfhd, tfdt, trun].concat()));
    [&file[..moof_at], &moof, &mp4_box(b"mdat", &[0; 16])].concat()
}

#[tokio::test]
async fn fragments_count_only_where_their_samples_are() {
    let frame_of_days = |file, nth| patched(file, b"tfhd", nth, 8, &ALL);
    let mut endless = one_fragment();
    let at = places(&endless, b"tfhd")[0] + 4 + 16;
    endless[at..at + 4].fill(0xff);
    let first = indexed();
    let first_at = places(&first, b"moof")[0] - 4;
    let fragments = first[first_at..].to_vec();
    let (cut, tail) = (indexed(), b"\0\0\0\0mfra");
    let whole = places(&cut, tail).first().map_or(cut.len(), |at| *at);
    let mdat_at = *places(&cut, b"mdat").last().unwrap();
    let early = indexed()[..places(&indexed(), b"moof")[0] - 4].to_vec();
    let rows: Vec<Row> = vec![
        ("nothing was changed", indexed(), Agreed(7_500)),
        (
            "one fragment has nothing to compare with",
            one_fragment(),
            Doubted(7_500),
        ),
        (
            "2^31 samples without a size before 16 bytes",
            weightless(0x7fff_ffff),
            Unmeasured,
        ),
        ("17 samples before 16 bytes", weightless(17), Unmeasured),
        (
            "16 samples before 16 bytes: that can be",
            weightless(16),
            Doubted(1_000),
        ),
        (
            "a run with more entries than its box",
            patched(indexed(), b"trun", 3, 4, &ALL),
            Doubted(6_500),
        ),
        (
            "a run of fewer entries",
            patched(indexed(), b"trun", 7, 4, &1u32.to_be_bytes()),
            Doubted(7_062),
        ),
        (
            "frames of three days in one fragment: its clock and the index know better",
            frame_of_days(indexed(), 2),
            Doubted(7_500),
        ),
        (
            "frames of three days and nothing to compare with: a second a frame",
            endless,
            Doubted(120_000),
        ),
        (
            "a fragment that begins in ages",
            patched(indexed(), b"tfdt", 7, 4, &(1u64 << 63).to_be_bytes()),
            Doubted(7_500),
        ),
        (
            "fragments that all begin at the same time",
            patched_all(indexed(), b"tfdt", 4, &[0; 8]),
            Doubted(0),
        ),
        (
            "an index of hours",
            patched(indexed(), b"sidx", 0, 36, &ALL),
            Doubted(7_500),
        ),
        (
            "an index of less",
            patched(indexed(), b"sidx", 0, 36, &[0; 4]),
            Doubted(6_500),
        ),
        (
            "an index of an index says nothing, and clock and sum agree",
            patched(indexed(), b"sidx", 0, 32, &[0x80]),
            Agreed(7_500),
        ),
        (
            "the same fragments again",
            [indexed(), fragments].concat(),
            Doubted(7_241),
        ),
        (
            "cut off in the last samples",
            cut[..mdat_at + 30].to_vec(),
            Doubted(7_000),
        ),
        (
            "cut off by one byte",
            cut[..whole.min(cut.len()) - 1].to_vec(),
            Doubted(7_500),
        ),
        ("an index and no fragment", early, Unmeasured),
        (
            "another track's fragments",
            patched_all(indexed(), b"tfhd", 4, &7u32.to_be_bytes()),
            Unmeasured,
        ),
    ];
    check(rows, video).await;
}

#[tokio::test]
async fn hybrids_are_the_index_and_the_fragments_and_no_more() {
    let hybrid = || fixture("hybrid.mp4");
    let second = |nth: usize| places(&hybrid(), b"moof")[nth] - 4;
    let rows: Vec<Row> = vec![
        ("nothing was changed", hybrid(), Agreed(7_500)),
        (
            "cut off between two fragments: the clock still agrees",
            hybrid()[..second(2)].to_vec(),
            Agreed(3_000),
        ),
        (
            "cut off behind the index: what is listed is there",
            hybrid()[..second(0)].to_vec(),
            Agreed(1_000),
        ),
        (
            "cut off inside a fragment's box",
            hybrid()[..second(2) + 20].to_vec(),
            Doubted(3_000),
        ),
        (
            "the index's table lies: nothing is believed",
            patched(hybrid(), b"stts", 0, 8, &MANY),
            Unmeasured,
        ),
    ];
    check(rows, video).await;
}

#[tokio::test]
async fn no_cut_anywhere_lengthens_a_film() {
    for (name, most_ms) in [
        ("silent.mp4", 7_500),
        ("indexed.mp4", 7_500),
        ("hybrid.mp4", 7_500),
        ("classic.mov", 7_500),
    ] {
        let whole = fixture(name);
        for at in (1..whole.len()).step_by(whole.len() / 25) {
            match super::probe(&whole[..at]).await {
                Ok(measured) => {
                    let ms = measured.video.map_or(0, |track| track.ms);
                    assert!(ms <= most_ms, "{name} cut at {at}: {ms}");
                }
                Err(meterline::media::Error::NotMedia) => assert!(at < 16, "{name} cut at {at}"),
                Err(error) => panic!("{name} cut at {at}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_film_is_none_whatever_its_name() {
    let rows: Vec<Row> = vec![
        (
            "a page",
            b"<!DOCTYPE html><title>Expired</title>".to_vec(),
            NotMedia,
        ),
        (
            "an error",
            b"{\"error\":{\"message\":\"expired\"}}".to_vec(),
            NotMedia,
        ),
        ("nothing", Vec::new(), NotMedia),
        ("zeros", vec![0; 4_096], NotMedia),
        ("one byte", vec![0xff], NotMedia),
        (
            "a page that says film where films do",
            b"<!--ftypisom--><html>".to_vec(),
            NotMedia,
        ),
        (
            "a page behind a film's head",
            [&b"\0\0\0\x14ftypisom\0\0\0\0isom"[..], b"<html>"].concat(),
            Unmeasured,
        ),
        (
            "a page behind the first box alone",
            [&mp4_box(b"moov", b"<html>")[..], b"<html>"].concat(),
            Unmeasured,
        ),
    ];
    check(rows, video).await;
}
