//! `/api/activity`: the audit trail

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::{Deserialize, Serialize};
use tokenhouse_core::audit::{Action, Actor, hex};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people::UserType;
use tokenhouse_store::audit::{AuditFilter, Day, StoredRecord};
use utoipa::{IntoParams, ToSchema};

use super::body::Query;
use super::{PageOf, PageQuery, csv};
use crate::app::App;
use crate::auth::guard::Audits;
use crate::error::{Error, Fields, Problem};
use crate::service::audit;

/// A record of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
pub struct Activity {
    /// Position in the trail, from 1, without gaps.
    seq: i64,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What happened.
    #[schema(example = "token.revoked")]
    action: String,
    /// To what.
    entity: Entity,
    /// By whom; null is the system or the command line.
    #[schema(required)]
    actor: Option<ActorOnWire>,
    /// By what way.
    via: Via,
    /// From which address.
    #[schema(required)]
    ip: Option<String>,
    /// As part of which request.
    #[schema(required)]
    request_id: Option<String>,
    /// Changed fields: `{"field": [before, after]}`.
    #[schema(value_type = Object, example = json!({"role": ["Member", "Admin"]}))]
    changes: serde_json::Value,
    /// The record's link in the chain, SHA-256 in hexadecimal.
    hash: String,
}

/// What a record is about, as it was called then.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entity {
    /// `token`, `user`, `team`, `setup`, `policy` or `review`.
    #[serde(rename = "type")]
    kind: String,
    /// Its number.
    id: i64,
    /// Its name.
    name: String,
}

/// Who did it, as they were called then.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Actor)]
pub struct ActorOnWire {
    /// Number of the user.
    #[schema(value_type = i64)]
    id: UserId,
    /// Their `user_id`.
    user_id: String,
    /// Their name.
    name: String,
    /// Person or automation.
    #[schema(value_type = String, pattern = "^(Human|Service)$")]
    user_type: UserType,
}

/// By what way it was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Via {
    /// `session`, `token`, `scim`, `cli` or `system`.
    kind: String,
    /// The token that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    token_id: Option<TokenId>,
}

impl Activity {
    /// When it happened.
    pub(crate) const fn at(&self) -> Timestamp {
        self.at
    }

    /// What happened.
    pub(crate) fn action(&self) -> &str {
        &self.action
    }

    /// What it happened to.
    pub(crate) fn entity_name(&self) -> &str {
        &self.entity.name
    }

    /// The `user_id` of who did it.
    pub(crate) fn actor_id(&self) -> &str {
        self.actor.as_ref().map_or("the command line", |actor| &actor.user_id)
    }

    /// From which address.
    pub(crate) fn address(&self) -> &str {
        self.ip.as_deref().unwrap_or("this machine")
    }

    /// As part of which request.
    pub(crate) fn request(&self) -> &str {
        self.request_id.as_deref().unwrap_or("none")
    }
}

impl From<Actor> for ActorOnWire {
    fn from(actor: Actor) -> Self {
        let Actor { id, user_id, name, user_type } = actor;
        Self { id, user_id, name, user_type }
    }
}

impl From<StoredRecord> for Activity {
    fn from(stored: StoredRecord) -> Self {
        let StoredRecord { record, hash } = stored;
        Self {
            seq: record.seq,
            at: record.at,
            action: record.action,
            entity: Entity { kind: record.entity.kind, id: record.entity.id, name: record.entity.name },
            actor: record.actor.map(ActorOnWire::from),
            via: Via { kind: record.via_kind, token_id: record.via_token },
            ip: record.ip,
            request_id: record.request_id,
            changes: serde_json::from_str(&record.changes).unwrap_or_default(),
            hash: hex(&hash),
        }
    }
}

/// Which records are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ActivityQuery {
    /// Last day of the window in UTC, today if absent.
    #[param(example = "2026-01-15")]
    pub(crate) date: Option<String>,
    /// Length of the window: 7, 30, 90 or 365 days.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(week|month|quarter|year)$")]
    pub(crate) timeframe: Timeframe,
    /// Number of the user who did it.
    pub(crate) user: Option<i64>,
    /// Exactly this action.
    #[param(example = "token.revoked")]
    pub(crate) action: Option<String>,
    /// Kind of thing it was done to: `token`, `user`, `team` or `setup`.
    entity: Option<String>,
    /// Without what service users, SCIM, the command line and the system did.
    #[serde(default)]
    pub(crate) hide_internal: bool,
}

/// Length of a window.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Timeframe {
    #[default]
    Week,
    Month,
    Quarter,
    Year,
}

impl Timeframe {
    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Its length.
    pub(crate) const fn days(self) -> i64 {
        match self {
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
        }
    }
}

impl ActivityQuery {
    /// The window and what narrows it.
    pub(crate) fn filter(&self, now: Timestamp) -> Result<AuditFilter, Error> {
        let mut fields = Fields::default();
        let date = match &self.date {
            None => Some(now.start_of_day()),
            Some(date) => {
                fields.check("date", Timestamp::parse_day(date).ok_or("must be a day such as 2026-01-15"))
            }
        };
        let action = self.action.as_ref().and_then(|action| fields.check("action", action.parse::<Action>()));
        let kinds = Action::ALL.iter().map(|action| action.entity());
        let entity = self.entity.as_ref().and_then(|entity| {
            let known = kinds.clone().any(|kind| kind == entity);
            fields.check("entity", known.then(|| entity.clone()).ok_or("must be one of token, user, team"))
        });
        fields.finish()?;
        let end = date.unwrap_or(now).plus_days(1);
        Ok(AuditFilter {
            entity_id: None,
            via_tokens: Vec::new(),
            from: Some(end.plus_days(-self.timeframe.days())),
            to: Some(end),
            user: self.user.map(UserId),
            action,
            entity,
            hide_automated: self.hide_internal,
        })
    }
}

