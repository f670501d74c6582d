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
    is_cut: bool,
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
        Self::at(page.here(), (sort, descending), (number, size), total)
    }

    fn at(
        here: &str,
        (sort, descending): (&'static str, bool),
        (number, size): (u64, u64),
        total: u64,
    ) -> Self {
        let (path, query) = here.split_once('?').unwrap_or((here, ""));
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self {
            path: path.to_owned(),
            parameters,
            sort,
            descending,
            number: number.max(1),
            size: size.max(1),
            total,
            is_cut: false,
        }
    }

    /// The same list, which goes on with more than were counted: the total has one of them.
    #[must_use]
    pub fn cut(self, is_cut: bool) -> Self {
        Self { is_cut, ..self }
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
            total if self.is_cut => {
                format!("{}–{} of more than {}", grouped(first), grouped(last), grouped(total - 1))
            }
            total => format!("{}–{} of {}", grouped(first), grouped(last), grouped(total)),
        }
    }

    /// How many there are on all pages.
    pub const fn total(&self) -> u64 {
        self.total
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
        match query.finish() {
            query if query.is_empty() => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(here: &str, number: u64, total: u64) -> Listing {
        Listing::at(here, ("name", false), (number, 10), total)
    }

    #[test]
    fn links_keep_what_they_do_not_change() {
        let list = listing("/settings/tokens?q=a%26b+c&state=active&page=3", 3, 148);
        assert_eq!(list.with("state", "revoked"), "/settings/tokens?q=a%26b+c&state=revoked");
        assert_eq!(list.with("state", ""), "/settings/tokens?q=a%26b+c");
        assert_eq!(listing("/x?state=active", 1, 1).with("state", ""), "/x");
        assert_eq!(list.next().as_deref(), Some("/settings/tokens?q=a%26b+c&state=active&page=4"));
        assert_eq!(list.previous().as_deref(), Some("/settings/tokens?q=a%26b+c&state=active&page=2"));
    }

    #[test]
    fn a_head_sorts_and_then_turns_the_order_around() {
        let list = listing("/x?sort=name&page=2", 2, 148);
        let name = Heading { href: "/x?sort=name&sort_dir=desc".into(), order: Some("ascending") };
        assert_eq!(list.heading("name"), name);
        let created = Heading { href: "/x?sort=created&sort_dir=asc".into(), order: None };
        assert_eq!(list.heading("created"), created);
        let descending = Listing::at("/x", ("name", true), (1, 10), 5).heading("name");
        assert_eq!(descending.order, Some("descending"));
        assert_eq!(descending.href, "/x?sort=name&sort_dir=asc");
    }

    #[test]
    fn the_range_and_the_pages_around_it_are_true() {
        for (number, total, range, previous, next) in [
            (1, 0, "None", false, false),
            (1, 1, "1–1 of 1", false, false),
            (1, 10, "1–10 of 10", false, false),
            (1, 11, "1–10 of 11", false, true),
            (2, 11, "11–11 of 11", true, false),
            (15, 1_148, "141–150 of 1,148", true, true),
            (99, 11, "Nothing on this page of 11", true, false),
            (u64::MAX, 11, "Nothing on this page of 11", true, false),
        ] {
            let list = listing("/x", number, total);
            assert_eq!(list.range(), range);
            assert_eq!((list.previous().is_some(), list.next().is_some()), (previous, next), "{range}");
        }
        assert_eq!(listing("/x", 2, 1_001).cut(true).range(), "11–20 of more than 1,000");
        assert_eq!(listing("/x", 99, 11).previous().as_deref(), Some("/x?page=2"));
    }
}
