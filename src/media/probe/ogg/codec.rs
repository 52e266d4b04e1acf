//! What is in an Ogg stream, and how long each packet of it lasts.

use super::super::flac::{FrameHeader, StreamInfo};
use super::vorbis::Vorbis;

/// Opus always counts at this rate.
const OPUS_RATE_HZ: u32 = 48_000;

/// Longest Opus packet, in samples: 120 ms.
const OPUS_SAMPLES_MAX: u32 = 5_760;

/// A stream of sound, as its first packet describes it.
#[derive(Debug)]
pub(super) enum Codec {
    /// The first samples are not heard: `skip` of them.
    Opus {
        skip: u16,
    },
    Vorbis(Vorbis),
    Flac {
        rate_hz: u32,
        /// Packets of metadata that follow the first one.
        headers: u16,
    },
}

impl Codec {
    /// What a stream that begins with this packet holds; `None` where it is no sound read here.
    pub(super) fn read(first: &[u8]) -> Option<Self> {
        if first.starts_with(b"OpusHead") {
            let skip = first.get(10..12)?.try_into().ok()?;
            return Some(Self::Opus {
                skip: u16::from_le_bytes(skip),
            });
        }
        if first.starts_with(b"\x7fFLAC") {
            let headers = u16::from_be_bytes(first.get(7..9)?.try_into().ok()?);
            let info = StreamInfo::read(first.get(17..)?)?;
            return Some(Self::Flac {
                rate_hz: info.rate_hz,
                headers,
            });
        }
        Vorbis::read(first).map(Self::Vorbis)
    }

    pub(super) fn rate_hz(&self) -> u32 {
        match self {
            Self::Opus { .. } => OPUS_RATE_HZ,
            Self::Vorbis(vorbis) => vorbis.rate_hz,
            Self::Flac { rate_hz, .. } => *rate_hz,
        }
    }

    /// Samples at the beginning that are not heard.
    pub(super) fn skip(&self) -> u64 {
        match self {
            Self::Opus { skip } => (*skip).into(),
            Self::Vorbis(_) | Self::Flac { .. } => 0,
        }
    }

    /// True for the packets behind the first that hold no sound, by their number in the stream.
    pub(super) fn is_header(&self, number: u64, packet: &[u8]) -> bool {
        match self {
            Self::Opus { .. } => number == 1,
            Self::Vorbis(_) => number <= 2,
            // Some writers do not say how many there are.
            Self::Flac { headers, .. } => {
                let is_counted = *headers == 0 || number <= u64::from(*headers);
                is_counted && packet.first() != Some(&0xff)
            }
        }
    }

    /// Takes in a header packet behind the first.
    pub(super) fn take_header(&mut self, number: u64, packet: &[u8]) {
        if let (Self::Vorbis(vorbis), 2) = (self, number) {
            vorbis.take_setup(packet);
        }
    }

    /// How many samples a packet of sound holds; `None` where it is no such packet.
    pub(super) fn samples(&mut self, packet: &[u8]) -> Option<u32> {
        match self {
            Self::Opus { .. } => opus_samples(packet),
            Self::Vorbis(vorbis) => vorbis.samples(packet),
            Self::Flac { .. } => FrameHeader::read(packet).map(|frame| frame.samples),
        }
    }
}

/// Samples of an Opus packet at 48 kHz, by its first two bytes.
fn opus_samples(packet: &[u8]) -> Option<u32> {
    let first = *packet.first()?;
    let each = match (first >> 3, (first >> 3) & 3) {
        (0..12, 3) => 2_880,
        (0..12, size) => 480 << size,
        (12..16, size) => 480 << (size & 1),
        (_, size) => 120 << size,
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(*packet.get(1)? & 0x3f),
    };
    Some(each * frames).filter(|samples| *samples > 0 && *samples <= OPUS_SAMPLES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_say_how_long_they_last() {
        let table: [(&[u8], Option<u32>); 9] = [
            (&[0b0000_0000], Some(480)),
            (&[0b0001_1000], Some(2_880)),
            (&[0b0110_1000], Some(960)),
            (&[0b1000_0000], Some(120)),
            (&[0b1111_1001], Some(1_920)),
            (&[0b1111_1011, 6], Some(5_760)),
            // Longer than any packet may be, without a frame, without the second byte.
            (&[0b1111_1011, 7], None),
            (&[0b1111_1011, 0], None),
            (&[0b1111_1011], None),
        ];
        for (packet, samples) in table {
            assert_eq!(opus_samples(packet), samples, "{packet:?}");
        }
        assert_eq!(opus_samples(&[]), None);
    }

    #[test]
    fn streams_are_told_by_their_first_packet() {
        assert!(matches!(
            Codec::read(b"OpusHead\x01\x01\x38\x01...."),
            Some(Codec::Opus { skip: 312 })
        ));
        assert!(Codec::read(b"OpusHead\x01").is_none());
        assert!(Codec::read(b"\x80theora\x03\x02\x01").is_none());
        assert!(Codec::read(b"\x7fFLAC\x01\0\0\x01fLaC").is_none());
        assert!(Codec::read(b"").is_none());
    }
}