/// A page of audit records, newest first
#[utoipa::path(get, path = "/api/activity", tag = "Audit", security(("bearer" = [])), params(ActivityQuery, PageQuery),
    responses((status = 200, body = PageOf<Activity>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn list(
    State(app): State<Arc<App>>,
    _caller: Audits,
    Query(query): Query<ActivityQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<PageOf<Activity>>, Error> {
    let (limit, offset) = page.window()?;
    let filter = query.filter(app.clock.now())?;
    let found = audit::page(&app, &filter, limit, offset).await?;
    Ok(axum::Json(page.answer(found, Activity::from)))
}

/// What the records of a window amount to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Insights {
    /// How many users did anything.
    active_users: i64,
    /// How many records there are.
    total_actions: i64,
    /// Who did most; null where nobody did anything.
    #[schema(required)]
    most_active_user: Option<MostActive>,
    /// The kind of thing most was done to: `token`, `user`, `team` or `setup`.
    #[schema(required)]
    top_category: Option<String>,
    /// One for each day of the window, oldest first.
    buckets: Vec<Bucket>,
}

/// Who did most.
#[derive(Debug, Serialize, ToSchema)]
pub struct MostActive {
    #[serde(flatten)]
    actor: ActorOnWire,
    /// How many records are theirs.
    actions: i64,
}

/// A day.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bucket {
    /// Midnight UTC at its start.
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    /// What people did.
    user: i64,
    /// What service users, SCIM, the command line and the system did.
    automated: i64,
}

/// What the records of a window amount to
#[utoipa::path(get, path = "/api/activity/insights", tag = "Audit", security(("bearer" = [])), params(ActivityQuery),
    responses((status = 200, body = Insights), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn insights(
    State(app): State<Arc<App>>,
    _caller: Audits,
    Query(query): Query<ActivityQuery>,
) -> Result<axum::Json<Insights>, Error> {
    let filter = query.filter(app.clock.now())?;
    let found = audit::insights(&app, &filter).await?;
    let buckets = found.days.iter().map(|day| {
        let Day { start, user, automated } = *day;
        Bucket { start, user, automated }
    });
    Ok(axum::Json(Insights {
        active_users: found.active_users,
        total_actions: found.total_actions,
        buckets: buckets.collect(),
        most_active_user: found
            .most_active_user
            .map(|(actor, actions)| MostActive { actor: actor.into(), actions }),
        top_category: found.top_category.map(|(category, _)| category),
    }))
}

/// Rows that are read at once for the CSV.
const BATCH: i64 = 1_000;

/// The same records as CSV, newest first
#[utoipa::path(get, path = "/api/activity.csv", tag = "Audit", security(("bearer" = [])), params(ActivityQuery),
    responses((status = 200, content_type = "text/csv", body = String), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn as_csv(
    State(app): State<Arc<App>>,
    _caller: Audits,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, Error> {
    let filter = query.filter(app.clock.now())?;
    Ok(download(app, filter))
}

/// Records as a file, read while they are sent.
pub(crate) fn download(app: Arc<App>, filter: AuditFilter) -> Response {
    let headers = [
        (header::CONTENT_TYPE, csv::MEDIA_TYPE),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"activity.csv\""),
    ];
    let rows = csv::pieces(|pieces| async move { send(&app, &filter, &pieces).await });
    (headers, Body::from_stream(rows)).into_response()
}

/// Sends a file in pieces, to its end or until nobody takes it any more.
async fn send(app: &App, filter: &AuditFilter, pieces: &csv::Pieces) -> Result<(), Error> {
    let (mut piece, mut before) = (csv::rows([COLUMNS.map(str::to_owned)])?, i64::MAX);
    while pieces.send(Ok(piece)).await.is_ok() {
        let found = audit::before(app, filter, before, BATCH).await?;
        let Some(oldest) = found.last() else { break };
        before = oldest.record.seq;
        piece = csv::rows(found.iter().map(cells))?;
    }
    Ok(())
}

const COLUMNS: [&str; 16] = [
    "seq",
    "at",
    "action",
    "entity_type",
    "entity_id",
    "entity_name",
    "actor_id",
    "actor_user_id",
    "actor_name",
    "actor_type",
    "via",
    "via_token_id",
    "ip",
    "request_id",
    "changes",
    "hash",
];

fn cells(StoredRecord { record, hash }: &StoredRecord) -> [String; 16] {
    let actor = record.actor.as_ref();
    [
        record.seq.to_string(),
        record.at.to_string(),
        record.action.clone(),
        record.entity.kind.clone(),
        record.entity.id.to_string(),
        record.entity.name.clone(),
        actor.map(|actor| actor.id.to_string()).unwrap_or_default(),
        actor.map(|actor| actor.user_id.clone()).unwrap_or_default(),
        actor.map(|actor| actor.name.clone()).unwrap_or_default(),
        actor.map(|actor| actor.user_type.to_string()).unwrap_or_default(),
        record.via_kind.clone(),
        record.via_token.map(|id| id.to_string()).unwrap_or_default(),
        record.ip.clone().unwrap_or_default(),
        record.request_id.clone().unwrap_or_default(),
        record.changes.clone(),
        hex(hash),
    ]
}
