//! Who an owner is, in the texts that a service behind us is told.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::index::OwnerState;

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An owner's texts, written once for each change of the owner instead of once for each request. They
/// lie in one piece of memory, one behind the other, which answers share instead of copying it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    text: Bytes,
    /// Where the first, second and third text end.
    ends: [usize; 3],
}

impl Identity {
    /// The texts of an owner.
    pub fn of(owner: &OwnerState) -> Self {
        let mut text = owner.id.to_string();
        let id = text.len();
        text.push_str(&owner.user_id);
        let user_id = text.len();
        text.push_str(&owner.email);
        let email = text.len();
        for name in &owner.teams {
            if text.len() > email {
                text.push(',');
            }
            text.extend(utf8_percent_encode(name, RESERVED));
        }
        Self { text: text.into_boxed_str().into_boxed_bytes().into(), ends: [id, user_id, email] }
    }

    /// The number of the account, in decimal.
    pub fn id(&self) -> Bytes {
        self.text.slice(..self.ends[0])
    }

    /// The account's `user_id`.
    pub fn user_id(&self) -> Bytes {
        self.text.slice(self.ends[0]..self.ends[1])
    }

    /// E-mail address.
    pub fn email(&self) -> Bytes {
        self.text.slice(self.ends[1]..self.ends[2])
    }

    /// Names of teams, percent-encoded, with commas between, so that no team can look like two.
    pub fn teams(&self) -> Bytes {
        self.text.slice(self.ends[2]..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::tests::owner;
    use crate::people::Role;

    fn teams(names: &[&str]) -> Bytes {
        let teams = names.iter().map(ToString::to_string).collect();
        Identity::of(&OwnerState { teams, ..owner(7, Role::Member) }).teams()
    }

    #[test]
    fn a_team_cannot_look_like_two() {
        assert_eq!(teams(&["Public", "Data, Ops", "Größe"]), "Public,Data%2C%20Ops,Gr%C3%B6%C3%9Fe");
        assert_eq!(teams(&[]), "");
    }

    #[test]
    fn each_text_is_itself() {
        let identity = Identity::of(&owner(7, Role::Member));
        assert_eq!(identity.id(), "7");
        assert_eq!(identity.user_id(), "local|7");
        assert_eq!(identity.email(), "u7@example.com");
        assert_eq!(identity.teams(), "Public");
    }
}
