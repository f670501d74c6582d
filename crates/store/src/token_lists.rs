//! Tokens as people look at them: a page at a time, narrowed and sorted.

use std::collections::HashMap;

use sqlx::{FromRow as _, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::token::Status;

use crate::sql::{BATCH, Statement};
use crate::tokens::{SELECT, Token};
use crate::{Connection, Error, Page};

/// Whose tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The personal tokens of a human.
    Personal(UserId),
    /// The tokens of one service user.
    Service(UserId),
    /// The tokens of all service users.
    AllService,
}

/// By what tokens are sorted. Ties are broken by id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TokenSort {
    /// When they were made.
    #[default]
    Created,
    /// Name, case ignored.
    Name,
    /// When they expire; those that never do come last when ascending.
    Expiration,
    /// When they were last used; those never used come first when ascending.
    LastUsed,
}

/// Which tokens, in what order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenFilter {
    /// Whose.
    pub whose: Whose,
    /// Part of the token's name or of its owner's, case ignored, nothing in it is a wildcard.
    pub part: Option<String>,
    /// In this state.
    pub status: Option<Status>,
    /// The order.
    pub sort: TokenSort,
    /// The other way round.
    pub descending: bool,
}

/// How many tokens are in each state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Neither expired nor revoked.
    pub active: i64,
    /// Revoked and not yet expired.
    pub revoked: i64,
    /// Past their expiry.
    pub expired: i64,
}

impl Counts {
    /// How many there are.
    pub const fn all(self) -> i64 {
        self.active + self.revoked + self.expired
    }

    /// How many are in this state, or in any.
    pub const fn of(self, status: Option<Status>) -> i64 {
        match status {
            None => self.all(),
            Some(Status::Active) => self.active,
            Some(Status::Revoked) => self.revoked,
            Some(Status::Expired) => self.expired,
        }
    }
}

impl TokenSort {
    /// What to sort by, the same on both databases also where nothing is stored.
    const fn expression(self) -> &'static str {
        match self {
            Self::Created => "t.id",
            Self::Name => "t.name_folded",
            Self::Expiration => "coalesce(t.expires_at, 9223372036854775807)",
            Self::LastUsed => "coalesce(t.last_used_at, -1)",
        }
    }
}

impl Whose {
    /// Adds whose to a statement that ends after `AND`.
    fn narrow(self, statement: &mut Statement) {
        match self {
            // The sign keeps SQLite from the indexes of all service tokens: one owner's are few.
            Self::Personal(owner) => {
                statement.text("+t.is_service = 0 AND t.owner_id = ").value(owner.0);
            }
            Self::Service(owner) => {
                statement.text("+t.is_service = 1 AND t.owner_id = ").value(owner.0);
            }
            Self::AllService => {
                statement.text("t.is_service = 1");
            }
        }
    }
}

impl TokenFilter {
    /// Adds whose and which names to a statement that ends after `AND`.
    fn narrow(&self, statement: &mut Statement) {
        self.whose.narrow(statement);
        if let Some(part) = self.part.as_deref().filter(|part| !part.is_empty()) {
            statement.text(" AND (").containing(part, &["t.name_folded"]);
            statement.text(" OR t.owner_id IN (SELECT n.id FROM users n WHERE ");
            statement.containing(part, &["n.name_folded"]).text("))");
        }
    }

    fn narrow_to_status(&self, statement: &mut Statement, now: Timestamp) {
        if let Some(status) = self.status {
            statement.text(" AND ");
            is_in(statement, status, now);
        }
    }
}

/// Adds that the token `t` is in this state, as [`Status::at`] has it.
pub(crate) fn is_in(statement: &mut Statement, status: Status, now: Timestamp) {
    statement.text(match status {
        Status::Expired => "t.expires_at <= ",
        Status::Revoked => "t.revoked_at IS NOT NULL AND (t.expires_at IS NULL OR t.expires_at > ",
        Status::Active => "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > ",
    });
    statement.value(now.micros()).text(if status == Status::Expired { "" } else { ")" });
}

/// A page of tokens and how many are in each state, the filter's own state left aside.
pub async fn page(
    c: &mut Connection,
    filter: &TokenFilter,
    now: Timestamp,
    limit: i64,
    offset: i64,
) -> Result<(Page<Token>, Counts), Error> {
    let counts = counts(c, filter, now).await?;
    let direction = if filter.descending { "DESC" } else { "ASC" };
    let order = format!(" ORDER BY {} {direction}, t.id {direction}", filter.sort.expression());
    // Only the page's tokens are read with their owners, none of those before it.
    let mut statement = Statement::new(SELECT);
    statement.text("t.id IN (SELECT t.id FROM tokens t WHERE t.deleted_at IS NULL AND ");
    filter.narrow(&mut statement);
    filter.narrow_to_status(&mut statement, now);
    statement.text(&order).text(" LIMIT ").value(limit).text(" OFFSET ").value(offset);
    statement.text(")").text(&order);
    let rows = statement.query().fetch_all(c).await?;
    let items = rows.iter().map(Token::from_row).collect::<Result<_, _>>()?;
    Ok((Page { items, total: counts.of(filter.status) }, counts))
}

/// How many tokens there are.
pub async fn count(c: &mut Connection, whose: Whose) -> Result<i64, Error> {
    let mut statement = Statement::new("SELECT count(*) FROM tokens t WHERE t.deleted_at IS NULL AND ");
    whose.narrow(&mut statement);
    Ok(statement.query().fetch_one(c).await?.try_get(0)?)
}

/// How many tokens are in each state, the filter's own state left aside.
async fn counts(c: &mut Connection, filter: &TokenFilter, now: Timestamp) -> Result<Counts, Error> {
    let mut statement = Statement::new("SELECT count(*)");
    for status in [Status::Expired, Status::Revoked] {
        statement.text(", count(*) FILTER (WHERE ");
        is_in(&mut statement, status, now);
        statement.text(")");
    }
    statement.text(" FROM tokens t WHERE t.deleted_at IS NULL AND ");
    filter.narrow(&mut statement);
    let row = statement.query().fetch_one(c).await?;
    let (all, expired, revoked): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Counts { active: all - expired - revoked, revoked, expired })
}

/// How many tokens of each of these users are active. Users without any are left out.
pub async fn active(
    c: &mut Connection,
    owners: &[UserId],
    now: Timestamp,
) -> Result<HashMap<UserId, i64>, Error> {
    let mut counts = HashMap::with_capacity(owners.len());
    for batch in owners.chunks(BATCH) {
        let mut statement =
            Statement::new("SELECT t.owner_id, count(*) FROM tokens t WHERE t.deleted_at IS NULL AND ");
        is_in(&mut statement, Status::Active, now);
        statement.text(" AND t.owner_id IN ").list(batch.iter().map(|id| id.0)).text(" GROUP BY t.owner_id");
        for row in statement.query().fetch_all(&mut *c).await? {
            counts.insert(UserId(row.try_get(0)?), row.try_get(1)?);
        }
    }
    Ok(counts)
}
