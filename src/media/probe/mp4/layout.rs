//! The outermost boxes of an MP4: where the index, the fragments and the samples are.

use std::io::{self, Read, Seek};

use mp4_atom::Sidx;

use super::super::window::Window;
use super::boxes::{OuterBox, Untrusted, decode, outer_box};

/// Largest `moov` that is read into memory.
const MOOV_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Largest `moof` or `sidx` that is read into memory.
const PART_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Most outermost boxes: some writers make a fragment of every frame.
const OUTER_BOXES_MAX: usize = 400_000;

/// Most segment indexes that are kept.
const INDEXES_MAX: usize = 10_000;

/// A stretch of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Stretch {
    fn bytes(self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

/// Where a fragment is, and how many bytes of samples come before the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct FragmentPlace {
    pub(super) moof: Stretch,
    pub(super) media_bytes: u64,
}

/// What the walk over a file's outermost boxes found.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) moov: Vec<u8>,
    /// The bodies of all `mdat` boxes, in the order of the file.
    pub(super) media: Vec<Stretch>,
    /// Bytes of samples before the first fragment.
    pub(super) media_bytes: u64,
    pub(super) fragments: Vec<FragmentPlace>,
    pub(super) indexes: Vec<Sidx>,
    /// The last box runs over the end of the file, or what stands there is no box.
    pub(super) is_cut: bool,
}

/// Walks over a whole file.
///
/// # Errors
/// Those of reading the file; [`Untrusted`] where it breaks a rule or a limit.
pub(super) fn scan(
    file: &mut Window<'_, impl Read + Seek>,
) -> io::Result<Result<Layout, Untrusted>> {
    let mut layout = Layout::default();
    let mut at: u64 = 0;
    let mut boxes = 0;
    // Fewer bytes than a header at the end are padding.
    while file.file_bytes() - at >= 8 {
        let Some(found) = outer_box(file, at)? else {
            layout.is_cut = true;
            break;
        };
        boxes += 1;
        if boxes > OUTER_BOXES_MAX || layout.take(file, found)?.is_err() {
            return Ok(Err(Untrusted));
        }
        if layout.is_cut {
            break;
        }
        at = found.end;
    }
    let is_usable = !layout.moov.is_empty() && (!layout.is_cut || !layout.fragments.is_empty());
    Ok(if is_usable {
        Ok(layout)
    } else {
        Err(Untrusted)
    })
}

impl Layout {
    /// Takes in one box. Only samples may be cut off by the end of the file, and only in fragments:
    /// the index of a file in one piece counts on all of them.
    fn take(
        &mut self,
        file: &mut Window<'_, impl Read + Seek>,
        found: OuterBox,
    ) -> io::Result<Result<(), Untrusted>> {
        self.is_cut = found.end > file.file_bytes();
        let body = Stretch {
            from: found.body_at,
            to: found.end.min(file.file_bytes()),
        };
        match found.kind.as_ref() {
            b"mdat" => self.add_media(body),
            _ if self.is_cut => {}
            b"moov" if self.moov.is_empty() && self.fragments.is_empty() => {
                match read(file, body, MOOV_BYTES_MAX)? {
                    Some(moov) => self.moov = moov,
                    None => return Ok(Err(Untrusted)),
                }
            }
            b"moof" if !self.moov.is_empty() && body.bytes() <= PART_BYTES_MAX => {
                self.fragments.push(FragmentPlace {
                    moof: body,
                    media_bytes: 0,
                });
            }
            // Two indexes would let two readers see two lengths, and fragments mean nothing before one.
            b"moov" | b"moof" => return Ok(Err(Untrusted)),
            b"sidx" if self.indexes.len() < INDEXES_MAX => {
                let index = read(file, body, PART_BYTES_MAX)?;
                if let Some(Ok(index)) = index.map(|body| decode(&body)) {
                    self.indexes.push(index);
                }
            }
            _ => {}
        }
        Ok(Ok(()))
    }

    fn add_media(&mut self, body: Stretch) {
        self.media.push(body);
        let media_bytes = match self.fragments.last_mut() {
            Some(fragment) => &mut fragment.media_bytes,
            None => &mut self.media_bytes,
        };
        *media_bytes += body.bytes();
    }

    /// True where a sample may begin at this offset.
    pub(super) fn holds_samples_at(&self, offset: u64) -> bool {
        let behind = self.media.partition_point(|body| body.from <= offset);
        let before = behind.checked_sub(1).and_then(|n| self.media.get(n));
        before.is_some_and(|body| offset < body.to)
    }
}

/// A stretch as bytes; `None` where it is longer than allowed.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn read(
    file: &mut Window<'_, impl Read + Seek>,
    stretch: Stretch,
    bytes_max: u64,
) -> io::Result<Option<Vec<u8>>> {
    let fits = stretch.bytes() <= bytes_max;
    let bytes = usize::try_from(stretch.bytes()).unwrap_or(usize::MAX);
    fits.then(|| file.at(stretch.from, bytes).map(<[u8]>::to_vec))
        .transpose()
}

/// The body of one fragment.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn read_fragment(
    file: &mut Window<'_, impl Read + Seek>,
    place: FragmentPlace,
) -> io::Result<Vec<u8>> {
    Ok(read(file, place.moof, PART_BYTES_MAX)?.unwrap_or_default())
}
