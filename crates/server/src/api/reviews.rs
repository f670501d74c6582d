//! `/api/reviews`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokenhouse_core::audit::{Head, hex};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::reviews::Rule;
use utoipa::{IntoParams, ToSchema};

use super::activity::Activity;
use super::body::{Json, Query};
use super::user_tokens::Token;
use super::users::User;
use super::{PageOf, PageQuery, csv};
use crate::app::App;
use crate::auth::guard::Audits;
use crate::error::{Error, Problem};
use crate::service::reviews::{self, Subject};

/// Something that somebody should mend.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    /// By which rule: `still_tried`, `orphaned`, `expiring`, `rotation_unfinished`, `unused`, `admin_role`,
    /// `nobody_answers` or `never_expires`.
    #[schema(value_type = String, example = "unused")]
    rule: &'static str,
    /// How bad it is.
    #[schema(value_type = String, pattern = "^(low|medium|high)$")]
    severity: &'static str,
    /// The service token it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<Token>,
    /// The service user it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user: Option<User>,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Who must act: who plans to rotate the token, who answers for the service user, or `Admins`.
    who: String,
    /// What mends it: `revoke`, `rotate`, `see_requests`, `demote` or `describe`.
    #[schema(value_type = String, example = "revoke")]
    fix: &'static str,
    /// The page where that is done.
    href: String,
    /// The last attempt with a dead token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    last_tried: Option<Timestamp>,
    /// From which address that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_tried_ip: Option<String>,
}

impl Finding {
    /// The finding, with its token as it is at `now`.
    fn at(now: Timestamp, found: reviews::Finding) -> Self {
        let (rule, href) = (found.rule, found.href());
        let (token, user) = match found.subject {
            Subject::Token(token) => (Some(Token::at(now, *token)), None),
            Subject::User(user) => (None, Some(User::from(*user))),
        };
        let (last_tried, last_tried_ip) = found.knocks.map(|knocks| (knocks.at, knocks.ip)).unzip();
        Self {
            rule: rule.as_str(),
            severity: found.severity.as_str(),
            token,
            user,
            since: found.since,
            who: found.who,
            fix: rule.fix().as_str(),
            href,
            last_tried,
            last_tried_ip,
        }
    }
}

/// Which findings are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReviewQuery {
    /// Only those of this rule.
    rule: Option<String>,
}

impl ReviewQuery {
    fn rule(&self) -> Result<Option<Rule>, Error> {
        let Some(name) = &self.rule else { return Ok(None) };
        let names: Vec<_> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        let unknown = || Error::field("rule", format!("must be one of {}", names.join(", ")));
        Rule::parse(name).map(Some).ok_or_else(unknown)
    }
}

