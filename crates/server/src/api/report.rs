//! `…/report`: what somebody needs to know when a token has leaked

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use utoipa::{IntoParams, ToSchema};

use super::activity::Activity;
use super::body::{Id, Query};
use super::requests::{LoggedRequest, closed_window, open_window};
use super::user_tokens::Token;
use super::users::User;
use crate::app::App;
use crate::auth::guard::Anyone;
use crate::error::{Error, Fields, Problem};
use crate::knocks::Knocks;
use crate::service::report::{self, About, Report, Step, Window};
use crate::service::tokens::views::Relative;

/// What is known of a token or a user after a leak.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentReport {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub generated_at: Timestamp,
    /// The window it looks at.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// The window's end, not part of it.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// The token, if the report is on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token: Option<Token>,
    /// The user, if the report is on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<User>,
    /// The user's tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
    /// The audit record of its making: by whom, from where.
    #[schema(required)]
    pub made: Option<Activity>,
    /// What the token was made with, oldest first.
    pub ancestors: Vec<ReportRelative>,
    /// What was made with it.
    pub descendants: Vec<ReportRelative>,
    /// Requests in the window that were allowed.
    pub allowed: u64,
    /// Requests in the window that were denied.
    pub denied: u64,
    /// Requests with a method other than GET, HEAD and OPTIONS, newest first, at most 200.
    pub writes: Vec<LoggedRequest>,
    /// All other requests, newest first, at most 200.
    pub reads: Vec<LoggedRequest>,
    /// Addresses that requests came from, and which other tokens came from there.
    pub addresses: Vec<ReportAddress>,
    /// Audit records of what was changed here with it, newest first, at most 200.
    pub changes: Vec<Activity>,
    /// The last accepted request before the end of a dead token, or the newest of a live one.
    #[schema(required)]
    pub last_accepted: Option<LoggedRequest>,
    /// The first refused request after its end.
    #[schema(required)]
    pub first_refused: Option<LoggedRequest>,
    /// Attempts since it is dead.
    #[schema(required)]
    pub attempts_since_dead: Option<ReportAttempts>,
    /// What to do next, the most urgent first.
    pub next_steps: Vec<NextStep>,
}

/// Another token in the lineage.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportRelative {
    /// Its number.
    #[schema(value_type = i64)]
    pub id: TokenId,
    /// The token it was made with.
    #[schema(value_type = Option<i64>, required)]
    pub parent_id: Option<TokenId>,
    /// The token, if the caller may see it and it isn't deleted.
    #[schema(required)]
    pub token: Option<Token>,
}

/// An address that requests came from.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportAddress {
    /// The address.
    pub ip: String,
    /// Requests that were allowed.
    pub allowed: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// When the last one was.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
    /// Other tokens that came from there.
    pub others: Vec<ReportOther>,
}

/// Another token at an address. Of somebody's personal token only the owner is told.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportOther {
    /// Its number; null for a personal token of somebody else.
    #[schema(value_type = Option<i64>, required)]
    pub token_id: Option<TokenId>,
    /// Its name; null for such a token, and if it is deleted.
    #[schema(required)]
    pub token_name: Option<String>,
    /// Number of its owner.
    #[schema(value_type = i64)]
    pub user_id: UserId,
    /// When it came from there last.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
}

/// Attempts with a dead token.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportAttempts {
    /// How many.
    pub count: i64,
    /// When the last one was.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
    /// From which address.
    pub ip: String,
}

/// Something to do next.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextStep {
    /// In words.
    pub text: String,
    /// Where it is done in the web UI.
    pub page: String,
    /// The call that does it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false, example = json!({"method": "PUT", "path": "/api/user-tokens/7", "body": {"revoke": true, "descendants": true}}))]
    pub call: Option<Value>,
}

impl From<Knocks> for ReportAttempts {
    fn from(Knocks { count, at, ip }: Knocks) -> Self {
        Self { count, last: at, ip }
    }
}

impl From<report::Address> for ReportAddress {
    fn from(address: report::Address) -> Self {
        let report::Address { ip, allowed, denied, last, others } = address;
        let other = |report::Other { token, name, owner, last }| ReportOther {
            token_id: token,
            token_name: name,
            user_id: owner,
            last,
        };
        Self { ip, allowed, denied, last, others: others.into_iter().map(other).collect() }
    }
}

impl From<Report> for IncidentReport {
    fn from(report: Report) -> Self {
        let now = report.at;
        let next_steps = report.steps().into_iter().map(|step| next_step(step, &report)).collect();
        let relatives = |all: Vec<Relative>| {
            let told = |Relative { id, parent, token, .. }| ReportRelative {
                id,
                parent_id: parent,
                token: token.map(|token| Token::at(now, token)),
            };
            all.into_iter().map(told).collect()
        };
        let requests = |all: Vec<_>| all.into_iter().map(LoggedRequest::from).collect();
        let (token, user, tokens) = match report.about {
            About::Token(token) => (Some(Token::at(now, *token)), None, Vec::new()),
            About::User(user, tokens) => {
                let tokens = tokens.into_iter().map(|token| Token::at(now, token)).collect();
                (None, Some(User::from(*user)), tokens)
            }
        };
        Self {
            generated_at: now,
            from: report.from,
            to: report.to,
            token,
            user,
            tokens,
            made: report.made.map(Activity::from),
            ancestors: relatives(report.ancestors),
            descendants: relatives(report.descendants),
            allowed: report.allowed,
            denied: report.denied,
            writes: requests(report.writes),
            reads: requests(report.reads),
            addresses: report.addresses.into_iter().map(ReportAddress::from).collect(),
            changes: report.records.into_iter().map(Activity::from).collect(),
            last_accepted: report.last_accepted.map(LoggedRequest::from),
            first_refused: report.first_refused.map(LoggedRequest::from),
            attempts_since_dead: report.knocks.map(ReportAttempts::from),
            next_steps,
        }
    }
}

