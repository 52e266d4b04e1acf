//! Tags around sound: what stands before the first frame and behind the last, and is no sound.

use std::io::{self, Read, Seek};

use super::window::Window;

/// Most tags in a row.
const TAGS_MAX: u32 = 64;

/// Most zeros that may fill the gap between a tag and the sound.
const PADDING_BYTES_MAX: usize = 64 * 1024;

/// How tags behind the sound begin: ID3v1, APE, Lyrics3.
const TRAILERS: [&[u8]; 4] = [b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"3DI"];

/// Where the sound begins: behind all ID3v2 tags and the zeros that may follow them. A tag can be
/// larger than the sound; one that claims to end behind the file leaves nothing.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn behind_tags(file: &mut Window<'_, impl Read + Seek>, mut at: u64) -> io::Result<u64> {
    let begins_at = at;
    for _ in 0..TAGS_MAX {
        match id3_bytes(file.at(at, 10)?) {
            Some(bytes) => at += bytes,
            None => break,
        }
    }
    if at == begins_at {
        return Ok(at);
    }
    let gap = file.at(at, PADDING_BYTES_MAX)?;
    let zeros = gap.iter().take_while(|byte| **byte == 0).count();
    Ok(at + zeros as u64)
}

/// How many bytes an ID3v2 tag takes, by its head; its size has seven bits in each byte.
fn id3_bytes(head: &[u8]) -> Option<u64> {
    let [b'I', b'D', b'3', _, _, flags, size @ ..] = head else {
        return None;
    };
    let plain = size.len() == 4 && size.iter().all(|byte| *byte < 0x80);
    let body = size
        .iter()
        .fold(0, |body, byte| (body << 7) | u64::from(*byte));
    let footer = if flags & 0x10 != 0 { 10 } else { 0 };
    plain.then_some(10 + body + footer)
}

/// True where nothing is left, or a tag that ends the file, or zeros.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn only_tags_follow(
    file: &mut Window<'_, impl Read + Seek>,
    at: u64,
) -> io::Result<bool> {
    let left = file.file_bytes().saturating_sub(at);
    let rest = file.at(at, PADDING_BYTES_MAX)?;
    let is_tag = TRAILERS.iter().any(|tag| rest.starts_with(tag));
    let is_padding = rest.len() as u64 == left && rest.iter().all(|byte| *byte == 0);
    Ok(is_tag || is_padding)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn behind(bytes: &[u8]) -> u64 {
        let mut file = Cursor::new(bytes);
        behind_tags(&mut Window::new(&mut file, bytes.len() as u64), 0).unwrap()
    }

    #[test]
    fn tags_of_any_number_and_the_zeros_behind_them_are_passed_over() {
        assert_eq!(behind(b"\xff\xfb"), 0);
        assert_eq!(behind(b"\0\0\xff\xfb"), 0);
        assert_eq!(behind(b"ID3\x04\0\0\0\0\0\x02ab\xff"), 12);
        assert_eq!(
            behind(b"ID3\x04\0\0\0\0\0\x01aID3\x03\0\0\0\0\0\0\0\0\xff"),
            23
        );
        assert_eq!(behind(b"ID3\x04\0\x10\0\0\x01\0"), 10 + 128 + 10);
        // A size that is none.
        assert_eq!(behind(b"ID3\x04\0\0\xff\xff\xff\xff"), 0);
        assert_eq!(behind(b"ID3"), 0);
    }
}
