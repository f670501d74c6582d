//! What every page gives the frame around it, and how a template becomes an answer.
//!
//! A page is a template that extends `frame.html` (signed in) or `bare.html` (not), and a struct for it
//! with a field `page`. See "Pages" in docs/architecture.md.

use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::extract::{FromRequestParts, Request};
use axum::response::{Html, IntoResponse, Response};
use http::Method;
use http::request::Parts;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::index::OwnerState;
use tokenhouse_core::people::Role;
use tokenhouse_core::policy::Permission;

use super::cookies;
use super::moment::Moment;
use super::people;
use super::text;
use super::theme::Theme;
use super::toast::Toast;
use crate::app::App;
use crate::error::Error;

/// The person who looks at a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Viewer {
    /// Their account.
    pub id: UserId,
    /// The name they are shown by.
    pub name: String,
    /// The name they sign in with, or their address.
    pub user_name: String,
    /// Their present role.
    pub role: Role,
}

impl From<&OwnerState> for Viewer {
    fn from(account: &OwnerState) -> Self {
        let OwnerState { id, name, user_name, role, .. } = account;
        Self { id: *id, name: name.clone(), user_name: user_name.clone(), role: *role }
    }
}

impl Viewer {
    /// What their avatar shows.
    pub fn initials(&self) -> String {
        text::initials(&self.name)
    }

    /// The tone of their role's badge.
    pub const fn role_tone(&self) -> &'static str {
        role_tone(self.role)
    }

    /// What the left rail offers them.
    pub fn sections(&self) -> impl Iterator<Item = Section> {
        let role = self.role;
        Section::ALL.into_iter().filter(move |section| role >= section.least_role())
    }

    /// The first page of a section that they may see.
    pub fn path(&self, section: Section) -> &'static str {
        let sees_people = self.role >= Permission::SeePeople.least_role();
        if section == Section::People && !sees_people { people::REQUESTS } else { section.path() }
    }
}

/// The class of a role's badge, the same on every page.
pub const fn role_tone(role: Role) -> &'static str {
    match role {
        Role::Member => "line",
        Role::Manager => "",
        Role::Admin => "accent",
    }
}

/// An entry of the left rail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// One's own tokens, and those of service users.
    Tokens,
    /// Users, service users, teams.
    People,
    /// What somebody should mend.
    Reviews,
    /// The audit trail.
    Audit,
    /// Policies, directory sync.
    Settings,
}

impl Section {
    /// Every section that has pages, in the order of the rail.
    pub const ALL: [Self; 5] = [Self::Tokens, Self::People, Self::Reviews, Self::Audit, Self::Settings];

    /// Its name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Tokens => "Tokens",
            Self::People => "People",
            Self::Reviews => "Reviews",
            Self::Audit => "Audit",
            Self::Settings => "Settings",
        }
    }

    /// Its first page.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Tokens => "/settings/tokens",
            Self::People => "/settings/people/users",
            Self::Reviews => "/settings/reviews",
            Self::Audit => "/settings/audit",
            Self::Settings => "/settings/policies",
        }
    }

    /// Its icon in the sprite.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Tokens => "key",
            Self::People => "users",
            Self::Reviews => "shield",
            Self::Audit => "log",
            Self::Settings => "settings",
        }
    }

    /// The lowest role that may use it.
    pub const fn least_role(self) -> Role {
        match self {
            // Whoever doesn't see people asks for service users there.
            Self::Tokens | Self::People => Role::Member,
            Self::Reviews | Self::Audit | Self::Settings => Permission::Audit.least_role(),
        }
    }
}

/// What is known of a request before its handler runs. The layer around the pages makes it; handlers
/// take it as an argument.
#[derive(Clone, Debug)]
pub struct Visit {
    now: Timestamp,
    theme: Theme,
    toast: Option<Toast>,
    here: String,
    changes: bool,
    host: String,
    viewer: Arc<OnceLock<Viewer>>,
}

impl Visit {
    pub(super) fn of(app: &App, request: &Request) -> Self {
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        let here = match request.uri().path().rsplit_once('/') {
            // A form extends the path of the page it stands on, and may have no page of its own.
            Some((page, _)) if changes && !page.is_empty() => page,
            _ => request.uri().path_and_query().map_or("/", |here| here.as_str()),
        };
        let public_url = &app.config.server.public_url;
        Self {
            now: app.clock.now(),
            theme: cookies::find(request.headers(), Theme::COOKIE).and_then(Theme::parse).unwrap_or_default(),
            toast: cookies::find(request.headers(), Toast::COOKIE).and_then(Toast::parse),
            here: here.to_owned(),
            changes,
            host: public_url.split_once("://").map_or(&**public_url, |(_, host)| host).to_owned(),
            viewer: Arc::default(),
        }
    }

    /// Notes who is looking, as soon as the session is known: pages of errors then stand in the frame.
    pub fn seen_by(&self, viewer: Viewer) {
        // The first one stays: a request has one session.
        let _ = self.viewer.set(viewer);
    }

    /// Who is looking, if that is known.
    pub fn viewer(&self) -> Option<&Viewer> {
        self.viewer.get()
    }

    /// Path and query of the page that is asked for, or that a form stands on.
    pub fn here(&self) -> &str {
        &self.here
    }

    /// Whether something is to be changed, by a form.
    pub const fn changes(&self) -> bool {
        self.changes
    }

    /// Whether the page that answers shows a toast.
    pub(super) const fn has_toast(&self) -> bool {
        self.toast.is_some()
    }

    /// A page of a section with this title.
    pub fn page(&self, section: Section, title: impl Into<String>) -> Page {
        Page { section: Some(section), ..self.bare(title) }
    }

    /// A page outside of all sections.
    pub fn bare(&self, title: impl Into<String>) -> Page {
        Page { title: title.into(), section: None, trail: Vec::new(), visit: self.clone() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let visit = parts.extensions.get().cloned();
        visit.ok_or_else(|| Error::internal("a page is served without the layer around the pages"))
    }
}

/// What a page gives the frame.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the tab of the browser.
    pub title: String,
    /// What the rail marks as the present one.
    pub section: Option<Section>,
    /// The pages above this one: name and path.
    pub trail: Vec<(String, String)>,
    visit: Visit,
}

impl Page {
    /// The same page below another one, which the bar at the top links to.
    #[must_use]
    pub fn below(mut self, name: impl Into<String>, path: impl Into<String>) -> Self {
        self.trail.push((name.into(), path.into()));
        self
    }

    /// Who is looking.
    pub fn viewer(&self) -> Option<&Viewer> {
        self.visit.viewer()
    }

    /// The colour scheme that was chosen.
    pub const fn theme(&self) -> Theme {
        self.visit.theme
    }

    /// What has just happened.
    pub fn toast(&self) -> Option<&Toast> {
        self.visit.toast.as_ref()
    }

    /// Path and query of the page itself.
    pub fn here(&self) -> &str {
        &self.visit.here
    }

    /// Host, and port if there is one, of this Tokenhouse.
    pub fn host(&self) -> &str {
        &self.visit.host
    }

    /// Version of the binary.
    pub const fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// When the page was asked for.
    pub const fn now(&self) -> Timestamp {
        self.visit.now
    }

    /// An instant as it is seen from now.
    pub const fn moment(&self, at: Timestamp) -> Moment {
        Moment::new(at, self.visit.now)
    }
}

/// A template as an answer.
#[derive(Debug)]
pub struct Rendered<T>(pub T);

impl<T: Template> IntoResponse for Rendered<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => Error::internal(error).into_response(),
        }
    }
}
