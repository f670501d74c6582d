//! What can go wrong, and the one mapping from it to an answer (problem documents, RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokenhouse_core::verdict::Reason;
use tokenhouse_store as store;
use utoipa::ToSchema;

/// What a request can come to, other than what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No bearer token, or one that isn't good. `None`: none was sent.
    #[error("not authenticated")]
    Unauthenticated(Option<Reason>),
    /// A page needs somebody who is signed in, and nobody is, or not any more.
    #[error("sign in first")]
    SignedOut,
    /// The caller's role doesn't allow it.
    #[error("{0}")]
    Forbidden(String),
    /// It doesn't exist, or the caller may not know of it.
    #[error("{0}")]
    NotFound(String),
    /// The method is not one of this route.
    #[error("this route does not have that method")]
    MethodNotAllowed,
    /// The request can't be understood, or not in the present state.
    #[error("{0}")]
    BadRequest(String),
    /// It stands against something that is there already.
    #[error("{0}")]
    Conflict(String),
    /// There is one already.
    #[error("{0} exists already")]
    Exists(store::What),
    /// A SCIM request that can't be done, for a reason that SCIM has a word for.
    #[error("{1}")]
    Scim(ScimType, String),
    /// It has changed since the client saw it.
    #[error("it has changed since you read it; read it again and repeat the change")]
    PreconditionFailed,
    /// A part of a standard that isn't offered.
    #[error("{0}")]
    NotImplemented(&'static str),
    /// Fields of the request are wrong.
    #[error("some fields are wrong")]
    Invalid(Vec<FieldError>),
    /// The body is larger than allowed.
    #[error("the body has more than {limit} {of}")]
    TooLarge {
        /// How much is allowed.
        limit: usize,
        /// Of what.
        of: &'static str,
    },
    /// The body didn't arrive in time.
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    /// The body is of another media type.
    #[error("the body must be {0}")]
    UnsupportedMediaType(&'static str),
    /// Too many attempts.
    #[error("too many attempts; try again in {retry_after} s")]
    TooMany {
        /// Seconds until the next attempt is looked at.
        retry_after: u64,
    },
    /// The gateway's upstream doesn't answer.
    #[error("the upstream cannot be reached")]
    UpstreamUnreachable,
    /// The gateway's upstream takes too long.
    #[error("the upstream did not answer in time")]
    UpstreamTooSlow,
    /// More is asked for than can be answered in time.
    #[error("there is too much to do at this moment; try again")]
    Overloaded,
    /// This node of a fleet can't tell whether a token is good: it hasn't heard of the others in time.
    #[error(
        "this server has lost touch with its database and can't vouch for any token; try again, or ask another one"
    )]
    Stale,
    /// Requests wait, since what is decided on them can't be recorded.
    #[error("requests wait until they can be recorded: {0}")]
    Unrecorded(String),
    /// The store can't be used at this moment.
    #[error("the store cannot be used at this moment; nothing that was acknowledged is lost, try again")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A fault of ours.
    #[error("something went wrong here")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a SCIM request can't be done (RFC 7644, section 3.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScimType {
    /// The filter can't be understood, or asks for what isn't supported.
    InvalidFilter,
    /// Somebody else has the same already.
    Uniqueness,
    /// It can't be changed by clients.
    Mutability,
    /// The body isn't what the request needs.
    InvalidSyntax,
    /// The path of a PATCH can't be understood.
    InvalidPath,
    /// The path of a PATCH names nothing.
    NoTarget,
    /// A value is not what the attribute takes.
    InvalidValue,
}

impl ScimType {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
        }
    }
}

/// A field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field's name in the request.
    #[schema(example = "expires_in_days")]
    pub field: String,
    /// What it has to be.
    #[schema(example = "must be between 1 and 365 days")]
    pub message: String,
}

/// An answer that something went wrong (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: &'static str,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What happened and what to do next.
    pub detail: String,
    /// The wrong fields, with 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The request's number, to be quoted to whoever runs this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What SCIM calls it.
    #[serde(skip)]
    scim_type: Option<ScimType>,
}

impl Error {
    /// One wrong field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    /// A fault of ours, with its cause for the log.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated(_) | Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRequest(_) | Self::Scim(..) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) | Self::Exists(_) => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::UpstreamUnreachable => StatusCode::BAD_GATEWAY,
            Self::UpstreamTooSlow => StatusCode::GATEWAY_TIMEOUT,
            Self::Overloaded | Self::Stale | Self::Unrecorded(_) | Self::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What SCIM calls it, if it has a word for it.
    const fn scim_type(&self) -> Option<ScimType> {
        match self {
            Self::Scim(scim_type, _) => Some(*scim_type),
            Self::BadRequest(_) => Some(ScimType::InvalidSyntax),
            Self::Invalid(_) => Some(ScimType::InvalidValue),
            Self::Exists(_) => Some(ScimType::Uniqueness),
            _ => None,
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Unauthenticated(reason) => {
                headers.insert(header::WWW_AUTHENTICATE, challenge(*reason));
            }
            Self::TooMany { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after));
            }
            Self::Overloaded | Self::Stale | Self::Unrecorded(_) | Self::Unavailable(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        headers
    }

