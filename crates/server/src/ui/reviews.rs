//! `/settings/reviews`: what somebody should mend, each with its way there; and who has looked through it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::reviews::{Fix, Rule, Severity};
use tokenhouse_store::audit::StoredRecord;

use super::form::Messages;
use super::list::Listing;
use super::moment::Moment;
use super::page::{Page, Rendered, Section, Visit};
use super::text::{grouped, plural};
use super::toast::{Happening, Toast};
use super::tokens::state;
use crate::api::body::{Form, Query};
use crate::api::reviews::{Format, download};
use crate::app::App;
use crate::auth::session::Audits;
use crate::error::Error;
use crate::service::reviews::{self, Finding, Subject};
use crate::service::tokens::status;

const PATH: &str = "/settings/reviews";

/// How many findings of each rule are shown among those of all rules.
const FIRST: i64 = 10;

/// How many findings of one rule are shown on a page.
const SIZE: i64 = 50;

/// How many sign-offs are shown.
const SIGN_OFFS: i64 = 8;

#[derive(Template)]
#[template(path = "reviews.html")]
struct Reviews {
    page: Page,
    groups: Vec<Group>,
    /// How many findings there are altogether.
    total: i64,
    /// The pages of the only rule that is shown.
    listing: Option<Listing>,
    messages: Messages,
    comment: String,
    signed_off: Vec<SignedOff>,
}

/// What a rule found.
struct Group {
    rule: Rule,
    words: Words,
    count: String,
    rows: Vec<Row>,
    /// Where the rest is, if not everything is shown.
    all: Option<String>,
}

/// How a rule is told.
struct Words {
    title: &'static str,
    hint: &'static str,
    icon: &'static str,
}

/// A finding.
struct Row {
    name: String,
    path: String,
    /// `airflow@service`
    user_id: String,
    /// What else is to be said.
    detail: Option<String>,
    from: Option<String>,
    who: String,
    when: Moment,
    /// What happened then, or will.
    said: &'static str,
    is_urgent: bool,
    fix: String,
}

/// Somebody looked through all findings.
struct SignedOff {
    quarter: String,
    at: Moment,
    who: String,
    comment: String,
    left: String,
}

/// Which findings are wanted.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    rule: Option<String>,
    page: Option<u64>,
}

/// `GET /settings/reviews`
pub async fn reviews(
    State(app): State<Arc<App>>,
    _caller: Audits,
    visit: Visit,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Error> {
    let page = Reviews::load(&app, &visit, &wanted, Messages::default(), String::new()).await?;
    Ok(Rendered(page).into_response())
}

impl Reviews {
    async fn load(
        app: &App,
        visit: &Visit,
        wanted: &Wanted,
        messages: Messages,
        comment: String,
    ) -> Result<Self, Error> {
        let page = visit.page(Section::Reviews, "Reviews");
        let only = wanted.rule.as_deref().and_then(Rule::parse);
        let number = wanted.page.unwrap_or(1).clamp(1, 1_000_000);
        let offset = i64::try_from(number - 1).unwrap_or_default() * SIZE;
        let window = if only.is_some() { (SIZE, offset) } else { (FIRST, 0) };
        let (overview, history) =
            tokio::try_join!(reviews::overview(app, only, window), reviews::history(app, SIGN_OFFS, 0))?;
        let total = overview.iter().map(|(_, count, _)| count).sum();
        let listing = only.map(|_| {
            let size = (number, SIZE.unsigned_abs());
            let total: i64 = total;
            Listing::new(&page, ("", false), size, total.unsigned_abs())
        });
        let found = overview.into_iter().filter(|(_, count, _)| *count > 0);
        let groups = found.map(|(rule, count, findings)| Group::of(&page, rule, count, findings, only));
        Ok(Self {
            groups: groups.collect(),
            total,
            listing,
            messages,
            comment,
            signed_off: history.items.into_iter().map(|record| SignedOff::of(&page, record)).collect(),
            page,
        })
    }

    /// `12 findings`
    fn findings(&self) -> String {
        plural(self.total.unsigned_abs(), "finding", "findings")
    }
}

impl Group {
    fn of(page: &Page, rule: Rule, count: i64, findings: Vec<Finding>, only: Option<Rule>) -> Self {
        let is_cut = only.is_none() && count > i64::try_from(findings.len()).unwrap_or(i64::MAX);
        Self {
            rule,
            words: words(rule),
            count: grouped(count.unsigned_abs()),
            all: is_cut.then(|| format!("{PATH}?rule={}", rule.as_str())),
            rows: findings.into_iter().map(|finding| Row::of(page, finding)).collect(),
        }
    }

    /// Text and tone of the badge.
    const fn urgency(&self) -> (&'static str, &'static str) {
        match self.rule.severity() {
            Severity::High => ("Act now", "red"),
            Severity::Medium => ("Soon", "orange"),
            Severity::Low => ("Tidy up", ""),
        }
    }

    /// The class of the tile.
    const fn tile(&self) -> &'static str {
        match self.rule.severity() {
            Severity::High => "expired",
            Severity::Medium => "revoked",
            Severity::Low => "",
        }
    }

    /// Label and icon of what mends it.
    const fn fix(&self) -> (&'static str, &'static str) {
        match self.rule.fix() {
            Fix::Revoke => ("Revoke…", "ban"),
            Fix::Rotate => ("Rotate…", "rotate"),
            Fix::SeeRequests => ("See requests", "eye"),
            Fix::Demote => ("Lower role…", "user"),
            Fix::Describe => ("Describe…", "user"),
        }
    }
}

