//! What the log keeps of a request that a token was checked for: one row for each decision.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::MatchedPath;
use axum::http::Extensions;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::codec::SCANNER_PREFIX;
use tokenhouse_core::verdict::{Accepted, Checkpoint, Reason, Refused, Subject};
use tokenhouse_requests::{LONGEST_TEXT, Row};

use crate::app::{App, Denied};
use crate::auth::guard::{self, RequestId};

/// What came out of a check.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// When it was made.
    pub time: Timestamp,
    /// Where the token was checked.
    pub at: Checkpoint,
    /// Which token and whose, if it is one that exists.
    pub subject: Option<Subject>,
    /// Why it was refused; `None` if it was allowed.
    pub refused: Option<Reason>,
}

/// A request whose row is written when its answer is known or, without its status, when nobody waits for that
/// any more.
pub struct Pending {
    app: Arc<App>,
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
    user_agent: Option<HeaderValue>,
    ip: IpAddr,
    id: RequestId,
    decision: Mutex<Option<Decision>>,
}

impl Pending {
    /// A request, if there is a log.
    pub fn of(
        app: &Arc<App>,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
        ip: IpAddr,
        id: RequestId,
    ) -> Option<Self> {
        app.requests.as_ref()?;
        Some(Self {
            app: Arc::clone(app),
            method: method.clone(),
            uri: uri.clone(),
            route: None,
            user_agent: headers.get(header::USER_AGENT).cloned(),
            ip,
            id,
            decision: Mutex::default(),
        })
    }

    /// A request that has a number. The same one is among its extensions then, for whoever checks its token.
    pub fn within(app: &Arc<App>, parts: &mut request::Parts) -> Option<Arc<Self>> {
        let id = parts.extensions.get::<RequestId>()?.clone();
        let ip = guard::client(parts.extensions.get(), &parts.headers, app);
        let mut pending = Self::of(app, (&parts.method, &parts.uri, &parts.headers), ip, id)?;
        pending.route = parts.extensions.get().cloned();
        let pending = Arc::new(pending);
        parts.extensions.insert(Arc::clone(&pending));
        Some(pending)
    }

    /// The one among a request's extensions.
    pub fn among(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Arc<Self>>().map(|pending| &**pending)
    }

    /// A token was checked for it. Where a node couldn't tell, nothing was decided.
    pub fn checked(&self, at: Checkpoint, time: Timestamp, checked: Result<&Accepted, Denied>) {
        let (subject, refused) = match checked {
            Ok(accepted) => (Some(accepted.subject()), None),
            Err(Denied::Refused(Refused { reason, subject })) => (subject, Some(reason)),
            Err(Denied::Stale) => return,
        };
        *self.decision() = Some(Decision { time, at, subject, refused });
    }

    /// The token was good, but not for this.
    pub fn forbidden(&self) {
        if let Some(decision) = &mut *self.decision() {
            decision.refused.get_or_insert(Reason::Forbidden);
        }
    }

    /// It has been answered, or nobody knows yet with what.
    pub async fn answered(&self, status: Option<StatusCode>) {
        if let Some(log) = &self.app.requests {
            // Before the decision is taken out: whoever leaves while it waits leaves a row all the same.
            log.room().await;
            self.answered_at_once(status);
        }
    }

    /// The same, where there is room.
    pub fn answered_at_once(&self, status: Option<StatusCode>) {
        let decision = self.decision().take();
        if let Some(decision) = decision {
            self.record(decision, status);
        }
    }

    /// Another token was checked for the same request, where there is room.
    pub fn also(&self, at: Checkpoint, time: Timestamp, checked: Result<&Accepted, Denied>) {
        let own = self.decision().take();
        self.checked(at, time, checked);
        self.answered_at_once(Some(StatusCode::OK));
        *self.decision() = own;
    }

    fn record(&self, decision: Decision, status: Option<StatusCode>) {
        let asked = Asked {
            method: self.method.as_str(),
            path: &of_route(self.uri.path(), self.route.as_ref()),
            user_agent: self.user_agent.as_ref(),
            ip: self.ip,
            id: &self.id,
        };
        asked.record(&self.app, decision, status);
    }

    fn decision(&self) -> std::sync::MutexGuard<'_, Option<Decision>> {
        self.decision.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(decision) = self.decision().take() {
            self.record(decision, None);
        }
    }
}

/// What was asked for, and by whom.
pub struct Asked<'a> {
    /// Method; empty if nobody knows.
    pub method: &'a str,
    /// Path without the query string; empty if nobody knows.
    pub path: &'a str,
    /// What the client calls itself.
    pub user_agent: Option<&'a HeaderValue>,
    /// The client's address.
    pub ip: IpAddr,
    /// The number of the request.
    pub id: &'a RequestId,
}

impl Asked<'_> {
    /// Writes what was decided on it, where there is room.
    pub fn record(&self, app: &App, decision: Decision, status: Option<StatusCode>) {
        let Some(log) = &app.requests else { return };
        let Decision { time, at, subject, refused } = decision;
        log.record(&Row {
            time,
            subject,
            at,
            method: self.method,
            path: &without_tokens(self.path),
            refused,
            status: status.map(|status| status.as_u16()),
            ip: self.ip,
            user_agent: &self.user_agent.map(text).unwrap_or_default(),
            request_id: self.id.as_str(),
        });
    }
}

/// A header's text; what is no UTF-8 in it is replaced, and so are tokens.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    match String::from_utf8_lossy(value.as_bytes()) {
        Cow::Borrowed(text) => without_tokens(text),
        Cow::Owned(text) => Cow::Owned(without_tokens(&text).into_owned()),
    }
}

/// A text of a client without the tokens that somebody may have put there, who took it for a header: what is kept
/// here is read by others.
pub(crate) fn without_tokens(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
    if !text.contains(SCANNER_PREFIX) {
        return Cow::Borrowed(text);
    }
    let is_of_token = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
    let mut parts = text.split(SCANNER_PREFIX);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("(token)");
        kept.push_str(part.trim_start_matches(is_of_token));
    }
    Cow::Owned(kept)
}

/// A path of ours. What stands in the place of a number and is none may be anything, also a secret. Numbers of
/// tokens are left out: an Admin sees what a person did, and not with which of their tokens.
fn of_route<'a>(path: &'a str, route: Option<&MatchedPath>) -> Cow<'a, str> {
    if let Some(route) = route.filter(|route| route.as_str().starts_with("/api/user-tokens/{id}")) {
        return Cow::Owned(route.as_str().to_owned());
    }
    let is_kept =
        |(own, sent): (&str, &str)| !own.starts_with('{') || sent.bytes().all(|byte| byte.is_ascii_digit());
    match route {
        Some(route) if !route.as_str().split('/').zip(path.split('/')).all(is_kept) => {
            Cow::Owned(route.as_str().to_owned())
        }
        _ => Cow::Borrowed(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_taken_out_of_texts() {
        let token = format!("{SCANNER_PREFIX}MSJ9.eyJ_-1.abc-_");
        for (text, kept) in [
            ("/api/orders/7".to_owned(), "/api/orders/7"),
            (format!("/api/{token}/x"), "/api/(token)/x"),
            (format!("{token}{token}"), "(token)(token)"),
            (format!("a={token}&b={token}"), "a=(token)&b=(token)"),
        ] {
            assert_eq!(without_tokens(&text), kept);
        }
    }
}
