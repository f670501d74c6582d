//! What somebody did, in words.

use tokenhouse_core::audit::Record;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::UserType;
use tokenhouse_store::users::User;

use crate::ui::moment::Moment;
use crate::ui::page::Page;
use crate::ui::text;

/// Something that was done.
pub(super) struct Deed {
    pub(super) at: Moment,
    /// What was done to what kind of thing.
    pub(super) what: String,
    /// What the thing is called.
    pub(super) name: Option<String>,
    /// By what way.
    pub(super) via: &'static str,
}

impl Deed {
    /// A record of what `doer` did, as `viewer` may read it.
    pub(super) fn of(page: &Page, record: &Record, doer: &User, viewer: UserId) -> Self {
        let (kind, verb) = record.action.split_once('.').unwrap_or(("", &record.action));
        let verb = text::capitalized(&verb.replace('_', " "));
        let is_themselves = kind == "user" && record.entity.id == doer.id.0;
        // A person's own tokens are nobody else's to know, and their records tell of these, too.
        let is_private = kind == "token" && doer.user_type == UserType::Human && doer.id != viewer;
        Self {
            at: page.moment(record.at),
            what: if is_themselves { verb } else { format!("{verb} {kind}") },
            name: (!is_themselves && !is_private).then(|| record.entity.name.clone()),
            via: via(&record.via_kind),
        }
    }
}

fn via(kind: &str) -> &'static str {
    match kind {
        "session" => "in the browser",
        "token" => "with a token",
        "scim" => "by directory sync",
        "cli" => "on the command line",
        _ => "by itself",
    }
}
