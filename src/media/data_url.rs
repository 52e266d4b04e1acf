//! `data:` URLs: an output that came inside the answer, as base64 text.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::Error;
use super::artifacts::Incoming;

/// Standard alphabet; some providers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters decoded at a time: a multiple of four, so that each piece is whole.
const PIECE_CHARS: usize = 64 * 1024;

/// Decodes a `data:` URL into a file, piece by piece.
///
/// The size is known from the length of the text and is checked before the first piece is decoded.
///
/// # Errors
/// [`Error::BadDataUrl`] for anything but valid base64; [`Error::TooLarge`] above the limit.
pub(super) async fn decode_into(text: &str, incoming: &mut Incoming) -> Result<(), Error> {
    let encoded = payload(text)?;
    incoming.expect_bytes(encoded.trim_end_matches('=').len() as u64 * 3 / 4)?;
    for piece in encoded.as_bytes().chunks(PIECE_CHARS) {
        let bytes = BASE64.decode(piece).map_err(|_| Error::BadDataUrl)?;
        incoming.write(&bytes).await?;
    }
    Ok(())
}

/// The base64 text of a `data:` URL, or of nothing but base64 behind the comma.
fn payload(text: &str) -> Result<&str, Error> {
    let rest = match text.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("data:") => &text[5..],
        Some(_) | None => return Err(Error::BadDataUrl),
    };
    let (head, encoded) = rest.split_once(',').ok_or(Error::BadDataUrl)?;
    let is_base64 = head
        .rsplit(';')
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case("base64"));
    if is_base64 {
        Ok(encoded)
    } else {
        Err(Error::BadDataUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_base64_data_urls_have_a_payload() {
        assert_eq!(payload("data:image/png;base64,AAAA").unwrap(), "AAAA");
        assert_eq!(payload("DATA:;Base64,AA==").unwrap(), "AA==");
        for text in [
            "",
            "data",
            "data:image/png,hello",
            "data:base64",
            "http://x/;base64,AAAA",
        ] {
            assert!(matches!(payload(text), Err(Error::BadDataUrl)), "{text}");
        }
    }
}
