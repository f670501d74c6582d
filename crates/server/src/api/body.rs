//! Reads bodies, queries and path segments strictly, and says which field is wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path};
use http::request::Parts;
use http::{Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::app::App;
use crate::error::Error;
use crate::service::Change;

/// Which bodies are taken.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// The media types, the one that is recommended first.
    pub media_types: &'static [&'static str],
    /// The most bytes.
    pub limit: usize,
}

impl Accepted {
    /// Up to 1 MiB of this.
    const fn up_to_a_mebibyte(media_types: &'static [&'static str]) -> Self {
        Self { media_types, limit: 1024 * 1024 }
    }
}

/// JSON up to 1 MiB.
pub const JSON: Accepted = Accepted::up_to_a_mebibyte(&["application/json"]);
const FORM: Accepted = Accepted::up_to_a_mebibyte(&["application/x-www-form-urlencoded"]);

/// How long a body may take to arrive.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A body of JSON. Unknown fields are errors, where the type says so.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request<Body>, _: &Arc<App>) -> Result<Self, Error> {
        let bytes = read(request, JSON).await?;
        from_json(&bytes).map(Self)
    }
}

/// Where a body may be left out altogether.
impl<T: DeserializeOwned> OptionalFromRequest<Arc<App>> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request<Body>, app: &Arc<App>) -> Result<Option<Self>, Error> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<Arc<App>>>::from_request(request, app).await.map(Some)
    }
}

/// A body as HTML forms send it. What may be chosen more than once is a list.
#[derive(Debug)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Form<T> {
    type Rejection = Error;

    async fn from_request(request: Request<Body>, _: &Arc<App>) -> Result<Self, Error> {
        let bytes = form(request).await?;
        serde_html_form::from_bytes(&bytes)
            .map(Self)
            .map_err(|error| Error::BadRequest(format!("the form is wrong: {error}")))
    }
}

/// The parameters behind the question mark.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Error> {
        let parse = || form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        // No database is asked for what none may hold.
        if let Some((name, _)) = parse().find(|(_, value)| value.contains('\0')) {
            return Err(Error::field(&name, "must not contain control characters"));
        }
        let pairs = serde_urlencoded::Deserializer::new(parse());
        serde_path_to_error::deserialize(pairs).map(Self).map_err(|error| {
            let field = error.path().to_string();
            wrong_field(&field, &error.into_inner().to_string())
        })
    }
}

/// The number in the path. What isn't a number names nothing.
#[derive(Debug)]
pub struct Id(pub i64);

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Path(id) = Path::<i64>::from_request_parts(parts, app)
            .await
            .map_err(|_| Error::NotFound("ids are whole numbers".into()))?;
        Ok(Self(id))
    }
}

/// With `#[serde(default)]`: a field that may be null, which is not the same as absent.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::To)
    }
}

/// The header `Idempotency-Key`, if it was sent: names a change, so that a retry makes no second one.
#[derive(Debug)]
pub struct IdempotencyKey(pub Option<String>);

impl FromRequestParts<Arc<App>> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Error> {
        let mut sent = parts.headers.get_all("idempotency-key").iter();
        let Some(key) = sent.next() else { return Ok(Self(None)) };
        let key = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
        match (key, sent.next()) {
            (Some(key), None) => Ok(Self(Some(key.to_owned()))),
            _ => Err(Error::BadRequest(
                "Idempotency-Key must be sent once and have 1 to 255 printable characters".into(),
            )),
        }
    }
}

/// The whole body of a form, still encoded.
pub async fn form<B>(request: Request<B>) -> Result<Bytes, Error>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    read(request, FORM).await
}

/// The whole body of a request, if it is one of those that are taken.
pub async fn read<B>(request: Request<B>, accepted: Accepted) -> Result<Bytes, Error>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    let Accepted { media_types, limit } = accepted;
    let sent = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.and_then(|sent| sent.split(';').next()).unwrap_or_default().trim();
    if !media_types.iter().any(|media_type| essence.eq_ignore_ascii_case(media_type)) {
        return Err(Error::UnsupportedMediaType(media_types.first().copied().unwrap_or_default()));
    }
    let collecting = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(TIME_LIMIT, collecting).await {
        Err(_) => Err(Error::BodyTooSlow),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Error::TooLarge { limit, of: "bytes" }),
        Ok(Err(_)) => Err(Error::BadRequest("the body did not arrive whole".into())),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // serde also takes a list of the values in their order for an object.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|error| not_json(&error))?;
        return Err(Error::field("", "the body must be an object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let cause = error.into_inner();
        match cause.classify() {
            serde_json::error::Category::Data => wrong_field(&field, &without_position(&cause)),
            _ => not_json(&cause),
        }
    })?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// What is answered to a body that is not JSON.
