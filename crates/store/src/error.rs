//! What can go wrong with the store, in plain words. No message holds a stored value or a URL,
//! since URLs may hold passwords.

use std::fmt;
use std::path::PathBuf;

/// What exists already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// Another token of the same owner has this name.
    TokenName,
    /// Another token has this keyed hash.
    TokenHash,
    /// Another user has this user name, case ignored.
    UserName,
    /// Another user has this `user_id`.
    UserId,
    /// Another team has this name, case ignored.
    TeamName,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TokenName => "a token with this name",
            Self::TokenHash => "this token",
            Self::UserName => "a user with this user name",
            Self::UserId => "a user with this user id",
            Self::TeamName => "a team with this name",
        })
    }
}

/// What the database said, without the values that were involved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub(crate) String);

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It would exist twice.
    #[error("{0} exists already")]
    Conflict(What),
    /// What was to be changed isn't there.
    #[error("what was to be changed is not in the store")]
    NotFound,
    /// The store can't do it now: busy, disk full, connection lost. Trying again later may help.
    #[error("the store does not answer at the moment; see to its disk, its locks and its connections")]
    Unavailable(#[source] Cause),
    /// The disk did not take what was written. What is on disk is all that counts, and only another start
    /// finds out what that is.
    #[error(
        "the disk did not take what was written, so no change is made any more; see to the disk and start tokenhouse again"
    )]
    SyncFailed(#[source] Cause),
    /// What is stored is not what this program wrote.
    #[error("the store holds something that was not written by tokenhouse: {0}")]
    Corrupt(String),
    /// The log of changes is not the one that was followed before: the database was put back to an older
    /// state, or a standby took over that had not received everything.
    #[error(
        "the store has lost changes that were there before; find out what was lost (docs/operations.md), then start tokenhouse again"
    )]
    HistoryLost,
    /// The database refused a statement for another reason.
    #[error("the database refused a statement")]
    Refused(#[source] Cause),
    /// A change was to be committed without an audit record.
    #[error("a change can't be committed without an audit record")]
    Unrecorded,
    /// The transaction was to be continued after an error.
    #[error("a transaction can't go on after an error")]
    Broken,

    /// The store belongs to another master key.
    #[error(
        "the master key is not the one this store was made with; give the right one in TOKENHOUSE_MASTER_KEY or master_key_file"
    )]
    WrongMasterKey,
    /// Nothing was ever stored here.
    #[error("there is no store yet; start `tokenhouse serve` first (is this the right configuration?)")]
    Absent,
    /// Another process holds the SQLite file.
    #[error("a tokenhouse server holds this store; stop it first")]
    Held,
    /// The URL names no database that is known here.
    #[error("the store's url must be sqlite://path/to/file.db or postgres://user:password@host/database")]
    UnknownUrl,
    /// A newer tokenhouse has changed the schema.
    #[error("the store was changed by a newer tokenhouse; run that version or a later one")]
    NewerSchema,
    /// A migration could not be applied.
    #[error("the schema of the store could not be brought up to date; nothing was changed")]
    Migration(#[source] Cause),
    /// The folder or file of the store could not be made or opened.
    #[error("can't open {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The database hasn't answered in time.
    pub fn too_slow() -> Self {
        Self::Unavailable(Cause("no answer in time".into()))
    }
}
