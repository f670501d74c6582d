//! One decision on a request, and the form in which segments hold it.

use std::net::{IpAddr, Ipv6Addr};

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::{Checkpoint, Reason, Subject};

/// A path or a user agent is kept up to this many bytes.
pub const LONGEST_TEXT: usize = 8 * 1024;

/// A method or the number of a request is kept up to this many bytes.
const LONGEST_WORD: usize = 64;

/// What is kept of a row besides its texts.
const FIXED: usize = 53;

/// The most bytes of an encoded row.
pub(crate) const LONGEST_ROW: usize = FIXED + 2 * LONGEST_TEXT + 2 * LONGEST_WORD;

/// A decision on a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row<'a> {
    /// When it was made.
    pub time: Timestamp,
    /// Which token and whose, if it is one that exists.
    pub subject: Option<Subject>,
    /// Where the token was checked.
    pub at: Checkpoint,
    /// Method of the request that was decided on.
    pub method: &'a str,
    /// Its path, without the query string.
    pub path: &'a str,
    /// Why it was refused; `None` if it was allowed.
    pub refused: Option<Reason>,
    /// The status of the answer, if it is known.
    pub status: Option<u16>,
    /// The client's address.
    pub ip: IpAddr,
    /// What the client calls itself; empty if it says nothing.
    pub user_agent: &'a str,
    /// The number of the request.
    pub request_id: &'a str,
}

impl Row<'_> {
    /// How many bytes it takes.
    pub(crate) fn encoded_len(&self) -> usize {
        FIXED + self.texts().iter().map(|text| text.len()).sum::<usize>()
    }

    /// Its bytes, in pieces.
    pub(crate) fn encode(&self) -> ([u8; FIXED], [&str; 4]) {
        let texts = self.texts();
        let length = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
        let (token, owner, kind) = match self.subject {
            None => (0, 0, 0),
            Some(Subject { token, owner, kind: TokenKind::Personal }) => (token.0, owner.0, 1),
            Some(Subject { token, owner, kind: TokenKind::Service }) => (token.0, owner.0, 2),
        };
        let reason =
            self.refused.and_then(|reason| place(&Reason::ALL, &reason)).map_or(0, |place| place + 1);
        let mut fixed = [0; FIXED];
        let mut rest = &mut fixed[..];
        let mut put = |bytes: &[u8]| {
            let (place, after) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
            rest = after;
        };
        put(&self.time.micros().to_le_bytes());
        put(&token.to_le_bytes());
        put(&owner.to_le_bytes());
        put(&[kind, place(&Checkpoint::ALL, &self.at).unwrap_or_default(), reason]);
        put(&self.status.unwrap_or_default().to_le_bytes());
        put(&octets(self.ip));
        for text in texts {
            put(&length(text));
        }
        (fixed, texts)
    }

    fn texts(&self) -> [&str; 4] {
        [
            cut(self.method, LONGEST_WORD),
            cut(self.path, LONGEST_TEXT),
            cut(self.user_agent, LONGEST_TEXT),
            cut(self.request_id, LONGEST_WORD),
        ]
    }
}

