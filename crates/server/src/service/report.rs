//! What somebody needs to know when a token has leaked: who made it, what was done with it, from where, what else
//! came from there, and what to do next.

use std::collections::{BTreeMap, HashMap};

use tokenhouse_core::audit::Action;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::UserType;
use tokenhouse_core::policy::{Access, Permission};
use tokenhouse_core::token::Status;
use tokenhouse_requests::{Filter, Order, Per, Request, Used, Whose};
use tokenhouse_store::Connection;
use tokenhouse_store::audit::{self, AuditFilter, StoredRecord};
use tokenhouse_store::tokens::{self as stored, Token};
use tokenhouse_store::users::{self, User};

use super::tokens::views::{Relative, family};
use super::{requests, require, tokens};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;
use crate::knocks::Knocks;

/// Requests of each kind that are told one by one.
const REQUESTS: usize = 200;

/// Addresses that are told.
const ADDRESSES: usize = 50;

/// Tokens that are looked for at these addresses.
const OTHERS: usize = 1_000;

/// Audit records that are told.
const RECORDS: i64 = 200;

/// What the report is about.
#[derive(Debug)]
pub enum About {
    /// A token.
    Token(Box<Token>),
    /// A service user, or oneself, with all tokens that exist.
    User(Box<User>, Vec<Token>),
}

/// Everything that is known.
#[derive(Debug)]
pub struct Report {
    /// The token or user.
    pub about: About,
    /// When the report was made.
    pub at: Timestamp,
    /// The window that it looks at.
    pub from: Timestamp,
    /// The window's end, not part of it.
    pub to: Timestamp,
    /// The record of its making.
    pub made: Option<StoredRecord>,
    /// What the token was made with.
    pub ancestors: Vec<Relative>,
    /// What was made with it.
    pub descendants: Vec<Relative>,
    /// Requests that were allowed.
    pub allowed: u64,
    /// Requests that were refused.
    pub denied: u64,
    /// Requests that may have changed something, newest first, not all if there are many.
    pub writes: Vec<Request>,
    /// All others, in the same way.
    pub reads: Vec<Request>,
    /// From where.
    pub addresses: Vec<Address>,
    /// What was changed here with the token, newest first.
    pub records: Vec<StoredRecord>,
    /// The last accepted request before the revoke, or of all.
    pub last_accepted: Option<Request>,
    /// The first refused request after the revoke.
    pub first_refused: Option<Request>,
    /// Attempts since it is dead.
    pub knocks: Option<Knocks>,
}

/// An address that requests came from.
#[derive(Debug)]
pub struct Address {
    /// The address.
    pub ip: String,
    /// Requests that were allowed.
    pub allowed: u64,
    /// Requests that were refused.
    pub denied: u64,
    /// When the last one was.
    pub last: Timestamp,
    /// Other tokens that came from there.
    pub others: Vec<Other>,
}

/// Another token that came from the same address, as far as the caller may know.
#[derive(Debug)]
pub struct Other {
    /// The token; `None` for a personal token of somebody else.
    pub token: Option<TokenId>,
    /// Its name, if the token may be known and still exists.
    pub name: Option<String>,
    /// Its owner.
    pub owner: UserId,
    /// When it came from there last.
    pub last: Timestamp,
}

/// A window of time.
pub type Window = (Timestamp, Timestamp);

/// The report on a token that the caller may see.
pub async fn of_token(app: &App, call: &Call, id: TokenId, window: Window) -> Result<Report, Error> {
    let (visible, token) = requests::of_token(app, call, id).await?;
    let mut reader = app.store.read().await?;
    let made = made(&mut reader, call, &[Action::TokenGenerated, Action::TokenRotated], id.0).await?;
    let (ancestors, descendants) = family(&mut reader, call, id).await?;
    drop(reader);
    let knocks = app.dead_tokens.of(&app.store, &[id]).await?.remove(&id);
    let (last_accepted, first_refused) = around_the_revoke(app, &token, visible.whose).await?;
    let report = told(app, call, About::Token(Box::new(token)), visible.whose, window).await?;
    Ok(Report { made, ancestors, descendants, last_accepted, first_refused, knocks, ..report })
}

