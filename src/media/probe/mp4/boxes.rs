//! MP4 boxes: walking and decoding them within limits.
//!
//! Size, number and depth have limits, and an unknown box is no error; each box that matters is
//! decoded by `mp4_atom`.

use std::io::{self, Read, Seek};

use mp4_atom::{Atom, FourCC, Header};

use super::super::window::Window;

/// Most boxes looked at inside a `moov` or a `moof`.
pub(super) const BOXES_MAX: u32 = 10_000;

/// Deepest nesting of boxes.
pub(super) const DEPTH_MAX: u32 = 10;

/// Longest box header: size, kind, 64-bit size.
const HEADER_BYTES: usize = 16;

/// The file breaks a rule or a limit: none of its tracks is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Untrusted;

/// One of the file's outermost boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct OuterBox {
    pub(in super::super) kind: FourCC,
    pub(in super::super) body_at: u64,
    /// Where it ends by its own claim, which may lie behind the end of the file.
    pub(in super::super) end: u64,
}

/// The box at an offset; `None` where there is no header that makes sense.
///
/// # Errors
/// Only those of reading the file.
pub(in super::super) fn outer_box(
    file: &mut Window<'_, impl Read + Seek>,
    at: u64,
) -> io::Result<Option<OuterBox>> {
    let file_bytes = file.file_bytes();
    let bytes = file.at(at, HEADER_BYTES)?;
    let mut rest = bytes;
    let Ok(Some(header)) = decode_header(&mut rest) else {
        return Ok(None);
    };
    let body_at = at + (bytes.len() - rest.len()) as u64;
    let end = match header.size {
        Some(size) => body_at.checked_add(size as u64),
        None => Some(file_bytes),
    };
    Ok(end.map(|end| OuterBox {
        kind: header.kind,
        body_at,
        end,
    }))
}

fn decode_header(bytes: &mut &[u8]) -> Result<Option<Header>, Untrusted> {
    mp4_atom::DecodeMaybe::decode_maybe(bytes).map_err(|_| Untrusted)
}

/// Hands each box of a list to `enter`, counting them.
pub(super) fn each_child<'b>(
    mut rest: &'b [u8],
    boxes: &mut u32,
    mut enter: impl FnMut(FourCC, &'b [u8], &mut u32) -> Result<(), Untrusted>,
) -> Result<(), Untrusted> {
    // QuickTime ends some lists with four zero bytes.
    while rest.len() >= 8 {
        *boxes += 1;
        if *boxes > BOXES_MAX {
            return Err(Untrusted);
        }
        let header = decode_header(&mut rest)?.ok_or(Untrusted)?;
        let size = header.size.unwrap_or(rest.len());
        let (body, after) = rest.split_at_checked(size).ok_or(Untrusted)?;
        enter(header.kind, body, boxes)?;
        rest = after;
    }
    Ok(())
}

/// Decodes the body of one box.
pub(super) fn decode<T: Atom>(mut body: &[u8]) -> Result<T, Untrusted> {
    T::decode_body(&mut body).map_err(|_| Untrusted)
}
