//! The choice of a lifetime: chips, each with the day that it comes to.

use tokenhouse_core::token::{Lifetime, LifetimePolicy};

use crate::ui::moment::Moment;
use crate::ui::page::Page;

/// The lifetimes that are offered, in days.
const OFFERED: [i64; 4] = [30, 60, 90, 365];

/// How the lifetime without an end is called in the form.
const NEVER: &str = "never";

/// The lifetimes to choose from.
pub(in crate::ui) struct Lifetimes {
    pub(in crate::ui) choices: Vec<Choice>,
    /// What policy forbids, in words.
    pub(in crate::ui) limit: Option<String>,
}

/// One of them.
pub(in crate::ui) struct Choice {
    pub(in crate::ui) value: String,
    pub(in crate::ui) label: String,
    pub(in crate::ui) is_chosen: bool,
    /// When the token would end; `None` is never.
    pub(in crate::ui) ends: Option<Moment>,
    /// The class that shows its day while it is chosen.
    pub(in crate::ui) outcome: &'static str,
}

impl Lifetimes {
    /// What policy allows, seen from the page. `chosen` is what was sent.
    pub(in crate::ui) fn sent(page: &Page, policy: LifetimePolicy, chosen: &str) -> Self {
        Self::new(page, policy, chosen, None)
    }

    /// What policy allows, with the usual one chosen.
    pub(in crate::ui) fn usual(page: &Page, policy: LifetimePolicy, usual: i64) -> Self {
        let usual = usual.min(policy.most_days());
        Self {
            choices: Self::choices(page, policy, &usual.to_string(), [usual, policy.most_days()], None),
            limit: limit(policy),
        }
    }

    /// What policy allows, and the lifetime of a predecessor; `chosen` is what was sent, if anything.
    pub(in crate::ui) fn as_before(
        page: &Page,
        policy: LifetimePolicy,
        before: Lifetime,
        chosen: Option<&str>,
    ) -> Self {
        let before = match before {
            Lifetime::Never => return Self::new(page, policy, chosen.unwrap_or(NEVER), None),
            Lifetime::Days(days) => days,
        };
        Self::new(page, policy, chosen.unwrap_or(&before.to_string()), Some(before))
    }

    fn new(page: &Page, policy: LifetimePolicy, chosen: &str, before: Option<i64>) -> Self {
        let extra = before.unwrap_or(policy.most_days());
        Self { choices: Self::choices(page, policy, chosen, [extra; 2], before), limit: limit(policy) }
    }

    /// Those that are offered, and extra ones.
    fn choices(
        page: &Page,
        policy: LifetimePolicy,
        chosen: &str,
        extra: [i64; 2],
        before: Option<i64>,
    ) -> Vec<Choice> {
        let most = policy.most_days();
        let mut days: Vec<i64> = OFFERED.into_iter().filter(|days| *days <= most).collect();
        days.extend(extra);
        days.sort_unstable();
        days.dedup();
        let choice = |days: i64| {
            let value = days.to_string();
            Choice {
                label: label(days, before),
                is_chosen: value == chosen,
                ends: Lifetime::Days(days).end(page.now()).map(|end| page.moment(end)),
                outcome: outcome(days),
                value,
            }
        };
        let mut choices: Vec<Choice> = days.into_iter().map(choice).collect();
        if policy.allow_never {
            let (value, label) = (NEVER.to_owned(), "Never".to_owned());
            choices.push(Choice {
                value,
                label,
                is_chosen: chosen == NEVER,
                ends: None,
                outcome: "on-never",
            });
        }
        choices
    }
}

fn label(days: i64, before: Option<i64>) -> String {
    let label = match days {
        365 => "1 year".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    if before == Some(days) { format!("{label}, as before") } else { label }
}

/// The style sheet knows those that are offered, and one more.
const fn outcome(days: i64) -> &'static str {
    match days {
        30 => "on-30",
        60 => "on-60",
        90 => "on-90",
        365 => "on-365",
        _ => "on-other",
    }
}

fn limit(policy: LifetimePolicy) -> Option<String> {
    let most = policy.most_days();
    let is_short = OFFERED.iter().any(|days| *days > most);
    match (is_short, policy.allow_never) {
        (false, true) => None,
        (false, false) => Some("Tokens without an end are not allowed here.".to_owned()),
        (true, true) => Some(format!("Tokens that end may live {most} days at most here.")),
        (true, false) => Some(format!("Tokens may live {most} days at most here.")),
    }
}

/// The days that were sent: `None` is never. What is none of ours is 0, which no policy allows.
pub(in crate::ui) fn parse(sent: &str) -> Option<i64> {
    if sent == NEVER { None } else { Some(sent.parse().unwrap_or(0)) }
}
