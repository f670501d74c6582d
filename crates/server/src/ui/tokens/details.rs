//! The page of one token.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tokenhouse_core::id::TokenId;
use tokenhouse_core::people::Role;
use tokenhouse_core::policy::Permission;
use tokenhouse_core::token::Status;
use tokenhouse_store::successors::{Closing, RotationPlan};
use tokenhouse_store::tokens::Token;

use super::rotate::RotateDialog;
use super::tree::{Entry, Node, tree};
use super::tried::Tried;
use super::{
    MadeBefore, Possible, isolated, last_use, list_of, list_title, path, query, state, status, tone,
};
use crate::api::body::{Id, Query};
use crate::app::App;
use crate::auth::guard::Call;
use crate::auth::session::SignedIn;
use crate::error::Error;
use crate::service::requests;
use crate::service::tokens::closing::closes_at;
use crate::service::tokens::kind;
use crate::service::tokens::views::{self, Details, Progress};
use crate::ui::moment::Moment;
use crate::ui::page::{Page, Rendered, Section, Visit};
use crate::ui::requests::{Callers, Chosen, RequestsSection};
use crate::ui::text::{grouped, plural};
use crate::ui::token_shown::TokenShown;

/// One token, with or without a dialog in front of it.
#[derive(Template)]
#[template(path = "token.html")]
pub(super) struct TokenPage {
    page: Page,
    view: View,
    /// What was done with it, where no dialog is in front of that.
    requests: Option<RequestsSection>,
    dialog: Option<Dialog>,
}

/// What may stand in front of the page.
pub(super) enum Dialog {
    /// The form that makes a successor.
    Rotate(Box<RotateDialog>),
    /// A new token.
    Shown(Box<TokenShown>),
    /// A form that has made its token already.
    Before(MadeBefore),
    /// Asks before it stops working.
    Revoke {
        question: Question,
        /// Who used it lately.
        callers: Option<Callers>,
    },
    /// Asks before it is gone.
    Delete(Question),
}

/// What a dialog that asks needs to know besides the token.
pub(super) struct Question {
    /// Where its form goes.
    pub(super) action: String,
    /// Where not doing it leads.
    pub(super) close: String,
}

/// What the page shows.
pub(super) struct View {
    name: String,
    path: String,
    id: i64,
    state: &'static str,
    tone: &'static str,
    word: &'static str,
    /// When it expires, if that is soon.
    soon: Option<Moment>,
    is_scim: bool,
    owner: String,
    owner_id: String,
    /// The page of the owner; `None` if that is the viewer.
    owner_path: Option<String>,
    owner_is_active: bool,
    role: Role,
    teams: String,
    created: Moment,
    creator: Option<String>,
    expires: Option<Moment>,
    revoked: Option<Moment>,
    used: Option<(Moment, String)>,
    tried: Option<Tried>,
    leaked: Option<Moment>,
    /// When policy revokes it if nobody uses it.
    idle_end: Option<Moment>,
    /// Who rotates it and how many days before it expires, as the form shows it.
    plan: (String, String),
    /// Who rotates all tokens of its owner, where it doesn't say itself.
    owners_plan: Option<String>,
    /// The query that leads back to this page.
    back: String,
    can_rotate: bool,
    possible: Possible,
    rotations: Vec<Rotation>,
    /// Name of the successor that goes on working.
    successor: Option<String>,
    tree: Vec<Node>,
    made: u64,
    made_alive: u64,
    /// How many more were made with it than the tree shows, if any.
    unlisted: Option<String>,
}

/// Old and new.
struct Rotation {
    old: Side,
    new: Side,
    progress: Progress,
    quiet_since: Option<Moment>,
    /// When the old one is revoked by itself, if it isn't used until then, and after how many quiet hours.
    closes: Option<(Moment, String)>,
    /// Where that is settled.
    settle: String,
    /// Whether it can still be settled.
    is_open: bool,
}

/// One of the two.
struct Side {
    name: String,
    /// Its page; `None` if it is this one.
    path: Option<String>,
    created: Moment,
    used: Option<(Moment, String)>,
    state: &'static str,
    word: &'static str,
}

/// `GET /settings/tokens/{id}`
pub async fn details(
    State(app): State<Arc<App>>,
    visit: Visit,
    SignedIn(call): SignedIn,
    Id(id): Id,
    Query(chosen): Query<Chosen>,
) -> Result<Response, Error> {
    let page = TokenPage::load(&app, &call, &visit, TokenId(id)).await?;
    let (visible, token) = requests::of_token(&app, &call, TokenId(id)).await?;
    let section = RequestsSection::load(&app, &page.page, &visible, &chosen, &path(token.id)).await;
    Ok(Rendered(TokenPage { requests: section, ..page }).into_response())
}

impl TokenPage {
    /// The page of a token.
    pub(super) async fn load(app: &App, call: &Call, visit: &Visit, id: TokenId) -> Result<Self, Error> {
        let details = views::details(app, call, id).await?;
        Ok(Self::of(call, visit, &details))
    }

    /// The page of a token about which everything is known.
    pub(super) fn of(call: &Call, visit: &Visit, details: &Details) -> Self {
        let list = kind(&details.token);
        let page = visit.page(Section::Tokens, &details.token.name).below(list_title(list), list_of(list));
        let view = View::new(call, &page, details);
        Self { page, view, requests: None, dialog: None }
    }

