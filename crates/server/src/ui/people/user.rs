//! `/settings/people/users/{id}`: one person or service user.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::{PUBLIC_TEAM, UserType};
use tokenhouse_core::policy::Permission;
use tokenhouse_store::audit::StoredRecord;
use tokenhouse_store::token_lists::{TokenFilter, TokenSort, Whose};
use tokenhouse_store::users::User;

use super::account::Invitation;
use super::activity::Deed;
use super::edit::Edit;
use super::{USERS, counted, user_path};
use crate::api::body::{Id, Query};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::SeesPeople;
use crate::error::Error;
use crate::service::profile::{self, Consequences};
use crate::service::tokens::views;
use crate::service::{self, requests, users};
use crate::ui::moment::Moment;
use crate::ui::page::{Page, Rendered, Section, Visit};
use crate::ui::requests::{Callers, Chosen, RequestsSection};
use crate::ui::tokens;
use crate::ui::tokens::tried::Tried;

/// How many of the tokens of a service user are listed.
const TOKENS: i64 = 20;

/// How much of what somebody did is told.
const DEEDS: i64 = 20;

/// A dialog over the page.
pub(super) enum Dialog {
    Edit(Edit),
    Deactivate(Consequences),
    Reactivate(Consequences),
    RevokeTokens {
        stop: Consequences,
        /// Who used them lately.
        callers: Option<Callers>,
    },
    Invite,
    Invited(Invitation),
}

struct Token {
    path: String,
    name: String,
    state: &'static str,
    word: &'static str,
    scim: bool,
    expires: Option<Moment>,
    last_use: Option<(Moment, String)>,
    tried: Option<Tried>,
}

/// The tokens of a service user.
struct Tokens {
    /// How many there are.
    total: u64,
    newest: Vec<Token>,
}

/// What only Admins see.
struct Inside {
    /// Of a service user.
    tokens: Option<Tokens>,
    deeds: Vec<Deed>,
    all_deeds: u64,
}

#[derive(Template)]
#[template(path = "people_user.html")]
struct UserPage {
    page: Page,
    path: String,
    is_service: bool,
    is_viewer: bool,
    created: Moment,
    /// Who made the account: name and path.
    creator: Option<(String, String)>,
    last_login: Option<Moment>,
    deactivated: Option<Moment>,
    /// Teams with the list of those who are in them.
    teams: Vec<(String, String)>,
    inside: Option<Inside>,
    /// What was done with all tokens of theirs, for those who may know, where no dialog is in front of it.
    requests: Option<RequestsSection>,
    dialog: Option<Dialog>,
    user: User,
}

/// The page.
pub async fn one(
    State(app): State<Arc<App>>,
    visit: Visit,
    SeesPeople(call): SeesPeople,
    Id(id): Id,
    Query(chosen): Query<Chosen>,
) -> Result<Response, Error> {
    let user = users::one(&app, &call, UserId(id)).await?;
    let requests = match requests::of_user(&app, &call, user.id).await {
        Ok(visible) => {
            let page = visit.page(Section::People, "");
            RequestsSection::load(&app, &page, &visible, &chosen, &user_path(user.id)).await
        }
        Err(Error::Forbidden(_)) => None,
        Err(error) => return Err(error),
    };
    let page = UserPage { requests, ..load(&app, &visit, &call, user).await? };
    Ok(Rendered(page).into_response())
}

/// The page with a dialog over it.
pub(super) async fn behind(
    app: &Arc<App>,
    visit: &Visit,
    call: &Call,
    user: User,
    dialog: Dialog,
) -> Result<Response, Error> {
    let page = UserPage { dialog: Some(dialog), ..load(app, visit, call, user).await? };
    Ok(Rendered(page).into_response())
}

async fn load(app: &Arc<App>, visit: &Visit, call: &Call, user: User) -> Result<UserPage, Error> {
    let page = visit.page(Section::People, &*user.name).below("People", USERS);
    let creator = match user.created_by {
        Some(id) => users::one(app, call, id).await.ok().map(|creator| (creator.name, user_path(id))),
        None => None,
    };
    let inside = if call.caller.has(Permission::ManagePeople) {
        Some(inside(app, call, &page, &user).await?)
    } else {
        None
    };
    Ok(UserPage {
        path: user_path(user.id),
        is_service: user.user_type == UserType::Service,
        is_viewer: user.id == call.caller.id,
        created: page.moment(user.created_at),
        creator,
        last_login: user.last_login.map(|at| page.moment(at)),
        deactivated: user.deleted_at.map(|at| page.moment(at)),
        teams: user.teams.iter().map(|team| (team.clone(), members_path(team))).collect(),
        inside,
        requests: None,
        dialog: None,
        page,
        user,
    })
}

/// The list of those who are in a team.
fn members_path(team: &str) -> String {
    if team == PUBLIC_TEAM {
        return USERS.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("team", team).finish();
    format!("{USERS}?{query}")
}

async fn inside(app: &Arc<App>, call: &Call, page: &Page, user: &User) -> Result<Inside, Error> {
    let tokens = match user.user_type {
        UserType::Human => None,
        UserType::Service => Some(newest_tokens(app, call, page, user.id).await?),
    };
    let done = profile::activity(app, call, user.id, DEEDS).await?;
    let deed = |stored: &StoredRecord| Deed::of(page, &stored.record, user, call.caller.id);
    Ok(Inside { tokens, deeds: done.items.iter().map(deed).collect(), all_deeds: counted(done.total) })
}

async fn newest_tokens(app: &Arc<App>, call: &Call, page: &Page, id: UserId) -> Result<Tokens, Error> {
    let whose = Whose::Service(id);
    let filter = TokenFilter { whose, part: None, status: None, sort: TokenSort::Created, descending: true };
    let views::List { page: found, attempts, .. } = views::list(app, call, &filter, (TOKENS, 0)).await?;
    let shown = |token: tokenhouse_store::tokens::Token| {
        let (state, word) = tokens::state(service::tokens::status(&token, page.now()));
        Token {
            path: tokens::path(token.id),
            state,
            word,
            scim: token.scim_only,
            expires: token.expires_at.map(|at| page.moment(at)),
            last_use: tokens::last_use(page, &token),
            tried: Tried::of(page, &token, attempts.get(&token.id)),
            name: token.name,
        }
    };
    Ok(Tokens { total: counted(found.total), newest: found.items.into_iter().map(shown).collect() })
}
