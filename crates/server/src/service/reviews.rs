//! Reviews: what is found among service tokens and service users, and who has looked through it.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tokenhouse_core::audit::{Action, Head};
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::{TokenId, UserId};
use tokenhouse_core::people;
use tokenhouse_core::policy::Permission;
use tokenhouse_core::reviews::{Fix, Rule, Severity, URGENT_DAYS, expiring_from, unused_from};
use tokenhouse_store::audit::{self, AuditFilter, StoredRecord};
use tokenhouse_store::reviews::{self, Found, Part};
use tokenhouse_store::tokens::Token;
use tokenhouse_store::users::{self, User};
use tokenhouse_store::{Connection, Page};

use super::Changes;
use super::tokens::with_latest_use;
use crate::app::App;
use crate::auth::guard::Call;
use crate::error::{Error, Fields};
use crate::knocks::Knocks;

/// The most characters in the comment of a sign-off.
const COMMENT_LIMIT: usize = 2_000;

/// Something that somebody should mend.
#[derive(Debug)]
pub struct Finding {
    /// By which rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// Since when it is so.
    pub since: Timestamp,
    /// Who must act.
    pub who: String,
    /// Attempts with a dead token.
    pub knocks: Option<Knocks>,
}

/// Where a finding is among all of its rule.
pub type Place = (i64, i64);

impl Finding {
    /// The page that mends it.
    pub fn href(&self) -> String {
        match &self.subject {
            Subject::Token(token) => match self.rule.fix() {
                Fix::Revoke => format!("/settings/tokens/{}/revoke", token.id),
                Fix::Rotate => format!("/settings/tokens/{}/rotate", token.id),
                Fix::SeeRequests => format!("/settings/tokens/{}/requests", token.id),
                Fix::Demote | Fix::Describe => format!("/settings/tokens/{}", token.id),
            },
            Subject::User(user) => format!("/settings/people/users/{}/edit", user.id),
        }
    }
}

/// What a finding is about.
#[derive(Debug)]
pub enum Subject {
    /// A service token.
    Token(Box<Token>),
    /// A service user.
    User(Box<User>),
}

/// How many each rule finds, in the order of the rules.
pub async fn counts(app: &App) -> Result<Vec<(Rule, i64)>, Error> {
    let now = app.clock.now();
    let count = async |rules: Vec<Rule>| {
        let mut reader = app.store.read().await?;
        let mut counts = Vec::with_capacity(rules.len());
        for rule in rules {
            counts.push((rule, reviews::count(&mut reader, rule, now).await?));
        }
        Ok::<_, Error>(counts)
    };
    // Those that nobody uses take as long as all others together.
    let (unused, others) = Rule::ALL.iter().partition(|rule| **rule == Rule::Unused);
    let (mut counts, others) = tokio::try_join!(count(unused), count(others))?;
    counts.extend(others);
    counts.sort_unstable_by_key(|(rule, _)| *rule);
    Ok(counts)
}

/// What each rule finds, or one: how many, and the first of them or those of a window.
pub async fn overview(
    app: &App,
    only: Option<Rule>,
    (limit, offset): (i64, i64),
) -> Result<Vec<(Rule, i64, Vec<Finding>)>, Error> {
    let mut overview = Vec::with_capacity(Rule::ALL.len());
    for (rule, count) in counts(app).await? {
        if only.is_some_and(|only| only != rule) {
            continue;
        }
        let findings = if count > offset {
            find(app, rule, Part { after: None, offset, limit }).await?.0
        } else {
            Vec::new()
        };
        overview.push((rule, count, findings));
    }
    Ok(overview)
}

/// A part of what all rules find, or one, in the order of the rules, with how many there are.
pub async fn page(app: &App, only: Option<Rule>, limit: i64, offset: i64) -> Result<Page<Finding>, Error> {
    let mut counts = counts(app).await?;
    counts.retain(|(rule, _)| only.is_none_or(|only| only == *rule));
    let total = counts.iter().map(|(_, count)| count).sum();
    let (mut items, mut skip) = (Vec::new(), offset);
    for (rule, count) in counts {
        let wanted = limit - i64::try_from(items.len()).unwrap_or(i64::MAX);
        if wanted <= 0 {
            break;
        }
        if skip < count {
            let part = Part { after: None, offset: skip, limit: wanted };
            items.extend(find(app, rule, part).await?.0);
        }
        skip = (skip - count).max(0);
    }
    Ok(Page { items, total })
}

/// The next findings of a rule after this place, or the first; and where to go on, if there may be more.
pub async fn after(
    app: &App,
    rule: Rule,
    last: Option<Place>,
    limit: i64,
) -> Result<(Vec<Finding>, Option<Place>), Error> {
    find(app, rule, Part { after: last, offset: 0, limit }).await
}

