//! Tokens that don't work any more, and are tried all the same.

use tokenhouse_core::token::Status;
use tokenhouse_store::tokens::Token;

use super::status;
use crate::knocks::Knocks;
use crate::ui::moment::Moment;
use crate::ui::page::Page;
use crate::ui::text::plural;

/// A token that is still tried.
pub(in crate::ui) struct Tried {
    /// Why it doesn't work.
    pub(in crate::ui) why: &'static str,
    /// Since when, if that is known.
    pub(in crate::ui) since: Option<Moment>,
    pub(in crate::ui) last: Moment,
    pub(in crate::ui) ip: String,
    /// `41 times`
    pub(in crate::ui) times: String,
}

impl Tried {
    /// What is told of these attempts with a token; nothing if they were made while it worked again, or there
    /// are none.
    pub(in crate::ui) fn of(page: &Page, token: &Token, attempts: Option<&Knocks>) -> Option<Self> {
        let attempts = attempts?;
        let expired_at = token.expires_at.filter(|at| *at <= page.now());
        let stopped_at = token.revoked_at.into_iter().chain(expired_at).min();
        if stopped_at.is_some_and(|stopped| attempts.at < stopped) {
            return None;
        }
        let (why, since) = match status(page, token) {
            Status::Revoked => ("Revoked", token.revoked_at),
            Status::Expired => ("Expired", expired_at),
            Status::Active => ("Owner deactivated", None),
        };
        Some(Self {
            why,
            since: since.map(|at| page.moment(at)),
            last: page.moment(attempts.at),
            ip: attempts.ip.clone(),
            times: match attempts.count.unsigned_abs() {
                1 => "once".to_owned(),
                count => plural(count, "time", "times"),
            },
        })
    }
}
