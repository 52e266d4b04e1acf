//! MP4 and QuickTime: the lengths of the tracks, in one piece, in fragments, or both.
//!
//! A file in one piece that is cut off anywhere is not measured: its index counts on all samples. Of a
//! file in fragments those count that are there. A compressed or oversized `moov` is not measured.

mod boxes;
mod fragments;
mod layout;
mod movie;
mod track;

use std::io::{self, Read, Seek};

use crate::domain::media::{Measurement, MediaKind};

use super::window::Window;
use boxes::Untrusted;
pub(super) use boxes::outer_box;
use fragments::Summing;

/// Measures an MP4 or QuickTime file.
///
/// # Errors
/// Only those of reading the file.
pub(super) fn measure(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Measurement> {
    Ok(trusted(file)?.unwrap_or(Measurement {
        kind: MediaKind::Video,
        video: None,
        audio: None,
    }))
}

fn trusted(file: &mut Window<'_, impl Read + Seek>) -> io::Result<Result<Measurement, Untrusted>> {
    let layout = match layout::scan(file)? {
        Ok(layout) => layout,
        Err(untrusted) => return Ok(Err(untrusted)),
    };
    let movie = match movie::read(&layout.moov) {
        Ok(movie) => movie,
        Err(untrusted) => return Ok(Err(untrusted)),
    };
    // Fragments that were not announced would be seen by one reader and not by another.
    if !layout.fragments.is_empty() && !movie.expects_fragments {
        return Ok(Err(Untrusted));
    }
    let mut summing = Summing {
        defaults: &movie.defaults,
        is_broken: layout.is_cut,
        ..Summing::default()
    };
    for place in &layout.fragments {
        summing.add(&layout::read_fragment(file, *place)?, place.media_bytes);
    }
    let (tracks, is_broken) = (summing.tracks, summing.is_broken);
    Ok(Ok(movie.measure(&layout, &tracks, is_broken)))
}
