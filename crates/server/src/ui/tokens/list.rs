//! The lists of personal and of service tokens.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokenhouse_core::id::UserId;
use tokenhouse_core::policy::Permission;
use tokenhouse_core::token::{Status, TokenKind};
use tokenhouse_store::token_lists::{TokenFilter, TokenSort, Whose};
use tokenhouse_store::tokens::Token;

use super::generate::GenerateDialog;
use super::tried::Tried;
use super::{MadeBefore, Possible, last_use, list_of, path, query, state, status};
use crate::api::body::Query;
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::{ManagesServiceTokens, SignedIn};
use crate::error::Error;
use crate::service::requests::are_recorded;
use crate::service::tokens::views;
use crate::ui::list::Listing;
use crate::ui::moment::Moment;
use crate::ui::page::{Page, Rendered, Section, Visit};
use crate::ui::requests::Callers;
use crate::ui::text::{grouped, plural};
use crate::ui::token_shown::TokenShown;
use crate::ui::{people, requests};

/// Tokens on a page.
const SIZE: i64 = 50;

/// The highest page number, far beyond any list, so that nothing overflows.
const PAGE_LIMIT: i64 = 1_000_000_000;

/// Which tokens are wanted, in what order. What makes no sense is taken for what is usual.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    q: String,
    state: String,
    sort: String,
    sort_dir: String,
    page: String,
    /// Number of a service user.
    user_id: String,
}

impl ListQuery {
    fn status(&self) -> Option<Status> {
        [Status::Active, Status::Revoked, Status::Expired]
            .into_iter()
            .find(|status| state(*status).0 == self.state)
    }

    /// The column, how it is sorted by, and whether that is the other way round than usual.
    fn order(&self) -> (&'static str, TokenSort, bool) {
        let (column, sort, usually_descending) = match &*self.sort {
            "name" => ("name", TokenSort::Name, false),
            "expiration" => ("expiration", TokenSort::Expiration, false),
            "last_used" => ("last_used", TokenSort::LastUsed, true),
            _ => ("created", TokenSort::Created, true),
        };
        let descending = match &*self.sort_dir {
            "asc" => false,
            "desc" => true,
            _ => usually_descending,
        };
        (column, sort, descending)
    }

    fn number(&self) -> i64 {
        self.page.parse().unwrap_or(1).clamp(1, PAGE_LIMIT)
    }

    fn service_user(&self) -> Option<UserId> {
        self.user_id.parse().ok().map(UserId)
    }
}

/// A list of tokens, with or without a dialog in front of it.
#[derive(Template)]
#[template(path = "tokens.html")]
pub(super) struct TokensPage {
    page: Page,
    view: View,
    dialog: Option<Dialog>,
}

/// What may stand in front of the list.
pub(super) enum Dialog {
    /// The form that makes a token.
    Generate(Box<GenerateDialog>),
    /// A new token.
    Shown(Box<TokenShown>),
    /// A form that has made its token already.
    Before(MadeBefore),
    /// So many own tokens are to be revoked.
    RevokeAll {
        count: u64,
        /// Who used them lately.
        callers: Option<Callers>,
    },
}

/// What the list shows.
pub(super) struct View {
    is_service: bool,
    listing: Listing,
    rows: Vec<Row>,
    chips: Vec<Chip>,
    part: String,
    state: String,
    sort: &'static str,
    /// The direction, where it isn't the usual one.
    sort_dir: String,
    /// The service user whose tokens these are, if only theirs: number and name.
    only: Option<(UserId, String)>,
    is_filtered: bool,
    personal: u64,
    /// How many service tokens there are, for those who may know.
    service: Option<u64>,
    has_active: bool,
    /// Where the form is that makes another one.
    generate: String,
    /// Where the requests with these tokens are listed, if they are recorded.
    requests: Option<String>,
    authorize: String,
}

/// A filter by state.
struct Chip {
    href: String,
    label: String,
    is_current: bool,
}

