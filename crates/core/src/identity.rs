//! Who an owner is, in the texts that a service behind us is told.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::index::OwnerState;

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An owner's texts, written once for each change of the owner instead of once for each request. They
/// lie in one piece of memory, one behind the other, which answers share instead of copying it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    text: Bytes,
    /// Where each text but the last one ends.
    ends: [u32; 5],
}

impl Identity {
    /// The texts of an owner.
    pub fn of(owner: &OwnerState) -> Self {
        let mut text = owner.id.to_string();
        let mut ends = [0; 5];
        let teams = owner.teams.iter().map(|name| utf8_percent_encode(name, RESERVED).to_string());
        let teams = teams.collect::<Vec<_>>().join(",");
        let texts = [&owner.user_id, &owner.email, &teams, &owner.user_name, &owner.name];
        for (end, next) in ends.iter_mut().zip(texts) {
            // Texts of four gigabytes are nowhere let in.
            *end = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(next);
        }
        Self { text: text.into_boxed_str().into_boxed_bytes().into(), ends }
    }

    /// Text number `number`, from 0.
    fn range(&self, number: usize) -> Range<usize> {
        let end = |number: usize| self.ends.get(number).map_or(self.text.len(), |end| *end as usize);
        number.checked_sub(1).map_or(0, end)..end(number)
    }

    fn bytes(&self, number: usize) -> Bytes {
        self.text.slice(self.range(number))
    }

    fn text(&self, number: usize) -> &str {
        // Texts are put together in [`Self::of`], so nothing is cut apart.
        str::from_utf8(&self.text[self.range(number)]).unwrap_or_default()
    }

    /// The number of the account, in decimal.
    pub fn id(&self) -> Bytes {
        self.bytes(0)
    }

    /// The account's `user_id`.
    pub fn user_id(&self) -> Bytes {
        self.bytes(1)
    }

    /// E-mail address.
    pub fn email(&self) -> Bytes {
        self.bytes(2)
    }

    /// Names of teams, percent-encoded, with commas between, so that no team can look like two.
    pub fn teams(&self) -> Bytes {
        self.bytes(3)
    }

    /// The account's `user_id`.
    pub fn user_id_text(&self) -> &str {
        self.text(1)
    }

    /// E-mail address.
    pub fn email_text(&self) -> &str {
        self.text(2)
    }

    /// Names of teams, as they are.
    pub fn team_names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let names = self.text(3).split(',').filter(|name| !name.is_empty());
        names.map(|name| percent_decode_str(name).decode_utf8_lossy())
    }

    /// What a person signs in with, or the slug.
    pub fn user_name(&self) -> &str {
        self.text(4)
    }

    /// Display name.
    pub fn name(&self) -> &str {
        self.text(5)
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
        let texts = [identity.user_id_text(), identity.email_text(), identity.user_name(), identity.name()];
        assert_eq!(texts, ["local|7", "u7@example.com", "u7@example.com", "User 7"]);
    }

    #[test]
    fn teams_read_back() {
        for teams in [&["Public", "Data, Ops", "Größe", "100%"][..], &[]] {
            let teams: Vec<_> = teams.iter().map(ToString::to_string).collect();
            let identity = Identity::of(&OwnerState { teams: teams.clone(), ..owner(7, Role::Member) });
            assert_eq!(identity.team_names().collect::<Vec<_>>(), teams);
        }
    }
}
