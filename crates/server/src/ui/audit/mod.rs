//! `/settings/audit`: what happened, in figures, as a chart and record by record.

mod log;
pub(super) mod told;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use tokenhouse_core::audit::{Action, hex};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_store::audit::{AuditFilter, Day, Insights};

use self::log::LogDay;
use super::chart::{Chart, Counted, Span, Unit};
use super::form::Messages;
use super::list::Listing;
use super::moment::Moment;
use super::page::{Page, Rendered, Section, Visit};
use super::requests;
use super::text::{grouped, plural};
use super::toast::{Happening, Toast};
use crate::api::activity::{self, ActivityQuery, Timeframe};
use crate::app::App;
use crate::auth::session::Audits;
use crate::error::Error;
use crate::service::audit;
use crate::service::requests::are_recorded;

const PATH: &str = "/settings/audit";

/// Records on a page.
const SIZE: u64 = 50;

/// More days than this are drawn as weeks.
const MOST_DAYS: usize = 92;

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    page: Page,
    messages: Messages,
    form: Filters,
    /// Nothing where the filters are wrong.
    report: Option<Report>,
    chain: Option<Chain>,
    /// Where requests are listed, if they are recorded.
    requests: Option<&'static str>,
}

/// The filter bar as it is filled in.
struct Filters {
    date: String,
    timeframe: Vec<Choice>,
    users: Vec<Choice>,
    actions: Vec<Choice>,
    hide_internal: bool,
}

/// An option of a select.
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

/// What the filters let through.
struct Report {
    cards: [Card; 4],
    chart: Chart,
    days: Vec<LogDay>,
    listing: Listing,
    /// Where the same records are as CSV.
    csv: String,
}

/// A figure with what it is about.
struct Card {
    label: &'static str,
    value: String,
    context: String,
}

/// The last verification of the chain.
struct Chain {
    at: Moment,
    /// Number and hash of the head, or what is broken.
    outcome: Result<(String, String), String>,
}

/// What the address of the page says. Fields that were left empty say nothing.
struct Wanted {
    query: ActivityQuery,
    number: u64,
}

impl Wanted {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let said = pairs.filter(|(_, value)| !value.is_empty());
        let (pages, rest): (Vec<_>, Vec<_>) = said.partition(|(name, _)| name == "page");
        let number = pages.first().and_then(|(_, number)| number.parse().ok()).unwrap_or(1);
        let rest = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
        let query = serde_urlencoded::from_str(&rest)
            .map_err(|error| Error::BadRequest(format!("the address is wrong: {error}")))?;
        Ok(Self { query, number })
    }
}

/// `GET /settings/audit`
pub async fn audit(
    State(app): State<Arc<App>>,
    _caller: Audits,
    visit: Visit,
    uri: Uri,
) -> Result<Response, Error> {
    let page = visit.page(Section::Audit, "Audit");
    let Wanted { query, number } = Wanted::of(&uri)?;
    let chain = Chain::last(&app, &page);
    let requests = are_recorded(&app).then_some(requests::SERVICE);
    let now = app.clock.now();
    match query.filter(now) {
        Ok(filter) => {
            let form = Filters::of(&app, &query, &filter).await?;
            let report = Some(Report::of(&app, &page, query.timeframe, &filter, number).await?);
            let messages = Messages::default();
            Ok(Rendered(Audit { page, messages, form, report, chain, requests }).into_response())
        }
        Err(error) => {
            let messages = Messages::of_error(error, "date")?;
            let form = Filters::of(&app, &query, &AuditFilter::default()).await?;
            let page = Audit { page, messages, form, report: None, chain, requests };
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Rendered(page)).into_response())
        }
    }
}

/// `POST /settings/audit/verify`
pub async fn verify(State(app): State<Arc<App>>, _caller: Audits) -> Result<Response, Error> {
    audit::verify(&app).await?;
    Ok(Toast::from(Happening::TrailVerified).then(&app, PATH))
}

/// `GET /settings/audit.csv`: the records that the page shows, all of them.
pub async fn download(State(app): State<Arc<App>>, _caller: Audits, uri: Uri) -> Result<Response, Error> {
    let filter = Wanted::of(&uri)?.query.filter(app.clock.now())?;
    Ok(activity::download(app, filter))
}

