//! What reviews find among service tokens and service users. Each rule is a condition and an order, and an index
//! has both, so that counting reads no rows and a page reads only its own.

use std::collections::HashMap;

use sqlx::Row as _;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::reviews::{EXPIRING_DAYS, NEVER_USED_DAYS, Rule, STILL_TRIED_DAYS, UNUSED_DAYS};

use crate::sql::Statement;
use crate::successors::without_live_successor;
use crate::tokens::{self, IDLE_SINCE, Token, unexpired};
use crate::users::{self, User};
use crate::{Connection, Error};

/// What a rule finds.
#[derive(Clone, Debug)]
pub enum Found {
    /// Tokens, each with where it is in the rule's order.
    Tokens(Vec<(i64, Token)>),
    /// Service users, each with where it is in the rule's order.
    Users(Vec<(i64, User)>),
}

/// Which part of what a rule finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Only what comes after this place and this number.
    pub after: Option<(i64, i64)>,
    /// Without the first of these.
    pub offset: i64,
    /// No more than this.
    pub limit: i64,
}

/// How many a rule finds at `now`.
pub async fn count(c: &mut Connection, rule: Rule, now: Timestamp) -> Result<i64, Error> {
    Ok(counting(rule, now).query().fetch_one(c).await?.try_get(0)?)
}

/// A part of what a rule finds at `now`, in the rule's order.
pub async fn page(c: &mut Connection, rule: Rule, now: Timestamp, part: Part) -> Result<Found, Error> {
    let mut places = HashMap::new();
    for row in finding(rule, now, part).query().fetch_all(&mut *c).await? {
        places.insert(row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?);
    }
    if is_about_users(rule) {
        let ids: Vec<_> = places.keys().copied().map(UserId).collect();
        let users = users::find_many(c, &ids).await?.into_iter();
        let mut found: Vec<_> = users.filter_map(|user| Some((*places.get(&user.id.0)?, user))).collect();
        found.sort_unstable_by_key(|(place, user)| (*place, user.id));
        return Ok(Found::Users(found));
    }
    let ids: Vec<_> = places.keys().copied().map(TokenId).collect();
    let tokens = tokens::find_many(c, &ids).await?.into_iter();
    let mut found: Vec<_> = tokens.filter_map(|token| Some((*places.get(&token.id.0)?, token))).collect();
    found.sort_unstable_by_key(|(place, token)| (*place, token.id));
    Ok(Found::Tokens(found))
}

const fn is_about_users(rule: Rule) -> bool {
    matches!(rule, Rule::NobodyAnswers | Rule::AdminRole)
}

/// By what the findings of a rule are ordered; ties are broken by number.
const fn order(rule: Rule) -> &'static str {
    match rule {
        Rule::Unused => IDLE_SINCE,
        Rule::Expiring => "t.expires_at",
        Rule::StillTried => "-k.at",
        Rule::RotationUnfinished => "t.close_deadline",
        Rule::Orphaned | Rule::NeverExpires | Rule::NobodyAnswers | Rule::AdminRole => "0",
    }
}

/// The number that names what is found.
const fn id(rule: Rule) -> &'static str {
    if is_about_users(rule) { "u.id" } else { "t.id" }
}

fn counting(rule: Rule, now: Timestamp) -> Statement {
    let mut statement = Statement::new("SELECT count(*) FROM ");
    condition(&mut statement, rule, now);
    statement
}

fn finding(rule: Rule, now: Timestamp, part: Part) -> Statement {
    let (id, order) = (id(rule), order(rule));
    let mut statement = Statement::new(&format!("SELECT {id}, {order} FROM "));
    condition(&mut statement, rule, now);
    if let Some((place, last)) = part.after {
        if order == "0" {
            statement.text(" AND (");
        } else {
            // The first of both lets an index begin there.
            statement.text(&format!(" AND {order} >= ")).value(place);
            statement.text(&format!(" AND ({order} > ")).value(place).text(" OR ");
        }
        statement.text(&format!("{id} > ")).value(last).text(")");
    }
    let by = if order == "0" { String::new() } else { format!("{order}, ") };
    statement.text(&format!(" ORDER BY {by}{id} LIMIT ")).value(part.limit);
    statement.text(" OFFSET ").value(part.offset);
    statement
}

