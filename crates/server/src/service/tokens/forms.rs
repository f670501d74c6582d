//! Forms that make a token: one form makes one token, however often it is sent.

use tokenhouse_core::id::TokenId;
use tokenhouse_core::people::{Name, SERVICE_SUFFIX, UserType, fold};
use tokenhouse_core::policy::Permission;
use tokenhouse_core::token::{Lifetime, LifetimePolicy};
use tokenhouse_store::tokens::{self, Token};
use tokenhouse_store::users::{self, User, UserFilter};
use tokenhouse_store::{Connection, Writer};

use super::rotation::{Succession, refuses_rotation, rotate_in, successors_name};
use super::{FirstToken, Generated, Wanted, find, generate_in, kind, may_generate};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;
use crate::service::{policies, users as accounts};

/// The most characters of the number of a form; ours have fewer.
const FORM_LIMIT: usize = 64;

/// How many service users are offered to choose from.
const OFFERED: i64 = 50;

/// What sending a form came to.
#[derive(Debug)]
pub enum Sent {
    /// A token was made.
    Made(Generated),
    /// It was sent before and made this token then. Its secret was shown with that answer.
    Before(Token),
}

/// A number for a new form.
pub fn number(app: &App) -> Result<String, Error> {
    Ok(app.random.text::<16>()?)
}

/// Makes a token by a form.
pub async fn generate(app: &App, call: &Call, wanted: Wanted<'_>, form: &str) -> Result<Sent, Error> {
    may_generate(call, &wanted)?;
    match begin(app, call, form).await? {
        Begun::Before(token) => Ok(Sent::Before(token)),
        Begun::Now(writer) => generate_in(app, call, writer, wanted, Some(form)).await.map(Sent::Made),
    }
}

/// Makes an account together with its first token by a form, or neither.
pub async fn create_account(
    app: &App,
    call: &Call,
    wanted: accounts::Wanted<'_>,
    token: FirstToken<'_>,
    form: &str,
) -> Result<Sent, Error> {
    match begin(app, call, form).await? {
        Begun::Before(token) => Ok(Sent::Before(token)),
        Begun::Now(writer) => {
            let made = accounts::create_with_token_in(app, call, writer, wanted, token, Some(form)).await;
            made.map(|(_, generated)| Sent::Made(generated))
        }
    }
}

/// Makes a successor by a form.
pub async fn rotate(
    app: &App,
    call: &Call,
    id: TokenId,
    wanted: Succession<'_>,
    form: &str,
) -> Result<Sent, Error> {
    match begin(app, call, form).await? {
        Begun::Before(token) => Ok(Sent::Before(token)),
        Begun::Now(writer) => rotate_in(app, call, writer, id, wanted, Some(form)).await.map(Sent::Made),
    }
}

/// What sending a form begins with.
pub(in crate::service) enum Begun {
    /// A transaction.
    Now(Writer),
    /// Nothing: it was sent before and made this token then.
    Before(Token),
}

/// Begins the transaction of a form, unless it was carried out before.
pub(in crate::service) async fn begin(app: &App, call: &Call, form: &str) -> Result<Begun, Error> {
    let is_ours = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if form.is_empty() || form.len() > FORM_LIMIT || !form.chars().all(is_ours) {
        return Err(Error::BadRequest("the form has no number of ours; open it again".into()));
    }
    let mut writer = app.begin(call).await?;
    match tokens::find_by_form(&mut writer, call.caller.id, form).await? {
        Some(token) => Ok(Begun::Before(token)),
        None => Ok(Begun::Now(writer)),
    }
}

/// What the form of a rotation begins with.
#[derive(Debug)]
pub struct Proposal {
    /// The token to be rotated.
    pub token: Token,
    /// The name that is proposed.
    pub name: Name,
    /// The lifetime that is proposed.
    pub lifetime: Lifetime,
    /// What policy allows.
    pub lifetimes: LifetimePolicy,
}

/// What the form of a rotation begins with.
///
/// # Errors
/// [`Error::Conflict`] or [`Error::Forbidden`] if the token can't be rotated.
pub async fn propose(app: &App, call: &Call, id: TokenId) -> Result<Proposal, Error> {
    let (mut reader, now) = (app.store.read().await?, app.clock.now());
    let token = find(&mut reader, call, id).await?;
    if let Some(refusal) = refuses_rotation(&mut reader, call, &token, now).await? {
        return Err(refusal);
    }
    let name = successors_name(&mut reader, &token, now).await?;
    let policies = policies::in_force(app);
    let lifetimes = policies.lifetimes(kind(&token));
    let lifetime = lifetimes.inherit(token.created_at, token.expires_at);
    Ok(Proposal { token, name, lifetime, lifetimes })
}

/// The service users a token can be made for, as far as a text narrows them.
#[derive(Debug, Default)]
pub struct Candidates {
    /// The one that the text names: by its id, its slug, or its name if no other has it.
    pub named: Option<User>,
    /// The first by name of those in whose name the text is.
    pub offered: Vec<User>,
    /// How many those are.
    pub total: i64,
}

/// The active service users that fit a text; all of them if it is empty.
pub async fn candidates(app: &App, call: &Call, text: &str) -> Result<Candidates, Error> {
    call.needs(Permission::ManageServiceTokens)?;
    // No database is asked for what none may hold.
    if text.contains('\0') {
        return Ok(Candidates::default());
    }
    let text = text.trim();
    let mut reader = app.store.read().await?;
    let by_slug = named_by_slug(&mut reader, text).await?;
    let filter = UserFilter {
        user_type: Some(UserType::Service),
        name_part: Some(text.to_owned()).filter(|_| by_slug.is_none()),
        ..UserFilter::default()
    };
    let found = users::page(&mut reader, &filter, OFFERED, 0).await?;
    let mut same_name = found.items.iter().filter(|user| fold(&user.name) == fold(text));
    let by_name = same_name.next().filter(|_| same_name.next().is_none()).cloned();
    Ok(Candidates { named: by_slug.or(by_name), offered: found.items, total: found.total })
}

async fn named_by_slug(connection: &mut Connection, text: &str) -> Result<Option<User>, Error> {
    let slug = text.strip_suffix(SERVICE_SUFFIX).unwrap_or(text);
    // What can't be a name isn't looked for.
    if slug.is_empty() || Name::parse(slug).is_err() {
        return Ok(None);
    }
    let found = users::find_by_user_name(connection, slug).await?;
    Ok(found.filter(|user| user.user_type == UserType::Service && user.deleted_at.is_none()))
}
