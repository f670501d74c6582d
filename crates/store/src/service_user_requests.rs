//! Service users that somebody asks for, and what an Admin decided.

use std::str::FromStr;

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{ServiceUserRequestId, UserId};
use tokenhouse_core::people::{Invalid, Name, Role};

use crate::sql::{self, Statement};
use crate::teams::Member;
use crate::{Connection, Error, Page, Writer};

/// Selects requests with those who have to do with them; ends within a `WHERE`.
const SELECT: &str = "SELECT r.id, r.made_at, r.name, r.role, r.teams, r.purpose, r.owner, r.state, \
    r.decided_at, r.comment, a.id AS asker_id, a.user_id AS asker_user_id, a.name AS asker_name, \
    d.id AS decider_id, d.user_id AS decider_user_id, d.name AS decider_name, \
    s.id AS made_id, s.user_id AS made_user_id, s.name AS made_name \
    FROM service_user_requests r JOIN users a ON a.id = r.made_by LEFT JOIN users d ON d.id = r.decided_by \
    LEFT JOIN users s ON s.id = r.service_user_id WHERE ";

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nobody has decided yet.
    Open,
    /// The service user was made.
    Approved,
    /// It won't be made.
    Declined,
    /// Whoever asked doesn't want it any more.
    Withdrawn,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Approved, Self::Declined, Self::Withdrawn];

    /// Its name on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| Invalid("must be open, approved, declined or withdrawn".into()))
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct NewRequest<'a> {
    /// By whom.
    pub asker: UserId,
    /// Name of the service user.
    pub name: &'a Name,
    /// Its role.
    pub role: Role,
    /// Names of its teams, without `Public`.
    pub teams: &'a [String],
    /// What it is for.
    pub purpose: &'a str,
    /// Who answers for it.
    pub owner: Option<&'a str>,
}

/// A request as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceUserRequest {
    /// Its number.
    pub id: ServiceUserRequestId,
    /// Who asked.
    pub asker: Member,
    /// When.
    pub made_at: Timestamp,
    /// Name of the service user.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Names of its teams, without `Public`.
    pub teams: Vec<String>,
    /// What it is for.
    pub purpose: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What became of it.
    pub state: State,
    /// Who decided; the asker if it was withdrawn.
    pub decider: Option<Member>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// What they said to it.
    pub comment: Option<String>,
    /// The service user that was made.
    pub made: Option<Member>,
}

impl FromRow<'_, AnyRow> for ServiceUserRequest {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let account = |whose: &str| {
            let id: Option<i64> = row.try_get(&*format!("{whose}_id"))?;
            let Some(id) = id.map(UserId) else { return Ok(None) };
            let text = |column: &str| row.try_get::<String, _>(&*format!("{whose}_{column}"));
            Ok::<_, sqlx::Error>(Some(Member { id, user_id: text("user_id")?, name: text("name")? }))
        };
        let teams: &str = row.try_get("teams")?;
        Ok(Self {
            id: ServiceUserRequestId(row.try_get("id")?),
            asker: account("asker")?.ok_or(sqlx::Error::RowNotFound)?,
            made_at: sql::time(row, "made_at")?,
            name: row.try_get("name")?,
            role: sql::word(row, "role")?,
            teams: serde_json::from_str(teams).map_err(|error| sqlx::Error::Decode(error.into()))?,
            purpose: row.try_get("purpose")?,
            owner: row.try_get("owner")?,
            state: sql::word(row, "state")?,
            decider: account("decider")?,
            decided_at: sql::optional_time(row, "decided_at")?,
            comment: row.try_get("comment")?,
            made: account("made")?,
        })
    }
}

/// Which requests are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RequestFilter {
    /// Those of one asker; everybody's if absent.
    pub asker: Option<UserId>,
    /// Those in one state.
    pub state: Option<State>,
}

impl RequestFilter {
    fn narrow(self, statement: &mut Statement) {
        statement.text("TRUE");
        if let Some(asker) = self.asker {
            statement.text(" AND r.made_by = ").value(asker.0);
        }
        if let Some(state) = self.state {
            statement.text(" AND r.state = ").value(state.as_str());
        }
    }
}

/// Stores a new request, made at the instant of the transaction.
pub async fn insert(w: &mut Writer, new: &NewRequest<'_>) -> Result<ServiceUserRequestId, Error> {
    let teams = serde_json::Value::from(new.teams).to_string();
    let insertion = sqlx::query(
        "INSERT INTO service_user_requests (made_by, made_at, name, role, teams, purpose, owner, state) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'open') RETURNING id",
    )
    .bind(new.asker.0)
    .bind(w.now().micros())
    .bind(new.name.as_str())
    .bind(new.role.as_str())
    .bind(teams)
    .bind(new.purpose)
    .bind(new.owner);
    w.insert(insertion).await.map(ServiceUserRequestId)
}

/// One request.
pub async fn find(c: &mut Connection, id: ServiceUserRequestId) -> Result<Option<ServiceUserRequest>, Error> {
    let mut statement = Statement::new(SELECT);
    statement.text("r.id = ").value(id.0);
    let row = statement.query().fetch_optional(c).await?;
    Ok(row.map(|row| ServiceUserRequest::from_row(&row)).transpose()?)
}

/// A page of requests, newest first.
pub async fn page(
    c: &mut Connection,
    filter: RequestFilter,
    limit: i64,
    offset: i64,
) -> Result<Page<ServiceUserRequest>, Error> {
    let total = count(c, filter).await?;
    let mut statement = Statement::new(SELECT);
    filter.narrow(&mut statement);
    statement.text(" ORDER BY r.id DESC LIMIT ").value(limit).text(" OFFSET ").value(offset);
    let rows = statement.query().fetch_all(c).await?;
    let items = rows.iter().map(ServiceUserRequest::from_row).collect::<Result<_, _>>()?;
    Ok(Page { items, total })
}

/// How many there are.
pub async fn count(c: &mut Connection, filter: RequestFilter) -> Result<i64, Error> {
    let mut statement = Statement::new("SELECT count(*) FROM service_user_requests r WHERE ");
    filter.narrow(&mut statement);
    Ok(statement.query().fetch_one(c).await?.try_get(0)?)
}

/// Decides on an open request at the instant of the transaction. [`Error::NotFound`] if it isn't open.
pub async fn decide(
    w: &mut Writer,
    id: ServiceUserRequestId,
    state: State,
    decider: Option<UserId>,
    comment: Option<&str>,
    made: Option<UserId>,
) -> Result<(), Error> {
    let update = sqlx::query(
        "UPDATE service_user_requests SET state = $2, decided_by = $3, decided_at = $4, comment = $5, \
         service_user_id = $6 WHERE id = $1 AND state = 'open'",
    )
    .bind(id.0)
    .bind(state.as_str())
    .bind(decider.map(|id| id.0))
    .bind(w.now().micros())
    .bind(comment)
    .bind(made.map(|id| id.0));
    w.execute_one(update).await
}
