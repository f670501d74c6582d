//! The session of a browser: its cookie, and who is signed in. A cookie opens pages only, never the API.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use cookie::{Cookie, SameSite, time};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use tokenhouse_core::policy::Permission;
use tokenhouse_core::session::{MOST_DAYS, SessionSecret};

use super::guard::{self, Call, Credential, Origin, guard};
use crate::app::App;
use crate::config::Config;
use crate::error::Error;
use crate::service::sessions;
use crate::ui::page::Visit;

/// The most characters that are kept of what a browser calls itself.
const USER_AGENT_LIMIT: usize = 255;

/// The names of the cookie. Browsers take one of the first name only over TLS and only from this very
/// host; the second is for plain HTTP.
pub const NAMES: [&str; 2] = ["__Host-tokenhouse", "tokenhouse"];

fn cookie_name(config: &Config) -> &'static str {
    let [secure, plain] = NAMES;
    if is_secure(config) { secure } else { plain }
}

fn is_secure(config: &Config) -> bool {
    config.server.public_url.starts_with("https:")
}

/// `Set-Cookie` for a session that has just begun.
pub fn cookie(config: &Config, secret: &SessionSecret) -> Result<HeaderValue, Error> {
    set_cookie(config, secret.expose(), time::Duration::days(MOST_DAYS))
}

/// `Set-Cookie` that makes the browser forget its session.
pub fn no_cookie(config: &Config) -> Result<HeaderValue, Error> {
    set_cookie(config, "", time::Duration::ZERO)
}

fn set_cookie(config: &Config, value: &str, lifetime: time::Duration) -> Result<HeaderValue, Error> {
    let cookie = Cookie::build((cookie_name(config), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure(config))
        .max_age(lifetime);
    let mut value = HeaderValue::try_from(cookie.to_string()).map_err(Error::internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The secret in the cookie. Two cookies of the name are none: one of them is not from us.
fn presented(headers: &HeaderMap, config: &Config) -> Option<SessionSecret> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(Cookie::split_parse).filter_map(Result::ok);
    let mut ours = cookies.filter(|cookie| cookie.name() == cookie_name(config));
    let secret = ours.next().map(|cookie| SessionSecret::presented(cookie.value()))?;
    ours.next().is_none().then_some(secret)
}

/// A browser, whoever sits in front of it.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Where the request came from.
    pub origin: Origin,
    /// What it calls itself.
    pub user_agent: Option<String>,
    /// The secret of the session it is in, or says it is in.
    pub session: Option<Arc<SessionSecret>>,
}

impl FromRequestParts<Arc<App>> for Browser {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let named = parts.headers.get(header::USER_AGENT);
        let user_agent = named.map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.chars().take(USER_AGENT_LIMIT).collect()
        });
        let session = presented(&parts.headers, &app.config).map(Arc::new);
        Ok(Self { origin: guard::origin(parts, app), user_agent, session })
    }
}

/// Whoever is signed in.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Call);

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let secret = presented(&parts.headers, &app.config).ok_or(Error::SignedOut)?;
        let (session, account) = sessions::find(app, &secret).await?;
        if let Some(visit) = parts.extensions.get::<Visit>() {
            visit.seen_by((&account).into());
        }
        let origin = guard::origin(parts, app);
        Ok(Self(Call::of(Arc::new(account.into()), Credential::Session(session.id), origin)))
    }
}

guard!(
    SignedIn,
    /// Whoever is signed in and may see users and teams.
    SeesPeople,
    SeePeople
);
guard!(
    SignedIn,
    /// Whoever is signed in and may change users and teams.
    ManagesPeople,
    ManagePeople
);
guard!(
    SignedIn,
    /// Whoever is signed in and may see and manage service tokens.
    ManagesServiceTokens,
    ManageServiceTokens
);
guard!(
    SignedIn,
    /// Whoever is signed in and may read the audit trail.
    Audits,
    Audit
);

#[cfg(test)]
mod tests {
    use super::*;

    fn config(public_url: &str) -> Config {
        let mut config = Config::default();
        config.server.public_url = public_url.into();
        config
    }

    #[test]
    fn a_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        let secret = SessionSecret::presented("abc");
        let set = |url| cookie(&config(url), &secret).unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            set("https://tokens.example.com"),
            "__Host-tokenhouse=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=2592000"
        );
        assert_eq!(
            set("http://127.0.0.1:8080"),
            "tokenhouse=abc; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000"
        );
        let gone = no_cookie(&config("http://127.0.0.1:8080")).unwrap();
        assert_eq!(gone.to_str().unwrap(), "tokenhouse=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
        assert!(!format!("{:?}", cookie(&config("http://x"), &secret)).contains("abc"));
    }

    #[test]
    fn exactly_one_cookie_is_taken() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            presented(&headers, &config("https://x")).map(|secret| secret.expose().to_owned())
        };
        assert_eq!(read(&["a=b; __Host-tokenhouse=abc; c=d"]), Some("abc".into()));
        assert_eq!(read(&["a=b", "__Host-tokenhouse=abc"]), Some("abc".into()));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["tokenhouse=abc"]), None);
        assert_eq!(read(&["__Host-tokenhouse=abc; __Host-tokenhouse=abd"]), None);
        assert_eq!(read(&["__Host-tokenhouse=abc", "__Host-tokenhouse=abd"]), None);
    }
}
