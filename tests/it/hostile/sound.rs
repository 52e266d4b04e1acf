//! Hostile sound: counts, positions and rates that lie, tags of any size, other things behind it.

use super::Out::{Agreed, Doubted, NotMedia, Unmeasured};
use super::{Row, audio, check};
use crate::support::files::{fixture, ogg_pages, ogg_sealed, patched, places};

const ALL: [u8; 4] = [0xff; 4];

/// An ID3v2 tag with a body of so many bytes, or with a claim of its own.
fn id3(body: usize, claim: Option<u32>) -> Vec<u8> {
    let size = claim.unwrap_or(body as u32);
    let seven = |shift: u32| (size >> shift & 0x7f) as u8;
    let head = [
        b'I',
        b'D',
        b'3',
        4,
        0,
        0,
        seven(21),
        seven(14),
        seven(7),
        seven(0),
    ];
    [&head[..], &vec![b'x'; body]].concat()
}

#[tokio::test]
async fn mp3_frames_are_counted_whatever_is_said_of_them() {
    let xing = || fixture("xing.mp3");
    let plain = || fixture("constant.mp3");
    // The number of frames stands behind the word and its flags.
    let announcing = |frames: u32| patched(xing(), b"Info", 0, 4, &frames.to_be_bytes());
    let half = plain().len() / 2;
    let lyrics = [&b"LYRICSBEGIN"[..], &[b'a'; 5_000], b"005011LYRICS200"].concat();
    let id3v1 = [&b"TAG"[..], &[b' '; 125]].concat();
    let rows: Vec<Row> = vec![
        ("nothing was changed", xing(), Agreed(7_596)),
        ("no announcement, one bitrate", plain(), Agreed(7_596)),
        (
            "no announcement, many bitrates: nothing to compare with",
            fixture("variable.mp3"),
            Doubted(7_596),
        ),
        (
            "four billion frames announced",
            announcing(u32::MAX),
            Doubted(7_596),
        ),
        ("ten frames announced", announcing(10), Doubted(360)),
        ("an unknown number announced", announcing(0), Doubted(7_596)),
        (
            "a tag twenty times larger than the sound",
            [id3(300_000, None), plain()].concat(),
            Agreed(7_596),
        ),
        (
            "tags in a row",
            [id3(10, None), id3(0, None), id3(900, None), plain()].concat(),
            Agreed(7_596),
        ),
        (
            "a tag larger than the file",
            [id3(10, Some(0x0fff_ffff)), plain()].concat(),
            Unmeasured,
        ),
        (
            "a page behind a tag",
            [id3(10, None), b"<html>not found</html>".to_vec()].concat(),
            Unmeasured,
        ),
        (
            "tags behind the sound",
            [plain(), lyrics.clone(), id3v1.clone()].concat(),
            Agreed(7_596),
        ),
        (
            "a tag that hides more sound behind it",
            [plain(), id3v1, plain()].concat(),
            Agreed(7_596),
        ),
        (
            "a page behind the sound",
            [plain(), b"<html>".to_vec()].concat(),
            Doubted(7_596),
        ),
        (
            "a page in the middle",
            [&plain()[..half], b"<html>", &plain()[half..]].concat(),
            Doubted(3_816),
        ),
        (
            "the last frame is cut off",
            plain()[..plain().len() - 1].to_vec(),
            Doubted(7_560),
        ),
        (
            "cut to less than a frame",
            plain()[..20].to_vec(),
            Unmeasured,
        ),
        (
            "ten thousand sync words are no frames",
            [0xff, 0xfb].repeat(10_000),
            NotMedia,
        ),
    ];
    check(rows, audio).await;
}

#[tokio::test]
async fn flac_frames_are_counted_whatever_the_header_says() {
    let flac = || fixture("sound.flac");
    // Rate, channels, bits and number of samples share the eight bytes behind sizes of blocks and frames.
    let word = u64::from_be_bytes(flac()[18..26].try_into().unwrap());
    let header = |word: u64| {
        let mut bytes = flac();
        bytes[18..26].copy_from_slice(&word.to_be_bytes());
        bytes
    };
    let samples = |samples: u64| header(word & !0xf_ffff_ffff | samples);
    let rate = |hz: u64| header(word & (u64::MAX >> 20) | hz << 44);
    let middle = flac().len() - 1_000;
    let rows: Vec<Row> = vec![
        ("nothing was changed", flac(), Agreed(750)),
        (
            "two months of samples announced",
            samples(0xf_ffff_ffff),
            Doubted(750),
        ),
        ("an unknown number announced", samples(0), Doubted(750)),
        ("half announced", samples(3_000), Doubted(375)),
        (
            "a slower rate in the header, which the frames deny",
            rate(4_000),
            Doubted(750),
        ),
        ("a sample a second", rate(1), Unmeasured),
        ("no rate", rate(0), Unmeasured),
        (
            "the last frame is cut off",
            flac()[..flac().len() - 1].to_vec(),
            Doubted(704),
        ),
        ("no frames", flac()[..42].to_vec(), Unmeasured),
        (
            "a block of metadata beyond the end",
            patched(flac(), b"fLaC", 0, 1, &[0xff; 3]),
            Unmeasured,
        ),
        (
            "a page in the middle: frames of FLAC do not say where they end",
            [&flac()[..middle], b"<html>", &flac()[middle..]].concat(),
            Agreed(750),
        ),
        (
            "a tag before it",
            [id3(1_000, None), flac()].concat(),
            Agreed(750),
        ),
        (
            "the same frames again",
            [flac(), flac()[flac().len() - 2_000..].to_vec()].concat(),
            Doubted(704),
        ),
    ];
    check(rows, audio).await;
}

