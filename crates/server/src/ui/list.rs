//! Links of a list: by what it is sorted, filtered, and which page of it is shown.

use super::page::Page;
use super::text::grouped;

/// A list as it is shown at this moment.
#[derive(Clone, Debug)]
pub struct Listing {
    path: String,
    parameters: Vec<(String, String)>,
    sort: &'static str,
    descending: bool,
    number: u64,
    size: u64,
    total: u64,
}

/// The link at the head of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heading {
    /// Sorts by this column, or turns the order around.
    pub href: String,
    /// `ascending` or `descending`, if the list is sorted by this column.
    pub order: Option<&'static str>,
}

impl Listing {
    /// The list on this page, whose present parameters its links keep: page `number` of `size` items,
    /// from 1, of `total` on all of them.
    pub fn new(
        page: &Page,
        (sort, descending): (&'static str, bool),
        (number, size): (u64, u64),
        total: u64,
    ) -> Self {
        let (path, query) = page.here().split_once('?').unwrap_or((page.here(), ""));
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self {
            path: path.to_owned(),
            parameters,
            sort,
            descending,
            number: number.max(1),
            size: size.max(1),
            total,
        }
    }

    /// A link to the same list with one parameter changed, at its first page. An empty value takes the
    /// parameter away.
    pub fn with(&self, name: &str, value: &str) -> String {
        self.link(&[(name, value), ("page", "")])
    }

    /// The head of a column.
    pub fn heading(&self, column: &'static str) -> Heading {
        let sorted = self.sort == column;
        let direction = if sorted && !self.descending { "desc" } else { "asc" };
        let order = if self.descending { "descending" } else { "ascending" };
        Heading {
            href: self.link(&[("sort", column), ("sort_dir", direction), ("page", "")]),
            order: sorted.then_some(order),
        }
    }

    /// `1–10 of 148`
    pub fn range(&self) -> String {
        let first = (self.number - 1).saturating_mul(self.size).saturating_add(1);
        let last = first.saturating_add(self.size - 1).min(self.total);
        match self.total {
            0 => "None".to_owned(),
            total if first > last => format!("Nothing on this page of {}", grouped(total)),
            total => format!("{}–{} of {}", grouped(first), grouped(last), grouped(total)),
        }
    }

    /// The page before, if there is one.
    pub fn previous(&self) -> Option<String> {
        let last = self.total.div_ceil(self.size).max(1);
        (self.number > 1).then(|| self.link(&[("page", &(self.number - 1).min(last).to_string())]))
    }

    /// The page after, if there is one.
    pub fn next(&self) -> Option<String> {
        let more = self.number.saturating_mul(self.size) < self.total;
        more.then(|| self.link(&[("page", &(self.number + 1).to_string())]))
    }

    fn link(&self, changes: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.parameters {
            if !changes.iter().any(|(changed, _)| changed == name) {
                query.append_pair(name, value);
            }
        }
        for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        format!("{}?{}", self.path, query.finish())
    }
}
