//! The REST API: one file for each resource. Handlers read the request, call a service, write the
//! answer; what may be done is said by their arguments (see [`crate::auth::guard`]) and by policy.

pub mod activity;
pub mod alerts;
pub mod body;
pub(crate) mod csv;
pub mod documentation;
pub mod leaks;
pub mod policies;
pub mod report;
pub mod requests;
pub mod reviews;
pub mod rotation;
pub mod service_user_requests;
pub mod status;
pub mod teams;
pub mod user_tokens;
pub mod users;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::{Error, Fields};

/// 201, with where to find what was made.
fn created(path: String, body: impl Serialize) -> Result<Response, Error> {
    let location = HeaderValue::try_from(path).map_err(Error::internal)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(body)).into_response())
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Number of the page, from 1.
    #[serde(default = "first")]
    #[param(default = 1, minimum = 1)]
    pub page: i64,
    /// Items on a page.
    #[serde(default = "fifty")]
    #[param(default = 50, minimum = 1, maximum = 100)]
    pub size: i64,
}

const fn first() -> i64 {
    PageQuery::FIRST.page
}

const fn fifty() -> i64 {
    PageQuery::FIRST.size
}

/// The most items on a page.
const SIZE_LIMIT: i64 = 100;

/// The highest page number, far beyond any list, so that nothing overflows.
const PAGE_LIMIT: i64 = 1_000_000_000;

impl PageQuery {
    /// What is shown if nothing else is wanted.
    pub const FIRST: Self = Self { page: 1, size: 50 };

    /// Checks the numbers. Answers limit and offset.
    pub fn window(&self) -> Result<(i64, i64), Error> {
        let mut fields = Fields::default();
        if !(1..=PAGE_LIMIT).contains(&self.page) {
            fields.wrong("page", "must be 1 or more");
        }
        if !(1..=SIZE_LIMIT).contains(&self.size) {
            fields.wrong("size", "must be between 1 and 100");
        }
        fields.finish()?;
        Ok((self.size, (self.page - 1) * self.size))
    }

    /// The answer for a part of a list.
    pub fn answer<T, U>(&self, page: tokenhouse_store::Page<T>, item: impl Fn(T) -> U) -> PageOf<U> {
        PageOf {
            items: page.items.into_iter().map(item).collect(),
            total: page.total,
            page: self.page,
            size: self.size,
        }
    }
}

/// Part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageOf<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: i64,
    /// Number of the page, from 1.
    pub page: i64,
    /// Items on a full page.
    pub size: i64,
}
