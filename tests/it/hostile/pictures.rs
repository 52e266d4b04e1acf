//! Hostile pictures: giants, animations that lie, two kinds of file in one.

use meterline::domain::media::MediaKind;
use meterline::media::Error;

use super::Out::{Doubted, NotMedia, Unmeasured};
use super::{Row, check, probe, video};
use crate::support::files::{fixture, mp4_box, patched, patched_all};

#[tokio::test]
async fn moving_pictures_last_as_long_as_they_are_shown_once() {
    let (gif, png, webp) = (
        || fixture("moving.gif"),
        || fixture("moving.png"),
        || fixture("moving.webp"),
    );
    let control = b"\x21\xf9\x04";
    let most = u16::MAX.to_le_bytes();
    let rows: Vec<Row> = vec![
        ("a GIF has nothing to compare with", gif(), Doubted(2_000)),
        (
            "pictures of eleven minutes count a second each",
            patched_all(gif(), control, 1, &most),
            Doubted(20_000),
        ),
        (
            "pictures of no time are a tenth of a second",
            patched_all(gif(), control, 1, &[0; 2]),
            Doubted(2_000),
        ),
        (
            "for ever is once",
            patched(gif(), b"NETSCAPE2.0\x03\x01", 0, 0, &most),
            Doubted(2_000),
        ),
        (
            "a page behind it",
            [gif(), b"<html>".to_vec()].concat(),
            Doubted(2_000),
        ),
        ("a PNG", png(), Doubted(2_000)),
        (
            "a PNG that announces four billion pictures",
            patched(png(), b"acTL", 0, 0, &[0xff; 4]),
            Doubted(2_000),
        ),
        (
            "a PNG that announces five",
            patched(png(), b"acTL", 0, 0, &5u32.to_be_bytes()),
            Doubted(500),
        ),
        (
            "PNG pictures of eighteen hours",
            patched_all(png(), b"fcTL", 20, &[0xff, 0xff, 0, 1]),
            Doubted(20_000),
        ),
        (
            "PNG pictures of hundredths",
            patched_all(png(), b"fcTL", 20, &[0, 1, 0, 0]),
            Doubted(200),
        ),
        ("a WebP", webp(), Doubted(2_000)),
        (
            "WebP pictures of five hours",
            patched_all(webp(), b"ANMF", 16, &[0xff; 3]),
            Doubted(20_000),
        ),
        (
            "a GIF that ends in its first picture",
            gif()[..820].to_vec(),
            NotMedia,
        ),
    ];
    check(rows, video).await;
}

#[tokio::test]
async fn giants_are_not_unpacked_and_two_in_one_are_what_they_begin_as() {
    let still = || fixture("still.png");
    let giant = patched(
        still(),
        b"IHDR",
        0,
        0,
        &[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
    );
    let film = fixture("silent.mp4");
    let rows: Vec<Row> = vec![
        (
            "a picture of two billion by two billion dots",
            giant,
            Unmeasured,
        ),
        (
            "a picture with a film behind it",
            [still(), film.clone()].concat(),
            Unmeasured,
        ),
        (
            "a picture with a page behind it",
            [fixture("still.gif"), b"<script>".to_vec()].concat(),
            Unmeasured,
        ),
        (
            "a film with a picture behind it",
            [film, still()].concat(),
            Unmeasured,
        ),
        (
            "a film's brand on nothing",
            mp4_box(b"ftyp", b"avif\0\0\0\0"),
            NotMedia,
        ),
    ];
    check(rows, video).await;
}

#[tokio::test]
async fn stills_are_pictures_and_what_has_no_picture_in_it_is_none() {
    for name in ["still.gif", "still.jpg", "still.png", "still.webp"] {
        let whole = fixture(name);
        let measured = probe(&whole).await.unwrap();
        assert_eq!(measured.kind, MediaKind::Image, "{name}");
        assert_eq!((measured.video, measured.audio), (None, None), "{name}");
        // The same first bytes with nothing, with rubbish, with a page behind them.
        let rubbish = [&whole[..16], &[0x55; 500]].concat();
        let page = [
            &whole[..12],
            b"<html><body>this image has expired</body></html>",
        ]
        .concat();
        for bytes in [whole[..16].to_vec(), rubbish, page] {
            let refused = probe(&bytes).await;
            assert!(
                matches!(refused, Err(Error::NotMedia)),
                "{name}: {refused:?}"
            );
        }
    }
}
