//! Posting to webhooks: signed as Standard Webhooks wants it, and in the form that Slack takes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use sha2::Sha256;
use tokenhouse_core::clock::Timestamp;

use super::channel::{Failure, Message};
use crate::outbound::TIMEOUT;

/// The longest error that is kept.
const LONGEST_ERROR: usize = 300;

/// The headers of a signed message.
pub fn signed(key: &[u8], id: &str, at: Timestamp, body: &str) -> Result<HeaderMap, InvalidHeaderValue> {
    let timestamp = at.seconds().to_string();
    // A key no longer than a block, as those of the configuration are, is filled with zeros.
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new((&block).into());
    for part in [id, ".", &timestamp, ".", body] {
        mac.update(part.as_bytes());
    }
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_str(id)?);
    headers.insert("webhook-timestamp", HeaderValue::from_str(&timestamp)?);
    headers.insert("webhook-signature", HeaderValue::from_str(&signature)?);
    Ok(headers)
}

/// What a webhook is told.
pub(super) fn body(message: &Message) -> Value {
    let Message { kind, at, title, text, url, token, user, .. } = message;
    json!({
        "type": kind,
        "timestamp": at,
        "data": { "title": title, "text": text, "url": url, "token_id": token, "user_id": user },
    })
}

/// What Slack is told. It reads `&`, `<` and `>` as its own.
pub(super) fn slack_body(message: &Message) -> Value {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let Message { title, text, url, .. } = message;
    json!({ "text": format!("*{}*\n{}\n{url}", escaped(title), escaped(text)) })
}

/// Posts JSON. Of the answer only the status is read.
pub async fn post(client: &Client, url: &Url, headers: HeaderMap, body: String) -> Result<(), Failure> {
    let request = client.post(url.clone()).headers(headers).header(CONTENT_TYPE, "application/json");
    let answer = request.body(body).send().await.map_err(|error| Failure::for_now(told(error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = format!("the receiver answered {}", status.as_u16());
    if status == http::StatusCode::GONE { Err(Failure::for_good(text)) } else { Err(Failure::for_now(text)) }
}

/// An error with its causes, and without the URL, which may hold a secret.
fn told(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let error = error.without_url();
    let first: &dyn std::error::Error = &error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    let mut text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.truncate(text.floor_char_boundary(LONGEST_ERROR));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers = signed(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp::from_seconds(1_614_265_330),
            r#"{"test": 2432232314}"#,
        )
        .unwrap();
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }
}
