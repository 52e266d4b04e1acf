//! Pictures, still and moving: GIF, PNG, WebP, JPEG and the ISO kinds.
//!
//! One picture is a still; several last as long as each is shown, once, however often they are to be
//! repeated. There is no second reading in these files, so their length is never agreed on. Pictures
//! are counted where their data are, and nothing is decompressed. A file that only begins like one and
//! has no picture in it is no media.

use std::io::{self, Read, Seek};

use crate::domain::media::{Measurement, MediaKind, Support, TrackLength};

use super::agree::proven;
use super::mp4::outer_box;
use super::window::Window;

/// Most blocks or chunks looked at in one file.
const BLOCKS_MAX: u32 = 20_000_000;

/// What a GIF picture is shown for where it says nothing or next to nothing, in milliseconds.
const GIF_PAUSE_MS: u64 = 100;

/// A still has no length.
const STILL: Measurement = Measurement {
    kind: MediaKind::Image,
    video: None,
    audio: None,
};

/// Pictures so far.
#[derive(Debug, Default)]
struct Shown {
    pictures: u64,
    micros: u64,
}

impl Shown {
    fn add(&mut self, micros: u64) {
        self.pictures += 1;
        self.micros = self.micros.saturating_add(micros);
    }

    /// What the file is: `None` without a picture.
    fn measurement(&self) -> Option<Measurement> {
        let length = TrackLength {
            ms: self.micros / 1_000,
            support: Support::Alone,
        };
        match self.pictures {
            0 => None,
            1 => Some(STILL),
            pictures => Some(Measurement {
                kind: MediaKind::Video,
                video: Some(proven(length, pictures)),
                audio: None,
            }),
        }
    }
}

/// What a GIF is; `None` without a picture.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn gif(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Option<Measurement>> {
    let mut shown = Shown::default();
    let Some(head) = file.array::<13>(0)? else {
        return Ok(None);
    };
    let mut at = 13 + colours(head[10]);
    let mut pause_ms = GIF_PAUSE_MS;
    for _ in 0..BLOCKS_MAX {
        let block = file.at(at, 10)?;
        match *block {
            // The control block of the picture that follows: flags, then hundredths of a second.
            [0x21, 0xf9, 4, _, low, high, ..] => {
                pause_ms = match u16::from_le_bytes([low, high]) {
                    0 | 1 => GIF_PAUSE_MS,
                    hundredths => u64::from(hundredths) * 10,
                };
                at += 2;
            }
            [0x21, ..] => at += 2,
            // Position and size, flags, own colours, code size.
            [0x2c, _, _, _, _, _, _, _, _, flags] => at += 10 + colours(flags) + 1,
            _ => break,
        }
        let is_picture = block.first() == Some(&0x2c);
        let Some((end, data_bytes)) = behind_sub_blocks(file, at)? else {
            break;
        };
        at = end;
        if is_picture && data_bytes > 0 {
            shown.add(pause_ms * 1_000);
            pause_ms = GIF_PAUSE_MS;
        }
    }
    Ok(shown.measurement())
}

/// Bytes of a table of colours, by the flags that announce it.
fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Where a chain of sub-blocks ends, and the bytes in them: each begins with its length, the last one
/// is empty. `None` where it does not end.
fn behind_sub_blocks(
    file: &mut Window<'_, impl Read + Seek>,
    mut at: u64,
) -> io::Result<Option<(u64, u64)>> {
    let mut data_bytes = 0;
    for _ in 0..BLOCKS_MAX {
        match file.at(at, 1)? {
            [] => return Ok(None),
            [0, ..] => return Ok(Some((at + 1, data_bytes))),
            [length, ..] => {
                data_bytes += u64::from(*length);
                at += 1 + u64::from(*length);
            }
        }
    }
    Ok(None)
}

