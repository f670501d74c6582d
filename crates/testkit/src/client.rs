//! A thin HTTP client whose failures show the request and the answer, and never a token.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;

use crate::server::Bearer;

/// How every token starts.
const TOKEN_START: &str = "eyJ";

/// How links with a one-time code go on after their start.
const CODES: [&str; 2] = ["/invite/", "/setup/"];

/// By which browsers say whose page a request comes from.
const SITE: &str = "sec-fetch-site";

/// Talks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    headers: HeaderMap,
}

impl Client {
    /// A client without a token.
    ///
    /// # Panics
    /// If there can't be one.
    pub fn new(address: SocketAddr) -> Self {
        // Refuses where another test has done it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self {
            http: http.build().expect("an HTTP client"),
            base: format!("http://{address}"),
            headers: HeaderMap::new(),
        }
    }

    /// The same with this token instead of any other.
    #[must_use]
    pub fn as_(&self, token: &Bearer) -> Self {
        let mut client = self.clone();
        client.headers.remove(header::AUTHORIZATION);
        client.with(header::AUTHORIZATION.as_str(), &format!("Bearer {}", token.expose()))
    }

    /// The same with one more header line on every request.
    ///
    /// # Panics
    /// If it can't be a header.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        let mut value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        value.set_sensitive(name == header::AUTHORIZATION || name == header::COOKIE);
        let mut changed = self.clone();
        changed.headers.append(name, value);
        changed
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, "").await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::PUT, path, body).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, "").await
    }

    /// POST of a form with these fields.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let encoded = reqwest::Url::parse_with_params("http://form/", fields).expect("a form");
        let body = encoded.query().unwrap_or_default().to_owned();
        self.send(Method::POST, path, Some("application/x-www-form-urlencoded"), body).await
    }

    /// The same as the browser in which somebody has just signed in, on a page of the server.
    ///
    /// # Panics
    /// If the answer sets no cookie.
    #[must_use]
    pub fn in_session(&self, signed_in: &Answer) -> Self {
        let cookie = signed_in.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        let mut client = self.clone();
        client.headers.remove(header::COOKIE);
        client.headers.remove(SITE);
        client
            .with(SITE, "same-origin")
            .with(header::COOKIE.as_str(), cookie.unwrap_or_else(|| panic!("no cookie: {signed_in}")))
    }

    /// The same as a browser on a page of the server.
    #[must_use]
    pub fn on_our_page(&self) -> Self {
        self.with(SITE, "same-origin")
    }

    /// Any method with JSON.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send(method, path, Some("application/json"), body.to_string()).await
    }

    /// Any method with any body.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method.clone(), url).headers(self.headers.clone()).body(body);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let asked = format!("{method} {path}");
        let response = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap_or_else(|error| panic!("{asked}: {error}"));
        Answer { asked, status, headers, body: Arc::from(&*body) }
    }
}

/// What came back.
#[derive(Clone)]
pub struct Answer {
    asked: String,
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Arc<[u8]>,
}

/// Request line, status and body, without any token.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered {}: {}",
            without_tokens(&self.asked),
            self.status,
            without_tokens(&self.text())
        )
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header field as text, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Itself, if it has this status.
    ///
    /// # Panics
    /// If it has another.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// The problem document of an error with this status, checked to be a correct one.
    ///
    /// # Panics
    /// If it has another status or isn't one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{self}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{self}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self}");
        assert_eq!(status == 422, problem.get("errors").is_some(), "{self}");
        problem
    }

    /// The names of the wrong fields of a 422, each of which says what it has to be.
    ///
    /// # Panics
    /// If it isn't one.
    #[track_caller]
    pub fn wrong_fields(&self) -> Vec<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{self}"));
        let field = |error: &Value| {
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{self}");
            error["field"].as_str().unwrap_or_else(|| panic!("{self}")).to_owned()
        };
        errors.iter().map(field).collect()
    }

    /// The names of the controls of a page that it says are wrong, in their order.
    pub fn wrong_controls(&self) -> Vec<String> {
        let text = self.text();
        let tags = text.split('<').filter_map(|tag| tag.split_once('>').map(|(tag, _)| tag));
        let wrong = tags.filter(|tag| tag.contains("aria-invalid=\"true\""));
        wrong.filter_map(|tag| Some(tag.split_once("name=\"")?.1.split_once('"')?.0.to_owned())).collect()
    }

    /// The secret that an answer to a creation shows.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn bearer(&self) -> Bearer {
        Bearer::new(self.json()["bearer_token"].as_str().unwrap_or_else(|| panic!("no secret: {self}")))
    }

    /// The number of what the answer shows.
    ///
    /// # Panics
    /// If it has none.
    #[track_caller]
    pub fn id(&self) -> i64 {
        self.json()["id"].as_i64().unwrap_or_else(|| panic!("no id: {self}"))
    }
}

fn without_tokens(text: &str) -> String {
    let codes = CODES.iter().fold(text.to_owned(), |text, start| {
        without(&text, |rest| rest.find(start).map(|at| at + start.len()), "<code>")
    });
    without(&codes, |rest| rest.find(TOKEN_START), "<token>")
}

/// The text without the secrets, each of which begins where `find` finds it.
fn without(text: &str, find: impl Fn(&str) -> Option<usize>, instead: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = find(rest) {
        shown.push_str(&rest[..start]);
        shown.push_str(instead);
        let after = &rest[start..];
        let in_secret = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        rest = after.find(|c| !in_secret(c)).map_or("", |end| &after[end..]);
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_no_token() {
        let answer = Answer {
            asked: "POST /oauth/revoke?token=eyJa.b-c_d.e".into(),
            status: 200,
            headers: HeaderMap::new(),
            body: Arc::from(&br#"{"bearer_token":"eyJa.b-c_d.e","id":1}"#[..]),
        };
        assert_eq!(
            format!("{answer:?}"),
            r#"POST /oauth/revoke?token=<token> answered 200: {"bearer_token":"<token>","id":1}"#
        );
        let asked = "POST /invite/a-b_c".into();
        let answer = Answer { asked, body: Arc::from(&br#""http://x/setup/abc""#[..]), ..answer };
        assert_eq!(format!("{answer:?}"), r#"POST /invite/<code> answered 200: "http://x/setup/<code>""#);
    }
}
