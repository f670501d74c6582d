//! Who uses tokens that are about to be revoked.

use std::time::Duration;

use super::row::sent;
use super::section::told;
use crate::app::App;
use crate::service::requests::{self, Visible};
use crate::ui::moment::Moment;
use crate::ui::page::Page;
use crate::ui::text::{grouped, plural};

/// How long a dialog waits for the log: whoever has to revoke a token has no time.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is told when that was not enough.
const NOT_IN_TIME: &str = "The log of requests didn’t answer in time.";

/// What a dialog tells of those who will be refused.
pub(in crate::ui) struct Callers {
    /// `it` or `them`.
    pub(in crate::ui) object: &'static str,
    /// Addresses with most requests in the last 24 hours, or why they can't be told.
    pub(in crate::ui) lines: Result<Vec<Line>, String>,
    /// `3 addresses`
    pub(in crate::ui) count: String,
    /// How many are left out, if any.
    pub(in crate::ui) more: Option<String>,
}

/// An address.
pub(in crate::ui) struct Line {
    pub(in crate::ui) ip: String,
    pub(in crate::ui) requests: String,
    pub(in crate::ui) last: Moment,
    /// What it calls itself, if it does and did lately.
    pub(in crate::ui) user_agent: Option<String>,
}

impl Callers {
    /// Those of the last 24 hours; `None` where there is no log.
    pub(in crate::ui) async fn load(app: &App, page: &Page, visible: &Visible) -> Option<Self> {
        if !requests::are_recorded(app) {
            return None;
        }
        let object = if visible.is_of_one_token() { "it" } else { "them" };
        let untold = |why| Some(Self { object, lines: Err(why), count: String::new(), more: None });
        let found = match tokio::time::timeout(PATIENCE, requests::callers(app, visible)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return untold(told(&error)),
            Err(_) => return untold(NOT_IN_TIME.to_owned()),
        };
        let more = (found.count - found.most.len()) as u64;
        let line = |caller: requests::Caller| Line {
            ip: caller.ip,
            requests: plural(caller.requests, "request", "requests"),
            last: page.moment(caller.last),
            user_agent: caller.user_agent.filter(|agent| !agent.is_empty()).map(|agent| sent(&agent)),
        };
        Some(Self {
            object,
            lines: Ok(found.most.into_iter().map(line).collect()),
            count: plural(found.count as u64, "address", "addresses"),
            more: (more > 0).then(|| grouped(more)),
        })
    }

    /// Whether anybody is known to use what is to be revoked.
    pub(in crate::ui) fn are_any(&self) -> bool {
        self.lines.as_ref().is_ok_and(|lines| !lines.is_empty())
    }

    /// Whether it isn't known who does.
    pub(in crate::ui) const fn are_unknown(&self) -> bool {
        self.lines.is_err()
    }

    /// Whether it is known that nobody does.
    pub(in crate::ui) fn are_none(&self) -> bool {
        self.lines.as_ref().is_ok_and(Vec::is_empty)
    }
}