/// What a PNG is; `None` without a picture.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn png(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Option<Measurement>> {
    let mut shown = Shown::default();
    // How many pictures are announced, and how long the one is shown whose data come next.
    let (mut announced, mut next_micros) = (0, None);
    let mut has_picture = false;
    let mut at = 8;
    for _ in 0..BLOCKS_MAX {
        let Some(head) = file.array::<8>(at)? else {
            break;
        };
        let size = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let end = at + 8 + size + 4;
        if end > file.file_bytes() {
            break;
        }
        let body = file.at(at + 8, 26)?;
        match &head[4..] {
            b"acTL" if body.len() >= 4 => {
                announced = u64::from(u32::from_be_bytes([body[0], body[1], body[2], body[3]]));
            }
            b"fcTL" if body.len() >= 24 => {
                let part = |at: usize| u64::from(u16::from_be_bytes([body[at], body[at + 1]]));
                let per_second = if part(22) == 0 { 100 } else { part(22) };
                next_micros = Some(part(20) * 1_000_000 / per_second);
            }
            b"IDAT" | b"fdAT" if size > 0 => {
                has_picture |= head.ends_with(b"IDAT");
                if let Some(micros) = next_micros.take().filter(|_| shown.pictures < announced) {
                    shown.add(micros);
                }
            }
            b"IEND" => break,
            _ => {}
        }
        at = end;
    }
    // A picture that is announced as none of an animation is a still.
    Ok(shown.measurement().or(has_picture.then_some(STILL)))
}

/// What a WebP is; `None` without a picture.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn webp(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Option<Measurement>> {
    /// Place, size, time and flags of a picture, before its data.
    const PICTURE_HEAD_BYTES: u64 = 16;
    let mut shown = Shown::default();
    let mut has_picture = false;
    let mut at = 12;
    for _ in 0..BLOCKS_MAX {
        let Some(head) = file.array::<8>(at)? else {
            break;
        };
        let size = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        let end = at + 8 + size;
        if end > file.file_bytes() {
            break;
        }
        if head.starts_with(b"ANMF") && size > PICTURE_HEAD_BYTES {
            let time = file.array::<3>(at + 8 + 12)?.unwrap_or_default();
            let ms = u32::from_le_bytes([time[0], time[1], time[2], 0]);
            shown.add(u64::from(ms) * 1_000);
        }
        let is_still = head.starts_with(b"VP8 ") || head.starts_with(b"VP8L");
        has_picture |= is_still && size > 0;
        at = end + size % 2;
    }
    Ok(shown.measurement().or(has_picture.then_some(STILL)))
}

/// What a JPEG is; `None` without a picture: a size and the beginning of its data, in this order.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn jpeg(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Option<Measurement>> {
    let mut has_size = false;
    let mut at = 2;
    for _ in 0..BLOCKS_MAX {
        let Some([0xff, marker, high, low]) = file.array::<4>(at)? else {
            break;
        };
        // Fill bytes may stand before a marker.
        if marker == 0xff {
            at += 1;
            continue;
        }
        let end = at + 2 + u64::from(u16::from_be_bytes([high, low]));
        match marker {
            0xda => {
                let is_there = has_size && end < file.file_bytes();
                return Ok(is_there.then_some(STILL));
            }
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => has_size = true,
            _ => {}
        }
        at = end;
    }
    Ok(None)
}

