//! What the pages show of tokens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::policy::{Access, Permission};
use tokenhouse_core::token::Status;
use tokenhouse_store::successors::RotationPlan;
use tokenhouse_store::token_lists::{self, Counts, TokenFilter, Whose};
use tokenhouse_store::tokens::{self, Token};
use tokenhouse_store::users::{self, User};
use tokenhouse_store::{Connection, Page, lineage};

use super::closing::revoked_if_unused_at;
use super::rotation::refuses_rotation;
use super::{find, kind, status, with_latest_use};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;
use crate::knocks::Knocks;
use crate::service::policies;

/// How many ancestors of a token are shown.
const ANCESTORS: i64 = 5;

/// How many descendants of a token are shown.
const DESCENDANTS: i64 = 50;

/// An old token without any use for so many days looks safe to revoke.
const QUIET_DAYS: i64 = 1;

/// A page of a list of tokens.
#[derive(Debug)]
pub struct List {
    /// The tokens, with how many there are in the filter's state.
    pub page: Page<Token>,
    /// How many there are in each state that are not filtered out otherwise.
    pub counts: Counts,
    /// Whether a part of a name was looked for, and so not everything was counted.
    pub is_searched: bool,
    /// Tokens that those of the page succeed, or are succeeded by.
    pub related: HashMap<TokenId, Token>,
    /// Attempts with those of the page that don't work any more.
    pub attempts: HashMap<TokenId, Knocks>,
    /// How many personal tokens the caller has.
    pub personal: i64,
    /// How many service tokens there are, for those who may know.
    pub service: Option<i64>,
}

impl List {
    /// How many there are in a state, or in any; `None` if nobody counted all of them.
    pub fn counted(&self, status: Option<Status>) -> Option<i64> {
        (!self.is_searched || self.counts.all() <= token_lists::COUNTED).then(|| self.counts.of(status))
    }

    /// Whether there are more in the filter's state than the page's total, which leaves out all but one then.
    pub fn is_cut(&self) -> bool {
        self.is_searched && self.page.total > token_lists::COUNTED
    }
}

/// A page of tokens: the caller's own or, for Admins, those of service users.
pub async fn list(app: &App, call: &Call, filter: &TokenFilter, window: (i64, i64)) -> Result<List, Error> {
    match filter.whose {
        Whose::Personal(owner) if owner == call.caller.id => {}
        Whose::Personal(_) => return Err(Error::Forbidden("personal tokens are their owner's alone".into())),
        Whose::Service(_) | Whose::AllService => call.needs(Permission::ManageServiceTokens)?,
    }
    let manages_service = call.caller.has(Permission::ManageServiceTokens);
    let (limit, offset) = window;
    let is_searched = filter.part.as_deref().is_some_and(|part| !part.is_empty());
    let listed = async {
        let (page, counts) = token_lists::page(&app.store, filter, app.clock.now(), limit, offset).await?;
        let ids: Vec<TokenId> =
            page.items.iter().flat_map(|token| [token.rotates, token.rotated_by]).flatten().collect();
        let related = tokens::find_many(&mut *app.store.read().await?, &ids).await?;
        let attempts = attempts(app, &page.items).await?;
        Ok::<_, Error>((page, counts, related, attempts))
    };
    // What is counted for the list itself isn't counted again; what else is, meanwhile.
    let is_counted_apart = |whose| is_searched || filter.whose != whose;
    let totals = async {
        let own = Whose::Personal(call.caller.id);
        let personal = if is_counted_apart(own) {
            Some(token_lists::count(&mut *app.store.read().await?, own).await?)
        } else {
            None
        };
        let service = if manages_service && is_counted_apart(Whose::AllService) {
            Some(app.service_tokens.get(app).await?)
        } else {
            None
        };
        Ok::<_, Error>((personal, service))
    };
    let ((mut page, counts, mut related, attempts), (personal, service)) = tokio::try_join!(listed, totals)?;
    let personal = personal.unwrap_or_else(|| counts.all());
    let service = manages_service.then(|| service.unwrap_or_else(|| counts.all()));
    for token in page.items.iter_mut().chain(&mut related) {
        with_latest_use(app, token);
    }
    let related = related.into_iter().map(|token| (token.id, token)).collect();
    Ok(List { page, counts, is_searched, related, attempts, personal, service })
}

/// Attempts with those of these tokens that don't work any more.
async fn attempts(app: &App, tokens: &[Token]) -> Result<HashMap<TokenId, Knocks>, Error> {
    let now = app.clock.now();
    let is_dead = |token: &&Token| status(token, now) != Status::Active || !token.owner.active;
    let dead: Vec<TokenId> = tokens.iter().filter(is_dead).map(|token| token.id).collect();
    if dead.is_empty() { Ok(HashMap::new()) } else { Ok(app.dead_tokens.of(&app.store, &dead).await?) }
}

/// How many service tokens there are: counted once for each state of the log of changes, since there may be very
/// many and every list of tokens tells it.
#[derive(Debug, Default)]
pub struct ServiceTokens(Mutex<Option<(i64, i64)>>);

impl ServiceTokens {
    async fn get(&self, app: &App) -> Result<i64, Error> {
        // What is counted then is at least as new.
        let applied = app.feed.applied();
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = known.filter(|(counted_at, _)| *counted_at == applied) {
            return Ok(count);
        }
        let count = token_lists::count(&mut *app.store.read().await?, Whose::AllService).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((applied, count));
        Ok(count)
    }
}

/// How many of the caller's own tokens stop working if all are revoked.
pub async fn count_own_active(app: &App, call: &Call) -> Result<i64, Error> {
    let owner = call.caller.id;
    let active = token_lists::active(&mut *app.store.read().await?, &[owner], app.clock.now()).await?;
    Ok(active.get(&owner).copied().unwrap_or_default())
}

