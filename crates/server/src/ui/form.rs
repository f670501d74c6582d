//! What a form that comes back says at its fields.

use http::StatusCode;

use crate::error::{Error, FieldError};

/// The messages at the fields of a form; none at first.
#[derive(Clone, Debug, Default)]
pub struct Messages(Vec<FieldError>);

impl Messages {
    /// What is wrong with the fields, if the error is about them; any other error is for a page of its
    /// own. A conflict is told at the field that has to change, `conflicting`.
    pub fn of_error(error: Error, conflicting: &str) -> Result<Self, Error> {
        match error {
            Error::Invalid(errors) => Ok(Self(errors)),
            Error::Conflict(_) | Error::Exists(_) => {
                Ok(Self(vec![FieldError { field: conflicting.to_owned(), message: error.to_string() }]))
            }
            other => Err(other),
        }
    }

    /// Says this at a field instead of what is said there, if anything is.
    pub fn reword(&mut self, field: &str, message: impl Into<String>) {
        if let Some(error) = self.0.iter_mut().find(|error| error.field == field) {
            error.message = message.into();
        }
    }

    /// The first message at this field.
    pub fn of(&self, field: &str) -> Option<String> {
        self.0.iter().find(|error| error.field == field).map(|error| super::text::sentence(&error.message))
    }

    /// Whether this field is the first that is wrong: it gets the focus.
    pub fn is_first(&self, field: &str) -> bool {
        self.0.first().is_some_and(|error| error.field == field)
    }

    /// The status of the page with the form: 422 if anything is wrong.
    pub const fn status(&self) -> StatusCode {
        if self.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }
    }

    /// Whether anything is wrong.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stand_at_their_fields_and_the_first_gets_the_focus() {
        let wrong = |field: &str, message: &str| FieldError { field: field.into(), message: message.into() };
        let error =
            Error::Invalid(vec![wrong("name", "must not be empty"), wrong("days", "must be 1 or more")]);
        let messages = Messages::of_error(error, "name").unwrap();
        assert_eq!(messages.of("name").as_deref(), Some("Must not be empty."));
        assert_eq!(messages.of("days").as_deref(), Some("Must be 1 or more."));
        assert_eq!(messages.of("kind"), None);
        assert!(messages.is_first("name") && !messages.is_first("days"));
        let conflict = Messages::of_error(Error::Conflict("it is there".into()), "name").unwrap();
        assert_eq!(conflict.of("name").as_deref(), Some("It is there."));
        assert!(Messages::of_error(Error::Forbidden("no".into()), "name").is_err());
        assert!(Messages::default().is_empty() && !conflict.is_empty());
    }
}