/// Adds tables and condition of a rule.
fn condition(statement: &mut Statement, rule: Rule, now: Timestamp) {
    let micros = now.micros();
    match rule {
        Rule::Unused => {
            // The sign keeps SQLite from the indexes of all service tokens.
            statement
                .text("tokens t WHERE t.deleted_at IS NULL AND t.revoked_at IS NULL AND +t.is_service = 1");
            statement.text(&format!(" AND {IDLE_SINCE} <= "));
            statement.value(now.plus_days(-NEVER_USED_DAYS).micros());
            statement.text(" AND (t.last_used_at IS NULL OR t.last_used_at <= ");
            statement.value(now.plus_days(-UNUSED_DAYS).micros()).text(")");
            unexpired(statement, "t", now);
            statement.text(HAS_OWNER);
        }
        Rule::Expiring => {
            statement.text(ALIVE).text(" AND t.expires_at > ").value(micros).text(" AND t.expires_at <= ");
            statement.value(now.plus_days(EXPIRING_DAYS).micros());
            let day = Timestamp::from_seconds(0).plus_days(1).micros();
            statement.text(" AND t.expires_at - ").value(micros).text(&format!(" <= {day} * "));
            statement.text("coalesce(t.rotation_days_before, (SELECT p.rotation_days_before FROM users p ");
            statement.text(&format!("WHERE p.id = t.owner_id), {EXPIRING_DAYS})")).text(HAS_OWNER);
            without_live_successor(statement, now);
        }
        Rule::NeverExpires => {
            statement.text(ALIVE).text(" AND t.expires_at IS NULL").text(HAS_OWNER);
        }
        Rule::Orphaned => {
            // CROSS JOIN: SQLite keeps to this order, from the few owners to their tokens.
            statement
                .text("users n CROSS JOIN tokens t WHERE t.owner_id = n.id AND t.deleted_at IS NULL AND ");
            statement.text("t.revoked_at IS NULL AND n.user_type = 'Service' AND n.removed_at IS NULL AND ");
            statement.text("n.deleted_at IS NOT NULL");
            unexpired(statement, "t", now);
        }
        Rule::StillTried => {
            statement.text("knocks k JOIN tokens t ON t.id = k.token_id WHERE t.deleted_at IS NULL AND ");
            statement.text("t.is_service = 1 AND k.at >= ");
            statement.value(now.plus_days(-STILL_TRIED_DAYS).micros());
            statement.text(" AND (t.revoked_at IS NOT NULL OR t.expires_at <= ").value(micros);
            statement.text(" OR t.owner_id IN (SELECT n.id FROM users n WHERE n.deleted_at IS NOT NULL))");
        }
        Rule::RotationUnfinished => {
            // The sign keeps SQLite from the indexes of all service tokens: those that close are few.
            statement
                .text("tokens t WHERE t.deleted_at IS NULL AND t.revoked_at IS NULL AND +t.is_service = 1");
            statement.text(" AND t.closes_after_hours > 0 AND t.close_deadline <= ").value(micros);
            unexpired(statement, "t", now);
        }
        Rule::NobodyAnswers => {
            statement.text(SERVICE_USER);
            statement.text(" AND (coalesce(u.purpose, '') = '' OR coalesce(u.owner, '') = '')");
        }
        Rule::AdminRole => {
            statement.text(SERVICE_USER).text(" AND u.role = 'Admin'");
        }
    }
}

/// Service tokens that are not revoked.
const ALIVE: &str = "tokens t WHERE t.deleted_at IS NULL AND t.revoked_at IS NULL AND t.is_service = 1";

/// Whose owner is not deactivated: few are, so those are looked up.
const HAS_OWNER: &str = " AND t.owner_id NOT IN (SELECT n.id FROM users n WHERE n.user_type = 'Service' AND \
                         n.removed_at IS NULL AND n.deleted_at IS NOT NULL)";

/// Service users that are not deactivated.
const SERVICE_USER: &str =
    "users u WHERE u.user_type = 'Service' AND u.removed_at IS NULL AND u.deleted_at IS NULL";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans;

    /// Reviews must not read a million rows to count them.
    #[tokio::test]
    async fn sqlite_counts_by_indexes_that_have_everything() {
        let mut c = plans::database().await;
        for (rule, index) in [
            (Rule::Unused, "SEARCH t USING COVERING INDEX tokens_idle_since (<expr><?)"),
            (
                Rule::NeverExpires,
                "SEARCH t USING COVERING INDEX tokens_endless (is_service=? AND deleted_at=? AND revoked_at=? AND expires_at=?)",
            ),
            (
                Rule::Expiring,
                "SEARCH t USING INDEX tokens_service_state (is_service=? AND deleted_at=? AND revoked_at=? AND \
                 expires_at>? AND expires_at<?)",
            ),
            (Rule::RotationUnfinished, "SEARCH t USING INDEX tokens_closing (closes_after_hours>?)"),
            (Rule::Orphaned, "SEARCH t USING INDEX tokens_owner (owner_id=?)"),
        ] {
            let plan = plans::plan(&mut c, counting(rule, Timestamp::from_seconds(0))).await;
            assert!(plan.iter().any(|step| step == index), "{rule:?}: {plan:#?}");
        }
    }

    #[tokio::test]
    async fn sqlite_sorts_nothing_for_the_first_page_of_many() {
        let mut c = plans::database().await;
        let part = Part { after: None, offset: 0, limit: 50 };
        for rule in [Rule::Unused, Rule::Expiring, Rule::NeverExpires] {
            let plan = plans::plan(&mut c, finding(rule, Timestamp::from_seconds(0), part)).await;
            assert!(!plan.iter().any(|step| step.contains("ORDER BY")), "{rule:?}: {plan:#?}");
        }
    }
}
