//! Tokens as people look at them: a page at a time, narrowed and sorted.

use std::collections::HashMap;

use sqlx::{FromRow as _, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::token::Status;

use crate::dialect::Dialect;
use crate::sql::{self, BATCH, Statement};
use crate::tokens::{SELECT, Token};
use crate::{Connection, Error, Page, Store};

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
    /// When they were last used, as of the last time that uses were folded; those never used come first when ascending.
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

/// Where a part of a name is looked for, no more than one token above this many is counted: no index helps to
/// find parts, and whoever finds so many has to say more of the name anyway.
pub const COUNTED: i64 = 1_000;

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
    /// How many of those that were found are in each state.
    fn of_found(found: &[Found], now: Timestamp) -> Self {
        let mut counts = Self::default();
        for (_, revoked_at, expires_at) in found {
            match Status::at(now, expires_at.map(Timestamp::from_micros), revoked_at.is_some()) {
                Status::Active => counts.active += 1,
                Status::Revoked => counts.revoked += 1,
                Status::Expired => counts.expired += 1,
            }
        }
        counts
    }

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
    /// The one whose tokens they are.
    const fn owner(self) -> Option<UserId> {
        match self {
            Self::Personal(owner) | Self::Service(owner) => Some(owner),
            Self::AllService => None,
        }
    }

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
    /// The part of a name that is looked for.
    fn part(&self) -> Option<&str> {
        self.part.as_deref().filter(|part| !part.is_empty())
    }

    /// Adds whose and which names to a statement that ends after `AND`.
    fn narrow(&self, statement: &mut Statement) {
        self.whose.narrow(statement);
        if let Some(part) = self.part() {
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

/// A page of tokens and how many are in each state, the filter's own state left aside. Where a part of a name
/// is looked for, [`COUNTED`] limits the numbers.
pub async fn page(
    store: &Store,
    filter: &TokenFilter,
    now: Timestamp,
    limit: i64,
    offset: i64,
) -> Result<(Page<Token>, Counts), Error> {
    let Some(part) = filter.part() else {
        let c = &mut *store.read().await?;
        let counts = counts(c, filter.whose, now).await?;
        let items = in_order(c, filter, None, now, (limit, offset)).await?;
        return Ok((Page { items, total: counts.of(filter.status) }, counts));
    };
    let mut found = find(store, filter.whose, part, None, now).await?;
    let counts = Counts::of_found(&found, now);
    if counts.all() > COUNTED && filter.status.is_some() {
        found = find(store, filter.whose, part, filter.status, now).await?;
    }
    let found_counts = Counts::of_found(&found, now);
    let total = found_counts.of(filter.status);
    if offset >= total {
        return Ok((Page { items: Vec::new(), total }, counts));
    }
    // Where there are more, those of the page are soon come across in its order.
    let ids: Vec<i64> = found.iter().map(|(id, ..)| id.0).collect();
    let all = (found_counts.all() <= COUNTED).then_some(&*ids);
    let window = (limit.min(total - offset), offset);
    let items = in_order(&mut *store.read().await?, filter, all, now, window).await?;
    Ok((Page { items, total }, counts))
}

/// Some of the tokens of a filter or, where they are known, of these among them, in its order.
async fn in_order(
    c: &mut Connection,
    filter: &TokenFilter,
    among: Option<&[i64]>,
    now: Timestamp,
    (limit, offset): (i64, i64),
) -> Result<Vec<Token>, Error> {
    let direction = if filter.descending { "DESC" } else { "ASC" };
    let order = format!(" ORDER BY {} {direction}, t.id {direction}", filter.sort.expression());
    // Only the page's tokens are read with their owners, none of those before it.
    let mut statement = Statement::new(SELECT);
    statement.text("t.id IN (SELECT t.id FROM tokens t WHERE t.deleted_at IS NULL AND ");
    match among {
        Some(ids) => {
            statement.text("t.id IN ").numbers(Dialect::of(c), ids);
        }
        None => filter.narrow(&mut statement),
    }
    filter.narrow_to_status(&mut statement, now);
    statement.text(&order).text(" LIMIT ").value(limit).text(" OFFSET ").value(offset);
    statement.text(")").text(&order);
    let rows = statement.query().fetch_all(c).await?;
    Ok(rows.iter().map(Token::from_row).collect::<Result<_, _>>()?)
}

/// A token whose name, or whose owner's, has the part in it: when it was revoked, when it expires.
type Found = (TokenId, Option<i64>, Option<i64>);

/// Selects those; ends after `FROM`.
const FIND: &str = "SELECT t.id, t.revoked_at, t.expires_at FROM ";

/// The tokens with a part in their name or in their owner's; if there are more than
/// [`COUNTED`], one more than that.
///
/// No index finds parts of names, and those of all service tokens are very many: two readers share them.
async fn find(
    store: &Store,
    whose: Whose,
    part: &str,
    status: Option<Status>,
    now: Timestamp,
) -> Result<Vec<Found>, Error> {
    // Each takes a reader of its own: who held one and waited for another could wait for itself.
    let read = async |range: &str| {
        let statement = finding(whose, part, status, now, range);
        sql::read_many(&mut *store.read().await?, "id, revoked_at, expires_at", statement).await
    };
    if whose != Whose::AllService {
        return read("").await;
    }
    let middle = newest_service_token(store).await? / 2;
    let (newer, older) = (format!(" AND t.id > {middle}"), format!(" AND t.id <= {middle}"));
    let (mut found, older) = tokio::try_join!(read(&newer), read(&older))?;
    found.extend::<Vec<Found>>(older);
    found.truncate(usize::try_from(COUNTED + 1).unwrap_or(usize::MAX));
    Ok(found)
}

/// The highest number of a service token that exists, or 0.
async fn newest_service_token(store: &Store) -> Result<i64, Error> {
    let newest = "SELECT coalesce(max(id), 0) FROM tokens WHERE is_service = 1 AND deleted_at IS NULL";
    Ok(Statement::new(newest).query().fetch_one(&mut *store.read().await?).await?.try_get(0)?)
}

/// Those whose number is in the range, a condition that begins with `AND`, or all.
fn finding(whose: Whose, part: &str, status: Option<Status>, now: Timestamp, range: &str) -> Statement {
    let narrow_further = |statement: &mut Statement| {
        statement.text(range);
        if let Some(status) = status {
            statement.text(" AND ");
            is_in(statement, status, now);
        }
    };
    // The owners come first: where many fit, no name has to be looked at.
    let mut statement = Statement::new("SELECT DISTINCT * FROM (SELECT * FROM (");
    statement
        .text(FIND)
        .text("users n CROSS JOIN tokens t WHERE t.owner_id = n.id AND t.deleted_at IS NULL AND ");
    match whose.owner() {
        Some(owner) => {
            statement.text("n.id = ").value(owner.0).text(" AND ");
            whose.narrow(&mut statement);
        }
        None => {
            statement.text("+t.is_service = 1");
        }
    }
    statement.text(" AND ").containing(part, &["n.name_folded"]);
    narrow_further(&mut statement);
    statement.text(" LIMIT ").value(COUNTED + 1).text(") AS by_owner UNION ALL SELECT * FROM (");
    statement.text(FIND).text("tokens t WHERE t.deleted_at IS NULL AND ");
    whose.narrow(&mut statement);
    statement.text(" AND ").containing(part, &["t.name_folded"]);
    narrow_further(&mut statement);
    // By number: in any other order, names that have much in common follow one another.
    statement.text(" ORDER BY t.id DESC LIMIT ").value(COUNTED + 1).text(") AS by_name) AS found LIMIT ");
    statement.value(COUNTED + 1);
    statement
}

/// How many tokens there are.
pub async fn count(c: &mut Connection, whose: Whose) -> Result<i64, Error> {
    let mut statement = Statement::new("SELECT count(*) FROM tokens t WHERE t.deleted_at IS NULL AND ");
    whose.narrow(&mut statement);
    Ok(statement.query().fetch_one(c).await?.try_get(0)?)
}

/// How many tokens are in each state.
async fn counts(c: &mut Connection, whose: Whose, now: Timestamp) -> Result<Counts, Error> {
    let row = counting(whose, now).query().fetch_one(c).await?;
    let (all, expired, revoked): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Counts { active: all - expired - revoked, revoked, expired })
}

fn counting(whose: Whose, now: Timestamp) -> Statement {
    let count = |statement: &mut Statement| {
        statement.text("(SELECT count(*) FROM tokens t WHERE t.deleted_at IS NULL AND ");
        whose.narrow(statement);
    };
    // Each has an index in which nothing has to be compared.
    let mut statement = Statement::new("SELECT ");
    count(&mut statement);
    statement.text("), ");
    count(&mut statement);
    statement.text(" AND ").text(TokenSort::Expiration.expression()).text(" <= ").value(now.micros());
    statement.text("), ");
    count(&mut statement);
    statement.text(" AND ");
    is_in(&mut statement, Status::Revoked, now);
    statement.text(")");
    statement
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans;

    #[tokio::test]
    async fn sqlite_finds_a_part_of_a_name_in_one_index_and_sorts_nothing() {
        let mut c = plans::database().await;
        let statement = finding(Whose::AllService, "x", None, Timestamp::from_seconds(0), " AND t.id > 7");
        let plan = plans::plan(&mut c, statement).await;
        let names = "SEARCH t USING COVERING INDEX tokens_service (is_service=? AND deleted_at=? AND id>?)";
        for step in [names, "SCAN n USING COVERING INDEX users_name"] {
            assert!(plan.iter().any(|taken| taken == step), "{plan:#?}");
        }
        assert!(!plan.iter().any(|step| step.contains("ORDER BY")), "{plan:#?}");
    }

    #[tokio::test]
    async fn sqlite_counts_states_by_an_index_for_each() {
        let mut c = plans::database().await;
        let plan = plans::plan(&mut c, counting(Whose::AllService, Timestamp::from_seconds(0))).await;
        for index in [
            "tokens_service_expiry (is_service=? AND deleted_at=? AND <expr><?)",
            "tokens_service_state (is_service=? AND deleted_at=? AND revoked_at>?)",
        ] {
            assert!(plan.iter().any(|step| step.ends_with(index)), "{plan:#?}");
        }
    }
}