fn next_step(step: Step, report: &Report) -> NextStep {
    let (token, owner, name) = match &report.about {
        About::Token(token) => (Some(token.id), token.owner.id, &token.owner.name),
        About::User(user, _) => (None, user.id, &user.name),
    };
    let revoke = || {
        token.map(|id| {
            let body = json!({ "revoke": true, "descendants": true });
            json!({ "method": "PUT", "path": format!("/api/user-tokens/{id}"), "body": body })
        })
    };
    let of_token = |what: &str| token.map_or_else(String::new, |id| format!("/settings/tokens/{id}{what}"));
    let of_user = |what: &str| format!("/settings/people/users/{owner}{what}");
    let (text, page, call) = match step {
        Step::RevokeWithDescendants => {
            ("Revoke the token and everything that was made with it".into(), of_token("/revoke"), revoke())
        }
        Step::RevokeDescendants => {
            ("Revoke what was made with the token: it still works".into(), of_token("/revoke"), revoke())
        }
        Step::RevokeAll => {
            let path = format!("/api/users/{owner}/revoke-tokens");
            let call = json!({ "method": "POST", "path": path });
            (format!("Revoke all tokens of {name}"), of_user("/revoke-tokens"), Some(call))
        }
        Step::FindCaller => {
            let page = if token.is_some() { of_token("") } else { of_user("") };
            ("Find out who still tries a dead token".into(), page, None)
        }
        Step::Replace => (
            "Give the automation a new service user and token".into(),
            "/settings/people/users/add-service-user".into(),
            None,
        ),
    };
    NextStep { text, page, call }
}

/// Which window, and in which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// From this instant on; seven days before the end if absent.
    from: Option<String>,
    /// Before this instant; now if absent.
    to: Option<String>,
    /// JSON, or Markdown to be kept.
    #[param(default = "json", pattern = "^(json|markdown)$")]
    format: Option<String>,
}

impl ReportQuery {
    /// The window that is asked for.
    pub fn window(&self, app: &App) -> Result<Window, Error> {
        let mut fields = Fields::default();
        let window = open_window(self.from.as_deref(), self.to.as_deref(), &mut fields);
        fields.finish()?;
        Ok(closed_window(app, window))
    }

    fn answer(&self, report: Report) -> Result<Response, Error> {
        let report = IncidentReport::from(report);
        match self.format.as_deref() {
            None | Some("json") => Ok(axum::Json(report).into_response()),
            Some("markdown") => markdown(&report),
            Some(_) => Err(Error::field("format", "must be json or markdown")),
        }
    }
}

/// The report as a document.
pub fn markdown(report: &IncidentReport) -> Result<Response, Error> {
    let text = Markdown { report }.render().map_err(Error::internal)?;
    let name = "attachment; filename=\"incident-report.md\"";
    let headers =
        [(header::CONTENT_TYPE, "text/markdown; charset=utf-8"), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, text).into_response())
}

#[derive(Template)]
#[template(path = "report.md", escape = "none")]
struct Markdown<'a> {
    report: &'a IncidentReport,
}

impl Markdown<'_> {
    /// A text of strangers, as code that can't end before it does.
    #[allow(clippy::unused_self, reason = "templates call methods")]
    fn code(&self, text: impl std::fmt::Display) -> String {
        let sign =
            |sign: char| if sign.is_control() || sign == '`' || sign == '|' { '\u{fffd}' } else { sign };
        format!("`{}`", text.to_string().chars().map(sign).collect::<String>())
    }
}

/// The report on a token: who made it, what was done with it, from where, and what to do next
#[utoipa::path(get, path = "/api/user-tokens/{id}/report", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), ReportQuery),
    responses((status = 200, content((IncidentReport = "application/json"), (String = "text/markdown"))), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_token(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<ReportQuery>,
) -> Result<Response, Error> {
    let window = query.0.window(&app)?;
    query.0.answer(report::of_token(&app, &call, TokenId(id), window).await?)
}

/// The report on a service user, or on oneself
#[utoipa::path(get, path = "/api/users/{id}/report", tag = "Requests", security(("bearer" = [])),
    params(("id" = i64, Path), ReportQuery),
    responses((status = 200, content((IncidentReport = "application/json"), (String = "text/markdown"))), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub async fn of_user(
    State(app): State<Arc<App>>,
    Anyone(call): Anyone,
    Id(id): Id,
    query: Query<ReportQuery>,
) -> Result<Response, Error> {
    let window = query.0.window(&app)?;
    query.0.answer(report::of_user(&app, &call, UserId(id), window).await?)
}
