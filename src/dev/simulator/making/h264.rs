//! H.264 pictures without compression: every macroblock carries its samples as they are (`I_PCM`).
//!
//! Each picture stands alone, so that a clip is a plain list of pictures; at 64 by 48 points a picture
//! has about 4.6 KB.

use super::bits::BitWriter;

/// Width of a picture in points.
pub(super) const WIDTH: u16 = 64;

/// Height of a picture in points.
pub(super) const HEIGHT: u16 = 48;

/// Side of a macroblock in points.
const BLOCK: u16 = 16;

/// Constrained baseline profile: what every decoder knows.
const PROFILE_BASELINE: u32 = 66;
const CONSTRAINTS: u32 = 0b1100_0000;

/// Level 3.0 allows ten megabits a second, many times what is needed here.
const LEVEL: u32 = 30;

/// Kinds of NAL unit, with the reference bits of a unit that must not be dropped.
const NAL_SEQUENCE: u8 = 0x67;
const NAL_PICTURE_SET: u8 = 0x68;
const NAL_PICTURE: u8 = 0x65;

/// Number of the macroblock type `I_PCM` within I slices.
const MB_TYPE_I_PCM: u32 = 25;

/// Number of the slice type "all slices of this picture are I slices".
const SLICE_TYPE_I_ONLY: u32 = 7;

/// The sequence parameter set: profile, size, and that no picture refers to another.
pub(super) fn sequence_parameters() -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.bits(PROFILE_BASELINE, 8);
    bits.bits(CONSTRAINTS, 8);
    bits.bits(LEVEL, 8);
    bits.exp_golomb(0); // id
    bits.exp_golomb(0); // frame numbers have four bits
    bits.exp_golomb(2); // display order is decoding order
    bits.exp_golomb(0); // reference pictures
    bits.bits(0, 1); // no gaps in frame numbers
    bits.exp_golomb(u32::from(WIDTH / BLOCK) - 1);
    bits.exp_golomb(u32::from(HEIGHT / BLOCK) - 1);
    bits.bits(1, 1); // frames, not fields
    bits.bits(1, 1); // direct 8x8 inference
    bits.bits(0, 1); // no cropping
    bits.bits(0, 1); // no usability information
    nal_unit(NAL_SEQUENCE, &bits.finish())
}

/// The picture parameter set: nothing but defaults and a switch for the deblocking filter.
pub(super) fn picture_parameters() -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.exp_golomb(0); // id
    bits.exp_golomb(0); // id of the sequence parameter set
    bits.bits(0, 1); // variable-length codes
    bits.bits(0, 1); // no field order
    bits.exp_golomb(0); // one slice group
    bits.exp_golomb(0); // default reference count, list 0
    bits.exp_golomb(0); // default reference count, list 1
    bits.bits(0, 1); // no weighted prediction
    bits.bits(0, 2); // no weighted bi-prediction
    bits.exp_golomb(0); // quantiser 26; signed zero is coded like unsigned zero
    bits.exp_golomb(0); // switching quantiser 26
    bits.exp_golomb(0); // no chroma offset
    bits.bits(1, 1); // slices say how to deblock
    bits.bits(0, 1); // no constrained intra prediction
    bits.bits(0, 1); // no redundant pictures
    nal_unit(NAL_PICTURE_SET, &bits.finish())
}

/// Picture number `frame` of the clip with this seed, as one NAL unit.
pub(super) fn picture(frame: u32, seed: u64) -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.exp_golomb(0); // first macroblock
    bits.exp_golomb(SLICE_TYPE_I_ONLY);
    bits.exp_golomb(0); // id of the picture parameter set
    bits.bits(0, 4); // frame number: every picture starts anew
    bits.exp_golomb(frame % 2); // neighbours must differ in this id
    bits.bits(0, 1); // earlier pictures may be shown
    bits.bits(0, 1); // no long-term reference
    bits.exp_golomb(0); // quantiser unchanged
    bits.exp_golomb(1); // no deblocking
    for block_y in 0..HEIGHT / BLOCK {
        for block_x in 0..WIDTH / BLOCK {
            bits.exp_golomb(MB_TYPE_I_PCM);
            bits.align();
            bits.bytes(&macroblock(block_x * BLOCK, block_y * BLOCK, frame, seed));
        }
    }
    nal_unit(NAL_PICTURE, &bits.finish())
}

/// The 256 brightness and twice 64 colour samples of a macroblock.
fn macroblock(left: u16, top: u16, frame: u32, seed: u64) -> [u8; 384] {
    let mut samples = [0; 384];
    for (index, sample) in samples[..256].iter_mut().enumerate() {
        let (x, y) = (left + index as u16 % BLOCK, top + index as u16 / BLOCK);
        *sample = brightness(x, y, frame);
    }
    let turn = u64::from(frame / 4);
    samples[256..320].fill(colour(seed.wrapping_mul(37).wrapping_add(turn)));
    samples[320..].fill(colour(seed.wrapping_mul(101).wrapping_sub(turn)));
    samples
}

/// A ramp with a bright bar that wanders, and the frame's number as sixteen binary marks on top.
fn brightness(x: u16, y: u16, frame: u32) -> u8 {
    const DARK: u8 = 32;
    const BRIGHT: u8 = 220;
    if y < 4 {
        let mark = frame >> (15 - x / 4) & 1;
        return if mark == 1 { BRIGHT } else { DARK };
    }
    let bar = (frame * 2 % u32::from(WIDTH)) as u16;
    if x.abs_diff(bar) < 3 {
        BRIGHT
    } else {
        48 + x as u8 + y as u8
    }
}

/// A colour sample between the limits of video, well away from zero.
fn colour(position: u64) -> u8 {
    64 + (position % 128) as u8
}

/// Wraps a payload so that no start code can appear in it: two zeros are never followed by a byte
/// below four without a three between.
fn nal_unit(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut unit = Vec::with_capacity(payload.len() + 16);
    unit.push(kind);
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte < 4 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_code_cannot_appear_inside_a_unit() {
        assert_eq!(
            nal_unit(9, &[0, 0, 1, 0, 0, 0, 0, 4]),
            [9, 0, 0, 3, 1, 0, 0, 3, 0, 0, 4]
        );
    }

    #[test]
    fn no_two_pictures_of_a_clip_are_equal() {
        let pictures: std::collections::HashSet<_> = (0..960).map(|f| picture(f, 1)).collect();
        assert_eq!(pictures.len(), 960);
    }

    #[test]
    fn clips_of_different_seeds_differ() {
        assert_ne!(picture(0, 1), picture(0, 2));
    }
}
