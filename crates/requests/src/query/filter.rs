//! Which requests are asked for.

use std::net::IpAddr;

use tokenhouse_core::clock::Timestamp;
use tokenhouse_core::id::UserId;
use tokenhouse_core::token::TokenKind;
use tokenhouse_core::verdict::Subject;

use crate::layout::{Hour, column};
use crate::row::Row;
use crate::table::{OK, SERVICE, Table, ip_text};

/// Whose requests are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// Those of a token.
    Token(Subject),
    /// Those of all tokens of an owner.
    Owner(UserId),
    /// Those of service tokens, and those of what is no token.
    Service,
    /// All.
    Everyone,
}

/// Which requests are asked for: those that meet all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Whose.
    pub whose: Whose,
    /// From when on.
    pub from: Option<Timestamp>,
    /// Before when.
    pub to: Option<Timestamp>,
    /// Only those that were allowed, or only those that were refused.
    pub allowed: Option<bool>,
    /// Only those with a method other than GET, HEAD and OPTIONS, or only those with one of them.
    pub writes: Option<bool>,
    /// From any of these addresses; from anywhere if there are none.
    pub ips: Vec<IpAddr>,
    /// The path, or what it begins with and `*`.
    pub path: Option<String>,
}

impl Filter {
    /// All requests of somebody.
    pub const fn of(whose: Whose) -> Self {
        Self { whose, from: None, to: None, allowed: None, writes: None, ips: Vec::new(), path: None }
    }

    /// With addresses in the form that is compared.
    pub(super) fn normal(&self) -> Self {
        let ips = self.ips.iter().map(IpAddr::to_canonical).collect();
        Self { ips, ..self.clone() }
    }

    /// Whether a row that is in no file meets it.
    pub(super) fn admits(&self, row: &Row<'_>) -> bool {
        let is_of_whom = match self.whose {
            Whose::Token(wanted) => row
                .subject
                .is_some_and(|subject| (subject.token, subject.owner) == (wanted.token, wanted.owner)),
            Whose::Owner(owner) => row.subject.is_some_and(|subject| subject.owner == owner),
            Whose::Service => row.subject.is_none_or(|subject| subject.kind == TokenKind::Service),
            Whose::Everyone => true,
        };
        is_of_whom
            && self.admits_time(row.time)
            && self.allowed.is_none_or(|allowed| allowed == row.refused.is_none())
            && self.admits_method(row.method)
            && (self.ips.is_empty() || self.ips.contains(&row.ip.to_canonical()))
            && self.admits_path(row.path)
    }

    fn admits_time(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }

    fn admits_method(&self, method: &str) -> bool {
        self.writes.is_none_or(|writes| writes != matches!(method, "GET" | "HEAD" | "OPTIONS"))
    }

    fn admits_path(&self, path: &str) -> bool {
        self.path.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == wanted,
        })
    }

    /// Whether it asks for anything of an hour.
    pub(super) fn admits_hour(&self, hour: Hour) -> bool {
        self.from.is_none_or(|from| from < hour.end()) && self.to.is_none_or(|to| hour.start() < to)
    }

    /// The columns that say whether a row of an hour meets it, besides those that files are sorted by.
    pub(super) fn columns(&self, hour: Hour) -> Vec<usize> {
        let cuts_hour =
            self.from.is_some_and(|from| from > hour.start()) || self.to.is_some_and(|to| to < hour.end());
        let columns = [
            (column::KIND, self.whose == Whose::Service),
            (column::TIME, cuts_hour),
            (column::METHOD, self.writes.is_some()),
            (column::PATH, self.path.is_some()),
            (column::REASON, self.allowed.is_some()),
            (column::IP, !self.ips.is_empty()),
        ];
        columns.into_iter().filter_map(|(column, is_needed)| is_needed.then_some(column)).collect()
    }

    /// The addresses as they stand in files.
    pub(super) fn ip_texts(&self) -> Vec<String> {
        self.ips.iter().copied().map(ip_text).collect()
    }

    /// Whether a row of a file meets it, as far as these columns say.
    pub(super) fn admits_row(&self, table: &Table, row: usize, columns: &[usize], ips: &[String]) -> bool {
        columns.iter().all(|column| match *column {
            column::KIND => matches!(table.text(column::KIND, row), "" | SERVICE),
            column::TIME => self.admits_time(table.time(row)),
            column::METHOD => self.admits_method(table.text(column::METHOD, row)),
            column::PATH => self.admits_path(table.text(column::PATH, row)),
            column::REASON => {
                self.allowed.is_none_or(|allowed| allowed == (table.text(column::REASON, row) == OK))
            }
            column::IP => ips.iter().any(|ip| ip == table.text(column::IP, row)),
            _ => true,
        })
    }
}
