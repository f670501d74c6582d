//! A place in a list of requests.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenhouse_core::clock::Timestamp;

use crate::error::Error;

/// How many requests of one microsecond are told apart at most.
const MOST_OF_ONE_TIME: u32 = 1_000;

/// A place in a list of requests, from which it goes on. Its text says nothing to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// When the last one was that was given.
    pub(super) time: Timestamp,
    /// How many of exactly this time were given.
    pub(super) given: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 12];
        let (time, given) = bytes.split_at_mut(8);
        time.copy_from_slice(&self.time.micros().to_be_bytes());
        given.copy_from_slice(&self.given.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::BadCursor)?;
        let (time, given) = bytes.split_first_chunk().ok_or(Error::BadCursor)?;
        let given = u32::from_be_bytes(given.try_into().map_err(|_| Error::BadCursor)?);
        if given > MOST_OF_ONE_TIME {
            return Err(Error::BadCursor);
        }
        Ok(Self { time: Timestamp::from_micros(i64::from_be_bytes(*time)), given })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn its_text_says_the_same(time: i64, given in 0..=MOST_OF_ONE_TIME) {
            let cursor = Cursor { time: Timestamp::from_micros(time), given };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>().ok(), Some(cursor));
        }

        #[test]
        fn other_texts_are_none(text: String) {
            prop_assume!(text.len() != 16);
            prop_assert!(matches!(text.parse::<Cursor>(), Err(Error::BadCursor)));
        }
    }

    #[test]
    fn it_skips_no_more_than_there_can_be() {
        let cursor = Cursor { time: Timestamp::from_micros(1), given: MOST_OF_ONE_TIME + 1 };
        assert!(matches!(cursor.to_string().parse::<Cursor>(), Err(Error::BadCursor)));
    }
}
