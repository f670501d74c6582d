//! What is worth an alert, in words. What is about a personal token, or about somebody's own account, is for that person
//! alone; all else is for the Admins.

use std::net::IpAddr;
use std::time::Duration;

use tokenhouse_core::audit::Record;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::people::UserType;
use tokenhouse_store::alerts::NewAlert;
use tokenhouse_store::tokens::Token;

use crate::knocks::Knocks;
use crate::ui::text::plural;

/// So many tokens are named in one alert; of more it tells how many.
const MOST_NAMED: usize = 20;

/// After how long something that goes on is told again.
const DAILY: Duration = Duration::from_hours(24);

/// An alert on a token; `title` goes on after its name.
fn on_token(kind: &'static str, at: Timestamp, token: &Token, title: &str, text: String) -> NewAlert {
    let personal = token.owner.user_type == UserType::Human;
    let name = if personal {
        format!("Your token “{}”", token.name)
    } else {
        format!("Token “{}” of {}", token.name, token.owner.name)
    };
    NewAlert {
        at,
        kind,
        recipient: personal.then_some(token.owner.id),
        token: Some(token.id),
        user: Some(token.owner.id),
        title: format!("{name} {title}"),
        text,
        path: format!("/settings/tokens/{}", token.id),
        subject: format!("{kind}:{}", token.id),
        again_after: None,
    }
}

/// An alert to the Admins about no token.
fn to_admins(kind: &'static str, at: Timestamp, title: String, text: String, path: &str) -> NewAlert {
    NewAlert {
        at,
        kind,
        recipient: None,
        token: None,
        user: None,
        title,
        text,
        path: path.to_owned(),
        subject: kind.to_owned(),
        again_after: None,
    }
}