    /// The page with a dialog in front of it.
    pub(super) fn with(self, dialog: Dialog) -> Response {
        Rendered(Self { dialog: Some(dialog), ..self }).into_response()
    }

    /// Whether it is known that nobody used it in the last 24 hours. The log can lack some uses, as not all of them may
    /// be recorded.
    fn nobody_used_it_lately(&self, callers: Option<&Callers>) -> bool {
        let is_quiet = self.view.used.as_ref().is_none_or(|(at, _)| !at.is_within_a_day());
        is_quiet && callers.is_some_and(Callers::are_none)
    }

    /// What the token is called.
    pub(super) fn name(&self) -> &str {
        &self.view.name
    }

    /// “Revoke …?”, for the title of a dialog.
    fn asks(&self, verb: &str) -> String {
        format!("{verb} {}?", isolated(&self.view.name))
    }
}

impl View {
    fn new(call: &Call, page: &Page, details: &Details) -> Self {
        let Details { token, owner, .. } = details;
        let status = status(page, token);
        let (state, word) = state(status);
        let expires = token.expires_at.map(|at| page.moment(at));
        let path = path(token.id);
        Self {
            name: token.name.clone(),
            id: token.id.0,
            state,
            tone: tone(status),
            word,
            soon: expires.filter(|expires| expires.is_soon()),
            is_scim: token.scim_only,
            owner: owner.name.clone(),
            owner_id: owner.user_id.clone(),
            owner_path: (owner.id != call.caller.id).then(|| format!("/settings/people/users/{}", owner.id)),
            owner_is_active: owner.deleted_at.is_none(),
            role: owner.role,
            teams: owner.teams.join(", "),
            created: page.moment(token.created_at),
            creator: creator(call, details),
            expires,
            revoked: token.revoked_at.map(|at| page.moment(at)),
            used: last_use(page, token),
            tried: Tried::of(page, token, details.attempts.as_ref()),
            leaked: token.leaked_at.map(|at| page.moment(at)),
            idle_end: details.idle_end.map(|at| page.moment(at)),
            plan: token.plan.as_ref().map_or_else(Default::default, |plan| {
                (plan.responsible.clone(), plan.days_before.to_string())
            }),
            owners_plan: details.owners_plan.as_ref().filter(|_| token.plan.is_none()).map(planned),
            back: query(&path),
            can_rotate: details.can_rotate,
            possible: Possible::of(status),
            rotations: rotations(page, details),
            successor: successor(page, details),
            tree: tree(page, details),
            made: details.made.unsigned_abs(),
            made_alive: details.made_alive.unsigned_abs(),
            unlisted: unlisted(details),
            path,
        }
    }

    /// `3 others`
    fn others(&self) -> String {
        plural(self.made, "other", "others")
    }

    /// `3 tokens`, of those made with it that work.
    fn alive(&self) -> String {
        plural(self.made_alive, "token", "tokens")
    }
}

/// `platform team, 14 days before it expires`
fn planned(plan: &RotationPlan) -> String {
    format!(
        "{}, {} before it expires",
        plan.responsible,
        plural(plan.days_before.unsigned_abs(), "day", "days")
    )
}

/// How many tokens were made with it that are not read, if any.
fn unlisted(details: &Details) -> Option<String> {
    let more = details.made.unsigned_abs().saturating_sub(details.descendants.len() as u64);
    (more > 0).then(|| grouped(more))
}

/// Who made the token, if not its owner and if the viewer may know.
fn creator(call: &Call, details: &Details) -> Option<String> {
    let creator = details.creator.as_ref()?;
    if creator.id == call.caller.id {
        return Some("you".to_owned());
    }
    call.caller.has(Permission::SeePeople).then(|| creator.name.clone())
}

/// Name of the successor that goes on working.
fn successor(page: &Page, details: &Details) -> Option<String> {
    let new = details.new.as_ref()?;
    (status(page, new) == Status::Active).then(|| new.name.clone())
}

/// The rotation in which the token is the old one, and that in which it is the new one.
fn rotations(page: &Page, details: &Details) -> Vec<Rotation> {
    let Details { token, old, new, .. } = details;
    let pairs = [(Some(token), new.as_ref()), (old.as_ref(), Some(token))];
    let pair = |(old, new): (Option<&Token>, Option<&Token>)| {
        let (old, new) = (old?, new?);
        let progress = views::progress(old, new, page.now());
        let side = |side: &Token| Side {
            name: side.name.clone(),
            path: (side.id != token.id).then(|| path(side.id)),
            created: page.moment(side.created_at),
            used: last_use(page, side),
            state: state(status(page, side)).0,
            word: state(status(page, side)).1,
        };
        let quiet_since = match progress {
            Progress::OldIsQuiet { since } => Some(page.moment(since)),
            _ => None,
        };
        let is_open = status(page, old) == Status::Active && status(page, new) == Status::Active;
        let hours = |closing: Closing| plural(closing.after_hours.unsigned_abs(), "hour", "hours");
        Some(Rotation {
            old: side(old),
            new: side(new),
            progress,
            quiet_since,
            closes: closes_at(old).zip(old.closing).map(|(at, closing)| (page.moment(at), hours(closing))),
            settle: format!("{}/closing", path(old.id)),
            is_open,
        })
    };
    pairs.into_iter().filter_map(pair).collect()
}
