//! Small media files: those committed under `tests/fixtures`, and ways to spoil them.

use std::path::PathBuf;

/// Every committed file of more than one picture or of sound, by name.
pub(crate) const CLIPS: [&str; 25] = [
    "classic.mov",
    "classic.mp4",
    "clip.mkv",
    "clip.webm",
    "constant.mp3",
    "flac.ogg",
    "fragmented.mp4",
    "hybrid.mp4",
    "indexed.mp4",
    "live.webm",
    "moving.gif",
    "moving.png",
    "moving.webp",
    "narrow.m4a",
    "one-fragment.mp4",
    "silent.mp4",
    "sound.aac",
    "sound.aiff",
    "sound.flac",
    "sound.m4a",
    "sound.ogg",
    "sound.opus",
    "sound.wav",
    "sound.webm",
    "variable.mp3",
];

/// Where a committed file is.
pub(crate) fn fixture_path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures").join(name)
}

/// The bytes of a committed file.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = fixture_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where each occurrence of a mark begins.
pub(crate) fn places(bytes: &[u8], mark: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(mark.len()).enumerate();
    windows
        .filter(|(_, window)| *window == mark)
        .map(|(at, _)| at)
        .collect()
}

/// Writes over a field behind the n-th occurrence of a mark; the offset counts from the mark's end.
pub(crate) fn patched(
    mut bytes: Vec<u8>,
    mark: &[u8],
    nth: usize,
    offset: usize,
    field: &[u8],
) -> Vec<u8> {
    let at = places(&bytes, mark)[nth] + mark.len() + offset;
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes
}

/// Writes over the same field behind every occurrence of a mark.
pub(crate) fn patched_all(bytes: Vec<u8>, mark: &[u8], offset: usize, field: &[u8]) -> Vec<u8> {
    let found = places(&bytes, mark).len();
    assert!(found > 0, "{mark:?} is not in the file");
    (0..found).fold(bytes, |bytes, nth| patched(bytes, mark, nth, offset, field))
}

/// An MP4 box.
pub(crate) fn mp4_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).expect("a small box");
    [&size.to_be_bytes()[..], kind, body].concat()
}

/// An EBML element with a size of eight bytes.
pub(crate) fn ebml(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = (1u64 << 56) | body.len() as u64;
    [id, &size.to_be_bytes(), body].concat()
}

/// Sets the checksum of every Ogg page right, after something in it was changed.
pub(crate) fn ogg_sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    for at in ogg_pages(&bytes) {
        let segments = usize::from(bytes[at + 26]);
        let table = &bytes[at + 27..at + 27 + segments];
        let body: usize = table.iter().map(|n| usize::from(*n)).sum();
        let end = at + 27 + segments + body;
        bytes[at + 22..at + 26].fill(0);
        let crc = bytes[at..end].iter().fold(0u32, |crc, byte| {
            (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
                let carry = if crc >> 31 != 0 { 0x04c1_1db7 } else { 0 };
                (crc << 1) ^ carry
            })
        });
        bytes[at + 22..at + 26].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// Where each Ogg page begins.
pub(crate) fn ogg_pages(bytes: &[u8]) -> Vec<usize> {
    places(bytes, b"OggS\0")
}
