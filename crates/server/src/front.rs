//! The front door: which of two ways a request takes.
//!
//! Checks are answered here, past the routes: what a proxy asks before each request of its own at once,
//! introspection when its body is there, the gateway by its handler. All else is management. It runs on a runtime of its
//! own, whose threads may have a lower priority, and only so much of it at a time: however much is asked
//! of it, checks don't wait behind it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::handler::Handler;
use axum::response::{IntoResponse as _, Response};
use axum::{BoxError, Router};
use futures_util::future::{Either, Ready, ready};
use http::{Method, Request};
use tokenhouse_requests::Log;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tower::Service as _;

use crate::api::status;
use crate::app::App;
use crate::auth::guard;
use crate::error::Error;
use crate::listener::{self, Connection};
use crate::observe::{self, Answering, Route};
use crate::places::Places;
use crate::router;
use crate::verify::{forward_auth, gateway, oauth};

type Now = Ready<Result<Response, Infallible>>;

/// Answers every request; what is not a check, on the runtime `management`.
pub fn answer<B>(
    app: Arc<App>,
    management: Handle,
) -> impl Fn(Request<B>, Connection) -> Either<Now, Answering> + Clone + Send + Sync + 'static
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let router = router::router(Arc::clone(&app));
    let places = Places::default();
    move |request, connection| {
        let is_forward_auth = request.uri().path() == forward_auth::PATH;
        if is_forward_auth && app.requests.as_ref().is_none_or(Log::has_room) {
            return Either::Left(ready(Ok(forward_auth::forward_auth(&app, request, connection))));
        }
        let app = Arc::clone(&app);
        if is_forward_auth {
            return Either::Right(Box::pin(async move {
                if let Some(log) = &app.requests {
                    log.room().await;
                }
                Ok(forward_auth::forward_auth(&app, request, connection))
            }));
        }
        if request.uri().path() == oauth::INTROSPECT {
            return Either::Right(oauth::introspect(app, request, connection));
        }
        let request = listener::with_connection(request.map(Body::new), connection);
        Either::Right(match (request.method(), request.uri().path()) {
            // Without it upstreams trust no request that is forwarded.
            (&Method::GET, oauth::KEY_SET) => {
                check(app, Route::Known(oauth::KEY_SET), request, oauth::key_set)
            }
            // Whoever asks these two ends a server that doesn't answer in time.
            (&Method::GET, status::LIVES) => {
                check(app, Route::Known(status::LIVES), request, status::healthz)
            }
            (&Method::GET, status::READY) => check(app, Route::Known(status::READY), request, status::readyz),
            (_, path) if app.proxy.is_some() && gateway::is_for_upstream(path) => {
                check(app, Route::Gateway, request, gateway::gateway)
            }
            _ => manage(app, &router, &places, &management, request),
        })
    }
}

/// Lets the routes answer, if there is a place.
fn manage(
    app: Arc<App>,
    router: &Router,
    places: &Places,
    management: &Handle,
    request: Request<Body>,
) -> Answering {
    let client = guard::client(request.extensions().get(), request.headers(), &app);
    let Some(place) = places.take(client) else {
        return observe::around(app, Route::Unknown, request, |_| async {
            Error::Overloaded.into_response()
        });
    };
    let managed = router.clone().call(request);
    // Ends when nobody waits for it any more.
    let managed = AbortOnDropHandle::new(management.spawn(managed));
    Box::pin(async move {
        let answer = managed.await;
        drop(place);
        answer.unwrap_or_else(|_| Ok(observe::panicked()))
    })
}

/// Lets a handler answer without a route.
fn check<T>(
    app: Arc<App>,
    route: Route,
    request: Request<Body>,
    handler: impl Handler<T, Arc<App>>,
) -> Answering {
    observe::around(Arc::clone(&app), route, request, |request| handler.call(request, app))
}
