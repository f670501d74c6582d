//! What surrounds the answer to every request.
//!
//! A service of its own: with `middleware::from_fn` and a layer that catches panics each request would
//! clone its route, and box its handler and its body once more.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tower::Service;

use crate::app::App;
use crate::auth::guard::RequestId;
use crate::error::{Cause, Error, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Numbers the request, catches panics, writes problem documents, counts and logs the answer.
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
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let started = Instant::now();
        let Ok(number) = self.app.request_ids.text::<12>() else {
            return Box::pin(ready(Ok(StatusCode::SERVICE_UNAVAILABLE.into_response())));
        };
        let seen = Seen {
            started,
            id: RequestId(number.into()),
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
        };
        request.extensions_mut().insert(seen.id.clone());
        // Handlers are futures: what panics, panics when they are polled.
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let app = Arc::clone(&self.app);
        Box::pin(async move {
            let answer = answer.await;
            let Ok(response) =
                answer.unwrap_or_else(|_| Ok(Error::internal("a handler panicked").into_response()));
            Ok(seen.finish(&app, response))
        })
    }
}

/// A request that is being answered.
struct Seen {
    started: Instant,
    id: RequestId,
    method: Method,
    route: Option<MatchedPath>,
}

impl Seen {
    /// The log has the route, never the path: whatever somebody puts into a path may be a secret.
    fn finish(self, app: &App, mut response: Response) -> Response {
        let Self { started, id: RequestId(id), method, route } = self;
        if let Ok(value) = HeaderValue::try_from(&*id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let status = response.status();
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            problem.with_request_id(&id).write_into(&mut response);
        }
        // Ours, and not an upstream's: nobody on the way may keep it.
        if route.is_some() {
            let headers = response.headers_mut();
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        app.metrics.answer(status.as_u16());
        let route = route.as_ref().map_or("gateway", MatchedPath::as_str);
        if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
            tracing::error!(request_id = &*id, %method, route, status = status.as_u16(), cause = chain(&*cause), "failed");
        } else if tracing::enabled!(tracing::Level::DEBUG) {
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::debug!(request_id = &*id, %method, route, status = status.as_u16(), micros, "answered");
        }
        response
    }
}

/// An error with all its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
