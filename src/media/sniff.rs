//! What a file is, by its first bytes. Names and content types are claims of a stranger.

use crate::domain::media::MediaKind;

/// How many bytes [`sniff`] wants to see; fewer are fine where the file is shorter.
pub const HEAD_BYTES: usize = 64;

/// The kinds of file that count as media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// ISO media with video or audio tracks.
    Mp4,
    /// QuickTime movie.
    Mov,
    /// Matroska restricted to the web's codecs.
    Webm,
    /// Matroska.
    Mkv,
    /// RIFF with video.
    Avi,
    /// RIFF or RF64 with sound.
    Wav,
    /// MPEG audio layer 3, with or without a tag in front.
    Mp3,
    /// FLAC.
    Flac,
    /// Ogg, whatever is in it.
    Ogg,
    /// AAC in ADTS frames.
    Aac,
    /// AIFF or AIFF-C.
    Aiff,
    /// PNG, still or animated.
    Png,
    /// JPEG.
    Jpeg,
    /// GIF, still or animated.
    Gif,
    /// WebP, still or animated.
    Webp,
    /// AVIF, still or animated.
    Avif,
    /// HEIC, still or animated.
    Heic,
}

impl Container {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Mp4,
        Self::Mov,
        Self::Webm,
        Self::Mkv,
        Self::Avi,
        Self::Wav,
        Self::Mp3,
        Self::Flac,
        Self::Ogg,
        Self::Aac,
        Self::Aiff,
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Webp,
        Self::Avif,
        Self::Heic,
    ];

    /// The file name extension, without dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::Webm => "webm",
            Self::Mkv => "mkv",
            Self::Avi => "avi",
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::Ogg => "ogg",
            Self::Aac => "aac",
            Self::Aiff => "aiff",
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Gif => "gif",
            Self::Webp => "webp",
            Self::Avif => "avif",
            Self::Heic => "heic",
        }
    }

    /// The content type of such a file, as far as its container says it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::Mov => "video/quicktime",
            Self::Webm => "video/webm",
            Self::Mkv => "video/x-matroska",
            Self::Avi => "video/x-msvideo",
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::Flac => "audio/flac",
            Self::Ogg => "application/ogg",
            Self::Aac => "audio/aac",
            Self::Aiff => "audio/aiff",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Avif => "image/avif",
            Self::Heic => "image/heic",
        }
    }

    /// The content type to serve a stored file with: what was measured in it tells whether a container
    /// for both holds pictures or sound alone.
    pub fn served_as(self, measured: MediaKind) -> &'static str {
        match (self, measured) {
            (Self::Mp4, MediaKind::Audio) => "audio/mp4",
            (Self::Webm, MediaKind::Audio) => "audio/webm",
            (Self::Mkv, MediaKind::Audio) => "audio/x-matroska",
            (Self::Ogg, MediaKind::Audio) => "audio/ogg",
            (Self::Ogg, MediaKind::Video) => "video/ogg",
            (_, MediaKind::Image | MediaKind::Video | MediaKind::Audio) => self.content_type(),
        }
    }

    /// The container that stored files with this extension have.
    pub fn of_extension(extension: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|container| container.extension() == extension)
    }

    /// What such a file usually holds. The tracks inside have the last word where they are read.
    pub fn usual_kind(self) -> MediaKind {
        match self {
            Self::Mp4 | Self::Mov | Self::Webm | Self::Mkv | Self::Avi => MediaKind::Video,
            Self::Wav | Self::Mp3 | Self::Flac | Self::Ogg | Self::Aac | Self::Aiff => {
                MediaKind::Audio
            }
            Self::Png | Self::Jpeg | Self::Gif | Self::Webp | Self::Avif | Self::Heic => {
                MediaKind::Image
            }
        }
    }
}

/// What the first bytes of a file say it is; `None` where they are no known media.
pub fn sniff(head: &[u8]) -> Option<Container> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(magic));
    let container = match () {
        () if at(0, b"\x89PNG\r\n\x1a\n") => Container::Png,
        () if at(0, b"\xff\xd8\xff") => Container::Jpeg,
        () if at(0, b"GIF87a") || at(0, b"GIF89a") => Container::Gif,
        () if at(0, b"RIFF") && at(8, b"WEBP") => Container::Webp,
        () if at(0, b"RIFF") && at(8, b"WAVE") => Container::Wav,
        () if at(0, b"RF64") && at(8, b"WAVE") => Container::Wav,
        () if at(0, b"RIFF") && at(8, b"AVI ") => Container::Avi,
        () if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) => Container::Aiff,
        () if at(0, b"fLaC") => Container::Flac,
        () if at(0, b"OggS") => Container::Ogg,
        () if at(0, b"\x1a\x45\xdf\xa3") => return matroska(head),
        // A size stands before the kind, and no such box is large: text would be.
        () if at(0, b"\0") && at(4, b"ftyp") => iso_brand(head.get(8..12)?),
        () if at(0, b"\0") && (at(4, b"moov") || at(4, b"wide")) => Container::Mov,
        () if at(4, b"mdat") => Container::Mov,
        () if at(0, b"ID3") => Container::Mp3,
        () => return mpeg_audio(head),
    };
    Some(container)
}

