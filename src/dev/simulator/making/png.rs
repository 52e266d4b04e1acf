//! PNG: a small picture whose colours and stripes depend on the seed.

use png::{BitDepth, ColorType, Encoder, EncodingError};

const SIDE: u32 = 64;

/// A picture of 64 by 64 points.
pub(super) fn make(seed: u64) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, SIDE, SIDE);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&points(seed))?;
    writer.finish()?;
    Ok(file)
}

fn points(seed: u64) -> Vec<u8> {
    // One multiplication spreads neighbouring seeds over all bits; three of its bytes are the colour.
    let [red, green, blue, width, ..] = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let stripe = 4 + u32::from(width % 13);
    let mut points = Vec::with_capacity((SIDE * SIDE * 3) as usize);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let shade = if (x + y) / stripe % 2 == 0 { 0 } else { 0x60 };
            points.extend([
                red ^ shade,
                green.wrapping_add(x as u8),
                blue.wrapping_add(y as u8),
            ]);
        }
    }
    points
}