/// The report on a service user, for Admins, or on the caller.
pub async fn of_user(app: &App, call: &Call, id: UserId, window: Window) -> Result<Report, Error> {
    let mut reader = app.store.read().await?;
    let user = users::find(&mut reader, id).await?;
    let Some(user) = user else {
        require(call.caller.access_profile(id), "there is no such user", "only Managers see people")?;
        return Err(Error::NotFound("there is no such user".into()));
    };
    let user_type = user.user_type;
    require(
        call.caller.access_all_tokens(id, user_type),
        "there is no such user",
        "a report on a person is for that person only",
    )?;
    let tokens = match user_type {
        UserType::Human => stored::personal(&mut reader, id).await?,
        UserType::Service => stored::service(&mut reader, Some(id)).await?,
    };
    let made = made(&mut reader, call, &[Action::UserCreated], id.0).await?;
    drop(reader);
    let ids: Vec<TokenId> = tokens.iter().map(|token| token.id).collect();
    let knocks = app.dead_tokens.of(&app.store, &ids).await?.into_values().reduce(|mut all, knocks| {
        all.add(&knocks);
        all
    });
    let report = told(app, call, About::User(Box::new(user), tokens), Whose::Owner(id), window).await?;
    Ok(Report { made, knocks, ..report })
}

/// What is told of tokens and users alike.
async fn told(
    app: &App,
    call: &Call,
    about: About,
    whose: Whose,
    (from, to): Window,
) -> Result<Report, Error> {
    let log = requests::log(app)?;
    let filter = Filter { from: Some(from), to: Some(to), ..Filter::of(whose) };
    let part = async |writes| {
        let filter = Filter { writes: Some(writes), ..filter.clone() };
        whole(log.page(filter, Order::NewestFirst, None, REQUESTS).await?, REQUESTS)
    };
    let (writes, reads) = (part(true).await?, part(false).await?);
    let counts = log.counts(filter.clone(), Per::Day).await?;
    let (allowed, denied) = counts
        .iter()
        .fold((0, 0), |(allowed, denied), bucket| (allowed + bucket.allowed, denied + bucket.denied));
    let addresses = addresses(app, call, &about, filter).await?;
    let via_tokens = match &about {
        About::Token(token) => vec![token.id],
        About::User(_, tokens) => tokens.iter().map(|token| token.id).collect(),
    };
    let records = if via_tokens.is_empty() {
        Vec::new()
    } else {
        let filter = AuditFilter { from: Some(from), to: Some(to), via_tokens, ..AuditFilter::default() };
        audit::before(&mut *app.store.read().await?, &filter, i64::MAX, RECORDS).await?
    };
    Ok(Report {
        about,
        at: app.clock.now(),
        from,
        to,
        made: None,
        ancestors: Vec::new(),
        descendants: Vec::new(),
        allowed,
        denied,
        writes,
        reads,
        addresses,
        records,
        last_accepted: None,
        first_refused: None,
        knocks: None,
    })
}

/// The record of the making of a token or user, for whoever did it and for those who audit.
async fn made(
    reader: &mut Connection,
    call: &Call,
    actions: &[Action],
    id: i64,
) -> Result<Option<StoredRecord>, Error> {
    for action in actions {
        let (entity, entity_id) = (Some(action.entity().to_owned()), Some(id));
        let filter = AuditFilter { action: Some(*action), entity, entity_id, ..AuditFilter::default() };
        if let Some(found) = audit::before(reader, &filter, i64::MAX, 1).await?.pop() {
            let actor = found.record.actor.as_ref().map(|actor| actor.id);
            let may_know = call.caller.has(Permission::Audit) || actor == Some(call.caller.id);
            return Ok(may_know.then_some(found));
        }
    }
    Ok(None)
}

/// Some requests, of which a report must not say that there are no others if nobody knows.
fn whole(page: tokenhouse_requests::Page, limit: usize) -> Result<Vec<Request>, Error> {
    if page.next.is_some() && page.items.len() < limit {
        return Err(tokenhouse_requests::Error::TooLong.into());
    }
    Ok(page.items)
}

/// The last accepted request before a token was revoked and the first refused one after it.
async fn around_the_revoke(
    app: &App,
    token: &Token,
    whose: Whose,
) -> Result<(Option<Request>, Option<Request>), Error> {
    let log = requests::log(app)?;
    let first = async |filter, order| {
        Ok::<_, Error>(whole(log.page(filter, order, None, 1).await?, 1)?.into_iter().next())
    };
    let ends = [token.revoked_at, token.expires_at.filter(|end| *end <= app.clock.now())];
    let end = ends.into_iter().flatten().min();
    let accepted = Filter { allowed: Some(true), to: end, ..Filter::of(whose) };
    let last_accepted = first(accepted, Order::NewestFirst).await?;
    let first_refused = if end.is_some() {
        let refused = Filter { allowed: Some(false), from: end, ..Filter::of(whose) };
        first(refused, Order::OldestFirst).await?
    } else {
        None
    };
    Ok((last_accepted, first_refused))
}

