//! `/settings/people/requests`: service users that people ask for; for Admins, those to decide on.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::id::ServiceUserRequestId;
use tokenhouse_core::people::{Name, Role, service_user_id, slug};
use tokenhouse_core::policy::Permission;
use tokenhouse_store::service_user_requests::{self as stored, ServiceUserRequest};

use super::{REQUESTS, Tabs, TeamChoice, counted, place, user_path};
use crate::api::PageQuery;
use crate::api::body::{Form, Id, Query};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::{ManagesPeople, SignedIn};
use crate::error::Error;
use crate::service::service_user_requests::{self as service, Approval, Wanted};
use crate::ui::form::Messages;
use crate::ui::list::Listing;
use crate::ui::moment::Moment;
use crate::ui::page::{Page, Rendered, Section, Visit};
use crate::ui::toast::{Happening, Toast};

/// What is said of a name whose id is taken.
const TAKEN: &str = "there is a service user with this id already, perhaps a deactivated one; decline, and let them choose another name";

/// Where what is told about no field stands.
const ALL_OF_IT: &str = "request";

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskForm {
    name: String,
    role: Role,
    #[serde(default)]
    teams: Vec<String>,
    purpose: String,
    owner: String,
}

/// What an Admin makes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveForm {
    role: Role,
    #[serde(default)]
    teams: Vec<String>,
    comment: String,
}

/// Why not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclineForm {
    comment: String,
}

/// A dialog over the list.
enum Dialog {
    Ask {
        form: AskForm,
        messages: Messages,
        /// The teams that are offered; only to those who see teams.
        choice: Option<TeamChoice>,
    },
    Approve {
        request: Row,
        form: ApproveForm,
        messages: Messages,
        choice: TeamChoice,
    },
    Decline {
        request: Row,
        form: DeclineForm,
        messages: Messages,
    },
}

/// A request in the list.
struct Row {
    id: ServiceUserRequestId,
    name: String,
    /// The id that is made of the name.
    user_id: String,
    role: Role,
    teams: String,
    purpose: String,
    owner: Option<String>,
    asker: String,
    asker_path: String,
    made_at: Moment,
    is_open: bool,
    word: &'static str,
    tone: &'static str,
    decided: Option<(Moment, String)>,
    comment: Option<String>,
    /// The page of the service user that was made.
    made: Option<String>,
    is_own: bool,
}

impl Row {
    fn new(page: &Page, call: &Call, request: &ServiceUserRequest) -> Self {
        let (word, tone) = match request.state {
            stored::State::Open => ("Open", "orange"),
            stored::State::Approved => ("Approved", "green"),
            stored::State::Declined => ("Declined", "red"),
            stored::State::Withdrawn => ("Withdrawn", "line"),
        };
        let slug = Name::parse(&request.name).and_then(|name| slug(&name));
        let decider = request.decider.as_ref().map_or("the command line", |decider| &decider.name);
        let sees_people = call.caller.has(Permission::SeePeople);
        Self {
            id: request.id,
            user_id: slug.map(|slug| service_user_id(&slug)).unwrap_or_default(),
            name: request.name.clone(),
            role: request.role,
            teams: request.teams.join(", "),
            purpose: request.purpose.clone(),
            owner: request.owner.clone(),
            asker: request.asker.name.clone(),
            asker_path: user_path(request.asker.id),
            made_at: page.moment(request.made_at),
            is_open: request.state == stored::State::Open,
            word,
            tone,
            decided: request.decided_at.map(|at| (page.moment(at), decider.to_owned())),
            comment: request.comment.clone(),
            made: request.made.as_ref().filter(|_| sees_people).map(|made| user_path(made.id)),
            is_own: request.asker.id == call.caller.id,
        }
    }
}

#[derive(Template)]
#[template(path = "people_requests.html")]
struct Requests {
    page: Page,
    listing: Listing,
    /// For those who see people.
    tabs: Option<Tabs>,
    rows: Vec<Row>,
    /// Whether the viewer decides.
    decides: bool,
    dialog: Option<Dialog>,
}

/// The list.
pub async fn list(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Query(window): Query<PageQuery>,
) -> Result<Response, Error> {
    render(&app, &visit, &call, window, None).await
}

async fn render(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    window: PageQuery,
    dialog: Option<Dialog>,
) -> Result<Response, Error> {
    let title = match dialog {
        None => "Requests",
        Some(Dialog::Ask { .. }) => "Ask for a service user",
        Some(Dialog::Approve { .. }) => "Approve a request",
        Some(Dialog::Decline { .. }) => "Decline a request",
    };
    let page = visit.page(Section::People, title);
    let found = service::page(app, call, None, window.window()?).await?;
    let listing = Listing::new(&page, ("created", true), place(&window), counted(found.total));
    let rows = found.items.iter().map(|request| Row::new(&page, call, request)).collect();
    let sees_people = call.caller.has(Permission::SeePeople);
    let tabs = if sees_people { Some(Tabs::count(app, call).await?) } else { None };
    let decides = call.caller.has(Permission::ManagePeople);
    Ok(Rendered(Requests { page, listing, tabs, rows, decides, dialog }).into_response())
}

