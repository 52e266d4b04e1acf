//! Vorbis: block sizes, and which packets have the long one.
//!
//! A packet's first bits name its mode, and the mode tells the block's size. The modes stand at the
//! very end of a setup header whose other parts cannot be skipped without decoding them, so they are
//! read from behind: each is 41 bits, of which 32 are zero, and a count of six bits stands before them.

use super::super::RATE_HZ_MIN;

/// Most modes that a stream can have.
const MODES_MAX: usize = 64;

/// Bits of one mode: a flag, two numbers that are zero, the number of a mapping.
const MODE_BITS: usize = 1 + 16 + 16 + 8;

/// A Vorbis stream.
#[derive(Debug)]
pub(super) struct Vorbis {
    pub(super) rate_hz: u32,
    /// Samples of short and long blocks.
    blocks: [u32; 2],
    /// Whether blocks of a mode are long. Empty where the setup header was not understood.
    modes: Vec<bool>,
    /// Samples of the block before.
    before: Option<u32>,
}

impl Vorbis {
    /// Reads the first packet of a stream.
    pub(super) fn read(first: &[u8]) -> Option<Self> {
        let rate_hz = u32::from_le_bytes(first.get(12..16)?.try_into().ok()?);
        let sizes = *first.get(28)?;
        let (short, long) = (sizes & 0xf, sizes >> 4);
        let is_sane = first.starts_with(b"\x01vorbis\0\0\0\0")
            && rate_hz >= RATE_HZ_MIN
            && (6..=13).contains(&short)
            && (short..=13).contains(&long);
        is_sane.then_some(Self {
            rate_hz,
            blocks: [1 << short, 1 << long],
            modes: Vec::new(),
            before: None,
        })
    }

    /// Reads the modes out of the setup header.
    pub(super) fn take_setup(&mut self, packet: &[u8]) {
        if packet.starts_with(b"\x05vorbis") {
            self.modes = modes(packet.get(7..).unwrap_or_default()).unwrap_or_default();
        }
    }

    /// Samples that a packet adds: a quarter of its block and of the one before, which overlap.
    pub(super) fn samples(&mut self, packet: &[u8]) -> Option<u32> {
        let first = *packet.first()?;
        let mode_bits = self.modes.len().checked_sub(1)?.checked_ilog2();
        let mask = mode_bits.map_or(0, |log| (2usize << log) - 1);
        let mode = usize::from(first >> 1) & mask;
        let is_long = *self.modes.get(mode).filter(|_| first & 1 == 0)?;
        let block = self.blocks[usize::from(is_long)];
        let before = self.before.replace(block);
        Some(before.map_or(0, |before| (before + block) / 4))
    }
}

/// Whether the blocks of each mode are long, out of a setup header.
fn modes(setup: &[u8]) -> Option<Vec<bool>> {
    let bit = |at: usize| {
        let byte = setup.get(at / 8)?;
        Some(byte >> (at % 8) & 1 != 0)
    };
    let number = |from: usize, bits: usize| {
        (0..bits).try_fold(0usize, |number, n| {
            Some(number | usize::from(bit(from + n)?) << n)
        })
    };
    // The last bit that is set marks the end.
    let mut at = (0..setup.len() * 8)
        .rev()
        .find(|at| bit(*at) == Some(true))?;
    let (mut found, mut best) = (Vec::new(), 0);
    while found.len() < MODES_MAX && at >= MODE_BITS + 6 {
        let mode_at = at - MODE_BITS;
        if number(mode_at + 1, 32)? != 0 {
            break;
        }
        found.push(bit(mode_at)?);
        at = mode_at;
        if number(at - 6, 6)? + 1 == found.len() {
            best = found.len();
        }
    }
    found.truncate(best);
    found.reverse();
    (best > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A setup header that ends in these modes.
    fn setup(modes: &[bool]) -> Vec<u8> {
        // Whatever comes before, it is not all zero.
        let mut bits = vec![true; 90];
        bits.extend((0..6).map(|n| (modes.len() - 1) >> n & 1 != 0));
        for is_long in modes {
            bits.push(*is_long);
            bits.extend([false; 32]);
            bits.extend([true, false, false, false, false, false, false, false]);
        }
        bits.push(true);
        let byte = |bits: &[bool]| {
            let bit = |(n, bit): (usize, &bool)| u8::from(*bit) << n;
            bits.iter().enumerate().map(bit).sum()
        };
        [
            &b"\x05vorbis"[..],
            &bits.chunks(8).map(byte).collect::<Vec<u8>>(),
        ]
        .concat()
    }

    fn stream(modes: &[bool]) -> Vorbis {
        let mut first = b"\x01vorbis\0\0\0\0\x01".to_vec();
        first.extend(16_000u32.to_le_bytes());
        first.extend([0; 12]);
        first.extend([0xb8, 1]);
        let mut vorbis = Vorbis::read(&first).unwrap();
        vorbis.take_setup(&setup(modes));
        vorbis
    }

    #[test]
    fn modes_are_read_from_behind() {
        for expected in [
            &[false][..],
            &[true],
            &[false, true],
            &[true, false, false, true],
        ] {
            assert_eq!(stream(expected).modes, expected);
        }
        assert_eq!(modes(&[]), None);
        assert_eq!(modes(&[0; 900]), None);
        assert_eq!(modes(&[0xff; 900]), None);
    }

    #[test]
    fn blocks_overlap_with_the_one_before() {
        let mut stream = stream(&[false, true]);
        // Short blocks have 256 samples, long ones 2,048; the first block only begins.
        let samples = [0b000, 0b000, 0b010, 0b010, 0b001].map(|first| stream.samples(&[first]));
        assert_eq!(samples, [Some(0), Some(128), Some(576), Some(1_024), None]);
        assert_eq!(stream.samples(&[]), None);
    }

    #[test]
    fn a_stream_without_modes_has_no_samples() {
        let mut vorbis = stream(&[false]);
        vorbis.modes.clear();
        assert_eq!(vorbis.samples(&[0]), None);
    }
}
