//! Who may call: a handler takes one of these as its argument, so its signature says it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tokenhouse_core::audit::{Action, Actor, Entity, Via};
use tokenhouse_core::id::{SessionId, TokenId, UserId};
use tokenhouse_core::index::{Owner, OwnerState, Standing};
use tokenhouse_core::people::{Role, UserType};
use tokenhouse_core::policy::{Caller, Permission};
use tokenhouse_core::random::{NoRandomness, Random};
use tokenhouse_core::token::TokenHash;
use tokenhouse_core::verdict::{Accepted, Checkpoint, Reason, Refused};
use tokenhouse_store::audit::Draft;

use super::{address, bearer};
use crate::app::{App, Denied};
use crate::error::Error;
use crate::header_text::header_text;
use crate::listener::Connection;
use crate::request_log::Pending;

/// Gives every request a number: six bytes that this process has drawn, then six that count. They are unique, not
/// secret; and since they begin alike and rise, the log of requests keeps one in a few bytes.
#[derive(Debug)]
pub struct RequestNumbers {
    process: [u8; 6],
    given: AtomicU64,
}

impl RequestNumbers {
    /// Those of a process.
    pub fn new(random: &Random) -> Result<Self, NoRandomness> {
        Ok(Self { process: random.bytes()?, given: AtomicU64::new(0) })
    }

    /// The next one; `None` after all have been given.
    pub fn next(&self) -> Option<RequestId> {
        let [0, 0, count @ ..] = self.given.fetch_add(1, Ordering::Relaxed).to_be_bytes() else {
            return None;
        };
        let mut number = [0; 12];
        number[..6].copy_from_slice(&self.process);
        number[6..].copy_from_slice(&count);
        let mut text = [0; 16];
        let encoded = BASE64_URL_SAFE_NO_PAD.encode_slice(number, &mut text);
        debug_assert_eq!(encoded, Ok(text.len()), "12 bytes are 16 characters");
        // Base64url is always good for a header.
        header_text(&text).ok().map(RequestId)
    }
}

/// The number of a request, on every answer and in the log.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The number.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The number, for a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// A request whose caller is known: who, by what way, from where.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who is asking. On the command line, which has no account, an Admin without a number.
    pub caller: Caller,
    /// The account as it was when the request came in.
    pub account: Option<Arc<Owner>>,
    /// What gives them the right to.
    pub credential: Credential,
    /// From which address.
    pub ip: Option<IpAddr>,
    /// The request.
    pub request_id: Option<RequestId>,
}

/// What gives a caller their rights. [`App::begin`] looks at it again when the caller's turn has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential {
    /// A bearer token: its number, and the keyed hash by which it is known.
    Token(TokenId, TokenHash),
    /// The same at the SCIM endpoints.
    Scim(TokenId, TokenHash),
    /// A session of the web UI.
    Session(SessionId),
    /// Nothing yet: password or one-time code are looked at by the service that takes them.
    Nothing,
    /// The command line of the machine.
    CommandLine,
    /// The server itself.
    System,
}

impl Credential {
    /// By what way a change with it comes in.
    const fn via(self) -> Via {
        match self {
            Self::Token(id, _) => Via::Token(id),
            Self::Scim(id, _) => Via::Scim(id),
            Self::Session(_) | Self::Nothing => Via::Session,
            Self::CommandLine => Via::Cli,
            Self::System => Via::System,
        }
    }
}

impl Call {
    /// The token the call was made with.
    pub const fn token(&self) -> Option<TokenId> {
        match self.credential {
            Credential::Token(id, _) | Credential::Scim(id, _) => Some(id),
            _ => None,
        }
    }

    /// Whether the caller has this permission.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if not.
    pub fn needs(&self, permission: Permission) -> Result<(), Error> {
        if self.caller.has(permission) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("this needs the role {}", permission.least_role())))
    }

    /// The session the call was made in.
    pub const fn session(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Session(id) => Some(id),
            _ => None,
        }
    }

    /// The account that makes something, to be recorded as its creator.
    pub fn creator(&self) -> Option<UserId> {
        self.account.as_ref().map(|account| account.state.id)
    }

    /// An audit record of what this call does.
    pub fn draft(
        &self,
        action: Action,
        id: i64,
        name: &str,
        changes: serde_json::Map<String, serde_json::Value>,
    ) -> Draft {
        Draft {
            action,
            entity: Entity { kind: action.entity().to_owned(), id, name: name.to_owned() },
            actor: self.account.as_ref().map(|account| actor(account)),
            via: self.credential.via(),
            ip: self.ip,
            request_id: self.request_id.as_ref().map(|id| id.as_str().to_owned()),
            changes,
        }
    }

    /// A call of whoever has this account and credential.
    pub fn of(account: Arc<Owner>, credential: Credential, origin: Origin) -> Self {
        let Standing { id, role, user_type, .. } = account.state;
        Self {
            caller: Caller { id, role, user_type },
            account: Some(account),
            credential,
            ip: Some(origin.ip),
            request_id: origin.request_id,
        }
    }

    /// A call of somebody who has just shown that the account is theirs.
    pub fn of_account(account: OwnerState, origin: Origin) -> Self {
        Self::of(Arc::new(account.into()), Credential::Nothing, origin)
    }

    /// A call of somebody who has no account, or hasn't shown yet that it is theirs. May do what a
    /// Member may.
    pub fn of_stranger(origin: Origin) -> Self {
        Self {
            caller: Caller { id: UserId(0), role: Role::Member, user_type: UserType::Human },
            account: None,
            credential: Credential::Nothing,
            ip: Some(origin.ip),
            request_id: origin.request_id,
        }
    }

    /// What the server does by itself.
    pub fn system() -> Self {
        Self { credential: Credential::System, ..Self::command_line() }
    }

    /// A call on the machine's command line, which may do what an Admin may.
    pub const fn command_line() -> Self {
        Self {
            caller: Caller { id: UserId(0), role: Role::Admin, user_type: UserType::Human },
            account: None,
            credential: Credential::CommandLine,
            ip: None,
            request_id: None,
        }
    }
}