/// A token in the list.
struct Row {
    name: String,
    path: String,
    /// The query that leads back to this list.
    back: String,
    state: &'static str,
    word: &'static str,
    is_scim: bool,
    is_leaked: bool,
    owner: Owner,
    expires: Option<Moment>,
    used: Option<(Moment, String)>,
    created: Moment,
    tried: Option<Tried>,
    /// What it succeeds, or what succeeds it: path and words.
    rotation: Option<(String, String)>,
    can_rotate: bool,
    possible: Possible,
}

/// Whose a service token is.
struct Owner {
    id: UserId,
    name: String,
    user_id: String,
    is_active: bool,
}

/// `GET /settings/tokens`
pub async fn personal(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Query(asked): Query<ListQuery>,
) -> Result<Response, Error> {
    let page = TokensPage::load(&app, &call, &visit, TokenKind::Personal, &asked).await?;
    Ok(Rendered(page).into_response())
}

/// `GET /settings/tokens/service`
pub async fn service(
    State(app): State<Arc<App>>,
    visit: Visit,
    ManagesServiceTokens(call): ManagesServiceTokens,
    Query(asked): Query<ListQuery>,
) -> Result<Response, Error> {
    let page = TokensPage::load(&app, &call, &visit, TokenKind::Service, &asked).await?;
    Ok(Rendered(page).into_response())
}

impl TokensPage {
    /// The list as it is asked for.
    async fn load(
        app: &App,
        call: &Call,
        visit: &Visit,
        kind: TokenKind,
        asked: &ListQuery,
    ) -> Result<Self, Error> {
        let page = visit.page(Section::Tokens, "Tokens");
        let view = View::load(app, call, &page, kind, asked).await?;
        Ok(Self { page, view, dialog: None })
    }

    /// How many tokens the dialog is about.
    fn counted(&self) -> String {
        match self.dialog {
            Some(Dialog::RevokeAll { count, .. }) => plural(count, "token", "tokens"),
            _ => String::new(),
        }
    }

    /// The whole list, to stand behind a dialog.
    pub(super) async fn behind(
        app: &App,
        call: &Call,
        visit: &Visit,
        kind: TokenKind,
    ) -> Result<Self, Error> {
        // Whoever asks for what isn't theirs sees their own.
        let kind = if call.caller.has(Permission::ManageServiceTokens) { kind } else { TokenKind::Personal };
        Self::load(app, call, visit, kind, &ListQuery::default()).await
    }

    /// The page with a dialog in front of it.
    pub(super) fn with(self, dialog: Dialog) -> Response {
        Rendered(Self { dialog: Some(dialog), ..self }).into_response()
    }
}

impl View {
    async fn load(
        app: &App,
        call: &Call,
        page: &Page,
        kind: TokenKind,
        asked: &ListQuery,
    ) -> Result<Self, Error> {
        let only = match (kind, asked.service_user()) {
            (TokenKind::Service, Some(id)) => Some((id, views::service_user(app, id).await?.name)),
            _ => None,
        };
        let whose = match (kind, &only) {
            (TokenKind::Personal, _) => Whose::Personal(call.caller.id),
            (TokenKind::Service, Some((id, _))) => Whose::Service(*id),
            (TokenKind::Service, None) => Whose::AllService,
        };
        let (sort, by, descending) = asked.order();
        let part = asked.q.trim().to_owned();
        let filter =
            TokenFilter { whose, part: Some(part.clone()), status: asked.status(), sort: by, descending };
        let number = asked.number();
        let found = views::list(app, call, &filter, (SIZE, (number - 1) * SIZE)).await?;
        let window = (number.unsigned_abs(), SIZE.unsigned_abs());
        let total = found.page.total.unsigned_abs();
        let listing = Listing::new(page, (sort, descending), window, total).cut(found.is_cut());
        let row = |token: &Token| Row::new(page, token, &found);
        let is_service = kind == TokenKind::Service;
        Ok(Self {
            is_service,
            rows: found.page.items.iter().map(row).collect(),
            chips: chips(&listing, &found, filter.status),
            is_filtered: !part.is_empty() || filter.status.is_some() || only.is_some(),
            part,
            state: filter.status.map_or_else(String::new, |status| state(status).0.to_owned()),
            sort,
            sort_dir: asked.sort_dir.clone(),
            only,
            personal: found.personal.unsigned_abs(),
            service: found.service.map(i64::unsigned_abs),
            has_active: found.counted(Some(Status::Active)) != Some(0),
            generate: match kind {
                TokenKind::Personal => "/settings/tokens/generate".to_owned(),
                TokenKind::Service => "/settings/tokens/generate?kind=service".to_owned(),
            },
            requests: are_recorded(app).then(|| match kind {
                TokenKind::Personal => requests::below(&people::user_path(call.caller.id)),
                TokenKind::Service => requests::SERVICE.to_owned(),
            }),
            authorize: format!("{}/api/cli/authorize", app.config.server.public_url),
            listing,
        })
    }

