//! What changes: policy, then one transaction with its audit record, then the index. Handlers, the
//! command line and the demo all come through here; none of them touches the store.

pub mod alerts;
pub mod audit;
pub mod directory;
pub mod hand_over;
pub mod leaks;
pub mod passwords;
pub mod policies;
pub mod profile;
pub mod report;
pub mod requests;
pub mod reviews;
pub mod service_user_requests;
pub mod sessions;
pub mod teams;
pub mod tokens;
pub mod users;

use serde_json::{Map, Value, json};
use tokenhouse_core::policy::Access;

use crate::error::Error;

/// Before and after of the fields that changed, for the audit record.
#[derive(Default)]
struct Changes(Map<String, Value>);

impl Changes {
    /// Notes a field, if it changed.
    fn note<T: serde::Serialize + PartialEq>(mut self, field: &str, before: T, after: T) -> Self {
        if before != after {
            self.0.insert(field.to_owned(), json!([before, after]));
        }
        self
    }

    /// Notes a field of something new.
    fn set(mut self, field: &str, after: impl serde::Serialize) -> Self {
        self.0.insert(field.to_owned(), json!([null, after]));
        self
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What becomes of something that may be there or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Stays,
    /// It becomes this, or goes away.
    To(Option<T>),
}

impl<T> Change<T> {
    /// What it is afterwards.
    pub fn of(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Stays => before,
            Self::To(after) => after,
        }
    }
}

/// Turns what policy says into an answer.
fn require(access: Access, hidden: &str, forbidden: &str) -> Result<(), Error> {
    match access {
        Access::Granted => Ok(()),
        Access::Hidden => Err(Error::NotFound(hidden.to_owned())),
        Access::Forbidden => Err(Error::Forbidden(forbidden.to_owned())),
    }
}
