//! What a client wants to see: the same for the parameters of a GET and the body of a `.search`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::Value;
use tokenhouse_store::directory::{Condition, Sort};

use super::filter;
use super::resource::Selection;
use super::schema::ResourceType;
use super::value::{self, Object, invalid};
use crate::app::App;
use crate::error::Error;

/// URN of a `.search`.
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// How many resources are shown where the client doesn't say.
const COUNT: i64 = 100;

/// The most resources that are shown at once.
pub(super) const COUNT_LIMIT: i64 = 1_000;

/// The most names in a list of attributes, and the most bytes of all of them.
const NAMES_LIMIT: usize = 100;
const NAMES_SIZE_LIMIT: usize = 8 * 1024;

/// Which resources, in what order, and what of them.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) filter: Option<String>,
    /// Number of the first one, from 1.
    pub(super) start: i64,
    count: i64,
    sort_by: Option<String>,
    descending: bool,
    /// `attributes`
    only: Vec<String>,
    /// `excludedAttributes`
    without: Vec<String>,
}

impl Query {
    /// What the body of a `.search` asks for.
    pub(super) fn search(body: &Object) -> Result<Self, Error> {
        value::check_schema(body, SEARCH)?;
        Self::read(body)
    }

    fn read(asked: &Object) -> Result<Self, Error> {
        let text = |name: &str| match value::get(asked, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(format!("`{name}` must be text"))),
        };
        Ok(Self {
            filter: text("filter")?,
            start: number(asked, "startIndex")?.unwrap_or(1).max(1),
            count: number(asked, "count")?.unwrap_or(COUNT).clamp(0, COUNT_LIMIT),
            sort_by: text("sortBy")?.filter(|name| !name.is_empty()),
            descending: text("sortOrder")?.is_some_and(|order| order.eq_ignore_ascii_case("descending")),
            only: names(asked, "attributes")?,
            without: names(asked, "excludedAttributes")?,
        })
    }

    /// Which ones are searched for.
    pub(super) fn condition(&self, resource: &'static ResourceType) -> Result<Condition, Error> {
        match &self.filter {
            Some(text) => filter::parse(resource, text),
            None => Ok(Condition::All(Vec::new())),
        }
    }

    /// In what order.
    pub(super) fn sort(&self, resource: &'static ResourceType) -> Result<Sort, Error> {
        let by = self.sort_by.as_deref().map(|name| filter::sorted_by(resource, name)).transpose()?;
        Ok(Sort { descending: self.descending && by.is_some(), by })
    }

    /// What is shown of them.
    pub(super) fn selection(&self, resource: &'static ResourceType) -> Selection {
        Selection::new(resource, &self.only, &self.without)
    }

    /// How many, after how many.
    pub(super) const fn window(&self) -> (i64, i64) {
        (self.count, self.start - 1)
    }
}

/// A number, also as text.
fn number(asked: &Object, name: &str) -> Result<Option<i64>, Error> {
    let wrong = || invalid(format!("`{name}` must be a whole number"));
    match value::get(asked, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_i64().ok_or_else(wrong).map(Some),
        Some(Value::String(text)) => text.trim().parse().map_err(|_| wrong()).map(Some),
        Some(_) => Err(wrong()),
    }
}

/// A list of names, also as one text with commas.
fn names(asked: &Object, name: &str) -> Result<Vec<String>, Error> {
    let wrong = || invalid(format!("`{name}` must be a list of names"));
    let names: Vec<&str> = match value::get(asked, name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split(',').collect(),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong()),
    };
    if names.len() > NAMES_LIMIT {
        return Err(invalid(format!("`{name}` has more than {NAMES_LIMIT} names")));
    }
    if names.iter().map(|name| name.len()).sum::<usize>() > NAMES_SIZE_LIMIT {
        return Err(invalid(format!("`{name}` has more than {NAMES_SIZE_LIMIT} bytes")));
    }
    let names = names.into_iter().map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

impl FromRequestParts<Arc<App>> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Error> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let asked = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
        Self::read(&asked.collect())
    }
}