/// A part of what a rule finds, and the place of the last one that was looked at.
async fn find(app: &App, rule: Rule, part: Part) -> Result<(Vec<Finding>, Option<Place>), Error> {
    let now = app.clock.now();
    let mut reader = app.store.read().await?;
    match reviews::page(&mut reader, rule, now, part).await? {
        Found::Users(found) => {
            let last = found.last().map(|(place, user)| (*place, user.id.0));
            let told = |(_, user): (i64, User)| Finding {
                rule,
                severity: rule.severity(),
                since: user.created_at,
                who: answers_for(&user),
                knocks: None,
                subject: Subject::User(Box::new(user)),
            };
            Ok((found.into_iter().map(told).collect(), last))
        }
        Found::Tokens(mut found) => {
            let last = found.last().map(|(place, token)| (*place, token.id.0));
            let owners = owners_of(&mut reader, &found).await?;
            drop(reader);
            let ids: Vec<TokenId> = found.iter().map(|(_, token)| token.id).collect();
            let mut knocks = match rule {
                Rule::StillTried => app.dead_tokens.of(&app.store, &ids).await?,
                _ => HashMap::new(),
            };
            for (_, token) in &mut found {
                with_latest_use(app, token);
            }
            // Used a moment ago, and not written or not folded yet.
            let is_still = |token: &Token| {
                rule != Rule::Unused || unused_from(token.created_at, token.last_used_at) <= now
            };
            let found = found.into_iter().map(|(_, token)| token).filter(is_still);
            let told = |token: Token| {
                let (owner, knocks) = (owners.get(&token.owner.id), knocks.remove(&token.id));
                told(rule, token, owner, knocks, now)
            };
            Ok((found.map(told).collect(), last))
        }
    }
}

async fn owners_of(reader: &mut Connection, found: &[(i64, Token)]) -> Result<HashMap<UserId, User>, Error> {
    let mut ids: Vec<UserId> = found.iter().map(|(_, token)| token.owner.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let owners = users::find_many(reader, &ids).await?;
    Ok(owners.into_iter().map(|user| (user.id, user)).collect())
}

fn told(rule: Rule, token: Token, owner: Option<&User>, knocks: Option<Knocks>, now: Timestamp) -> Finding {
    let plan = token.plan.as_ref().or(owner.and_then(|owner| owner.plan.as_ref()));
    let since = match rule {
        Rule::Unused => unused_from(token.created_at, token.last_used_at),
        Rule::Expiring => {
            let end = token.expires_at.unwrap_or(now);
            expiring_from(end, plan.map(|plan| plan.days_before)).max(token.created_at)
        }
        Rule::Orphaned => owner.and_then(|owner| owner.deleted_at).unwrap_or(token.created_at),
        Rule::StillTried => dead_since(&token, owner, now),
        Rule::RotationUnfinished => token.closing.and_then(|closing| closing.deadline).unwrap_or(now),
        Rule::NeverExpires | Rule::NobodyAnswers | Rule::AdminRole => token.created_at,
    };
    let is_urgent = match rule {
        Rule::Expiring => token.expires_at.is_some_and(|end| now >= end.plus_days(-URGENT_DAYS)),
        _ => false,
    };
    let who = plan.map_or_else(
        || owner.map_or_else(|| ADMINS.to_owned(), answers_for),
        |plan| plan.responsible.clone(),
    );
    Finding {
        rule,
        severity: if is_urgent { Severity::High } else { rule.severity() },
        since,
        who,
        knocks,
        subject: Subject::Token(Box::new(token)),
    }
}

/// Whoever must act where nobody is named.
const ADMINS: &str = "Admins";

fn answers_for(user: &User) -> String {
    user.owner.clone().filter(|owner| !owner.is_empty()).unwrap_or_else(|| ADMINS.to_owned())
}

fn dead_since(token: &Token, owner: Option<&User>, now: Timestamp) -> Timestamp {
    let expired = token.expires_at.filter(|end| *end <= now);
    let orphaned = owner.and_then(|owner| owner.deleted_at);
    [token.revoked_at, expired, orphaned].into_iter().flatten().min().unwrap_or(token.created_at)
}

/// Notes that somebody looked through all findings of this moment, and vouches for what is left.
pub async fn sign_off(app: &App, call: &Call, comment: &str) -> Result<StoredRecord, Error> {
    call.needs(Permission::Audit)?;
    let mut fields = Fields::default();
    let comment = fields.check("comment", people::free_text(comment, COMMENT_LIMIT));
    if comment == Some(None) {
        fields.wrong("comment", "is required: say what you looked at and why what is left may stay");
    }
    fields.finish()?;
    let counts = counts(app).await?;
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    let counts: Map<String, Value> =
        counts.into_iter().map(|(rule, count)| (rule.as_str().to_owned(), count.into())).collect();
    let mut writer = app.begin(call).await?;
    let quarter = writer.now().quarter();
    let changes =
        Changes::default().set("comment", comment.flatten()).set("findings", total).set("by_rule", counts);
    let seq = writer.record(call.draft(Action::ReviewSignedOff, 0, &quarter, changes.0)).await?;
    app.commit(writer).await?;
    let found = audit::before(&mut *app.store.read().await?, &AuditFilter::default(), seq + 1, 1).await?;
    found.into_iter().next().ok_or_else(|| Error::internal("the sign-off vanished"))
}

/// Who looked through the findings and when, newest first.
pub async fn history(app: &App, limit: i64, offset: i64) -> Result<Page<StoredRecord>, Error> {
    let filter = AuditFilter { action: Some(Action::ReviewSignedOff), ..AuditFilter::default() };
    Ok(audit::page(&mut *app.store.read().await?, &filter, limit, offset).await?)
}

/// The newest record of the audit trail, to be kept with what was found.
pub async fn head(app: &App) -> Result<Head, Error> {
    let (head, _) = audit::head(&mut *app.store.read().await?).await?;
    app.store.settle().await?;
    Ok(head)
}