/// Everything that is known of one token.
#[derive(Debug)]
pub struct Details {
    /// The token.
    pub token: Token,
    /// Whose it is, with their teams.
    pub owner: User,
    /// Who made it, if not its owner.
    pub creator: Option<User>,
    /// Its predecessor, if that still exists.
    pub old: Option<Token>,
    /// Its newest successor.
    pub new: Option<Token>,
    /// Whether it can be rotated.
    pub can_rotate: bool,
    /// What it was made with, oldest first.
    pub ancestors: Vec<Relative>,
    /// What was made with it, and with that, oldest first; not all if there are very many.
    pub descendants: Vec<Relative>,
    /// How many there are of those.
    pub made: i64,
    /// How many of those work.
    pub made_alive: i64,
    /// Attempts with it, if it doesn't work any more.
    pub attempts: Option<Knocks>,
    /// When policy revokes it if nobody uses it, where that was announced.
    pub idle_end: Option<Timestamp>,
    /// Who rotates the tokens of its owner, where the token itself doesn't say.
    pub owners_plan: Option<RotationPlan>,
}

/// A token that was made with another one, or another one with it.
#[derive(Debug)]
pub struct Relative {
    /// Its number.
    pub id: TokenId,
    /// The token it was made with.
    pub parent: Option<TokenId>,
    /// The token itself; `None` if it is deleted, or somebody else's.
    pub token: Option<Token>,
    /// Whether it is deleted.
    pub is_deleted: bool,
}

/// Everything that is known of one token that the caller may see.
pub async fn details(app: &App, call: &Call, id: TokenId) -> Result<Details, Error> {
    let (mut reader, now) = (app.store.read().await?, app.clock.now());
    let mut token = find(&mut reader, call, id).await?;
    let owner = users::find(&mut reader, token.owner.id).await?;
    let creator = if token.created_by == token.owner.id {
        None
    } else {
        users::find(&mut reader, token.created_by).await?
    };
    let old = beside(app, &mut reader, token.rotates).await?;
    let new = beside(app, &mut reader, token.rotated_by).await?;
    let can_rotate = refuses_rotation(&mut reader, call, &token, now).await?.is_none();
    let (ancestors, descendants) = family(&mut reader, call, id).await?;
    let (made, made_alive) = lineage::count_descendants(&mut reader, id, now).await?;
    let policies = policies::in_force(app);
    drop(reader);
    let attempts = attempts(app, std::slice::from_ref(&token)).await?.remove(&id);
    with_latest_use(app, &mut token);
    let is_active = status(&token, now) == Status::Active;
    let owner = owner.ok_or_else(|| Error::internal("a token's owner vanished"))?;
    Ok(Details {
        idle_end: revoked_if_unused_at(&token, &policies).filter(|_| is_active),
        owners_plan: owner.plan.clone(),
        owner,
        token,
        creator,
        old,
        new,
        can_rotate,
        ancestors,
        descendants,
        made,
        made_alive,
        attempts,
    })
}

/// A predecessor or successor, which has the same owner.
async fn beside(app: &App, connection: &mut Connection, id: Option<TokenId>) -> Result<Option<Token>, Error> {
    let Some(id) = id else { return Ok(None) };
    let mut found = tokens::find(connection, id).await?;
    if let Some(token) = &mut found {
        with_latest_use(app, token);
    }
    Ok(found)
}

/// What was made with a token, and what it was made with, as far as the caller may see it.
pub(in crate::service) async fn family(
    connection: &mut Connection,
    call: &Call,
    id: TokenId,
) -> Result<(Vec<Relative>, Vec<Relative>), Error> {
    let relatives =
        |tokens: Vec<Token>| tokens.into_iter().map(|token| Relative::seen_by(call, token)).collect();
    let ancestors = lineage::ancestors(connection, id, ANCESTORS).await?;
    let descendants = lineage::descendants(connection, id, DESCENDANTS).await?;
    Ok((relatives(ancestors), relatives(descendants)))
}

impl Relative {
    fn seen_by(call: &Call, token: Token) -> Self {
        let (id, parent, is_deleted) = (token.id, token.parent_id, token.deleted_at.is_some());
        let may_see = call.caller.access_token(kind(&token), token.owner.id) == Access::Granted;
        Self { id, parent, is_deleted, token: (may_see && !is_deleted).then_some(token) }
    }
}

/// How far a rotation has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The old one doesn't work any more.
    Done,
    /// The new one doesn't work: revoked or expired.
    NewIsDead,
    /// The new one has never been used.
    NewIsUnused,
    /// The old one is still in use, or was until less than a day ago.
    OldIsUsed,
    /// The old one has been quiet since then.
    OldIsQuiet {
        /// Since when: its last use, or when the new one was made.
        since: Timestamp,
    },
}

/// How far the rotation of a token by its successor has come at `now`.
pub fn progress(old: &Token, new: &Token, now: Timestamp) -> Progress {
    let since = old.last_used_at.map_or(new.created_at, |used| used.max(new.created_at));
    match (status(old, now), status(new, now)) {
        (Status::Revoked | Status::Expired, _) => Progress::Done,
        (_, Status::Revoked | Status::Expired) => Progress::NewIsDead,
        _ if new.last_used_at.is_none() => Progress::NewIsUnused,
        _ if now < since.plus_days(QUIET_DAYS) => Progress::OldIsUsed,
        _ => Progress::OldIsQuiet { since },
    }
}

/// The service user with this number, for the head of a list of its tokens.
pub async fn service_user(app: &App, id: UserId) -> Result<User, Error> {
    let found = users::find(&mut *app.store.read().await?, id).await?;
    found.ok_or_else(|| Error::NotFound("there is no such user".into()))
}
