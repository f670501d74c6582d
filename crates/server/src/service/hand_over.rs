//! Handing a token to a command line that asks for one by way of the browser.

use http::Uri;
use tokenhouse_core::people::{Name, is_invisible};
use tokenhouse_store::Connection;
use tokenhouse_store::tokens::name_taken;

use super::tokens::forms::{self, Begun, Sent};
use super::tokens::{self, Generated, Wanted};
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::Error;

/// The only hosts a token is sent to, spelled exactly so: other spellings of the same address may lead
/// elsewhere in another program.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// The most bytes of the address a token is sent to.
const ADDRESS_LIMIT: usize = 2_000;

/// The most bytes of what a client wants to be told again.
const STATE_LIMIT: usize = 1_000;

/// The most characters of a host's name.
const HOST_LIMIT: usize = 253;

/// Where a command line listens for its token: an address on the person's own machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Callback(Uri);

impl Callback {
    /// Checks the address as a URL, part by part.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused = |why: &str| Err(Error::BadRequest(format!("redirect_uri {why}")));
        if text.len() > ADDRESS_LIMIT {
            return refused("is too long");
        }
        // A parser drops what is behind it, and browsers take a backslash for a slash.
        if text.contains(['#', '\\']) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refused("must be a plain address without fragment, space or backslash");
        }
        let Ok(uri) = text.parse::<Uri>() else { return refused("is no address") };
        if !text.starts_with("http://") || uri.scheme_str() != Some("http") {
            return refused("must begin with http://");
        }
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return refused("needs a host");
        };
        let Some(port) = uri.port_u16().filter(|port| *port > 0) else {
            return refused("needs a port");
        };
        let exact = LOOPBACK.iter().any(|own| host == *own && authority.as_str() == format!("{own}:{port}"));
        if !exact {
            return refused("must lead to 127.0.0.1, [::1] or localhost, and nowhere else");
        }
        Ok(Self(uri))
    }

    /// The address.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }

    /// The address with more parameters behind those it has.
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let added = parameters.iter().fold(
            form_urlencoded::Serializer::new(String::new()),
            |mut added, (name, value)| {
                added.append_pair(name, value);
                added
            },
        );
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        let kept = match self.0.query() {
            Some(query) if !query.is_empty() => format!("{query}&"),
            _ => String::new(),
        };
        let (path, mut added) = (self.0.path(), added);
        format!("http://{authority}{path}?{kept}{}", added.finish())
    }
}

/// What a command line asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the answer goes.
    pub callback: Callback,
    /// What is told to the client again, so that it knows its own request.
    pub state: Option<String>,
    /// The computer, as the program calls it. Nobody has checked that.
    pub host: Name,
}

impl Request {
    /// Checks what was sent.
    ///
    /// # Errors
    /// [`Error::BadRequest`], which must be shown and never redirected.
    pub fn parse(callback: &str, state: Option<String>, host: &str) -> Result<Self, Error> {
        let callback = Callback::parse(callback)?;
        if state.as_ref().is_some_and(|state| state.len() > STATE_LIMIT) {
            return Err(Error::BadRequest(format!("state must have at most {STATE_LIMIT} bytes")));
        }
        let refused = |why: &str| Error::BadRequest(format!("hostname {why}"));
        let host = Name::parse(host).map_err(|invalid| refused(&invalid.to_string()))?;
        if host.as_str().chars().count() > HOST_LIMIT {
            return Err(refused(&format!("must have at most {HOST_LIMIT} characters")));
        }
        if host.as_str().chars().any(is_invisible) {
            return Err(refused("must not contain characters that are invisible or turn the text around"));
        }
        Ok(Self { callback, state, host })
    }

    /// The address for the answer with the token, or with why there is none.
    fn told(&self, name: &str, value: &str) -> String {
        let mut parameters = vec![(name, value)];
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        self.callback.with(&parameters)
    }

    /// Where the browser goes with the token.
    pub fn allowed(&self, generated: &Generated) -> String {
        self.told("token", generated.bearer_token.expose())
    }

    /// Where the browser goes without a token.
    pub fn denied(&self) -> String {
        self.told("error", "access_denied")
    }
}

/// A number for the form that asks: it is good for this request, in this session, and for one token.
pub fn number(app: &App, call: &Call, asked: &str) -> Result<String, Error> {
    let session = call.session().ok_or(Error::SignedOut)?;
    Ok(app.master.question(&app.random, session, asked)?)
}

/// Whether a form of this number asked for this, in this session.
pub fn was_asked(app: &App, call: &Call, asked: &str, form: &str) -> bool {
    call.session().is_some_and(|session| app.master.is_question(form, session, asked))
}

/// The name that the token for this computer gets, unless another token takes it meanwhile.
pub async fn token_name(app: &App, call: &Call, host: &Name) -> Result<Name, Error> {
    free_name(&mut *app.store.read().await?, call, host).await
}

