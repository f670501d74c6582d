//! What the log of requests tells, and whom.

use std::collections::HashMap;
use std::net::IpAddr;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::UserType;
use tokenhouse_core::policy::Permission;
use tokenhouse_core::verdict::Subject;
use tokenhouse_requests::{Bucket, Cursor, Filter, Log, Order, Per, Request, Top, Whose};
use tokenhouse_store::tokens::{self as stored, Token};
use tokenhouse_store::users;

use super::{require, tokens};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};

/// How many different addresses, paths and user agents are told.
const RANKED: usize = 10;

/// How many of those who called lately are told.
const CALLERS: usize = 5;

/// In so many of the newest requests it is looked what callers call themselves.
const NEWEST: usize = 500;

/// Requests that a caller may see.
#[derive(Clone, Debug)]
pub struct Visible {
    /// Whose.
    pub whose: Whose,
    /// Whether it is told which token a request was made with.
    tells_tokens: bool,
}

/// Those of one token that the caller may see.
pub async fn of_token(app: &App, call: &Call, id: TokenId) -> Result<(Visible, Token), Error> {
    let token = tokens::one(app, call, id).await?;
    Ok((Visible { whose: Whose::Token(subject(&token)), tells_tokens: true }, token))
}

/// Those of all tokens of a user. Which of their personal tokens it was is told nobody else.
pub async fn of_user(app: &App, call: &Call, id: UserId) -> Result<Visible, Error> {
    let found = users::find(&mut *app.store.read().await?, id).await?;
    let user_type = found.as_ref().map_or(UserType::Human, |user| user.user_type);
    require(
        call.caller.access_requests(id, user_type),
        "there is no such user",
        "only Admins see the requests of others",
    )?;
    if found.is_none() {
        return Err(Error::NotFound("there is no such user".into()));
    }
    let tells_tokens = user_type == UserType::Service || call.caller.id == id;
    Ok(Visible { whose: Whose::Owner(id), tells_tokens })
}

/// Those of all service tokens, and those with what is no token at all.
pub fn of_services(call: &Call) -> Result<Visible, Error> {
    call.needs(Permission::ManageServiceTokens)?;
    Ok(Visible { whose: Whose::Service, tells_tokens: true })
}

/// Which token it is, for the log.
pub fn subject(token: &Token) -> Subject {
    Subject { token: token.id, owner: token.owner.id, kind: tokens::kind(token) }
}

/// A filter as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Narrowing<'a> {
    /// `allowed` or `denied`.
    pub decision: Option<&'a str>,
    /// An address.
    pub ip: Option<&'a str>,
    /// A path, or what it begins with and `*`.
    pub path: Option<&'a str>,
}

/// Some requests, newest first.
#[derive(Debug)]
pub struct Page {
    /// The requests.
    pub items: Vec<Request>,
    /// The tokens they were made with, as far as the caller may know and they still exist.
    pub tokens: HashMap<TokenId, Token>,
    /// Where to go on.
    pub next: Option<Cursor>,
}

