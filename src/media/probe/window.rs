//! A file seen through a window: bytes by offset, with few reads and bounded memory.

use std::io::{self, Read, Seek, SeekFrom};

use super::read_up_to;

/// How much is read at once.
const WINDOW_BYTES: usize = 64 * 1024;

/// Reads anywhere in a file, keeping the last stretch that was read.
pub(super) struct Window<'f, F> {
    file: &'f mut F,
    file_bytes: u64,
    /// Offset of the first byte held.
    start: u64,
    held: Vec<u8>,
}

impl<'f, F: Read + Seek> Window<'f, F> {
    /// A window on a file of this length.
    pub(super) fn new(file: &'f mut F, file_bytes: u64) -> Self {
        Self {
            file,
            file_bytes,
            start: 0,
            held: Vec::new(),
        }
    }

    /// Length of the whole file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The bytes at an offset: as many as wanted, or fewer where the file ends.
    ///
    /// # Errors
    /// Only those of reading the file.
    pub(super) fn at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let left = self.file_bytes.saturating_sub(offset);
        let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
        let held_to = self.start + self.held.len() as u64;
        let is_held = offset >= self.start && offset + wanted as u64 <= held_to;
        if !is_held {
            self.file.seek(SeekFrom::Start(offset))?;
            self.held.resize(wanted.max(WINDOW_BYTES), 0);
            let read = read_up_to(self.file, &mut self.held)?;
            self.held.truncate(read);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.held.get(from..).unwrap_or_default();
        Ok(&rest[..wanted.min(rest.len())])
    }

    /// The next `N` bytes at an offset; `None` where the file has fewer.
    ///
    /// # Errors
    /// Only those of reading the file.
    pub(super) fn array<const N: usize>(&mut self, offset: u64) -> io::Result<Option<[u8; N]>> {
        Ok(self.at(offset, N)?.try_into().ok())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn bytes_come_from_anywhere_and_never_from_behind_the_end() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let mut file = Cursor::new(&bytes);
        let mut window = Window::new(&mut file, bytes.len() as u64);
        for (offset, wanted, given) in [
            (0, 4, 4),
            (65_530, 20, 20),
            (10, 4, 4),
            (199_998, 8, 2),
            (200_000, 1, 0),
            (u64::MAX, 9, 0),
            (5, 150_000, 150_000),
        ] {
            let from = usize::try_from(offset).unwrap();
            let expected = bytes.get(from..from.saturating_add(given));
            let found = window.at(offset, wanted).unwrap();
            assert_eq!(found, expected.unwrap_or_default(), "{offset}");
        }
        assert_eq!(window.array::<2>(256).unwrap(), Some([0, 1]));
        assert_eq!(window.array::<2>(199_999).unwrap(), None);
    }
}
