//! What somebody did, in words.

use tokenhouse_core::audit::Record;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::UserType;
use tokenhouse_store::users::User;

use crate::ui::audit::told::Told;
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
    pub(super) via: String,
}

impl Deed {
    /// A record of what `doer` did, as `viewer` may read it.
    pub(super) fn of(page: &Page, record: &Record, doer: &User, viewer: UserId) -> Self {
        // A person's own tokens are nobody else's to know, and their records tell of these, too.
        let names_tokens = doer.user_type == UserType::Service || doer.id == viewer;
        let Told { verb, object, via } = Told::of(record, names_tokens);
        Self { at: page.moment(record.at), what: text::capitalized(&verb), name: object, via }
    }
}