const fn words(rule: Rule) -> Words {
    match rule {
        Rule::StillTried => Words {
            title: "Dead, but still tried",
            hint: "Somebody holds a copy of a token that no longer works. Find out who, then delete it.",
            icon: "alert",
        },
        Rule::Orphaned => Words {
            title: "Orphaned",
            hint: "The service user is deactivated; reactivating it would bring these back to life.",
            icon: "user",
        },
        Rule::Expiring => Words {
            title: "Expires within 30 days, nobody prepared",
            hint: "Rotate now, and both work side by side until the old one is quiet. Who has a plan is left in peace until it is due.",
            icon: "clock",
        },
        Rule::RotationUnfinished => Words {
            title: "Rotated, and the old one is still used",
            hint: "It was to be quiet by now. Whoever still holds the old token stops working when it is revoked.",
            icon: "rotate",
        },
        Rule::Unused => Words {
            title: "Unused",
            hint: "Not used for 90 days, or never within 30 days of being made.",
            icon: "key",
        },
        Rule::AdminRole => Words {
            title: "Service users with the Admin role",
            hint: "Each of their tokens can do everything. Lowering the role acts at once.",
            icon: "shield",
        },
        Rule::NobodyAnswers => Words {
            title: "No purpose, or nobody who answers",
            hint: "When it misbehaves at night, who is called?",
            icon: "robot",
        },
        Rule::NeverExpires => Words {
            title: "Never expires",
            hint: "Works until somebody remembers it. A successor can have an end.",
            icon: "infinity",
        },
    }
}

impl Row {
    fn of(page: &Page, finding: Finding) -> Self {
        let back = form_urlencoded::Serializer::new(String::new()).append_pair("back", PATH).finish();
        let fix = match finding.rule.fix() {
            Fix::Revoke | Fix::Rotate => format!("{}?{back}", finding.href()),
            Fix::SeeRequests | Fix::Demote | Fix::Describe => finding.href(),
        };
        let (when, said) = when(&finding);
        let detail = detail(page, &finding);
        let (path, user_id, name) = match finding.subject {
            Subject::Token(token) => {
                (format!("/settings/tokens/{}", token.id), token.owner.user_id, token.name)
            }
            Subject::User(user) => (format!("/settings/people/users/{}", user.id), user.user_id, user.name),
        };
        Self {
            name,
            path,
            user_id,
            detail,
            from: finding.knocks.map(|knocks| knocks.ip),
            who: finding.who,
            when: page.moment(when),
            said,
            is_urgent: finding.rule == Rule::Expiring && finding.severity == Severity::High,
            fix,
        }
    }
}

