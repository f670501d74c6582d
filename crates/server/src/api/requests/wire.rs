//! Requests as they are told.

use serde::Serialize;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_requests as log;
use utoipa::ToSchema;

use crate::service::requests::{Page, Visible};

/// A decision on a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedRequest {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    /// What it was.
    #[schema(pattern = "^(allowed|denied)$")]
    pub(crate) decision: &'static str,
    /// Why.
    #[schema(pattern = "^(ok|expired|revoked|deactivated|unknown|malformed|forbidden|scim_only)$")]
    pub(crate) reason: String,
    /// Where the token was checked.
    #[schema(pattern = "^(api|forward_auth|introspection|gateway|scim)$")]
    via: String,
    /// Method of the request.
    pub(crate) method: String,
    /// Its path, without the query string.
    pub(crate) path: String,
    /// Status of the answer, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) status: Option<u16>,
    /// Address of the client.
    pub(crate) ip: String,
    /// What the client calls itself.
    pub(crate) user_agent: String,
    /// The server that decided.
    node: String,
    /// Number of the request.
    request_id: String,
    /// The token, where requests of several are listed. Which personal token it was is told only its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<UsedToken>,
}

/// The token that a request was made with.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsedToken {
    /// Number of the token.
    #[schema(value_type = i64)]
    id: TokenId,
    /// Its name; null if it is deleted.
    #[schema(required)]
    name: Option<String>,
    /// Number of its owner.
    #[schema(value_type = i64)]
    user_id: UserId,
}

/// Some requests, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Requests {
    items: Vec<LoggedRequest>,
    /// Where to go on; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl From<log::Request> for LoggedRequest {
    fn from(request: log::Request) -> Self {
        Self {
            time: request.time,
            decision: if request.refused.is_none() { "allowed" } else { "denied" },
            reason: request.refused.unwrap_or_else(|| "ok".into()),
            via: request.via,
            method: request.method,
            path: request.path,
            status: request.status,
            ip: request.ip,
            user_agent: request.user_agent,
            node: request.node,
            request_id: request.request_id,
            token: None,
        }
    }
}

impl Requests {
    pub(super) fn of(page: Page, visible: &Visible) -> Self {
        let Page { items, tokens, next } = page;
        let with_tokens = !visible.is_of_one_token();
        let shown = |request: log::Request| {
            let token = request.subject.filter(|_| with_tokens).map(|subject| UsedToken {
                id: subject.token,
                name: tokens.get(&subject.token).map(|token| token.name.clone()),
                user_id: subject.owner,
            });
            LoggedRequest { token, ..LoggedRequest::from(request) }
        };
        let items = items.into_iter().map(shown).collect();
        Self { items, next_cursor: next.map(|cursor| cursor.to_string()) }
    }
}

/// How many requests were allowed and denied, by hour or by day.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestSummary {
    /// The window.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// Its end, not part of it.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    allowed: u64,
    denied: u64,
    /// Those hours or days in which there were any, oldest first.
    buckets: Vec<RequestBucket>,
}

/// The requests of an hour or a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestBucket {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    allowed: u64,
    denied: u64,
}

/// What occurs most often among requests.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestTop {
    ips: Vec<Ranked>,
    paths: Vec<Ranked>,
    user_agents: Vec<Ranked>,
}

/// One address, path or user agent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ranked {
    value: String,
    allowed: u64,
    denied: u64,
    /// When it occurred last.
    #[schema(value_type = String, format = DateTime)]
    last: Timestamp,
}

impl RequestSummary {
    pub(super) fn of(from: Timestamp, to: Timestamp, buckets: Vec<log::Bucket>) -> Self {
        let (allowed, denied) = buckets
            .iter()
            .fold((0, 0), |(allowed, denied), bucket| (allowed + bucket.allowed, denied + bucket.denied));
        let shown = |log::Bucket { start, allowed, denied }| RequestBucket { start, allowed, denied };
        Self { from, to, allowed, denied, buckets: buckets.into_iter().map(shown).collect() }
    }
}

impl From<log::Top> for RequestTop {
    fn from(log::Top { ips, paths, user_agents }: log::Top) -> Self {
        let shown = |ranked: Vec<log::Ranked>| ranked.into_iter().map(Ranked::from).collect();
        Self { ips: shown(ips), paths: shown(paths), user_agents: shown(user_agents) }
    }
}

impl From<log::Ranked> for Ranked {
    fn from(log::Ranked { value, allowed, denied, last }: log::Ranked) -> Self {
        Self { value, allowed, denied, last }
    }
}
