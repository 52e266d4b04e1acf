//! EBML, the grammar under Matroska: elements with an id, a size that may be open, and a body.

use std::io::{self, Read, Seek};

use super::super::window::Window;

/// Longest element header: an id of four bytes, a size of eight.
const HEADER_BYTES: usize = 12;

/// The header of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) id: u32,
    pub(super) body_at: u64,
    /// `None` where the writer left it open.
    pub(super) end: Option<u64>,
}

/// The element at an offset; `None` where there is no header that makes sense.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn element(
    file: &mut Window<'_, impl Read + Seek>,
    at: u64,
) -> io::Result<Option<Element>> {
    let bytes = file.at(at, HEADER_BYTES)?;
    Ok(header(bytes).and_then(|(id, size, header_bytes)| {
        let body_at = at.checked_add(header_bytes as u64)?;
        let end = match size {
            Some(size) => Some(body_at.checked_add(size)?),
            None => None,
        };
        Some(Element { id, body_at, end })
    }))
}

/// Id, size and length of a header.
fn header(bytes: &[u8]) -> Option<(u32, Option<u64>, usize)> {
    let id_bytes = width(*bytes.first()?)?;
    if id_bytes > 4 {
        return None;
    }
    let id = bytes
        .get(..id_bytes)?
        .iter()
        .fold(0u32, |id, byte| (id << 8) | u32::from(*byte));
    let (size, size_bytes) = number(bytes.get(id_bytes..)?)?;
    let is_open = size == (1u64 << (7 * size_bytes)) - 1;
    Some((id, (!is_open).then_some(size), id_bytes + size_bytes))
}

/// A number of variable length and how many bytes it takes.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let width = width(first)?;
    let value = u64::from(first) & ((1u64 << (8 - width)) - 1);
    let rest = bytes.get(1..width)?;
    let value = rest
        .iter()
        .fold(value, |value, byte| (value << 8) | u64::from(*byte));
    Some((value, width))
}

/// How many bytes a number takes, by the zeros it begins with.
fn width(first: u8) -> Option<usize> {
    let width = first.leading_zeros() as usize + 1;
    (width <= 8).then_some(width)
}

/// A body as an unsigned number; `None` above eight bytes.
pub(super) fn unsigned(body: &[u8]) -> Option<u64> {
    let value = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    (body.len() <= 8).then(|| body.iter().fold(0, value))
}

/// A body as a finite floating number above zero.
pub(super) fn positive_float(body: &[u8]) -> Option<f64> {
    let value = match body.len() {
        4 => f64::from(f32::from_be_bytes(body.try_into().ok()?)),
        8 => f64::from_be_bytes(body.try_into().ok()?),
        _ => return None,
    };
    (value.is_finite() && value > 0.0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_any_width_and_may_be_open() {
        type Case = (&'static [u8], Option<(u32, Option<u64>, usize)>);
        let table: [Case; 9] = [
            (b"\xa3\x85", Some((0xa3, Some(5), 2))),
            (b"\xec\x40\x02", Some((0xec, Some(2), 3))),
            (b"\x1f\x43\xb6\x75\xff", Some((0x1f43_b675, None, 5))),
            (
                b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
                Some((0x1853_8067, None, 12)),
            ),
            (
                b"\xa3\x01\xff\xff\xff\xff\xff\xff\xfe",
                Some((0xa3, Some((1 << 56) - 2), 9)),
            ),
            (b"", None),
            (b"\xa3", None),
            (b"\xa3\x40", None),
            (b"\x08\x53\x80\x67\x01\x80", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(header(bytes), expected, "{bytes:x?}");
        }
        assert_eq!(header(&[0; 12]), None);
    }

    #[test]
    fn bodies_become_numbers_only_where_they_are_some() {
        assert_eq!(unsigned(b""), Some(0));
        assert_eq!(unsigned(b"\x0f\x42\x40"), Some(1_000_000));
        assert_eq!(unsigned(&[1; 9]), None);
        assert_eq!(positive_float(&1.5f32.to_be_bytes()), Some(1.5));
        assert_eq!(positive_float(&7_500f64.to_be_bytes()), Some(7_500.0));
        for lie in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            assert_eq!(positive_float(&lie.to_be_bytes()), None, "{lie}");
        }
        assert_eq!(positive_float(b"\x01"), None);
    }
}