/// A part of what is visible.
pub async fn page(
    app: &App,
    visible: &Visible,
    filter: Filter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page, Error> {
    let found = log(app)?.page(filter, Order::NewestFirst, after, limit).await?;
    let mut ids: Vec<TokenId> = Vec::new();
    if visible.tells_tokens {
        ids.extend(found.items.iter().filter_map(|request| Some(request.subject?.token)));
        ids.sort_unstable();
        ids.dedup();
    }
    let tokens = stored::find_many(&mut *app.store.read().await?, &ids).await?;
    let tokens = tokens.into_iter().map(|token| (token.id, token)).collect();
    let hidden = |mut request: Request| {
        request.subject = request.subject.filter(|_| visible.tells_tokens);
        request
    };
    Ok(Page { items: found.items.into_iter().map(hidden).collect(), tokens, next: found.next })
}

/// How many were allowed and refused, by hour or by day.
pub async fn counts(app: &App, filter: Filter, per: Per) -> Result<Vec<Bucket>, Error> {
    Ok(log(app)?.counts(filter, per).await?)
}

/// Where they came from, what they were for, and what made them.
pub async fn top(app: &App, filter: Filter) -> Result<Top, Error> {
    Ok(log(app)?.top(filter, RANKED).await?)
}

/// Addresses from which tokens were used in the last 24 hours: what a revoke stops.
#[derive(Debug)]
pub struct Callers {
    /// Those with most requests.
    pub most: Vec<Caller>,
    /// How many addresses there are.
    pub count: usize,
}

/// An address from which a token was used.
#[derive(Debug)]
pub struct Caller {
    /// The address.
    pub ip: String,
    /// How many requests were allowed.
    pub requests: u64,
    /// When the last one was.
    pub last: Timestamp,
    /// What it called itself last, if that isn't long ago.
    pub user_agent: Option<String>,
}

/// Who used these tokens in the last 24 hours.
pub async fn callers(app: &App, visible: &Visible) -> Result<Callers, Error> {
    let since = app.clock.now().plus_days(-1);
    let filter = Filter { allowed: Some(true), ..visible.between(Some(since), None) };
    let mut callers: HashMap<String, Caller> = HashMap::new();
    for used in log(app)?.tokens(filter.clone(), usize::MAX).await? {
        let unknown = || Caller { ip: used.ip.clone(), requests: 0, last: used.last, user_agent: None };
        let caller = callers.entry(used.ip.clone()).or_insert_with(unknown);
        caller.requests += used.allowed;
        caller.last = caller.last.max(used.last);
    }
    let count = callers.len();
    let mut most: Vec<Caller> = callers.into_values().collect();
    most.sort_by(|one, other| other.requests.cmp(&one.requests).then_with(|| one.ip.cmp(&other.ip)));
    most.truncate(CALLERS);
    if count > 0 {
        let ips: Vec<IpAddr> = most.iter().filter_map(|caller| caller.ip.parse().ok()).collect();
        let newest = log(app)?.page(Filter { ips, ..filter }, Order::NewestFirst, None, NEWEST).await?.items;
        for caller in &mut most {
            let last = newest.iter().find(|request| request.ip == caller.ip);
            caller.user_agent = last.map(|last| last.user_agent.clone());
        }
    }
    Ok(Callers { most, count })
}

/// Whether there is a log.
pub const fn are_recorded(app: &App) -> bool {
    app.requests.is_some()
}

/// The log, if there is one.
pub(super) fn log(app: &App) -> Result<&Log, Error> {
    app.requests.as_ref().ok_or_else(|| {
        Error::NotFound("requests are not recorded here: `request_log.enabled` is false".into())
    })
}

impl Visible {
    /// Whether they are those of one token only.
    pub const fn is_of_one_token(&self) -> bool {
        matches!(self.whose, Whose::Token(_))
    }

    /// Whether the caller may know the tokens.
    pub const fn tells_tokens(&self) -> bool {
        self.tells_tokens
    }

    /// Whether it is told of each which token it was made with.
    pub const fn names_tokens(&self) -> bool {
        self.tells_tokens && !self.is_of_one_token()
    }

    /// Those in a window of time that meet what was written into a filter; notes what is wrong with it.
    pub fn narrowed(
        &self,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        Narrowing { decision, ip, path }: Narrowing<'_>,
        fields: &mut Fields,
    ) -> Filter {
        let allowed = match decision {
            None => None,
            Some("allowed") => Some(true),
            Some("denied") => Some(false),
            Some(_) => {
                fields.wrong("decision", "must be allowed or denied");
                None
            }
        };
        let ip = ip.map(str::parse::<IpAddr>);
        if let Some(Err(_)) = ip {
            fields.wrong("ip", "must be an IP address");
        }
        let ips = ip.into_iter().flatten().map(|ip| ip.to_canonical()).collect();
        Filter { allowed, ips, path: path.map(str::to_owned), ..self.between(from, to) }
    }

    /// All of them in a window of time.
    pub fn between(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Filter {
        Filter { from, to, ..Filter::of(self.whose) }
    }
}

impl From<tokenhouse_requests::Error> for Error {
    fn from(error: tokenhouse_requests::Error) -> Self {
        use tokenhouse_requests::Error as Log;
        match error {
            Log::TooLong | Log::TooMuch => Self::BadRequest(error.to_string()),
            Log::BadCursor => Self::field("cursor", error.to_string()),
            Log::Storage(_) | Log::Moved => Self::Unavailable(Box::new(error)),
            Log::Corrupt { .. } => Self::internal(error),
        }
    }
}