async fn free_name(connection: &mut Connection, call: &Call, host: &Name) -> Result<Name, Error> {
    let (mut name, mut number) = (host.clone(), 2);
    while name_taken(connection, call.caller.id, &name).await? {
        name = host.with_suffix(&format!(" ({number})"));
        number += 1;
    }
    Ok(name)
}

/// Makes the token that was asked for by a form of this number.
pub async fn allow(
    app: &App,
    call: &Call,
    host: &Name,
    expires_in_days: Option<i64>,
    form: &str,
) -> Result<Sent, Error> {
    let mut writer = match forms::begin(app, call, form).await? {
        Begun::Now(writer) => writer,
        Begun::Before(token) => return Ok(Sent::Before(token)),
    };
    let name = free_name(&mut writer, call, host).await?;
    let wanted = Wanted { name: name.as_str(), expires_in_days, scim_endpoints_only: false, user_id: None };
    tokens::may_generate(call, &wanted)?;
    tokens::generate_in(app, call, writer, wanted, Some(form)).await.map(Sent::Made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_machine_is_led_to() {
        for good in [
            "http://127.0.0.1:53682/callback",
            "http://127.0.0.1:1",
            "http://localhost:65535/",
            "http://[::1]:53682/callback?session=7&x=%2F",
        ] {
            assert!(Callback::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/callback",
            "127.0.0.1:1",
            "//127.0.0.1:1/",
            "http://127.0.0.1/",
            "http://127.0.0.1:/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:080/",
            "http://127.0.0.1:+80/",
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:99999999999999999999/",
            "https://127.0.0.1:1/",
            "HTTP://127.0.0.1:1/",
            "ftp://127.0.0.1:1/",
            "javascript://127.0.0.1:1/%0aalert(1)",
            "http:127.0.0.1:1/",
            "http:/127.0.0.1:1/",
            "http:///127.0.0.1:1/",
            "http://127.1:1/",
            "http://127.0.0.2:1/",
            "http://2130706433:1/",
            "http://0x7f.0.0.1:1/",
            "http://127.0.0.01:1/",
            "http://127.0.0.1.:1/",
            "http://127.0.0.1.evil.example:1/",
            "http://localhost.:1/",
            "http://LOCALHOST:1/",
            "http://localhost.evil.example:1/",
            "http://evil.example:1/",
            "http://evil.example/http://127.0.0.1:1/",
            "http://[::]:1/",
            "http://[0:0:0:0:0:0:0:1]:1/",
            "http://[::ffff:127.0.0.1]:1/",
            "http://[::1%25eth0]:1/",
            "http://::1:1/",
            "http://0.0.0.0:1/",
            "http://user@127.0.0.1:1/",
            "http://user:pass@127.0.0.1:1/",
            "http://@127.0.0.1:1/",
            "http://127.0.0.1:1@evil.example:1/",
            "http://127.0.0.1:1#@evil.example/",
            "http://127.0.0.1:1/#fragment",
            "http://127.0.0.1:1\\@evil.example/",
            "http://evil.example\\@127.0.0.1:1/",
            "http://127.0.0.1:1/a b",
            " http://127.0.0.1:1/",
            "http://127.0.0.1:1/\r\nx: y",
            "http://127.0.0.1:1/\t",
            "http://%31%32%37.0.0.1:1/",
            "http://①27.0.0.1:1/",
        ] {
            assert!(Callback::parse(bad).is_err(), "{bad}");
        }
        assert!(Callback::parse(&format!("http://localhost:1/{}", "a".repeat(2_000))).is_err());
    }

    #[test]
    fn what_the_address_has_already_is_kept() {
        for (address, answered) in [
            ("http://127.0.0.1:1", "http://127.0.0.1:1/?error=access_denied&state=a%26b+c"),
            ("http://localhost:1/x?", "http://localhost:1/x?error=access_denied&state=a%26b+c"),
            ("http://[::1]:1/x?y=%2F&z", "http://[::1]:1/x?y=%2F&z&error=access_denied&state=a%26b+c"),
        ] {
            let request = Request::parse(address, Some("a&b c".into()), "host").unwrap();
            assert_eq!(request.denied(), answered);
        }
        let stateless = Request::parse("http://localhost:1/", None, "host").unwrap();
        assert_eq!(stateless.denied(), "http://localhost:1/?error=access_denied");
    }

    #[test]
    fn a_computer_has_a_name_that_can_be_read() {
        let parse = |host: &str| Request::parse("http://localhost:1/", None, host);
        for good in ["mara-thinkpad-x1.fritz.box", "Mara’s MacBook Pro", "حاسوب", &"a".repeat(253)] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a\nb", "a\u{7f}", "gpj\u{202e}exe", "a\u{200b}b", "\u{2066}x", &"a".repeat(254)]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let state = Some("x".repeat(1_001));
        assert!(Request::parse("http://localhost:1/", state, "host").is_err());
    }
}