fn actor(account: &Owner) -> Actor {
    Actor {
        id: account.state.id,
        user_id: account.identity.user_id_text().to_owned(),
        name: account.identity.name().to_owned(),
        user_type: account.state.user_type,
    }
}

/// Where a request came from, for handlers that need no token.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address.
    pub ip: IpAddr,
    /// The request.
    pub request_id: Option<RequestId>,
}

pub(super) fn origin(parts: &Parts, app: &App) -> Origin {
    let ip = client(parts.extensions.get(), &parts.headers, app);
    Origin { ip, request_id: parts.extensions.get().cloned() }
}

/// The client's address.
pub fn client(connection: Option<&Connection>, headers: &HeaderMap, app: &App) -> IpAddr {
    let peer = connection.map_or(IpAddr::from([0, 0, 0, 0]), |connection| connection.peer.ip());
    address::client(peer, headers, &app.config.server.trusted_proxies)
}

/// Checks the bearer token of a request, at one of the places that do so.
pub fn authenticate(parts: &Parts, app: &App, at: Checkpoint) -> Result<(Accepted, Origin), Error> {
    let origin = origin(parts, app);
    let pending = Pending::among(&parts.extensions);
    Ok((authenticate_from(origin.ip, &parts.headers, app, at, pending)?, origin))
}

/// The same with the address it comes from. Failures beyond what an address has become 429.
pub fn authenticate_from(
    ip: IpAddr,
    headers: &HeaderMap,
    app: &App,
    at: Checkpoint,
    pending: Option<&Pending>,
) -> Result<Accepted, Error> {
    let used = app.used_from(ip);
    let checked = match bearer::token(headers) {
        Ok(token) => app.check(at, token, used).map_err(Some),
        Err(reason) => Err(reason.map(|reason| Denied::Refused(Refused::anonymous(reason)))),
    };
    match &checked {
        Ok(accepted) => pending.inspect(|pending| pending.checked(at, used.at, Ok(accepted))),
        Err(denied) => pending.inspect(|pending| {
            denied.inspect(|denied| pending.checked(at, used.at, Err(*denied)));
        }),
    };
    let reason = match checked {
        Ok(accepted) => return Ok(accepted),
        Err(Some(Denied::Stale)) => return Err(Error::Stale),
        Err(Some(Denied::Refused(refused))) => Some(refused.reason),
        Err(None) => None,
    };
    match reason {
        // Good in itself, but not for this.
        Some(Reason::ScimOnly) => {
            Err(Error::Forbidden("a SCIM token opens the SCIM endpoints and nothing else".into()))
        }
        Some(Reason::Forbidden) => {
            Err(Error::Forbidden("a SCIM token works only while its owner is an Admin".into()))
        }
        reason => {
            if reason.is_some() {
                app.limits.failed_bearer(ip)?;
            }
            Err(Error::Unauthenticated(reason))
        }
    }
}

/// An ordinary token of our own API: any role, but not a SCIM token.
fn ordinary(parts: &Parts, app: &App) -> Result<Call, Error> {
    let (accepted, origin) = authenticate(parts, app, Checkpoint::Api)?;
    let Accepted { hash, token, owner } = accepted;
    Ok(Call::of(owner, Credential::Token(token.id, hash), origin))
}

impl FromRequestParts<Arc<App>> for Origin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        Ok(origin(parts, app))
    }
}

/// Any caller with a good, ordinary token.
#[derive(Clone, Debug)]
pub struct Anyone(pub Call);

impl FromRequestParts<Arc<App>> for Anyone {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        ordinary(parts, app).map(Self)
    }
}

/// Makes an argument that says which permission the caller needs that another argument finds out.
macro_rules! guard {
    ($whoever:ident, $(#[$doc:meta])* $name:ident, $permission:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Call);

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
                let $whoever(call) = $whoever::from_request_parts(parts, app).await?;
                call.needs(Permission::$permission)?;
                Ok(Self(call))
            }
        }
    };
}
pub(super) use guard;

/// Whoever may use the SCIM endpoints: a SCIM token, or an ordinary token of an Admin.
#[derive(Clone, Debug)]
pub struct Provisions(pub Call);

impl FromRequestParts<Arc<App>> for Provisions {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let (accepted, origin) = authenticate(parts, app, Checkpoint::Scim)?;
        let Accepted { hash, token, owner } = accepted;
        let call = Call::of(owner, Credential::Scim(token.id, hash), origin);
        if !token.scim_only {
            call.needs(Permission::Provision)?;
        }
        Ok(Self(call))
    }
}
guard!(
    Anyone,
    /// Whoever may see users and teams.
    SeesPeople,
    SeePeople
);
guard!(
    Anyone,
    /// Whoever may change users and teams.
    ManagesPeople,
    ManagePeople
);
guard!(
    Anyone,
    /// Whoever may see and manage service tokens.
    ManagesServiceTokens,
    ManageServiceTokens
);
guard!(
    Anyone,
    /// Whoever may read the audit trail.
    Audits,
    Audit
);
