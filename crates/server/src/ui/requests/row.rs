//! Requests in a table.

use std::collections::HashMap;

use tokenhouse_core::verdict::Reason;
use tokenhouse_requests::Request;

use crate::service::requests::{self, Visible};
use crate::ui::moment::Moment;
use crate::ui::page::Page;
use crate::ui::text::harmless;
use crate::ui::tokens;

/// The most bytes that are shown of what a client sent, so that a page of them stays small.
const LONGEST: usize = 300;

/// What a client sent, as it is shown.
pub(super) fn sent(text: &str) -> String {
    harmless(text, LONGEST)
}

/// Some requests.
pub(in crate::ui) struct Table {
    pub(in crate::ui) rows: Vec<Row>,
    /// Whether each says which token it was made with.
    pub(in crate::ui) names_tokens: bool,
}

impl Table {
    /// Those that were found, if any were looked for.
    pub(super) fn of(page: &Page, visible: &Visible, found: Option<requests::Page>) -> Self {
        let rows = found.map(|found| Row::all(page, found)).unwrap_or_default();
        Self { rows, names_tokens: visible.names_tokens() }
    }

    /// Those of one token or user, of which that is known.
    pub(in crate::ui) fn of_known(page: &Page, items: Vec<Request>) -> Self {
        let found = requests::Page { items, tokens: HashMap::new(), next: None };
        Self { rows: Row::all(page, found), names_tokens: false }
    }
}

/// A decision on a request.
pub(in crate::ui) struct Row {
    pub(in crate::ui) at: Moment,
    /// Why it was refused, in words; `None` if it was allowed.
    pub(in crate::ui) refused: Option<String>,
    /// Method and path, if they are known.
    pub(in crate::ui) asked: Option<(String, String)>,
    pub(in crate::ui) status: Option<u16>,
    pub(in crate::ui) ip: String,
    /// What the client calls itself; empty if it says nothing.
    pub(in crate::ui) user_agent: String,
    pub(in crate::ui) token: UsedToken,
}

/// What a request was made with.
pub(in crate::ui) enum UsedToken {
    /// A token that still exists.
    Known { name: String, path: String, owner: String },
    /// One that is deleted, or is not to be told.
    Deleted,
    /// Something else.
    No,
}

impl Row {
    /// The rows of a page of requests.
    fn all(page: &Page, found: requests::Page) -> Vec<Self> {
        let requests::Page { items, tokens, .. } = found;
        let row = |request: Request| Self {
            at: page.moment(request.time),
            refused: request.refused.as_deref().map(in_words),
            asked: (!request.path.is_empty()).then(|| (sent(&request.method), sent(&request.path))),
            status: request.status,
            ip: request.ip,
            user_agent: sent(&request.user_agent),
            token: match request.subject {
                None => UsedToken::No,
                Some(subject) => tokens.get(&subject.token).map_or(UsedToken::Deleted, |token| {
                    let (name, owner) = (token.name.clone(), token.owner.name.clone());
                    UsedToken::Known { name, path: tokens::path(token.id), owner }
                }),
            },
        };
        items.into_iter().map(row).collect()
    }
}

/// Why a request was refused, for people.
fn in_words(reason: &str) -> String {
    let known = Reason::ALL.into_iter().find(|known| known.as_str() == reason);
    let words = known.map(|known| match known {
        Reason::Malformed => "not a token",
        Reason::Unknown => "unknown or deleted token",
        Reason::Expired => "token expired",
        Reason::Revoked => "token revoked",
        Reason::Deactivated => "owner deactivated",
        Reason::Forbidden => "role too low",
        Reason::ScimOnly => "only for the directory",
    });
    words.map_or_else(|| sent(reason), str::to_owned)
}
