//! The colour scheme: that of the system, or one that was chosen.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::header;
use serde::Deserialize;

use super::cookies;
use super::sign_in::{HOME, local};
use crate::api::body::Form;
use crate::app::App;
use crate::error::Error;

const ONE_YEAR: i64 = 365 * 86_400;

/// A colour scheme.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// What the system says.
    #[default]
    System,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

impl Theme {
    /// Every scheme, in the order of the menu.
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub(super) const COOKIE: &str = "tokenhouse-theme";

    /// Its name in the cookie, the form and the attribute of the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Its name in the menu.
    pub const fn title(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    /// Its icon in the sprite.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::System => "screen",
            Self::Light => "sun",
            Self::Dark => "moon",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text)
    }
}

/// The form of the menu.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    theme: Theme,
    /// The page it was chosen on.
    back: String,
}

/// `POST /settings/theme`
pub async fn choose(State(app): State<Arc<App>>, Form(choice): Form<Choice>) -> Result<Response, Error> {
    let seconds = if choice.theme == Theme::System { 0 } else { ONE_YEAR };
    let back = local(&choice.back).unwrap_or(HOME);
    let cookie = cookies::set(&app, Theme::COOKIE, choice.theme.as_str(), seconds);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(back)).into_response())
}