/// The addresses that requests came from, and what else came from there.
async fn addresses(app: &App, call: &Call, about: &About, filter: Filter) -> Result<Vec<Address>, Error> {
    let log = requests::log(app)?;
    let ranked = log.top(filter.clone(), ADDRESSES).await?.ips;
    let ips: Vec<_> = ranked.iter().filter_map(|ranked| ranked.value.parse().ok()).collect();
    let mut others: BTreeMap<String, Vec<Used>> = BTreeMap::new();
    if !ips.is_empty() {
        let at_these = Filter { ips, whose: Whose::Everyone, ..filter };
        for used in log.tokens(at_these, OTHERS).await? {
            let is_own = match about {
                About::Token(token) => token.id == used.subject.token,
                About::User(user, _) => user.id == used.subject.owner,
            };
            if !is_own {
                others.entry(used.ip.clone()).or_default().push(used);
            }
        }
    }
    let ids: Vec<TokenId> = others.values().flatten().map(|used| used.subject.token).collect();
    let known = stored::find_many(&mut *app.store.read().await?, &ids).await?;
    let names: HashMap<TokenId, String> = known.into_iter().map(|token| (token.id, token.name)).collect();
    let shown = |ranked: tokenhouse_requests::Ranked| Address {
        others: others
            .remove(&ranked.value)
            .into_iter()
            .flatten()
            .filter_map(|used| seen_by(call, &used, &names))
            .collect(),
        ip: ranked.value,
        allowed: ranked.allowed,
        denied: ranked.denied,
        last: ranked.last,
    };
    Ok(ranked.into_iter().map(shown).collect())
}

/// Another token as the caller may know of it: whoever audits knows whose it is, nobody else of it at all.
fn seen_by(call: &Call, used: &Used, names: &HashMap<TokenId, String>) -> Option<Other> {
    let subject = used.subject;
    let is_visible = call.caller.access_token(subject.kind, subject.owner) == Access::Granted;
    if !is_visible && !call.caller.has(Permission::Audit) {
        return None;
    }
    let token = is_visible.then_some(subject.token);
    let name = token.and_then(|token| names.get(&token).cloned());
    Some(Other { token, name, owner: subject.owner, last: used.last })
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Revoke the token, and all that was made with it.
    RevokeWithDescendants,
    /// It is dead already, but what was made with it isn't.
    RevokeDescendants,
    /// Revoke all tokens of the owner.
    RevokeAll,
    /// Find who still uses the dead token.
    FindCaller,
    /// Give the automation another account and token.
    Replace,
}

impl Report {
    /// What the token or user is called.
    pub fn name(&self) -> &str {
        match &self.about {
            About::Token(token) => &token.name,
            About::User(user, _) => &user.name,
        }
    }

    /// What to do next, the most urgent first.
    pub fn steps(&self) -> Vec<Step> {
        let is_active = |token: &Token| tokens::status(token, self.at) == Status::Active;
        let mut steps = Vec::new();
        let (any_active, is_service) = match &self.about {
            About::Token(token) => {
                let made_active =
                    self.descendants.iter().filter_map(|made| made.token.as_ref()).any(is_active);
                if is_active(token) {
                    steps.push(Step::RevokeWithDescendants);
                } else if made_active {
                    steps.push(Step::RevokeDescendants);
                }
                (is_active(token), token.owner.user_type == UserType::Service)
            }
            About::User(user, tokens) => (tokens.iter().any(is_active), user.user_type == UserType::Service),
        };
        if any_active || matches!(self.about, About::Token(_)) && is_service {
            steps.push(Step::RevokeAll);
        }
        if self.knocks.is_some() {
            steps.push(Step::FindCaller);
        }
        if is_service {
            steps.push(Step::Replace);
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_goes_on_is_whole_only_if_it_has_as_many_as_were_asked_for() {
        let next = "AAAAAAAAAAAAAAAA".parse().ok();
        assert!(next.is_some());
        let page = |next| tokenhouse_requests::Page { items: Vec::new(), next };
        assert!(whole(page(None), 1).is_ok());
        assert!(whole(page(next), 0).is_ok());
        assert!(matches!(whole(page(next), 1), Err(Error::BadRequest(_))));
    }
}
