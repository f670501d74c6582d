//! The dialog that shows a new token, once: `token_success.html` inside a page.

use std::fmt;

use tokenhouse_core::people::{UserType, is_invisible};
use tokenhouse_core::token::Plaintext;

use super::moment::Moment;
use super::page::Page;
use crate::app::App;
use crate::service::tokens::Generated;

/// The most bytes of a token's name in the name of a file, so that the whole fits every file system.
const FILE_LIMIT: usize = 200;

/// A new token and its secret. A page has it in a field `shown` while it includes the template. It must be
/// the direct answer to the form that made the token, so that nothing keeps it.
pub struct TokenShown {
    /// Its name.
    pub name: String,
    /// The service user it belongs to, if to one: name and `user_id`.
    pub service_user: Option<(String, String)>,
    /// When it expires, if ever.
    pub expires: Option<Moment>,
    /// The name it is downloaded under.
    pub file: String,
    /// Name of the token that it succeeds and that goes on working.
    pub succeeds: Option<String>,
    /// Where closing leads.
    pub close: String,
    /// An address that answers to it.
    pub example: String,
    secret: Plaintext,
}

impl TokenShown {
    /// What has just been generated, on this page; closing leads to the path `close`.
    pub fn new(app: &App, page: &Page, generated: Generated, close: impl Into<String>) -> Self {
        let Generated { token, bearer_token } = generated;
        let is_service = token.owner.user_type == UserType::Service;
        let endpoint = if token.scim_only { "/scim/v2/Users" } else { "/api/user-tokens/current" };
        Self {
            file: file_name(&token.name),
            name: token.name,
            service_user: is_service.then_some((token.owner.name, token.owner.user_id)),
            expires: token.expires_at.map(|at| page.moment(at)),
            succeeds: None,
            close: close.into(),
            example: format!("{}{endpoint}", app.config.server.public_url),
            secret: bearer_token,
        }
    }

    /// The secret.
    pub fn secret(&self) -> &str {
        self.secret.expose()
    }
}

impl fmt::Debug for TokenShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenShown").field("name", &self.name).finish_non_exhaustive()
    }
}

/// `<token-name>-token.txt`. What could lead to another folder, mean something to a shell or a file system,
/// or hide the ending becomes `_`; dots, dashes and spaces don't stand first.
fn file_name(name: &str) -> String {
    let kept: String = name.chars().map(|letter| if is_harmless(letter) { letter } else { '_' }).collect();
    let mut kept = kept.trim_start_matches(['.', '-', ' ', '~']);
    while kept.len() > FILE_LIMIT {
        let (last, _) = kept.char_indices().next_back().unwrap_or_default();
        kept = &kept[..last];
    }
    if kept.is_empty() { "token.txt".to_owned() } else { format!("{kept}-token.txt") }
}

fn is_harmless(letter: char) -> bool {
    !letter.is_control() && !is_invisible(letter) && !"/\\<>:\"|?*'`;&$".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_gives_a_safe_file_name() {
        for (name, file) in [
            ("deploy-key", "deploy-key-token.txt"),
            ("deploy-key (rotated 2026-11-18)", "deploy-key (rotated 2026-11-18)-token.txt"),
            ("Schlüssel für CI", "Schlüssel für CI-token.txt"),
            ("../../etc/passwd", "_.._etc_passwd-token.txt"),
            ("..\\..\\boot.ini", "_.._boot.ini-token.txt"),
            ("<script>alert(1)</script>", "_script_alert(1)__script_-token.txt"),
            ("a\u{202e}txt.exe", "a_txt.exe-token.txt"),
            ("-rf", "rf-token.txt"),
            (".bashrc", "bashrc-token.txt"),
            ("C:\\con", "C__con-token.txt"),
            ("\"quoted\"; rm", "_quoted__ rm-token.txt"),
            ("🚀🌙", "🚀🌙-token.txt"),
            ("a__b", "a__b-token.txt"),
            ("v1-", "v1--token.txt"),
            ("...", "token.txt"),
            ("مفتاح التقارير", "مفتاح التقارير-token.txt"),
        ] {
            assert_eq!(file_name(name), file, "{name}");
        }
        assert_eq!(file_name(&"é".repeat(255)).len(), FILE_LIMIT + "-token.txt".len());
    }
}