pub fn not_json(error: &serde_json::Error) -> Error {
    Error::BadRequest(format!("the body is not JSON (line {}, column {})", error.line(), error.column()))
}

/// serde's message without the position at its end.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}

/// The field of the body that is wrong: the one that serde was in, or, for a missing, doubled or unknown one, the name
/// that serde puts between backticks.
fn wrong_field(path: &str, message: &str) -> Error {
    let named = ["missing", "duplicate", "unknown"].iter().find_map(|what| {
        let rest = message.strip_prefix(what)?.strip_prefix(" field `")?;
        rest.rsplit_once("`, expected ").map(|(name, _)| name).or(rest.strip_suffix('`'))
    });
    let field = path.split(['.', '[']).next().unwrap_or_default();
    Error::field(named.unwrap_or(field), told(message))
}

/// The message in words, without what was sent: it may be a secret in the wrong place.
fn told(message: &str) -> String {
    let repeats = message.starts_with("invalid ") || message.starts_with("unknown variant ");
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if repeats => format!("must be {}", in_words(expected)),
        _ if NOT_A_NUMBER.contains(&message) => "must be a whole number".to_owned(),
        _ if message.starts_with("provided string was not `true`") => "must be true or false".to_owned(),
        _ => message.to_owned(),
    }
}

/// What Rust says of a text that is no whole number of the right size.
const NOT_A_NUMBER: [&str; 4] = [
    "invalid digit found in string",
    "cannot parse integer from empty string",
    "number too large to fit in target type",
    "number too small to fit in target type",
];

/// What serde expects, for people who don't know Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "i64" | "u64" | "i32" | "u32" => "a whole number",
        "a string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Wanted {
        name: String,
        #[serde(default)]
        days: Option<i64>,
        #[serde(default)]
        members: Vec<i64>,
    }

    fn outcome(text: &str) -> (u16, String) {
        match from_json::<Wanted>(text.as_bytes()) {
            Ok(_) => (200, String::new()),
            Err(Error::Invalid(errors)) => (422, errors[0].field.clone()),
            Err(other) => (other.status().as_u16(), String::new()),
        }
    }

    #[test]
    fn what_is_not_json_is_400_and_what_is_wrong_is_422_with_its_field() {
        for (text, status, field) in [
            (r#"{"name":"a"}"#, 200, ""),
            (r#"{"name":"a","days":null}"#, 200, ""),
            ("", 400, ""),
            ("{", 400, ""),
            (r#"{"name":"a"} x"#, 400, ""),
            (r#"{"name":"\ud800"}"#, 400, ""),
            ("{\"name\":\"\u{1}\"}", 400, ""),
            (r#"{"days":1}"#, 422, "name"),
            (r#"{"name":1}"#, 422, "name"),
            (r#"{"name":"a","days":1.0}"#, 422, "days"),
            (r#"{"name":"a","days":"1"}"#, 422, "days"),
            (r#"{"name":"a","days":99999999999999999999}"#, 422, "days"),
            (r#"{"name":"a","members":[1,"x"]}"#, 422, "members"),
            (r#"{"name":"a","typo":1}"#, 422, "typo"),
            (r#"{"name":"a","name":"b"}"#, 422, "name"),
        ] {
            assert_eq!(outcome(text), (status, field.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_it_has_to_be_is_told_in_words() {
        let told = |text: &str| match from_json::<Wanted>(text.as_bytes()) {
            Err(Error::Invalid(errors)) => errors[0].message.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(r#"{"name":1}"#), "must be text");
        assert_eq!(told(r#"{"name":"a","days":"1"}"#), "must be a whole number");
        assert_eq!(told(r#"{"name":"a","members":1}"#), "must be a list");
        let query = |text: &str| text.parse::<i64>().map_err(|error| super::told(&error.to_string()));
        for wrong in ["", "x", "99999999999999999999", "-99999999999999999999"] {
            assert_eq!(query(wrong), Err("must be a whole number".to_owned()), "{wrong}");
        }
        let flag = "yes".parse::<bool>().unwrap_err();
        assert_eq!(super::told(&flag.to_string()), "must be true or false");
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let days = from_json::<Wanted>(br#"{"name":"a","days":"a-secret"}"#).unwrap_err();
        let role = from_json::<tokenhouse_core::people::Role>(br#""a-secret""#).unwrap_err();
        for error in [days, role] {
            assert!(!format!("{error:?}").contains("a-secret"), "{error:?}");
        }
    }
}