#[tokio::test]
async fn ogg_positions_count_only_as_far_as_packets_go() {
    let opus = || fixture("sound.opus");
    let vorbis = || fixture("sound.ogg");
    let last = |bytes: &[u8]| *ogg_pages(bytes).last().unwrap();
    let ending_at = |bytes: Vec<u8>, granule: i64| {
        let at = last(&bytes);
        let mut bytes = bytes;
        bytes[at + 6..at + 14].copy_from_slice(&granule.to_le_bytes());
        ogg_sealed(bytes)
    };
    let mut spoiled = opus();
    let spoiled_at = last(&spoiled) + 100;
    spoiled[spoiled_at] ^= 1;
    let pages = ogg_pages(&opus());
    let mut lacking = opus();
    lacking.drain(pages[3]..pages[4]);
    let mut stray = opus();
    stray[pages[4] + 14] ^= 1;
    let skip = ogg_sealed(patched(opus(), b"OpusHead", 0, 2, &[0xff, 0xff]));
    let slow = ogg_sealed(patched(vorbis(), b"\x01vorbis", 0, 5, &1u32.to_le_bytes()));
    let rows: Vec<Row> = vec![
        ("nothing was changed", opus(), Agreed(7_500)),
        ("Vorbis", vorbis(), Agreed(7_500)),
        ("FLAC in Ogg", fixture("flac.ogg"), Agreed(750)),
        (
            "two streams in a row",
            [opus(), opus()].concat(),
            Agreed(15_000),
        ),
        (
            "two kinds of stream in a row",
            [opus(), vorbis()].concat(),
            Agreed(15_000),
        ),
        (
            "a position in ages",
            ending_at(opus(), i64::MAX),
            Doubted(7_513),
        ),
        (
            "a position in ages, Vorbis",
            ending_at(vorbis(), 1 << 62),
            Doubted(7_520),
        ),
        (
            "a position before the beginning",
            ending_at(opus(), -5),
            Doubted(7_513),
        ),
        (
            "a position half way",
            ending_at(opus(), 180_312),
            Doubted(3_750),
        ),
        ("a bad checksum ends it", spoiled, Doubted(6_993)),
        (
            "a page is missing: its packets do not count",
            lacking,
            Doubted(6_513),
        ),
        (
            "a page of another stream that never began",
            ogg_sealed(stray),
            Doubted(1_993),
        ),
        ("more to skip than a second", skip, Agreed(6_141)),
        ("a sample a second", slow, Unmeasured),
        (
            "a page behind it",
            [opus(), b"<html>".to_vec()].concat(),
            Doubted(7_500),
        ),
        (
            "nothing but a beginning",
            opus()[..pages[1]].to_vec(),
            Unmeasured,
        ),
        (
            "a million beginnings",
            opus()[..pages[1]].repeat(20_000),
            Unmeasured,
        ),
    ];
    check(rows, audio).await;
}

#[tokio::test]
async fn plain_sound_counts_as_far_as_its_bytes_go() {
    let wav = || fixture("sound.wav");
    let aiff = || fixture("sound.aiff");
    let data = |size: &[u8; 4]| patched(wav(), b"data", 0, 0, size);
    let rows: Vec<Row> = vec![
        ("nothing was changed", wav(), Agreed(750)),
        (
            "four gigabytes announced, and not as unknown",
            data(&0xffff_fffe_u32.to_le_bytes()),
            Doubted(750),
        ),
        ("an open size", data(&ALL), Doubted(750)),
        ("half announced", data(&6_000u32.to_le_bytes()), Agreed(375)),
        (
            "a whole of no bytes is never asked",
            patched(wav(), b"RIFF", 0, 0, &[0; 4]),
            Agreed(750),
        ),
        (
            "half the bytes a second in one of two fields",
            patched(wav(), b"fmt ", 0, 12, &8_000u32.to_le_bytes()),
            Doubted(750),
        ),
        (
            "a sample a second",
            patched(wav(), b"fmt ", 0, 8, &1u32.to_le_bytes()),
            Unmeasured,
        ),
        (
            "samples of no bytes",
            patched(wav(), b"fmt ", 0, 16, &[0; 2]),
            Unmeasured,
        ),
        (
            "a kind that is packed",
            patched(wav(), b"fmt ", 0, 4, &[0x55, 0]),
            Unmeasured,
        ),
        (
            "cut off",
            wav()[..wav().len() - 4_000].to_vec(),
            Doubted(500),
        ),
        ("nothing but a head", wav()[..12].to_vec(), Unmeasured),
        ("AIFF", aiff(), Agreed(750)),
        (
            "AIFF that counts four billion frames",
            patched(aiff(), b"COMM", 0, 6, &ALL),
            Doubted(750),
        ),
        (
            "AIFF that announces four gigabytes",
            patched(aiff(), b"SSND", 0, 0, &ALL),
            Agreed(750),
        ),
        (
            "AIFF, cut off",
            aiff()[..aiff().len() - 4_000].to_vec(),
            Doubted(500),
        ),
        (
            "AAC has frames and nothing to compare with",
            fixture("sound.aac"),
            Doubted(7_530),
        ),
        (
            "AAC with a page behind it",
            [fixture("sound.aac"), b"<html>".to_vec()].concat(),
            Doubted(7_530),
        ),
        (
            "AAC behind a tag",
            [id3(50, None), fixture("sound.aac")].concat(),
            Doubted(7_530),
        ),
    ];
    assert_eq!(places(&wav(), b"data").len(), 1);
    check(rows, audio).await;
}