/// An alert on several tokens of one recipient; `title` goes on after how many there are.
fn on_tokens(kind: &'static str, at: Timestamp, tokens: &[&Token], title: &str, advice: &str) -> NewAlert {
    let owner = tokens.first().map(|token| &token.owner);
    let recipient = owner.filter(|owner| owner.user_type == UserType::Human).map(|owner| owner.id);
    let whose = if recipient.is_some() { "of your tokens" } else { "service tokens" };
    let named = tokens.iter().take(MOST_NAMED).map(|token| match recipient {
        Some(_) => format!("“{}”", token.name),
        None => format!("“{}” of {}", token.name, token.owner.name),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match tokens.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    NewAlert {
        recipient,
        user: recipient,
        ..to_admins(
            kind,
            at,
            format!("{} {whose} {title}", tokens.len()),
            format!("{named}{more}. {advice}"),
            if recipient.is_some() { "/settings/tokens" } else { "/settings/tokens/service" },
        )
    }
}

/// Tokens of one recipient expire in so many days or less.
pub(super) fn expiring(at: Timestamp, tokens: &[&Token], days: i64) -> NewAlert {
    let left = match days {
        1 => "within a day".to_owned(),
        _ => format!("in {}", plural(days.unsigned_abs(), "day", "days")),
    };
    let [token] = tokens else {
        let advice = "Nothing has been made to succeed them. Rotate them in time: whoever uses one needs its new \
                      secret before then.";
        return on_tokens("token.expiring", at, tokens, &format!("expire {left}"), advice);
    };
    let expiry = token.expires_at.unwrap_or(at).whole_second();
    let text = format!(
        "It stops working at {expiry}, and nothing has been made to succeed it. Rotate it in time: whoever uses \
         it needs the new secret before then."
    );
    let alert = on_token("token.expiring", at, token, &format!("expires {left}"), text);
    NewAlert { subject: format!("{}:{days}", alert.subject), ..alert }
}

/// Nobody has used tokens of one recipient for so many days.
pub(super) fn unused(at: Timestamp, tokens: &[&Token], days: u16) -> NewAlert {
    let days = plural(days.into(), "day", "days");
    let reason = "a token that nobody uses is one that nobody misses when it leaks.";
    let [token] = tokens else {
        let advice = format!("Revoke those that nobody needs: {reason}");
        return on_tokens("token.unused", at, tokens, &format!("have not been used for {days}"), &advice);
    };
    let since = token.last_used_at.unwrap_or(token.created_at);
    let used = if token.last_used_at.is_some() { "last used" } else { "made" };
    let never = if token.last_used_at.is_some() { "" } else { ", and never used since" };
    let text =
        format!("It was {used} at {}{never}. Revoke it if nobody needs it: {reason}", since.whole_second());
    let alert = on_token("token.unused", at, token, &format!("has not been used for {days}"), text);
    NewAlert { subject: format!("{}:{}", alert.subject, since.micros()), ..alert }
}

/// A token that nobody uses will be revoked because of the policy.
pub(super) fn idle_announced(record: &Record, token: &Token) -> NewAlert {
    let text = "The policy revokes tokens that nobody uses. Use it once to keep it.".to_owned();
    let title = "will be revoked within days, since nobody uses it";
    let alert = on_token("token.idle_announced", record.at, token, title, text);
    NewAlert { subject: format!("{}:{}", alert.subject, record.seq), ..alert }
}

/// A directory has stopped asking.
pub(super) fn silent(at: Timestamp, token: &Token) -> NewAlert {
    let last = token.last_used_at.unwrap_or(token.created_at);
    let text = format!(
        "The directory that uses it sent its last request at {}. People who leave are not deactivated until it \
         goes on.",
        last.whole_second()
    );
    let alert = on_token("scim.silent", at, token, "is not used by its directory any more", text);
    NewAlert { subject: format!("{}:{}", alert.subject, last.micros()), ..alert }
}

/// A token was used from a network that it was never used from before.
pub(super) fn new_network(at: Timestamp, token: &Token, network: &str, ip: IpAddr) -> NewAlert {
    let text = format!(
        "It was used from {ip} (network {network}) for the first time. If that was not you, or not a machine that \
         should have it, revoke the token."
    );
    let alert = on_token("token.new_network", at, token, "was used from a new network", text);
    NewAlert { subject: format!("{}:{network}", alert.subject), ..alert }
}

/// A token that doesn't work any more was tried.
pub(super) fn dead_tried(token: &Token, knocks: &Knocks) -> NewAlert {
    let text = format!(
        "It is revoked, has expired, or its owner is deactivated, and somebody at {} still tries it. Find the \
         program and give it a new token, or find out who has the old one.",
        knocks.ip
    );
    let alert = on_token("token.dead_tried", knocks.at, token, "does not work any more and was tried", text);
    NewAlert { again_after: Some(DAILY), ..alert }
}

/// A token was found where it doesn't belong.
pub(super) fn leaked(record: &Record, token: &Token) -> NewAlert {
    let text =
        "Somebody found it where others can read it. It is revoked, with whatever was made with it. The \
                report on the token tells what it was used for and what to do."
            .to_owned();
    let alert = on_token("token.leaked", record.at, token, "has leaked and is revoked", text);
    NewAlert { subject: format!("{}:{}", alert.subject, record.seq), ..alert }
}

/// Somebody became an Admin.
pub(super) fn admin_given(record: &Record) -> NewAlert {
    let by = record.actor.as_ref().map_or("the command line or a directory", |actor| actor.name.as_str());
    let title = format!("{} is now an Admin", record.entity.name);
    let text = format!(
        "The role was given by {by} at {}. Admins see and manage every service token, every account and the \
         policies.",
        record.at.whole_second()
    );
    let path = format!("/settings/people/users/{}", record.entity.id);
    let alert = to_admins("user.admin_given", record.at, title, text, &path);
    let user = Some(UserId(record.entity.id));
    NewAlert { user, subject: format!("{}:{}", alert.subject, record.seq), ..alert }
}

/// Too many sign-ins to an account have failed. For whoever has it.
pub(super) fn failed_account(at: Timestamp, account: UserId, count: usize, window: Duration) -> NewAlert {
    let text = format!(
        "Somebody typed a wrong password for your account {count} times within {}. If that was not you, choose a \
         new and long password.",
        minutes(window)
    );
    let title = "Many sign-ins to your account have failed".to_owned();
    NewAlert {
        recipient: Some(account),
        user: Some(account),
        subject: format!("account.failures:{account}"),
        again_after: Some(window),
        ..to_admins("account.failures", at, title, text, "/settings/account")
    }
}

/// Too many attempts from one address have failed: `what` with tokens or to sign in.
pub(super) fn failed_address(
    at: Timestamp,
    (what, ip): (&str, &str),
    count: usize,
    window: Duration,
) -> NewAlert {
    let title = format!("Many {what} from {ip} have failed");
    let text = format!(
        "There were {count} within {}. Somebody may be guessing, or a program may have lost its token.",
        minutes(window)
    );
    let alert = to_admins("address.failures", at, title, text, "/settings/audit");
    NewAlert { subject: format!("{}:{what}:{ip}", alert.subject), again_after: Some(window), ..alert }
}

/// Requests can't be recorded.
pub(super) fn log_failing(at: Timestamp, trouble: &str) -> NewAlert {
    let text = format!("What is wrong: {trouble}. Until it is mended, requests wait or go unrecorded.");
    let title = "The log of requests can't be written".to_owned();
    let alert = to_admins("log.failing", at, title, text, "/settings/requests");
    NewAlert { again_after: Some(DAILY), ..alert }
}

/// The audit trail isn't whole.
pub(super) fn trail_broken(at: Timestamp, broken: &str) -> NewAlert {
    let text = format!(
        "The verification found: {broken}. Somebody has changed the database past Tokenhouse, or the disk has."
    );
    let title = "The audit trail is broken".to_owned();
    let alert = to_admins("audit.broken", at, title, text, "/settings/audit");
    NewAlert { again_after: Some(DAILY), ..alert }
}

/// Somebody asks for a service user.
pub(super) fn request_made(record: &Record) -> NewAlert {
    let by = record.actor.as_ref().map_or("Somebody", |actor| actor.name.as_str());
    let title = format!("{by} asks for the service user “{}”", record.entity.name);
    let text = "Nothing is made until an Admin approves it.".to_owned();
    let alert = to_admins("request.made", record.at, title, text, "/settings/people/requests");
    NewAlert { subject: format!("{}:{}", alert.subject, record.seq), ..alert }
}

/// A request for a service user was decided on. For whoever asked.
pub(super) fn request_decided(record: &Record, asker: UserId) -> NewAlert {
    let word = if record.action == "request.approved" { "approved" } else { "declined" };
    let by = record.actor.as_ref().map_or("An Admin", |actor| actor.name.as_str());
    let title = format!("Your request for the service user “{}” was {word}", record.entity.name);
    let text = format!("{by} has {word} it.");
    let alert = to_admins("request.decided", record.at, title, text, "/settings/people/requests");
    NewAlert {
        recipient: Some(asker),
        user: Some(asker),
        subject: format!("{}:{}", alert.subject, record.seq),
        ..alert
    }
}

fn minutes(window: Duration) -> String {
    let seconds = window.as_secs();
    if seconds.is_multiple_of(60) {
        plural(seconds / 60, "minute", "minutes")
    } else {
        plural(seconds, "second", "seconds")
    }
}