/// The doc type stands in the EBML header, within the first bytes.
fn matroska(head: &[u8]) -> Option<Container> {
    let holds = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    if holds(b"webm") {
        Some(Container::Webm)
    } else if holds(b"matroska") {
        Some(Container::Mkv)
    } else {
        None
    }
}

fn iso_brand(brand: &[u8]) -> Container {
    match brand {
        b"avif" | b"avis" => Container::Avif,
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => Container::Heic,
        b"qt  " => Container::Mov,
        _ => Container::Mp4,
    }
}

/// A frame header of MPEG audio: eleven or twelve set bits, then fields that have forbidden values.
fn mpeg_audio(head: &[u8]) -> Option<Container> {
    let [first, second, third, ..] = *head else {
        return None;
    };
    if first != 0xff {
        return None;
    }
    if second & 0xf6 == 0xf0 && (third >> 2) & 0xf < 13 {
        return Some(Container::Aac);
    }
    let layer_three = second & 0xe6 == 0xe2 && second & 0x18 != 0x08;
    let bitrate = third >> 4;
    let sample_rate = (third >> 2) & 3;
    (layer_three && (1..15).contains(&bitrate) && sample_rate != 3).then_some(Container::Mp3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_kind() {
        let table: [(&[u8], Container); 21] = [
            (b"\x89PNG\r\n\x1a\n....", Container::Png),
            (b"\xff\xd8\xff\xe0....", Container::Jpeg),
            (b"GIF87a", Container::Gif),
            (b"GIF89a", Container::Gif),
            (b"RIFF\0\0\0\0WEBPVP8 ", Container::Webp),
            (b"RIFF\0\0\0\0WAVEfmt ", Container::Wav),
            (b"RF64\xff\xff\xff\xffWAVEds64", Container::Wav),
            (b"RIFF\0\0\0\0AVI LIST", Container::Avi),
            (b"FORM\0\0\0\0AIFCFVER", Container::Aiff),
            (b"fLaC\0\0\0\x22", Container::Flac),
            (b"OggS\0\x02", Container::Ogg),
            (
                b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webmB",
                Container::Webm,
            ),
            (
                b"\x1a\x45\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroskaB",
                Container::Mkv,
            ),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", Container::Mp4),
            (b"\0\0\0\x14ftypqt  \0\0\0\0", Container::Mov),
            (b"\0\0\0\x1cftypavif\0\0\0\0", Container::Avif),
            (b"\0\0\0\x08wide\0\0\0\0mdat", Container::Mov),
            (b"ID3\x04\0\0\0\0\0\0", Container::Mp3),
            (b"\xff\xfb\x90\x00", Container::Mp3),
            (b"\xff\xf3\x40\xc0", Container::Mp3),
            (b"\xff\xf1\x50\x80", Container::Aac),
        ];
        for (head, container) in table {
            assert_eq!(sniff(head), Some(container), "{head:?}");
        }
    }

    #[test]
    fn an_extension_says_the_kind_that_it_was_made_of() {
        for container in Container::ALL {
            let extension = container.extension();
            assert_eq!(Container::of_extension(extension), Some(container));
        }
        assert_eq!(Container::of_extension("html"), None);
    }

    #[test]
    fn what_was_measured_tells_sound_alone_from_pictures() {
        for (container, measured, served) in [
            (Container::Mp4, MediaKind::Audio, "audio/mp4"),
            (Container::Mp4, MediaKind::Video, "video/mp4"),
            (Container::Webm, MediaKind::Audio, "audio/webm"),
            (Container::Ogg, MediaKind::Audio, "audio/ogg"),
            (Container::Ogg, MediaKind::Video, "video/ogg"),
            (Container::Gif, MediaKind::Video, "image/gif"),
            (Container::Png, MediaKind::Image, "image/png"),
        ] {
            assert_eq!(container.served_as(measured), served);
        }
    }

    #[test]
    fn everything_else_is_no_media() {
        let table: [&[u8]; 12] = [
            b"",
            b"<!--ftypisom--><html>",
            b"text wide enough",
            b"\0",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\">",
            b"<!DOCTYPE html>",
            b"{\"error\":\"expired\"}",
            b"%PDF-1.7",
            b"\xff\xfe<\0h\0t\0m\0l\0",
            b"RIFF\0\0\0\0XXXX",
            b"\x1a\x45\xdf\xa3....",
            b"\xff\xff\xff\xff",
        ];
        for head in table {
            assert_eq!(sniff(head), None, "{head:?}");
        }
    }
}