    /// Whether there is nothing, whatever is filtered.
    fn is_empty(&self) -> bool {
        if self.is_service { self.service.unwrap_or_default() == 0 } else { self.personal == 0 }
    }

    /// Where the whole list is.
    const fn path(&self) -> &'static str {
        list_of(if self.is_service { TokenKind::Service } else { TokenKind::Personal })
    }

    /// What the list is called, for those who don't see it.
    fn caption(&self) -> String {
        let whose = if self.is_service { "Service" } else { "Personal" };
        format!("{whose} tokens, {}", self.listing.range())
    }
}

fn chips(listing: &Listing, list: &views::List, chosen: Option<Status>) -> Vec<Chip> {
    let chip = |status: Option<Status>| {
        let (value, word) = status.map_or(("", "All"), state);
        Chip {
            href: listing.with("state", value),
            label: match list.counted(status) {
                Some(count) => format!("{word} {}", grouped(count.unsigned_abs())),
                None => word.to_owned(),
            },
            is_current: status == chosen,
        }
    };
    [None, Some(Status::Active), Some(Status::Revoked), Some(Status::Expired)].map(chip).into()
}

impl Row {
    fn new(page: &Page, token: &Token, list: &views::List) -> Self {
        let status = status(page, token);
        let (state, word) = state(status);
        let successor = token.rotated_by.and_then(|id| list.related.get(&id));
        let has_live_successor =
            successor.is_some_and(|successor| super::status(page, successor) == Status::Active);
        Self {
            name: token.name.clone(),
            path: path(token.id),
            back: query(page.here()),
            state,
            word,
            is_scim: token.scim_only,
            is_leaked: token.leaked_at.is_some(),
            owner: Owner {
                id: token.owner.id,
                name: token.owner.name.clone(),
                user_id: token.owner.user_id.clone(),
                is_active: token.owner.active,
            },
            expires: token.expires_at.map(|at| page.moment(at)),
            used: last_use(page, token),
            created: page.moment(token.created_at),
            tried: Tried::of(page, token, list.attempts.get(&token.id)),
            rotation: rotation(page, token, list),
            can_rotate: status == Status::Active && token.owner.active && !has_live_successor,
            possible: Possible::of(status),
        }
    }
}

/// The link in the row of a token that was rotated, or that succeeds another one.
fn rotation(page: &Page, token: &Token, list: &views::List) -> Option<(String, String)> {
    let related = |id| list.related.get(&id);
    if let Some(new) = token.rotated_by.and_then(related) {
        let words = match views::progress(token, new, page.now()) {
            views::Progress::NewIsUnused => "The new token hasn’t been used yet".to_owned(),
            views::Progress::OldIsUsed => "Old one still in use".to_owned(),
            views::Progress::OldIsQuiet { .. } => "Old one, quiet".to_owned(),
            views::Progress::Done => format!("Succeeded by {}", new.name),
            views::Progress::NewIsDead => return succeeds(token, list),
        };
        return Some((path(token.id), words));
    }
    succeeds(token, list)
}

fn succeeds(token: &Token, list: &views::List) -> Option<(String, String)> {
    let old = token.rotates.and_then(|id| list.related.get(&id))?;
    Some((path(token.id), format!("Succeeds {}", old.name)))
}
