//! Ogg pages: the envelopes that packets of several streams come in.

use std::io::{self, Read, Seek};

use super::super::window::Window;

/// Bytes of a page header before its table of segments.
const HEADER_BYTES: usize = 27;

/// One page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) serial: u32,
    /// The packet that ended the page before goes on here.
    pub(super) is_continued: bool,
    /// The stream begins here.
    pub(super) is_first: bool,
    /// The position of the stream at the end of the last packet that ends here; `None` where none ends.
    pub(super) granule: Option<i64>,
    /// Lengths of the pieces of packets; a piece of 255 bytes goes on in the next.
    pub(super) segments: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// Bytes of the whole page.
    pub(super) bytes: u64,
}

/// The page at an offset; `None` where there is none that is whole.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn page(file: &mut Window<'_, impl Read + Seek>, at: u64) -> io::Result<Option<Page>> {
    // The last byte of the header says how long the table is, and the table how long the page is.
    let table_bytes = file
        .at(at, HEADER_BYTES)?
        .last()
        .map_or(0, |n| usize::from(*n));
    let head = file.at(at, HEADER_BYTES + table_bytes)?;
    let table = head.get(HEADER_BYTES..).unwrap_or_default();
    let body_bytes: usize = table.iter().map(|bytes| usize::from(*bytes)).sum();
    let page_bytes = head.len() + body_bytes;
    Ok(read(file.at(at, page_bytes)?))
}

fn read(bytes: &[u8]) -> Option<Page> {
    let head = bytes.get(..HEADER_BYTES)?;
    if !head.starts_with(b"OggS\0") {
        return None;
    }
    let number = |at: usize| {
        let four = head.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four))
    };
    let segments = bytes.get(HEADER_BYTES..HEADER_BYTES + usize::from(head[26]))?;
    let body_at = HEADER_BYTES + segments.len();
    let body_bytes: usize = segments.iter().map(|bytes| usize::from(*bytes)).sum();
    let body = bytes.get(body_at..body_at + body_bytes)?;
    let whole = bytes.get(..body_at + body_bytes)?;
    let granule = i64::from_le_bytes(head.get(6..14)?.try_into().ok()?);
    (checksum(whole) == number(22)?).then(|| Page {
        serial: number(14).unwrap_or(0),
        is_continued: head[5] & 1 != 0,
        is_first: head[5] & 2 != 0,
        granule: (granule != -1).then_some(granule),
        segments: segments.to_vec(),
        body: body.to_vec(),
        bytes: whole.len() as u64,
    })
}

/// One step of the checksum for each value of the top byte.
const STEPS: [u32; 256] = {
    let mut steps = [0; 256];
    let mut top = 0;
    while top < 256 {
        let mut crc = (top as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let carry = if crc >> 31 != 0 { 0x04c1_1db7 } else { 0 };
            crc = (crc << 1) ^ carry;
            bit += 1;
        }
        steps[top] = crc;
        top += 1;
    }
    steps
};

/// The checksum of a page, in which the checksum itself counts as zero.
fn checksum(page: &[u8]) -> u32 {
    page.iter().enumerate().fold(0, |crc, (at, byte)| {
        let byte = if (22..26).contains(&at) { 0 } else { *byte };
        (crc << 8) ^ STEPS[((crc >> 24) as u8 ^ byte) as usize]
    })
}
