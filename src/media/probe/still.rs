//! Still pictures: whether they are still. An animation has a length, and that length is not measured.

use std::io::{self, Read};

use crate::domain::media::MediaKind;

use super::super::sniff::Container;

/// How much of a file is looked at: the marks of an animation stand near the beginning, except in GIF,
/// where they stand behind the first picture.
const LOOK_BYTES: u64 = 16 * 1024 * 1024;

/// [`MediaKind::Image`] for a still, [`MediaKind::Video`] for an animation.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn kind(container: Container, file: &mut impl Read) -> io::Result<MediaKind> {
    let mut bytes = Vec::new();
    file.take(LOOK_BYTES).read_to_end(&mut bytes)?;
    let animated = match container {
        Container::Png => png_is_animated(&bytes),
        Container::Gif => gif_is_animated(&bytes).unwrap_or(false),
        Container::Webp => webp_is_animated(&bytes),
        Container::Mp4
        | Container::Mov
        | Container::Webm
        | Container::Mkv
        | Container::Avi
        | Container::Wav
        | Container::Mp3
        | Container::Flac
        | Container::Ogg
        | Container::Aac
        | Container::Aiff
        | Container::Jpeg
        | Container::Avif
        | Container::Heic => false,
    };
    Ok(if animated {
        MediaKind::Video
    } else {
        MediaKind::Image
    })
}

/// An `acTL` chunk before the picture's data makes a PNG an animation.
fn png_is_animated(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((head, after)) = rest.split_at_checked(8) {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        match &head[4..] {
            b"acTL" => return true,
            b"IDAT" => return false,
            _ => rest = after.get(size.saturating_add(4)..).unwrap_or_default(),
        }
    }
    false
}

/// The extended header of a WebP has a flag for animations.
fn webp_is_animated(bytes: &[u8]) -> bool {
    let extended = bytes.get(12..16) == Some(b"VP8X");
    extended && bytes.get(20).is_some_and(|flags| flags & 0x02 != 0)
}

/// A GIF with a second picture is an animation. `None` where the file ends before that is known.
fn gif_is_animated(bytes: &[u8]) -> Option<bool> {
    let colours = |flags: u8| {
        if flags & 0x80 == 0 {
            0
        } else {
            3 << ((flags & 7) + 1)
        }
    };
    let mut at = 13 + colours(*bytes.get(10)?);
    let mut pictures = 0;
    loop {
        match bytes.get(at)? {
            // Extension: label, then sub-blocks.
            0x21 => at = after_sub_blocks(bytes, at + 2)?,
            // Picture: position and size, flags, own colours, code size, then sub-blocks.
            0x2c => {
                pictures += 1;
                if pictures > 1 {
                    return Some(true);
                }
                let flags = *bytes.get(at + 9)?;
                at = after_sub_blocks(bytes, at + 10 + colours(flags) + 1)?;
            }
            _ => return Some(false),
        }
    }
}

/// Where a chain of sub-blocks ends: each begins with its length, the last one is empty.
fn after_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0";

    fn gif(pictures: usize) -> Vec<u8> {
        let mut bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
        bytes.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0");
        for _ in 0..pictures {
            bytes.extend(b"\x21\xf9\x04\0\x0a\0\0\0");
            bytes.extend(PICTURE);
        }
        bytes.push(0x3b);
        bytes
    }

    fn is_animated(container: Container, bytes: &[u8]) -> bool {
        kind(container, &mut &*bytes).unwrap() == MediaKind::Video
    }

    #[test]
    fn a_gif_with_a_second_picture_is_no_still() {
        assert!(!is_animated(Container::Gif, &gif(1)));
        assert!(is_animated(Container::Gif, &gif(2)));
        assert!(!is_animated(Container::Gif, &gif(2)[..20]));
    }

    #[test]
    fn a_png_with_a_control_chunk_is_no_still() {
        let head = b"\x89PNG\r\n\x1a\n\0\0\0\x02IHDRab----".to_vec();
        let still = [&head[..], b"\0\0\0\0IDAT----\0\0\0\x08acTL"].concat();
        let animated = [&head[..], b"\0\0\0\x08acTL"].concat();
        assert!(!is_animated(Container::Png, &still));
        assert!(is_animated(Container::Png, &animated));
        assert!(!is_animated(
            Container::Png,
            b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR"
        ));
    }

    #[test]
    fn a_webp_says_so_in_its_extended_header() {
        assert!(is_animated(
            Container::Webp,
            b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x12\0\0\0"
        ));
        assert!(!is_animated(
            Container::Webp,
            b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0"
        ));
        assert!(!is_animated(
            Container::Webp,
            b"RIFF\0\0\0\0WEBPVP8 \x0a\0\0\0\x12\0\0\0"
        ));
    }
}
