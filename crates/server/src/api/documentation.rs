//! What the description of the API says besides the routes.

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

/// Title, licence and the bearer scheme.
#[derive(OpenApi, Debug)]
#[openapi(
    info(
        title = "Tokenhouse",
        description = "Authority for personal access tokens and service tokens. \
            Errors are problem documents (RFC 9457); unknown fields in a body are errors (422); times are RFC 3339 in UTC.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    modifiers(&Bearer)
)]
pub struct Documentation;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}