    fn detail(&self) -> String {
        match self {
            Self::Unauthenticated(None) => {
                "send a token in the header `Authorization: Bearer <token>`".to_owned()
            }
            Self::Unauthenticated(Some(reason)) => describe(*reason).to_owned(),
            other => other.to_string(),
        }
    }
}

/// What is told about a refused token. What only its holder may know is told only for a genuine one:
/// the verdict gives these reasons to no other.
const fn describe(reason: Reason) -> &'static str {
    match reason {
        Reason::Expired => "the token has expired",
        Reason::Revoked => "the token has been revoked",
        Reason::Deactivated => "the token's owner has been deactivated",
        Reason::Malformed | Reason::Unknown | Reason::Forbidden | Reason::ScimOnly => {
            "the token is not valid"
        }
    }
}

/// The `WWW-Authenticate` header (RFC 6750, section 3).
pub fn challenge(reason: Option<Reason>) -> HeaderValue {
    const REALM: HeaderValue = HeaderValue::from_static(r#"Bearer realm="tokenhouse""#);
    let Some(reason) = reason else { return REALM };
    let description = describe(reason);
    let told =
        format!(r#"Bearer realm="tokenhouse", error="invalid_token", error_description="{description}""#);
    HeaderValue::try_from(told).unwrap_or(REALM)
}

impl Problem {
    /// The problem of an error.
    pub fn of(error: &Error) -> Self {
        let status = error.status();
        let errors = match error {
            Error::Invalid(errors) => errors.clone(),
            _ => Vec::new(),
        };
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: error.detail(),
            errors,
            request_id: None,
            scim_type: error.scim_type(),
        }
    }

    /// The problem of the request with this number.
    #[must_use]
    pub fn with_request_id(self, id: &str) -> Self {
        Self { request_id: Some(id.to_owned()), ..self }
    }

    /// The problem as the body of `response`, whose other headers stay.
    pub fn write_into(self, response: &mut Response) {
        // A struct of strings and numbers always has a JSON form.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        write(response, body, "application/problem+json");
    }

    /// The status in SCIM, which knows no 422.
    pub fn scim_status(&self) -> StatusCode {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status }
    }

    /// The problem as a SCIM error (RFC 7644, section 3.12).
    pub fn scim(&self) -> Value {
        let fields = self.errors.iter().map(|error| format!("`{}` {}", error.field, error.message));
        let fields: Vec<String> = fields.collect();
        let mut error = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.scim_status().as_str(),
            "detail": if fields.is_empty() { self.detail.clone() } else { fields.join("; ") },
        });
        if let Some(scim_type) = self.scim_type {
            error["scimType"] = json!(scim_type.as_str());
        }
        error
    }

    /// The same as the body of `response`, whose other headers stay.
    pub fn write_scim_into(self, response: &mut Response) {
        *response.status_mut() = self.scim_status();
        write(response, self.scim().to_string().into(), "application/scim+json");
    }
}

fn write(response: &mut Response, body: Vec<u8>, media_type: &'static str) {
    *response.body_mut() = body.into();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Leaves status, headers and a [`Problem`] in the extensions; the outermost layer, which knows the
/// request's number, writes the body. A cause goes to the log and nowhere else.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status(), self.headers()).into_response();
        response.extensions_mut().insert(Problem::of(&self));
        if let Self::Internal(cause) | Self::Unavailable(cause) = self {
            response.extensions_mut().insert(Cause(cause.into()));
        }
        response
    }
}

/// Why a request failed, for the log.
#[derive(Clone, Debug)]
pub struct Cause(pub std::sync::Arc<dyn std::error::Error + Send + Sync>);

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Conflict(what) => Self::Exists(what),
            store::Error::Unavailable(_) | store::Error::SyncFailed(_) => Self::Unavailable(Box::new(error)),
            other => Self::internal(other),
        }
    }
}

impl From<tokenhouse_core::random::NoRandomness> for Error {
    fn from(error: tokenhouse_core::random::NoRandomness) -> Self {
        Self::internal(error)
    }
}

/// Checks of single fields, gathered so that one answer names all that are wrong.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// The value, or `None` after noting what is wrong with it.
    pub fn check<T>(&mut self, field: &str, checked: Result<T, impl ToString>) -> Option<T> {
        checked.map_err(|message| self.wrong(field, &message.to_string())).ok()
    }

    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: &str, message: &str) {
        self.0.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    }

    /// An error if any field was wrong.
    pub fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_not_part_of_the_answer() {
        let mut response = Error::internal("the password is hunter2").into_response();
        let problem = response.extensions_mut().remove::<Problem>().unwrap();
        assert!(!serde_json::to_string(&problem).unwrap().contains("hunter2"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn the_challenge_says_what_the_detail_says() {
        for reason in
            [Reason::Expired, Reason::Revoked, Reason::Deactivated, Reason::Unknown, Reason::Malformed]
        {
            assert!(challenge(Some(reason)).to_str().unwrap().contains(describe(reason)));
        }
    }
}
