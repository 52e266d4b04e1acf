//! Writing single bits, as video headers want them.

/// Collects bits, most significant first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits used in the last byte; 0 where the next bit starts a new byte.
    used: u32,
}

impl BitWriter {
    /// Appends the lowest `count` bits of a value.
    pub(super) fn bits(&mut self, value: u32, count: u32) {
        for position in (0..count).rev() {
            let bit = ((value >> position) & 1) as u8;
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// Appends an unsigned number in Exp-Golomb code: as many zeros as the number plus one has bits
    /// behind its first, then the number plus one.
    pub(super) fn exp_golomb(&mut self, value: u32) {
        let coded = value + 1;
        let length = 32 - coded.leading_zeros();
        self.bits(0, length - 1);
        self.bits(coded, length);
    }

    /// Fills the last byte with zeros.
    pub(super) fn align(&mut self) {
        self.used = 0;
    }

    /// Appends whole bytes; the writer must be aligned.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.used, 0, "bytes go where a byte begins");
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the closing one bit, aligns, and gives the bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bits(1, 1);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(value: u32) -> Vec<u8> {
        let mut writer = BitWriter::default();
        writer.exp_golomb(value);
        writer.bytes
    }

    #[test]
    fn numbers_are_coded_as_the_standard_lists_them() {
        assert_eq!(coded(0), [0b1000_0000]);
        assert_eq!(coded(1), [0b0100_0000]);
        assert_eq!(coded(2), [0b0110_0000]);
        assert_eq!(coded(3), [0b0010_0000]);
        assert_eq!(coded(7), [0b0001_0000]);
        assert_eq!(coded(25), [0b0000_1101, 0]);
    }

    #[test]
    fn bits_fill_bytes_from_the_top() {
        let mut writer = BitWriter::default();
        writer.bits(0b101, 3);
        writer.align();
        writer.bytes(&[0xab]);
        assert_eq!(writer.finish(), [0b1010_0000, 0xab, 0x80]);
    }
}
