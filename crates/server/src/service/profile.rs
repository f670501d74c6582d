//! What Admins see of an account beside its profile: what it did, and what a change of it would bring
//! about.

use std::collections::HashMap;

use tokenhouse_core::id::UserId;
use tokenhouse_core::people::UserType;
use tokenhouse_core::policy::Permission;
use tokenhouse_store::audit::{self, AuditFilter, StoredRecord};
use tokenhouse_store::users::User;
use tokenhouse_store::{Page, sessions, token_lists};

use super::require;
use super::users::{existing, keep_an_admin};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;

/// An account, and what stops or comes back with it.
#[derive(Debug)]
pub struct Consequences {
    /// The account.
    pub user: User,
    /// How many of its tokens are active: they stop with the account, and come back with it.
    pub active_tokens: i64,
    /// In how many browsers the person is signed in.
    pub sessions: u64,
    /// Why the account can't be deactivated.
    pub refusal: Option<String>,
}

/// What stops or comes back with an account. Of a person's tokens no more is told than how many there are.
pub async fn consequences(app: &App, call: &Call, id: UserId) -> Result<Consequences, Error> {
    call.needs(Permission::ManagePeople)?;
    let mut reader = app.store.read().await?;
    let user = existing(&mut reader, id).await?;
    let now = app.clock.now();
    let active = token_lists::active(&mut reader, &[id], now).await?;
    let sessions = sessions::of_user(&mut reader, id, now).await?.len();
    let sessions = u64::try_from(sessions).unwrap_or(u64::MAX);
    let refusal = match keep_an_admin(&mut reader, &user).await {
        Ok(()) => None,
        Err(Error::Conflict(refusal)) => Some(refusal),
        Err(other) => return Err(other),
    };
    Ok(Consequences { active_tokens: active.get(&id).copied().unwrap_or_default(), sessions, refusal, user })
}

/// What stops when all tokens of an account are revoked.
pub async fn revocation(app: &App, call: &Call, id: UserId) -> Result<Consequences, Error> {
    let stopping = consequences(app, call, id).await?;
    let forbidden = "only a service user's tokens, or your own, can be revoked all at once";
    require(call.caller.access_all_tokens(id, stopping.user.user_type), forbidden, forbidden)?;
    Ok(stopping)
}

/// How many tokens of the service users among these are active.
pub async fn active_tokens(app: &App, call: &Call, users: &[User]) -> Result<HashMap<UserId, i64>, Error> {
    call.needs(Permission::ManageServiceTokens)?;
    let service = users.iter().filter(|user| user.user_type == UserType::Service);
    let ids: Vec<UserId> = service.map(|user| user.id).collect();
    Ok(token_lists::active(&mut *app.store.read().await?, &ids, app.clock.now()).await?)
}

/// What an account did last, newest first, at most so many records, and how many there are.
pub async fn activity(app: &App, call: &Call, id: UserId, limit: i64) -> Result<Page<StoredRecord>, Error> {
    call.needs(Permission::Audit)?;
    let filter = AuditFilter { user: Some(id), ..AuditFilter::default() };
    Ok(audit::page(&mut *app.store.read().await?, &filter, limit, 0).await?)
}
