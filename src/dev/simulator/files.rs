//! The outputs of a generation: their names, and their bytes when someone asks for them.
//!
//! Files are made on demand and not kept: the same name gives the same bytes each time.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::generations::Generation;
use super::making::{Error, Kind, Wish, make};

/// Zeros that fill a file up to the size it claims.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Part of the second name of an output that is listed twice.
const AGAIN: &str = "again";

/// One output of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    /// Position among the outputs.
    pub(super) index: u32,
    /// The kind of file, as the content type says.
    pub(super) kind: Kind,
    wish: Wish,
    huge_bytes: Option<u64>,
    garbage: bool,
}

/// The names of all outputs, in the order of the list a caller gets.
pub(super) fn names(generation: &Generation) -> Vec<(String, u32)> {
    if generation.knobs.empty {
        return Vec::new();
    }
    let (id, extension) = (&generation.id, generation.kind.extension());
    let mut names: Vec<(String, u32)> = (0..generation.count)
        .map(|index| (format!("{id}.{index}.{extension}"), index))
        .collect();
    if generation.knobs.duplicate {
        names.insert(1, (format!("{id}.0.{AGAIN}.{extension}"), 0));
    }
    names
}

/// The generation's id within the name of a file.
pub(super) fn id_of(name: &str) -> &str {
    name.split_once('.').map_or(name, |(id, _)| id)
}

/// The output of that position.
pub(super) fn output(generation: &Generation, index: u32) -> Output {
    let knobs = &generation.knobs;
    Output {
        index,
        kind: generation.kind,
        wish: Wish {
            kind: generation.kind,
            length_ms: knobs.actual_ms.unwrap_or(generation.asked_ms),
            seed: generation
                .seed
                .wrapping_mul(16)
                .wrapping_add(u64::from(index)),
        },
        huge_bytes: knobs.huge_bytes,
        garbage: knobs.garbage,
    }
}

impl Output {
    /// Makes the file itself, without the filling of one that claims to be huge. Takes a while for long
    /// clips.
    pub(super) fn make(&self) -> Result<Bytes, Error> {
        if self.garbage {
            let text = format!("output {} is not what it says it is\n", self.index);
            return Ok(text.repeat(20).into());
        }
        make(self.wish).map(Bytes::from)
    }

    /// How many bytes the file claims to have, where that is not its true length.
    pub(super) fn claimed_bytes(&self) -> Option<u64> {
        self.huge_bytes
    }
}

/// A file cut or filled up with zeros to this many bytes.
pub(super) fn filled(mut file: Bytes, claimed_bytes: u64) -> impl Stream<Item = Bytes> {
    let own = usize::try_from(claimed_bytes)
        .unwrap_or(usize::MAX)
        .min(file.len());
    let missing = claimed_bytes - own as u64;
    let filling = stream::unfold(missing, |missing| async move {
        let piece = usize::try_from(missing)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        (piece > 0).then(|| (Bytes::from_static(&ZEROS[..piece]), missing - piece as u64))
    });
    file.truncate(own);
    stream::iter([file]).chain(filling)
}