/// The list with a dialog in front of it.
async fn behind(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    messages: &Messages,
    dialog: Dialog,
) -> Result<Response, Error> {
    let status = messages.status();
    let page = render(app, visit, call, PageQuery::FIRST, Some(dialog)).await?;
    Ok((status, page).into_response())
}

/// Asks what it is to be.
pub async fn ask_form(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
) -> Result<Response, Error> {
    service::may_ask(&call)?;
    let (name, purpose, owner) = (String::new(), String::new(), String::new());
    let form = AskForm { name, role: Role::Member, teams: Vec::new(), purpose, owner };
    show_ask(&app, &visit, &call, form, Messages::default()).await
}

async fn show_ask(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    form: AskForm,
    messages: Messages,
) -> Result<Response, Error> {
    let sees_teams = call.caller.has(Permission::SeePeople);
    let choice = if sees_teams { Some(TeamChoice::offer(app, &form.teams).await?) } else { None };
    behind(app, visit, call, &messages.clone(), Dialog::Ask { form, messages, choice }).await
}

/// Sends the request.
pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Form(form): Form<AskForm>,
) -> Result<Response, Error> {
    let (name, role, teams) = (&*form.name, form.role, &*form.teams);
    let wanted = Wanted { name, role, teams, purpose: &form.purpose, owner: Some(&form.owner) };
    match service::ask(&app, &call, wanted).await {
        Ok(made) => Ok(Toast::about(Happening::RequestMade, made.id.0).then(&app, REQUESTS)),
        Err(error) => {
            let messages = Messages::of_error(error, ALL_OF_IT)?;
            show_ask(&app, &visit, &call, form, messages).await
        }
    }
}

/// Asks whether to make the service user.
pub async fn approve_form(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let request = service::one(&app, &call, ServiceUserRequestId(id)).await?;
    let form = ApproveForm { role: request.role, teams: request.teams.clone(), comment: String::new() };
    show_approve(&app, &visit, &call, &request, form, Messages::default()).await
}

async fn show_approve(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    request: &ServiceUserRequest,
    form: ApproveForm,
    messages: Messages,
) -> Result<Response, Error> {
    let choice = TeamChoice::offer(app, &form.teams).await?;
    let request = Row::new(&visit.bare(""), call, request);
    behind(app, visit, call, &messages.clone(), Dialog::Approve { request, form, messages, choice }).await
}

/// Makes it.
pub async fn approve(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Form(form): Form<ApproveForm>,
) -> Result<Response, Error> {
    let id = ServiceUserRequestId(id);
    let approval = Approval { comment: Some(&form.comment), role: Some(form.role), teams: Some(&form.teams) };
    match service::approve(&app, &call, id, approval).await {
        Ok((_, user)) => {
            Ok(Toast::about(Happening::RequestApproved, user.id.0).then(&app, &user_path(user.id)))
        }
        Err(error) => {
            let is_taken = matches!(error, Error::Exists(_));
            let mut messages = Messages::of_error(error, ALL_OF_IT)?;
            if is_taken {
                messages.reword(ALL_OF_IT, TAKEN);
            }
            let request = service::one(&app, &call, id).await?;
            show_approve(&app, &visit, &call, &request, form, messages).await
        }
    }
}

/// Asks why not.
pub async fn decline_form(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
) -> Result<Response, Error> {
    let form = DeclineForm { comment: String::new() };
    show_decline(&app, &visit, &call, ServiceUserRequestId(id), form, Messages::default()).await
}

async fn show_decline(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    id: ServiceUserRequestId,
    form: DeclineForm,
    messages: Messages,
) -> Result<Response, Error> {
    let request = service::one(app, call, id).await?;
    let request = Row::new(&visit.bare(""), call, &request);
    behind(app, visit, call, &messages.clone(), Dialog::Decline { request, form, messages }).await
}

/// Declines.
pub async fn decline(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesPeople(call): ManagesPeople,
    Id(id): Id,
    Form(form): Form<DeclineForm>,
) -> Result<Response, Error> {
    let id = ServiceUserRequestId(id);
    match service::decline(&app, &call, id, &form.comment).await {
        Ok(_) => Ok(Toast::about(Happening::RequestDeclined, id.0).then(&app, REQUESTS)),
        Err(error) => {
            let messages = Messages::of_error(error, ALL_OF_IT)?;
            show_decline(&app, &visit, &call, id, form, messages).await
        }
    }
}

/// Takes one's own back.
pub async fn withdraw(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
) -> Result<Response, Error> {
    service::withdraw(&app, &call, ServiceUserRequestId(id)).await?;
    Ok(Toast::about(Happening::RequestWithdrawn, id).then(&app, REQUESTS))
}