impl<'a> Row<'a> {
    /// Takes the row that `bytes` begin with off them; `None` if they don't begin with one.
    pub(crate) fn decode(bytes: &mut &'a [u8]) -> Option<Self> {
        let time = Timestamp::from_micros(i64::from_le_bytes(take(bytes)?));
        let (token, owner) = (i64::from_le_bytes(take(bytes)?), i64::from_le_bytes(take(bytes)?));
        let [kind, at, reason] = take(bytes)?;
        let kind = match kind {
            0 => None,
            1 => Some(TokenKind::Personal),
            2 => Some(TokenKind::Service),
            _ => return None,
        };
        let status = u16::from_le_bytes(take(bytes)?);
        let ip = Ipv6Addr::from(take::<16>(bytes)?).to_canonical();
        let mut lengths = [0; 4];
        for length in &mut lengths {
            *length = usize::from(u16::from_le_bytes(take(bytes)?));
        }
        let mut texts = [""; 4];
        for (text, length) in texts.iter_mut().zip(lengths) {
            let (read, rest) = bytes.split_at_checked(length)?;
            *text = str::from_utf8(read).ok()?;
            *bytes = rest;
        }
        let [method, path, user_agent, request_id] = texts;
        Some(Self {
            time,
            subject: kind.map(|kind| Subject { token: TokenId(token), owner: UserId(owner), kind }),
            at: *Checkpoint::ALL.get(usize::from(at))?,
            method,
            path,
            refused: match reason {
                0 => None,
                place => Some(*Reason::ALL.get(usize::from(place) - 1)?),
            },
            status: (status != 0).then_some(status),
            ip,
            user_agent,
            request_id,
        })
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> Option<u8> {
    u8::try_from(all.iter().position(|known| known == one)?).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

const fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// A row as it was found in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// When it was decided on.
    pub time: Timestamp,
    /// Which token and whose, if it is one that existed.
    pub subject: Option<Subject>,
    /// Where the token was checked: a name of [`Checkpoint`].
    pub via: String,
    /// Method.
    pub method: String,
    /// Path, without the query string.
    pub path: String,
    /// Why it was refused, a name of [`Reason`]; `None` if it was allowed.
    pub refused: Option<String>,
    /// The status of the answer, if it is known.
    pub status: Option<u16>,
    /// The client's address.
    pub ip: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The server that decided.
    pub node: String,
    /// The number of the request.
    pub request_id: String,
}

impl Request {
    /// A row of a segment that this node wrote.
    pub(crate) fn of(row: &Row<'_>, node: &str) -> Self {
        Self {
            time: row.time,
            subject: row.subject,
            via: row.at.as_str().to_owned(),
            method: row.method.to_owned(),
            path: row.path.to_owned(),
            refused: row.refused.map(|reason| reason.as_str().to_owned()),
            status: row.status,
            ip: row.ip.to_string(),
            user_agent: row.user_agent.to_owned(),
            node: node.to_owned(),
            request_id: row.request_id.to_owned(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A row of a token, so many seconds after some instant.
    pub(crate) fn row(seconds: i64, token: i64) -> Row<'static> {
        Row {
            time: Timestamp::from_seconds(1_768_478_400 + seconds),
            subject: Some(Subject {
                token: TokenId(token),
                owner: UserId(token / 10),
                kind: TokenKind::Service,
            }),
            at: Checkpoint::ForwardAuth,
            method: "GET",
            path: "/api/datastores/7",
            refused: None,
            status: Some(200),
            ip: IpAddr::from([192, 0, 2, 7]),
            user_agent: "curl/8.5.0",
            request_id: "AAAAAAAAAAAAAAAB",
        }
    }

    fn bytes(row: &Row<'_>) -> Vec<u8> {
        let (fixed, texts) = row.encode();
        let mut bytes = fixed.to_vec();
        texts.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
        assert_eq!(bytes.len(), row.encoded_len());
        bytes
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(
            time: i64,
            subject: Option<(i64, i64, bool)>,
            at in 0..Checkpoint::ALL.len(),
            reason in proptest::option::of(0..Reason::ALL.len()),
            texts: [String; 4],
            status in proptest::option::of(1_u16..),
            ip: IpAddr,
        ) {
            let row = Row {
                time: Timestamp::from_micros(time),
                subject: subject.map(|(token, owner, service)| Subject {
                    token: TokenId(token),
                    owner: UserId(owner),
                    kind: if service { TokenKind::Service } else { TokenKind::Personal },
                }),
                at: Checkpoint::ALL[at],
                method: cut(&texts[0], LONGEST_WORD),
                path: &texts[1],
                refused: reason.map(|reason| Reason::ALL[reason]),
                status,
                ip: ip.to_canonical(),
                user_agent: &texts[2],
                request_id: cut(&texts[3], LONGEST_WORD),
            };
            let mut written = bytes(&row);
            written.push(7);
            let mut rest = &written[..];
            prop_assert_eq!(Row::decode(&mut rest), Some(row));
            prop_assert_eq!(rest, &[7][..]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while Row::decode(&mut rest).is_some() {}
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "ä".repeat(LONGEST_TEXT);
        let row = Row { path: &long, user_agent: &long, method: &long, ..row(0, 1) };
        assert!(row.encoded_len() <= LONGEST_ROW);
        let bytes = bytes(&row);
        let read = Row::decode(&mut &bytes[..]).unwrap();
        assert_eq!((read.path.len(), read.user_agent.len(), read.method.len()), (8_192, 8_192, 64));
    }
}
