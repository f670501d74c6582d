//! Revoke, restore, delete; and revoke all of one's own.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::token::{Status, TokenKind};

use super::details::{Dialog, Question, TokenPage};
use super::list::{Dialog as ListDialog, TokensPage};
use super::{PERSONAL, Way, list_of, path};
use crate::api::body::{Form, Id, Query};
use crate::app::App;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::requests;
use crate::service::tokens::{self, kind, views};
use crate::ui::page::Visit;
use crate::ui::requests::Callers;
use crate::ui::toast::{Happening, Toast};

impl Way {
    /// A question about a token, to be answered by the form at the end of its path.
    fn question(&self, id: TokenId, verb: &str) -> Question {
        let here = path(id);
        Question { action: format!("{here}/{verb}{}", self.query()), close: self.back_or(&here) }
    }
}

/// `GET /settings/tokens/{id}/revoke`
pub async fn revoke_form(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
) -> Result<Response, Error> {
    let id = TokenId(id);
    let details = views::details(&app, &call, id).await?;
    let is_active = tokens::status(&details.token, app.clock.now()) == Status::Active;
    if !is_active && details.made_alive == 0 {
        // Nothing is left to ask about.
        return Ok(Redirect::to(&path(id)).into_response());
    }
    let (visible, _) = requests::of_token(&app, &call, id).await?;
    let callers = Callers::load(&app, &visit.bare(""), &visible).await;
    let dialog = Dialog::Revoke { question: way.question(id, "revoke"), callers };
    Ok(TokenPage::of(&call, &visit, &details).with(dialog))
}

/// The form of the dialog.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeForm {
    descendants: Option<String>,
}

/// `POST /settings/tokens/{id}/revoke`
pub async fn revoke(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
    Form(form): Form<RevokeForm>,
) -> Result<Response, Error> {
    let descendants = form.descendants.is_some();
    let before = tokens::one(&app, &call, TokenId(id)).await?;
    let back = way.back_or(list_of(kind(&before)));
    // Nothing is left to do, and nothing is offered to be undone.
    if before.revoked_at.is_some() && !descendants {
        return Ok(Redirect::to(&back).into_response());
    }
    tokens::revoke(&app, &call, TokenId(id), descendants).await?;
    let happening = if descendants { Happening::TokensRevoked } else { Happening::TokenRevoked };
    let toast = if descendants { Toast::from(happening) } else { Toast::about(happening, id) };
    Ok(toast.then(&app, &back))
}

/// `POST /settings/tokens/{id}/restore`
pub async fn restore(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
) -> Result<Response, Error> {
    let token = tokens::restore(&app, &call, TokenId(id)).await?;
    Ok(Toast::about(Happening::TokenRestored, id).then(&app, &way.back_or(list_of(kind(&token)))))
}

/// `GET /settings/tokens/{id}/delete`
pub async fn delete_form(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
) -> Result<Response, Error> {
    let id = TokenId(id);
    let details = views::details(&app, &call, id).await?;
    if tokens::status(&details.token, app.clock.now()) == Status::Active {
        // It has to be revoked first, which is offered there.
        return Ok(Redirect::to(&path(id)).into_response());
    }
    let dialog = Dialog::Delete(way.question(id, "delete"));
    Ok(TokenPage::of(&call, &visit, &details).with(dialog))
}

/// `POST /settings/tokens/{id}/delete`
pub async fn delete(
    State(app): State<Arc<App>>,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(way): Query<Way>,
) -> Result<Response, Error> {
    let id = TokenId(id);
    let list = list_of(kind(&tokens::one(&app, &call, id).await?));
    tokens::delete(&app, &call, id).await?;
    // Its own page is gone.
    let back = Some(way.back_or(list)).filter(|back| *back != path(id));
    Ok(Toast::from(Happening::TokenDeleted).then(&app, back.as_deref().unwrap_or(list)))
}

/// `GET /settings/tokens/revoke-all`
pub async fn revoke_all_form(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
) -> Result<Response, Error> {
    let active = views::count_own_active(&app, &call).await?;
    let page = TokensPage::behind(&app, &call, &visit, TokenKind::Personal).await?;
    let visible = requests::of_user(&app, &call, call.caller.id).await?;
    let callers = Callers::load(&app, &visit.bare(""), &visible).await;
    Ok(page.with(ListDialog::RevokeAll { count: active.unsigned_abs(), callers }))
}

/// `POST /settings/tokens/revoke-all`
pub async fn revoke_all(State(app): State<Arc<App>>, SignedIn(call): SignedIn) -> Result<Response, Error> {
    tokens::revoke_all_of(&app, &call, call.caller.id).await?;
    Ok(Toast::from(Happening::OwnTokensRevoked).then(&app, PERSONAL))
}
