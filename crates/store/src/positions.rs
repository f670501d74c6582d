//! How far somebody has come who follows the audit trail or looks at the clock.

use sqlx::Row as _;
use tokenhouse_core::clock::Timestamp;

use crate::writer::in_time;
use crate::{Connection, Error, Store};

/// How far they have come: the number of a record, or microseconds; `None` if they haven't begun.
pub async fn find(c: &mut Connection, name: &str) -> Result<Option<i64>, Error> {
    let row = sqlx::query("SELECT at FROM positions WHERE name = $1").bind(name).fetch_optional(c).await?;
    Ok(row.map(|row| row.try_get("at")).transpose()?)
}

/// Moves on from where they are, or begins. `false` if somebody else has done so meanwhile: then nothing of what
/// was done on the way counts, and the transaction has to be given up.
pub(crate) async fn advance(
    c: &mut Connection,
    name: &str,
    from: Option<i64>,
    to: i64,
) -> Result<bool, Error> {
    let moved = match from {
        Some(from) => sqlx::query("UPDATE positions SET at = $2 WHERE name = $1 AND at = $3")
            .bind(name)
            .bind(to)
            .bind(from),
        None => sqlx::query("INSERT INTO positions (name, at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(to),
    };
    Ok(in_time(moved.execute(c)).await?.rows_affected() == 1)
}

/// Takes the turn of following, of which one server of a fleet has it at a time, until `until`. Gives how far they
/// have come, or `None` while somebody else has the turn. Who begins, begins at `start`.
pub async fn claim(
    store: &Store,
    name: &str,
    by: &str,
    (now, until): (Timestamp, Timestamp),
    start: i64,
) -> Result<Option<i64>, Error> {
    let mut transaction = store.begin_uses().await?;
    advance(&mut transaction, name, None, start).await?;
    let claim = sqlx::query(
        "UPDATE positions SET claimed_by = $2, claimed_until = $4 WHERE name = $1 \
         AND (claimed_by IS NULL OR claimed_by = $2 OR claimed_until <= $3) RETURNING at",
    );
    let claim = claim.bind(name).bind(by).bind(now.micros()).bind(until.micros());
    let row = in_time(claim.fetch_optional(&mut *transaction)).await?;
    let at = row.map(|row| row.try_get("at")).transpose()?;
    store.durability.commit(&mut transaction).await?;
    Ok(at)
}

/// Moves on and keeps the turn until then, if nobody else has taken it meanwhile. Tells whether that is so.
pub async fn move_on(
    store: &Store,
    name: &str,
    by: &str,
    (to, until): (i64, Timestamp),
) -> Result<bool, Error> {
    let mut transaction = store.begin_uses().await?;
    let moved = sqlx::query(
        "UPDATE positions SET at = $3, claimed_until = $4 WHERE name = $1 AND claimed_by = $2 AND at <= $3",
    );
    let moved = moved.bind(name).bind(by).bind(to).bind(until.micros());
    let moved = in_time(moved.execute(&mut *transaction)).await?;
    store.durability.commit(&mut transaction).await?;
    Ok(moved.rows_affected() == 1)
}

/// Gives the turn back, if they have it.
pub async fn release(store: &Store, name: &str, by: &str) -> Result<(), Error> {
    let mut transaction = store.begin_uses().await?;
    let release =
        "UPDATE positions SET claimed_by = NULL, claimed_until = NULL WHERE name = $1 AND claimed_by = $2";
    in_time(sqlx::query(release).bind(name).bind(by).execute(&mut *transaction)).await?;
    store.durability.commit(&mut transaction).await
}
