//! What is done about tokens that somebody found where they don't belong.

use tokenhouse_core::audit::Action;
use tokenhouse_core::id::TokenId;
use tokenhouse_core::token::TokenHash;
use tokenhouse_store::Writer;
use tokenhouse_store::tokens;

use super::Changes;
use super::tokens::revoke_in;
use crate::app::App;
use crate::auth::guard::{Call, Origin};
use crate::error::Error;
use crate::request_log::without_tokens;

/// How much is kept of what a finder tells, in bytes.
const LONGEST_SOURCE: usize = 255;
const LONGEST_URL: usize = 2_000;

/// A text that somebody takes for a token, and where it was found.
#[derive(Clone, Copy)]
pub struct Find<'a> {
    /// The text.
    pub text: &'a str,
    /// Who found it, or in what.
    pub source: Option<&'a str>,
    /// Where it is.
    pub url: Option<&'a str>,
}

/// Revokes those that are tokens of ours, with everything that was made with them, and marks them, in one transaction.
/// What was done about a token already stays as it is. Answers of each whether it is ours.
///
/// Anybody may call this: whoever has a token may kill it.
pub async fn found(app: &App, finds: &[Find<'_>], origin: Origin) -> Result<Vec<bool>, Error> {
    let hash = |find: &Find<'_>| app.codec.read(find.text.trim().as_bytes()).ok().map(|found| found.hash());
    let hashes: Vec<Option<TokenHash>> = finds.iter().map(hash).collect();
    let mut known: Vec<(TokenId, Find<'_>)> = Vec::new();
    let mut reader = app.store.read().await?;
    for (find, hash) in finds.iter().zip(&hashes) {
        // Also for what isn't ours: it takes the same time.
        let hash = hash.unwrap_or(TokenHash::from_bytes([0; 32]));
        if let Some(token) = tokens::find_by_hash_even_deleted(&mut reader, &hash).await? {
            known.push((token.id, *find));
        }
    }
    drop(reader);
    if !known.is_empty() {
        let mut writer = app.begin_unchecked().await?;
        let call = Call { ip: Some(origin.ip), request_id: origin.request_id, ..Call::system() };
        let mut is_changed = false;
        for (id, find) in known {
            is_changed |= leaked(&mut writer, &call, id, find).await?;
        }
        if is_changed {
            app.commit(writer).await?;
        }
    }
    Ok(hashes.iter().map(Option::is_some).collect())
}

/// Revokes and marks one. Whether there was anything left to do.
///
/// A deleted one may have made others that live on: a thief who deletes the stolen token must not thereby save them.
async fn leaked(writer: &mut Writer, call: &Call, id: TokenId, find: Find<'_>) -> Result<bool, Error> {
    let Some(token) = tokens::find_even_deleted(writer, id).await? else { return Ok(false) };
    let (name, is_known) = (token.name.clone(), token.leaked_at.is_some());
    let mut doomed = tokens::descendants(writer, id).await?;
    doomed.insert(0, token);
    let alive =
        doomed.iter().filter(|token| token.revoked_at.is_none() && token.deleted_at.is_none()).count();
    if is_known && alive == 0 {
        return Ok(false);
    }
    if !is_known {
        let now = writer.now();
        tokens::set_leaked(writer, id, now).await?;
    }
    let changes = Changes::default()
        .set("revoked", alive)
        .note("source", None, find.source.map(|source| kept(source, LONGEST_SOURCE)))
        .note("url", None, find.url.map(|url| kept(url, LONGEST_URL)));
    writer.record(call.draft(Action::TokenLeaked, id.0, &name, changes.0)).await?;
    revoke_in(writer, call, &doomed).await?;
    Ok(true)
}

/// What a stranger tells, without the token in it, and without what can't be seen.
fn kept(text: &str, longest: usize) -> String {
    let text = without_tokens(text);
    let visible = |sign: char| if sign.is_control() { '\u{fffd}' } else { sign };
    text[..text.floor_char_boundary(longest)].trim().chars().map(visible).collect()
}
