//! Header values that are made for one answer, such as its number.
//!
//! They are cut from one piece of memory, which is enough for many answers, so that an answer needs none of
//! its own.

use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderValue;
use http::header::InvalidHeaderValue;

/// The size of a piece, in bytes. It is freed when the last answer that has a part of it is gone.
const PIECE: usize = 4096;

thread_local! {
    static IN_USE: RefCell<BytesMut> = RefCell::default();
}

/// A header value with this text.
pub fn header_text(text: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    let cut = IN_USE.with_borrow_mut(|piece| {
        if piece.capacity() < text.len() {
            *piece = BytesMut::with_capacity(PIECE.max(text.len()));
        }
        piece.extend_from_slice(text);
        piece.split().freeze()
    });
    HeaderValue::from_maybe_shared(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_what_they_are_over_many_pieces() {
        let texts = || (0..10_000).map(|number| number.to_string());
        let values: Vec<_> = texts().map(|text| header_text(text.as_bytes()).unwrap()).collect();
        assert!(values.iter().zip(texts()).all(|(value, text)| *value == text));
        let long = "x".repeat(10_000);
        assert_eq!(header_text(long.as_bytes()).unwrap(), long);
        assert!(header_text(b"a\nb").is_err());
    }
}
