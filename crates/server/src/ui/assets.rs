//! Style sheet, icons and modules: embedded in the binary, named after their content, kept for ever.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// The style sheet.
pub static STYLE: Asset = Asset::new("style", Kind::Css, include_str!("../../assets/style.css"));
/// The mark, for the tab of the browser.
pub static MARK: Asset = Asset::new("mark", Kind::Svg, include_str!("../../assets/mark.svg"));
/// Switches the colour scheme without loading the page again.
pub static THEME: Asset = Asset::new("theme", Kind::Js, include_str!("../../assets/theme.js"));
/// Tells times in the zone of whoever reads them.
pub static LOCAL_TIME: Asset = Asset::new("local-time", Kind::Js, include_str!("../../assets/local-time.js"));
/// Makes an open dialog modal: focus stays inside, Escape leads out.
pub static DIALOG: Asset = Asset::new("dialog", Kind::Js, include_str!("../../assets/dialog.js"));
/// Copies and downloads a secret, and asks before it is closed unsaved.
pub static SECRET: Asset = Asset::new("secret", Kind::Js, include_str!("../../assets/secret.js"));
/// Shows the id that will be made of a name while it is typed.
pub static PREVIEW: Asset = Asset::new("preview", Kind::Js, include_str!("../../assets/preview.js"));
/// Filters a list while typing.
pub static FILTER: Asset = Asset::new("filter", Kind::Js, include_str!("../../assets/filter.js"));

/// Groups a log by the days of whoever reads it.
pub static LOG: Asset = Asset::new("log", Kind::Js, include_str!("../../assets/log.js"));

/// Every asset there is.
pub static ALL: [&Asset; 9] = [&STYLE, &MARK, &THEME, &LOCAL_TIME, &DIALOG, &SECRET, &PREVIEW, &FILTER, &LOG];

/// A year, and no need to ask whether it has changed: another content has another name.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// An asset is shown or run by a page; opened alone it may do nothing.
const ALONE: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// A file of the web UI.
#[derive(Debug)]
pub struct Asset {
    name: &'static str,
    kind: Kind,
    text: &'static str,
    prepared: OnceLock<Prepared>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Css,
    Js,
    Svg,
}

/// What is made of the text at its first use.
#[derive(Debug)]
struct Prepared {
    path: String,
    compressed: Bytes,
}

impl Kind {
    const fn extension(self) -> &'static str {
        match self {
            Self::Css => "css",
            Self::Js => "js",
            Self::Svg => "svg",
        }
    }

    const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Css => "text/css; charset=utf-8",
            Self::Js => "text/javascript; charset=utf-8",
            Self::Svg => "image/svg+xml",
        })
    }
}

impl Asset {
    const fn new(name: &'static str, kind: Kind, text: &'static str) -> Self {
        Self { name, kind, text, prepared: OnceLock::new() }
    }

    /// Where it is served: `/assets/<name>.<hash>.<extension>`.
    pub fn path(&self) -> &str {
        &self.prepared().path
    }

    fn prepared(&self) -> &Prepared {
        self.prepared.get_or_init(|| {
            let hash = Sha256::digest(self.text);
            let hash = URL_SAFE_NO_PAD.encode(&hash[..9]);
            Prepared {
                path: format!("/assets/{}.{hash}.{}", self.name, self.kind.extension()),
                compressed: gzip(self.text.as_bytes(), Compression::best()),
            }
        })
    }
}

/// `GET /assets/{file}`
pub async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Error> {
    let wanted = |asset: &&&Asset| asset.path().strip_prefix("/assets/") == Some(&file);
    let asset = ALL.iter().find(wanted).ok_or_else(|| Error::NotFound("there is no such asset".into()))?;
    let common = [
        (header::CONTENT_TYPE, asset.kind.content_type()),
        (header::CACHE_CONTROL, FOR_EVER),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, ALONE),
    ];
    if takes_gzip(&headers) {
        let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return Ok((common, encoding, asset.prepared().compressed.clone()).into_response());
    }
    Ok((common, asset.text).into_response())
}

/// Whether the client takes an answer in gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0_f32);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// The bytes in gzip.
pub(super) fn gzip(bytes: &[u8], level: Compression) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    // Writing to memory doesn't fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_whoever_takes_it() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("gzipped", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn another_content_has_another_name() {
        let [one, other] = ["a{}", "b{}"].map(|text| Asset::new("style", Kind::Css, text));
        assert_ne!(one.path(), other.path());
        assert!(one.path().starts_with("/assets/style."));
    }
}
