//! `/settings/tokens`: lists, one token, and everything that is done to tokens.

pub mod change;
pub mod details;
pub mod generate;
pub(super) mod lifetimes;
pub mod list;
pub mod plan;
pub mod rotate;
mod tree;
pub(super) mod tried;

use serde::Deserialize;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::token::{Status, TokenKind};
use tokenhouse_store::tokens::Token;

use super::moment::Moment;
use super::page::Page;
use super::sign_in::{HOME, local};
use crate::service::tokens;

/// The list of personal tokens.
const PERSONAL: &str = "/settings/tokens";

/// The list of service tokens.
pub(super) const SERVICE: &str = "/settings/tokens/service";

/// Where a list of this kind is.
pub(super) const fn list_of(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Personal => PERSONAL,
        TokenKind::Service => SERVICE,
    }
}

/// What it is called.
pub(super) const fn list_title(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Personal => "Tokens",
        TokenKind::Service => "Service tokens",
    }
}

/// Where the page of a token is.
pub(super) fn path(id: TokenId) -> String {
    format!("{PERSONAL}/{id}")
}

/// The page from which something is done to a token, and to which it leads back.
#[derive(Debug, Deserialize)]
pub struct Way {
    back: Option<String>,
}

impl Way {
    /// The page they came from, or else this one.
    fn back_or(&self, otherwise: &str) -> String {
        self.back().unwrap_or(otherwise).to_owned()
    }

    /// The query that keeps the way back, if there is one.
    fn query(&self) -> String {
        self.back().map_or_else(String::new, query)
    }

    /// Where they came from; the front door instead of anything that could lead to another site.
    fn back(&self) -> Option<&str> {
        self.back.as_deref().map(|back| local(back).unwrap_or(HOME))
    }
}

/// The query by which a page is led back to.
fn query(back: &str) -> String {
    let pair = form_urlencoded::Serializer::new(String::new()).append_pair("back", back).finish();
    format!("?{pair}")
}

/// What a token amounts to, as it is shown: the class that gives it its colour, and the word.
pub(super) const fn state(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Active => ("active", "Active"),
        Status::Revoked => ("revoked", "Revoked"),
        Status::Expired => ("expired", "Expired"),
    }
}

/// The tone of a badge that says it.
const fn tone(status: Status) -> &'static str {
    match status {
        Status::Active => "green",
        Status::Revoked => "orange",
        Status::Expired => "red",
    }
}

/// When and from which address a token was last used.
pub(super) fn last_use(page: &Page, token: &Token) -> Option<(Moment, String)> {
    let at = token.last_used_at?;
    Some((page.moment(at), token.last_used_ip.clone().unwrap_or_default()))
}

/// What can be done to a token in the state it is in.
#[derive(Clone, Copy, Debug)]
struct Possible {
    revoke: bool,
    restore: bool,
    delete: bool,
}

impl Possible {
    const fn of(status: Status) -> Self {
        Self {
            revoke: matches!(status, Status::Active),
            restore: matches!(status, Status::Revoked),
            delete: !matches!(status, Status::Active),
        }
    }
}

/// A name in a sentence that is no HTML: whatever direction it has, the sentence around it keeps its own.
fn isolated(name: &str) -> String {
    format!("“\u{2068}{name}\u{2069}”")
}

/// A form was sent again that has made its token already.
#[derive(Debug)]
pub(super) struct MadeBefore {
    pub(super) name: String,
    /// The page of the token; `None` if it has been deleted since.
    pub(super) path: Option<String>,
    pub(super) close: String,
}

impl MadeBefore {
    pub(super) fn new(token: &Token, close: impl Into<String>) -> Self {
        let path = token.deleted_at.is_none().then(|| path(token.id));
        Self { name: token.name.clone(), path, close: close.into() }
    }
}

/// What a token amounts to at the time of the page.
fn status(page: &Page, token: &Token) -> Status {
    tokens::status(token, page.now())
}