/// What an AVIF or HEIC is; `None` without a box that describes pictures.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn iso(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Option<Measurement>> {
    let (mut is_described, mut has_data) = (false, false);
    let mut at = 0;
    for _ in 0..BLOCKS_MAX {
        let Some(found) = outer_box(file, at)?.filter(|found| found.end <= file.file_bytes())
        else {
            break;
        };
        let is_empty = found.end == found.body_at;
        is_described |= !is_empty && matches!(found.kind.as_ref(), b"meta" | b"moov");
        has_data |= !is_empty && matches!(found.kind.as_ref(), b"mdat" | b"meta");
        at = found.end;
    }
    Ok((is_described && has_data).then_some(STILL))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const PICTURE: &[u8] = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0";

    macro_rules! ms {
        ($read:ident, $bytes:expr) => {{
            let bytes: &[u8] = &$bytes;
            let mut file = Cursor::new(bytes);
            let mut window = Window::new(&mut file, bytes.len() as u64);
            let measured = $read(&mut window).unwrap();
            measured.map(|measured| measured.video.map(|length| length.ms))
        }};
    }

    fn gif_of(pauses: &[u16]) -> Vec<u8> {
        let mut bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
        bytes.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\xff\xff\0");
        for pause in pauses {
            bytes.extend(b"\x21\xf9\x04\0");
            bytes.extend(pause.to_le_bytes());
            bytes.extend(b"\0\0");
            bytes.extend(PICTURE);
        }
        bytes.push(0x3b);
        bytes
    }

    fn png_of(announced: u32, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        let control = [&announced.to_be_bytes()[..], &[0; 4]].concat();
        for (kind, body) in [(b"acTL", &control[..])].iter().chain(chunks) {
            bytes.extend((body.len() as u32).to_be_bytes());
            bytes.extend(*kind);
            bytes.extend(*body);
            bytes.extend([0; 4]);
        }
        bytes
    }

    fn shown_for(num: u16, den: u16) -> Vec<u8> {
        [
            &[0; 20][..],
            &num.to_be_bytes(),
            &den.to_be_bytes(),
            &[0; 2],
        ]
        .concat()
    }

    fn webp_of(pictures: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x12\0\0\0\0\0\0\0\0\0".to_vec();
        for (ms, data) in pictures {
            bytes.extend(b"ANMF");
            bytes.extend((16 + data.len() as u32).to_le_bytes());
            bytes.extend([0; 12]);
            bytes.extend(&ms.to_le_bytes()[..3]);
            bytes.push(0);
            bytes.extend(*data);
            bytes.resize(bytes.len() + data.len() % 2, 0);
        }
        bytes
    }

    #[test]
    fn a_gif_is_shown_as_long_as_its_pictures_say() {
        assert_eq!(ms!(gif, gif_of(&[10])), Some(None));
        assert_eq!(ms!(gif, gif_of(&[10, 25])), Some(Some(350)));
        // Nothing and next to nothing are a tenth of a second, as players have it.
        assert_eq!(ms!(gif, gif_of(&[0, 1, 2])), Some(Some(220)));
        // Ten minutes a picture are a second a picture.
        assert_eq!(ms!(gif, gif_of(&[60_000, 60_000])), Some(Some(2_000)));
        let whole = gif_of(&[10, 10, 10]);
        assert_eq!(ms!(gif, whole[..whole.len() - 3]), Some(Some(200)));
        assert_eq!(ms!(gif, whole[..20]), None);
        assert_eq!(ms!(gif, *b"GIF89a"), None);
    }

    #[test]
    fn a_gif_picture_without_data_does_not_count() {
        let mut bytes = gif_of(&[10, 10]);
        bytes.pop();
        for _ in 0..1_000 {
            bytes.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\0");
        }
        assert_eq!(ms!(gif, bytes), Some(Some(200)));
    }

    #[test]
    fn a_png_is_shown_as_long_as_its_controls_say() {
        let (tenth, third) = (shown_for(1, 10), shown_for(1, 3));
        let data = (b"fdAT", &b"data"[..]);
        let both = [
            (b"fcTL", &tenth[..]),
            (b"IDAT", b"x"),
            (b"fcTL", &third),
            data,
        ];
        assert_eq!(ms!(png, png_of(2, &both)), Some(Some(433)));
        // Announced are fewer, or none.
        assert_eq!(ms!(png, png_of(1, &both)), Some(None));
        assert_eq!(ms!(png, png_of(0, &both)), Some(None));
        // The first picture is not part of it, and a control without data shows nothing.
        let apart = [
            (b"IDAT", &b"x"[..]),
            (b"fcTL", &tenth),
            data,
            (b"fcTL", &tenth),
            data,
            data,
            (b"fcTL", &tenth),
        ];
        assert_eq!(ms!(png, png_of(9, &apart)), Some(Some(200)));
        let hundredths = shown_for(50, 0);
        let same = [
            (b"fcTL", &hundredths[..]),
            data,
            (b"fcTL", &hundredths),
            data,
        ];
        assert_eq!(ms!(png, png_of(2, &same)), Some(Some(1_000)));
        assert_eq!(ms!(png, *b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR"), None);
    }

    #[test]
    fn a_webp_is_shown_as_long_as_its_pictures_say() {
        assert_eq!(ms!(webp, webp_of(&[(40, b"VP8 ")])), Some(None));
        assert_eq!(
            ms!(webp, webp_of(&[(40, b"VP8 x"), (60, b"VP8 ")])),
            Some(Some(100))
        );
        assert_eq!(
            ms!(webp, webp_of(&[(40, b"VP8 "), (60, b""), (60, b"")])),
            Some(None)
        );
        let hours = webp_of(&[(0xff_ffff, b"VP8 "), (0xff_ffff, b"VP8 ")]);
        assert_eq!(ms!(webp, hours), Some(Some(2_000)));
        let cut = webp_of(&[(40, b"VP8 "), (60, b"VP8 "), (60, b"VP8 ")]);
        assert_eq!(ms!(webp, cut[..cut.len() - 1]), Some(Some(100)));
    }
}
