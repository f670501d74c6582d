//! The part of a page that sums up the requests of a token or of an account.

use std::collections::HashMap;

use serde::Deserialize;
use tokenhouse_core::clock::Timestamp;
use tokenhouse_requests::{Bucket, Filter, Per, Ranked, Top};

use super::row::{Table, sent};
use crate::app::App;
use crate::error::Error;
use crate::service::requests::{self, Visible};
use crate::ui::chart::{Chart, Counted, Span, Unit};
use crate::ui::moment::Moment;
use crate::ui::page::Page;
use crate::ui::text::{grouped, sentence};

/// How many of the last requests are shown.
const LAST: usize = 20;

/// How many addresses, paths and user agents are shown.
const RANKED: usize = 5;

/// Which window was chosen in the address of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Chosen {
    requests: String,
}

/// How much is summed up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Window {
    Day,
    Week,
    Month,
}

impl Window {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// What was chosen; a week, if nothing that makes sense.
    fn of(chosen: &Chosen) -> Self {
        Self::ALL.into_iter().find(|window| window.as_str() == chosen.requests).unwrap_or(Self::Week)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    const fn unit(self) -> (Unit, Per) {
        match self {
            Self::Day => (Unit::Hour, Per::Hour),
            Self::Week | Self::Month => (Unit::Day, Per::Day),
        }
    }

    /// When its hours or days begin, the present one included.
    fn starts(self, now: Timestamp) -> Vec<Timestamp> {
        let days = |count: i64| (1 - count..=0).map(|day| now.start_of_day().plus_days(day)).collect();
        match self {
            Self::Day => (-23..=0).map(|hour| now.start_of_hour().plus_hours(hour)).collect(),
            Self::Week => days(7),
            Self::Month => days(30),
        }
    }
}

/// The part of the page.
pub(in crate::ui) struct Section {
    pub(in crate::ui) windows: Vec<Choice>,
    /// `7 days`
    pub(in crate::ui) label: &'static str,
    pub(in crate::ui) is_of_one_token: bool,
    /// Where all requests are listed.
    pub(in crate::ui) all: String,
    /// Where the report after a leak is, if the caller may have one.
    pub(in crate::ui) report: Option<String>,
    /// What was found, or why nothing can be told.
    pub(in crate::ui) found: Result<Found, String>,
}

/// A window that can be chosen.
pub(in crate::ui) struct Choice {
    pub(in crate::ui) href: String,
    pub(in crate::ui) label: &'static str,
    pub(in crate::ui) is_current: bool,
}

/// What there is in the window.
pub(in crate::ui) struct Found {
    pub(in crate::ui) chart: Chart,
    /// Addresses, paths and user agents, or why they can't be told.
    pub(in crate::ui) tops: Result<[TopList; 3], String>,
    pub(in crate::ui) table: Table,
}

/// What occurs most often.
pub(in crate::ui) struct TopList {
    pub(in crate::ui) id: &'static str,
    pub(in crate::ui) title: &'static str,
    pub(in crate::ui) lines: Vec<TopLine>,
}

/// One of it.
pub(in crate::ui) struct TopLine {
    pub(in crate::ui) value: String,
    pub(in crate::ui) count: String,
    /// In percent of the most frequent one.
    pub(in crate::ui) share: u64,
    pub(in crate::ui) last: Moment,
}

impl Section {
    /// The part of the page at `path` about these requests; `None` where there is no log. Whatever the log can't
    /// answer is told in its place: the page is needed also then.
    pub(in crate::ui) async fn load(
        app: &App,
        page: &Page,
        visible: &Visible,
        chosen: &Chosen,
        path: &str,
    ) -> Option<Self> {
        if !requests::are_recorded(app) {
            return None;
        }
        let window = Window::of(chosen);
        let choice = |other: Window| Choice {
            href: format!("{path}?requests={}#requests", other.as_str()),
            label: other.label(),
            is_current: other == window,
        };
        Some(Self {
            windows: Window::ALL.map(choice).into(),
            label: window.label(),
            is_of_one_token: visible.is_of_one_token(),
            all: super::below(path),
            report: visible.tells_tokens().then(|| format!("{path}/report")),
            found: Found::load(app, page, visible, window).await.map_err(|error| told(&error)),
        })
    }
}

impl Found {
    async fn load(app: &App, page: &Page, visible: &Visible, window: Window) -> Result<Self, Error> {
        let starts = window.starts(page.now());
        let (unit, per) = window.unit();
        let filter: Filter = visible.between(starts.first().copied(), None);
        let last = requests::page(app, visible, filter.clone(), None, LAST);
        let counts = requests::counts(app, filter.clone(), per);
        let (last, counts, top) = tokio::join!(last, counts, requests::top(app, filter));
        Ok(Self {
            chart: Chart::new(page, Counted::Requests, unit, &spans(&starts, &counts?)),
            tops: top.map(|top| tops(page, top)).map_err(|error| told(&error)),
            table: Table::of(page, visible, Some(last?)),
        })
    }
}

/// Every hour or day of the window, also those without any request.
fn spans(starts: &[Timestamp], counts: &[Bucket]) -> Vec<Span> {
    let counts: HashMap<Timestamp, [u64; 2]> =
        counts.iter().map(|bucket| (bucket.start, [bucket.allowed, bucket.denied])).collect();
    let span =
        |start: &Timestamp| Span { start: *start, counts: counts.get(start).copied().unwrap_or_default() };
    starts.iter().map(span).collect()
}

fn tops(page: &Page, Top { ips, paths, user_agents }: Top) -> [TopList; 3] {
    let list = |id: &'static str, title: &'static str, ranked: Vec<Ranked>| {
        let highest = ranked.first().map_or(1, |first| (first.allowed + first.denied).max(1));
        let line = |ranked: Ranked| {
            let count = ranked.allowed + ranked.denied;
            TopLine {
                value: if ranked.value.is_empty() { "not told".to_owned() } else { sent(&ranked.value) },
                count: grouped(count),
                share: count.saturating_mul(100) / highest,
                last: page.moment(ranked.last),
            }
        };
        TopList { id, title, lines: ranked.into_iter().take(RANKED).map(line).collect() }
    };
    [list("ips", "Addresses", ips), list("paths", "Paths", paths), list("agents", "User agents", user_agents)]
}

/// Why the log doesn't answer, as a sentence on a page that goes on without it.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::BadRequest(message) => sentence(message),
        Error::Unavailable(cause) | Error::Internal(cause) => {
            tracing::error!(%cause, "the request log does not answer");
            "The request log does not answer at this moment; try again.".to_owned()
        }
        other => sentence(&other.to_string()),
    }
}
