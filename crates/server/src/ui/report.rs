//! What somebody needs to know when a token has leaked, to be read, printed and kept.

use std::borrow::Borrow;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};

use super::moment::Moment;
use super::page::{Page, Rendered, Section, Visit};
use super::requests::Table;
use super::{people, tokens};
use crate::api::body::{Id, Query};
use crate::api::report::{IncidentReport, ReportQuery, markdown};
use crate::app::App;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::report::{self, Report};

/// The report as a page.
#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    page: Page,
    report: IncidentReport,
    name: String,
    /// Where the same is as a document.
    document: String,
    /// Both kinds of requests, writes first.
    requests: [(&'static str, &'static str, Table); 2],
}

impl ReportPage {
    fn new(visit: &Visit, section: Section, path: &str, name: String, mut report: Report) -> Self {
        let page = visit.page(section, format!("Report on {name}")).below(name.clone(), path);
        // They are in the tables.
        let (writes, reads) = (std::mem::take(&mut report.writes), std::mem::take(&mut report.reads));
        let requests = [
            ("writes", "Requests that may have changed something", Table::of_known(&page, writes)),
            ("reads", "Other requests", Table::of_known(&page, reads)),
        ];
        Self { page, report: report.into(), name, document: format!("{path}/report.md"), requests }
    }

    fn moment(&self, at: impl Borrow<Timestamp>) -> Moment {
        self.page.moment(*at.borrow())
    }
}

/// `/settings/tokens/{id}/report`
pub async fn of_token(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    query: Query<ReportQuery>,
) -> Result<Response, Error> {
    let report = report::of_token(&app, &call, TokenId(id), query.0.window(&app)?).await?;
    let name = report.name().to_owned();
    let path = tokens::path(TokenId(id));
    Ok(Rendered(ReportPage::new(&visit, Section::Tokens, &path, name, report)).into_response())
}

/// `/settings/tokens/{id}/report.md`
pub async fn of_token_as_document(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
    query: Query<ReportQuery>,
) -> Result<Response, Error> {
    let report = report::of_token(&app, &call, TokenId(id), query.0.window(&app)?).await?;
    markdown(&IncidentReport::from(report))
}

/// `/settings/people/users/{id}/report`
pub async fn of_user(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    query: Query<ReportQuery>,
) -> Result<Response, Error> {
    let report = report::of_user(&app, &call, UserId(id), query.0.window(&app)?).await?;
    let name = report.name().to_owned();
    let path = people::user_path(UserId(id));
    Ok(Rendered(ReportPage::new(&visit, Section::People, &path, name, report)).into_response())
}

/// `/settings/people/users/{id}/report.md`
pub async fn of_user_as_document(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
    query: Query<ReportQuery>,
) -> Result<Response, Error> {
    let report = report::of_user(&app, &call, UserId(id), query.0.window(&app)?).await?;
    markdown(&IncidentReport::from(report))
}