/// What else is to be said: how a dead token was tried, or what is not known of a service user.
fn detail(page: &Page, finding: &Finding) -> Option<String> {
    match &finding.subject {
        Subject::Token(token) => finding.knocks.as_ref().map(|knocks| {
            let state = state(status(token, page.now())).1.to_lowercase();
            let state = if token.owner.active { state } else { "deactivated".to_owned() };
            format!("{state}, {} from", plural(knocks.count.unsigned_abs(), "try", "tries"))
        }),
        Subject::User(_) if finding.rule != Rule::NobodyAnswers => None,
        Subject::User(user) => {
            let is_missing = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
            let missing = match (is_missing(&user.purpose), is_missing(&user.owner)) {
                (true, true) => "no purpose, and nobody who answers",
                (true, false) => "no purpose",
                _ => "nobody who answers",
            };
            Some(missing.to_owned())
        }
    }
}

/// The instant that says most about a finding, and the words before it.
fn when(finding: &Finding) -> (tokenhouse_core::clock::Timestamp, &'static str) {
    let token = match &finding.subject {
        Subject::Token(token) => token,
        Subject::User(_) => return (finding.since, "made"),
    };
    match finding.rule {
        Rule::StillTried => (finding.knocks.as_ref().map_or(finding.since, |knocks| knocks.at), "last try"),
        Rule::Expiring => (token.expires_at.unwrap_or(finding.since), "ends"),
        Rule::Orphaned => (finding.since, "since"),
        Rule::RotationUnfinished => (finding.since, "was due"),
        Rule::Unused => match token.last_used_at {
            Some(used) => (used, "last used"),
            None => (token.created_at, "never used, made"),
        },
        Rule::NeverExpires | Rule::NobodyAnswers | Rule::AdminRole => (token.created_at, "made"),
    }
}

impl SignedOff {
    fn of(page: &Page, record: StoredRecord) -> Self {
        let record = record.record;
        let changes: serde_json::Value = serde_json::from_str(&record.changes).unwrap_or_default();
        let after = |field: &str| changes.get(field).and_then(|change| change.get(1)).cloned();
        let left = after("findings").and_then(|count| count.as_u64()).unwrap_or_default();
        Self {
            quarter: record.entity.name,
            at: page.moment(record.at),
            who: record.actor.map_or_else(|| "the command line".to_owned(), |actor| actor.name),
            comment: after("comment").and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default(),
            left: plural(left, "finding", "findings"),
        }
    }
}

/// The form of a sign-off.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOff {
    comment: String,
}

/// `POST /settings/reviews/sign-off`
pub async fn sign_off(
    State(app): State<Arc<App>>,
    Audits(call): Audits,
    visit: Visit,
    Form(form): Form<SignOff>,
) -> Result<Response, Error> {
    match reviews::sign_off(&app, &call, &form.comment).await {
        Ok(_) => Ok(Toast::from(Happening::ReviewSignedOff).then(&app, PATH)),
        Err(error) => {
            let messages = Messages::of_error(error, "comment")?;
            let (status, wanted) = (messages.status(), Wanted { rule: None, page: None });
            let page = Reviews::load(&app, &visit, &wanted, messages, form.comment).await?;
            Ok((status, Rendered(page)).into_response())
        }
    }
}

/// `GET /settings/reviews.csv`
pub async fn as_csv(State(app): State<Arc<App>>, _caller: Audits) -> Result<Response, Error> {
    download(app, None, Format::Csv).await
}

/// `GET /settings/reviews.json`
pub async fn as_json(State(app): State<Arc<App>>, _caller: Audits) -> Result<Response, Error> {
    download(app, None, Format::Json).await
}