/// Findings among service tokens and service users, the worst rules first
#[utoipa::path(get, path = "/api/reviews", tag = "Governance", security(("bearer" = [])), params(ReviewQuery, PageQuery),
    responses((status = 200, body = PageOf<Finding>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _caller: Audits,
    Query(query): Query<ReviewQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<PageOf<Finding>>, Error> {
    let (limit, offset) = page.window()?;
    let found = reviews::page(&app, query.rule()?, limit, offset).await?;
    let now = app.clock.now();
    Ok(axum::Json(page.answer(found, |finding| Finding::at(now, finding))))
}

/// How many findings are read at once for a file.
const BATCH: i64 = 500;

/// All findings as CSV; number and hash of the newest audit record are in `X-Audit-Head` and in each row
#[utoipa::path(get, path = "/api/reviews.csv", tag = "Governance", security(("bearer" = [])), params(ReviewQuery),
    responses((status = 200, content_type = "text/csv", body = String, headers(("X-Audit-Head" = String))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn as_csv(
    State(app): State<Arc<App>>,
    _caller: Audits,
    Query(query): Query<ReviewQuery>,
) -> Result<Response, Error> {
    download(app, query.rule()?, Format::Csv).await
}

/// All findings as JSON, with the newest audit record
#[utoipa::path(get, path = "/api/reviews.json", tag = "Governance", security(("bearer" = [])), params(ReviewQuery),
    responses((status = 200, body = Evidence), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn as_json(
    State(app): State<Arc<App>>,
    _caller: Audits,
    Query(query): Query<ReviewQuery>,
) -> Result<Response, Error> {
    download(app, query.rule()?, Format::Json).await
}

/// All findings of a moment, to be kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct Evidence {
    /// When they were read.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The newest record of the audit trail then; `tokenhouse audit verify --expect SEQ:HASH` checks against it.
    head: HeadOnWire,
    /// All findings.
    items: Vec<Finding>,
}

/// A record of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
pub struct HeadOnWire {
    /// Its number.
    seq: i64,
    /// Its link in the chain, SHA-256 in hexadecimal.
    hash: String,
}

impl From<Head> for HeadOnWire {
    fn from(head: Head) -> Self {
        Self { seq: head.seq, hash: hex(&head.hash) }
    }
}

/// The form of a file of findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Csv,
    Json,
}

/// All findings as a file, read while they are sent.
pub(crate) async fn download(app: Arc<App>, rule: Option<Rule>, format: Format) -> Result<Response, Error> {
    let head = HeadOnWire::from(reviews::head(&app).await?);
    let audit_head = format!("{}:{}", head.seq, head.hash);
    let (media_type, name) = match format {
        Format::Csv => (csv::MEDIA_TYPE, "reviews.csv"),
        Format::Json => ("application/json", "reviews.json"),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::HeaderName::from_static("x-audit-head"), audit_head),
    ];
    let pieces = csv::pieces(move |sender| async move { send(&app, rule, format, head, &sender).await });
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Sends a file in pieces, to its end or until nobody takes it any more.
async fn send(
    app: &App,
    rule: Option<Rule>,
    format: Format,
    head: HeadOnWire,
    pieces: &csv::Pieces,
) -> Result<(), Error> {
    let at = app.clock.now();
    let beginning = match format {
        Format::Csv => csv::rows([COLUMNS.map(str::to_owned)])?,
        Format::Json => {
            let head = serde_json::to_string(&head).map_err(Error::internal)?;
            format!("{{\"at\":\"{at}\",\"head\":{head},\"items\":[").into_bytes()
        }
    };
    if pieces.send(Ok(beginning)).await.is_err() {
        return Ok(());
    }
    let mut is_first = true;
    for rule in Rule::ALL.iter().copied().filter(|known| rule.is_none_or(|rule| rule == *known)) {
        let mut last = None;
        loop {
            let (found, next) = reviews::after(app, rule, last, BATCH).await?;
            if next.is_none() {
                break;
            }
            last = next;
            let piece = match format {
                Format::Csv => csv::rows(found.into_iter().map(|finding| cells(finding, &head)))?,
                Format::Json => items(at, found, &mut is_first)?,
            };
            if pieces.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
    }
    if format == Format::Json {
        // Whoever asked may be gone.
        let _ = pieces.send(Ok(b"]}\n".to_vec())).await;
    }
    Ok(())
}

fn items(at: Timestamp, found: Vec<reviews::Finding>, is_first: &mut bool) -> Result<Vec<u8>, Error> {
    let mut piece = Vec::new();
    for finding in found {
        if !std::mem::take(is_first) {
            piece.push(b',');
        }
        serde_json::to_writer(&mut piece, &Finding::at(at, finding)).map_err(Error::internal)?;
    }
    Ok(piece)
}

const COLUMNS: [&str; 17] = [
    "rule",
    "severity",
    "since",
    "who",
    "fix",
    "token_id",
    "token_name",
    "token_created",
    "token_expiration",
    "token_last_used",
    "user_id",
    "user_user_id",
    "user_name",
    "user_role",
    "last_tried",
    "audit_seq",
    "audit_hash",
];

fn cells(found: reviews::Finding, head: &HeadOnWire) -> [String; 17] {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let token = match &found.subject {
        Subject::Token(token) => Some(token),
        Subject::User(_) => None,
    };
    let (id, user_id, name, role) = match &found.subject {
        Subject::Token(token) => {
            (token.owner.id, token.owner.user_id.clone(), token.owner.name.clone(), token.owner.role)
        }
        Subject::User(user) => (user.id, user.user_id.clone(), user.name.clone(), user.role),
    };
    [
        found.rule.as_str().to_owned(),
        found.severity.as_str().to_owned(),
        found.since.to_string(),
        found.who.clone(),
        found.rule.fix().as_str().to_owned(),
        token.map(|token| token.id.to_string()).unwrap_or_default(),
        token.map(|token| token.name.clone()).unwrap_or_default(),
        time(token.map(|token| token.created_at)),
        time(token.and_then(|token| token.expires_at)),
        time(token.and_then(|token| token.last_used_at)),
        id.to_string(),
        user_id,
        name,
        role.to_string(),
        time(found.knocks.as_ref().map(|knocks| knocks.at)),
        head.seq.to_string(),
        head.hash.clone(),
    ]
}

/// That somebody looked through all findings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignOff {
    /// What was looked at, and why what is left may stay.
    #[schema(min_length = 1, max_length = 2000)]
    comment: String,
}

/// Sign off the findings of this moment; a record in the audit trail
#[utoipa::path(post, path = "/api/reviews/sign-offs", tag = "Governance", security(("bearer" = [])), request_body = SignOff,
    responses((status = 201, body = Activity), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn sign_off(
    State(app): State<Arc<App>>,
    Audits(call): Audits,
    Json(wanted): Json<SignOff>,
) -> Result<(StatusCode, axum::Json<Activity>), Error> {
    let record = reviews::sign_off(&app, &call, &wanted.comment).await?;
    Ok((StatusCode::CREATED, axum::Json(record.into())))
}

/// Who signed off and when, newest first
#[utoipa::path(get, path = "/api/reviews/sign-offs", tag = "Governance", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = PageOf<Activity>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn sign_offs(
    State(app): State<Arc<App>>,
    _caller: Audits,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<PageOf<Activity>>, Error> {
    let (limit, offset) = page.window()?;
    let found = reviews::history(&app, limit, offset).await?;
    Ok(axum::Json(page.answer(found, Activity::from)))
}
