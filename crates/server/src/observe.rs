//! What surrounds the answer to every request.
//!
//! A service of its own: with `middleware::from_fn` and a layer that catches panics each request would
//! clone its route, and box its handler and its body once more.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tower::Service;

use crate::app::App;
use crate::auth::guard::RequestId;
use crate::error::{Cause, Error, Problem};
use crate::request_log::Pending;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers the request, catches panics, holds the answer back until whatever it may have seen is on disk,
/// writes problem documents, counts and logs the answer.
#[derive(Clone)]
pub struct Observed<S> {
    inner: S,
    app: Arc<App>,
}

impl<S> Observed<S> {
    /// Surrounds a service.
    pub const fn new(inner: S, app: Arc<App>) -> Self {
        Self { inner, app }
    }
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let route = request.extensions().get().cloned().map_or(Route::Unknown, Route::Matched);
        let (inner, app) = (&mut self.inner, Arc::clone(&self.app));
        let may_change = !request.method().is_safe();
        around(Arc::clone(&self.app), route, request, |request| {
            let (mut parts, body) = request.into_parts();
            let pending = Pending::within(&app, &mut parts);
            let answer = inner.call(Request::from_parts(parts, body));
            async move {
                let Ok(response) = answer.await;
                let settled = app.settle(may_change).await;
                let response = settled.map_or_else(IntoResponse::into_response, |()| response);
                if let Some(pending) = pending {
                    if response.status() == StatusCode::FORBIDDEN {
                        pending.forbidden();
                    }
                    pending.answered(Some(response.status())).await;
                }
                response
            }
        })
    }
}

/// What becomes an answer.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// The same around an answer that needs no service.
pub fn around<F: Future<Output = Response> + Send + 'static>(
    app: Arc<App>,
    route: Route,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Answering {
    let seen = Seen::begin(&app, request.method().clone(), route);
    // Handlers are futures: what panics, panics when they are polled.
    let answer = seen.as_ref().map(|seen| {
        request.extensions_mut().insert(seen.id.clone());
        AssertUnwindSafe(answer(request)).catch_unwind()
    });
    Box::pin(async move {
        let Some((seen, answer)) = seen.zip(answer) else { return Ok(unnumbered()) };
        Ok(seen.finish(&app, answer.await.unwrap_or_else(|_| panicked())))
    })
}

/// The same around an answer of ours that has to wait.
pub fn known<F: Future<Output = Response> + Send + 'static>(
    app: Arc<App>,
    method: Method,
    route: &'static str,
    answer: impl FnOnce(Arc<App>, RequestId) -> F,
) -> Answering {
    let seen = Seen::begin(&app, method, Route::Known(route));
    let answer =
        seen.as_ref().map(|seen| AssertUnwindSafe(answer(Arc::clone(&app), seen.id.clone())).catch_unwind());
    Box::pin(async move {
        let Some((seen, answer)) = seen.zip(answer) else { return Ok(unnumbered()) };
        Ok(seen.finish(&app, answer.await.unwrap_or_else(|_| panicked())))
    })
}

/// The same around an answer that needs no waiting.
pub fn at_once(
    app: &App,
    method: Method,
    route: &'static str,
    answer: impl FnOnce(&RequestId) -> Response,
) -> Response {
    let Some(seen) = Seen::begin(app, method, Route::Known(route)) else { return unnumbered() };
    let response = catch_unwind(AssertUnwindSafe(|| answer(&seen.id)));
    seen.finish(app, response.unwrap_or_else(|_| panicked()))
}

fn unnumbered() -> Response {
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

/// What is answered instead of what a handler that panicked would have said.
pub fn panicked() -> Response {
    Error::internal("a handler panicked").into_response()
}

/// Who answers.
pub enum Route {
    /// One of the routes.
    Matched(MatchedPath),
    /// One that is answered without them.
    Known(&'static str),
    /// None of ours, so it may go upstream.
    Gateway,
    /// None at all.
    Unknown,
}

impl Route {
    fn as_str(&self) -> &str {
        match self {
            Self::Matched(path) => path.as_str(),
            Self::Known(path) => path,
            Self::Gateway => "gateway",
            Self::Unknown => "unknown",
        }
    }
}

/// A request that is being answered.
struct Seen {
    /// Only where somebody wants to know how long it took.
    started: Option<Instant>,
    id: RequestId,
    method: Method,
    route: Route,
}

impl Seen {
    /// Numbers the request; `None` if there are no more numbers.
    fn begin(app: &App, method: Method, route: Route) -> Option<Self> {
        let started = tracing::enabled!(tracing::Level::DEBUG).then(Instant::now);
        let id = app.request_numbers.next()?;
        Some(Self { started, id, method, route })
    }

    /// The log has the route, never the path: whatever somebody puts into a path may be a secret.
    fn finish(self, app: &App, mut response: Response) -> Response {
        let Self { started, id, method, route } = self;
        response.headers_mut().insert(REQUEST_ID, id.header());
        let status = response.status();
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            problem.with_request_id(id.as_str()).write_into(&mut response);
        }
        // Ours, and not an upstream's: nobody on the way may keep it.
        if !matches!(route, Route::Gateway) {
            let is_empty = response.body().is_end_stream();
            let headers = response.headers_mut();
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            if !is_empty {
                headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            }
        }
        app.metrics.answer(status.as_u16());
        let (id, route) = (id.as_str(), route.as_str());
        if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
            tracing::error!(request_id = id, %method, route, status = status.as_u16(), cause = chain(&*cause), "failed");
        } else if let Some(started) = started {
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(request_id = id, %method, route, status = status.as_u16(), micros, "answered");
        }
        response
    }
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