impl Filters {
    /// The form with what was chosen; users are those who did something in the window.
    async fn of(app: &App, query: &ActivityQuery, filter: &AuditFilter) -> Result<Self, Error> {
        let window = AuditFilter { from: filter.from, to: filter.to, ..AuditFilter::default() };
        let chosen = query.user.map(|id| id.to_string()).unwrap_or_default();
        let actors = audit::actors(app, &window).await?.into_iter();
        let mut users: Vec<Choice> =
            actors.map(|actor| Choice::of(actor.id.to_string(), actor.name, &chosen)).collect();
        if !chosen.is_empty() && !users.iter().any(|user| user.chosen) {
            users.push(Choice::of(chosen.clone(), format!("User {chosen}"), &chosen));
        }
        let timeframe = query.timeframe.as_str();
        let names = ["week", "month", "quarter", "year"];
        let labels = ["Week", "Month", "Quarter", "Year"];
        let action = query.action.clone().unwrap_or_default();
        let actions = Action::ALL.iter().map(|known| known.as_str().to_owned());
        Ok(Self {
            date: query.date.clone().unwrap_or_else(|| app.clock.now().day()),
            timeframe: names
                .into_iter()
                .zip(labels)
                .map(|(name, label)| Choice::of(name.into(), label.into(), timeframe))
                .collect(),
            users,
            actions: actions.map(|known| Choice::of(known.clone(), known, &action)).collect(),
            hide_internal: query.hide_internal,
        })
    }
}

impl Choice {
    fn of(value: String, label: String, chosen: &str) -> Self {
        Self { chosen: value == chosen, value, label }
    }
}

impl Report {
    async fn of(
        app: &App,
        page: &Page,
        timeframe: Timeframe,
        filter: &AuditFilter,
        number: u64,
    ) -> Result<Self, Error> {
        let size = i64::try_from(SIZE).unwrap_or(i64::MAX);
        let offset = i64::try_from(number.saturating_sub(1).saturating_mul(SIZE)).unwrap_or(i64::MAX);
        let found = audit::page(app, filter, size, offset).await?;
        let total = u64::try_from(found.total).unwrap_or_default();
        let insights = audit::insights(app, filter).await?;
        let earlier = |at: Option<Timestamp>| at.map(|at| at.plus_days(-timeframe.days()));
        let before = AuditFilter { from: earlier(filter.from), to: earlier(filter.to), ..filter.clone() };
        let before = audit::active_users(app, &before).await?;
        let listing = Listing::new(page, ("at", true), (number, SIZE), total);
        let csv = listing.with("page", "").replacen(PATH, &format!("{PATH}.csv"), 1);
        Ok(Self {
            cards: cards(&insights, before, timeframe),
            chart: chart(page, &insights.days),
            days: log::by_day(page, found.items),
            listing,
            csv,
        })
    }
}

/// What people and automation did, day by day or week by week.
fn chart(page: &Page, days: &[Day]) -> Chart {
    let (unit, size) = if days.len() > MOST_DAYS { (Unit::Week, 7) } else { (Unit::Day, 1) };
    // The newest one is whole.
    let spans = days.rchunks(size).rev().map(|span| {
        let sum = |count: fn(&Day) -> i64| span.iter().map(count).sum::<i64>().unsigned_abs();
        Span { start: span[0].start, counts: [sum(|day| day.user), sum(|day| day.automated)] }
    });
    Chart::new(page, Counted::Actions, unit, &spans.collect::<Vec<_>>())
}

fn cards(found: &Insights, active_before: i64, timeframe: Timeframe) -> [Card; 4] {
    let automated: i64 = found.days.iter().map(|day| day.automated).sum();
    let count = |number: i64| number.unsigned_abs();
    let difference = found.active_users - active_before;
    let span = timeframe.as_str();
    let compared = match difference {
        0 => format!("as many as the {span} before"),
        more if more > 0 => format!("{} more than the {span} before", grouped(count(more))),
        fewer => format!("{} fewer than the {span} before", grouped(count(fewer))),
    };
    let (most, actions) = found.most_active_user.as_ref().map_or_else(
        || ("Nobody".to_owned(), "no actions".to_owned()),
        |(actor, actions)| (actor.name.clone(), plural(count(*actions), "action", "actions")),
    );
    let (category, share) = found.top_category.as_ref().map_or_else(
        || ("None".to_owned(), "no actions".to_owned()),
        |(category, actions)| {
            let percent = actions.saturating_mul(100) / found.total_actions.max(1);
            (category_title(category).to_owned(), format!("{percent} % of all actions"))
        },
    );
    let automated = format!("{} by automation", grouped(count(automated)));
    [
        Card { label: "Active users", value: grouped(count(found.active_users)), context: compared },
        Card { label: "Total actions", value: grouped(count(found.total_actions)), context: automated },
        Card { label: "Most active user", value: most, context: actions },
        Card { label: "Top category", value: category, context: share },
    ]
}

fn category_title(category: &str) -> &str {
    match category {
        "token" => "Tokens",
        "user" => "People",
        "team" => "Teams",
        "setup" => "Setup",
        "alert" => "Alerts",
        other => other,
    }
}

impl Chain {
    fn last(app: &App, page: &Page) -> Option<Self> {
        let verified = app.verification.last()?;
        let outcome = verified.outcome.map_err(|broken| broken.to_string());
        let outcome = outcome.map(|head| (head.seq.to_string(), hex(&head.hash)));
        Some(Self { at: page.moment(verified.at), outcome })
    }
}
