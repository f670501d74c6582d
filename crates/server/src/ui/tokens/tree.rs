//! The lineage of a token as a nested list.

use std::collections::HashMap;

use tokenhouse_core::id::TokenId;

use super::{path, state, status, tone};
use crate::service::tokens::views::{Details, Relative};
use crate::ui::page::Page;

/// A place in the tree, in the order in which it is written.
pub(super) struct Node {
    pub(super) entry: Entry,
    /// Whether the token of the page was made with it.
    pub(super) is_maker: bool,
    /// Whether a list begins with it, inside the entry before.
    pub(super) opens: bool,
    /// Whether it ends at once, as nothing was made with it.
    pub(super) ends: bool,
    /// How many entries around it end with it.
    pub(super) closes: usize,
}

/// What the viewer may see there.
pub(super) enum Entry {
    /// The token of the page: its name.
    This(String),
    /// Another token.
    Other { name: String, path: String, tone: &'static str, word: &'static str },
    /// A token that is deleted.
    Deleted,
    /// A token that is not for the viewer to see.
    Hidden,
}

impl Entry {
    fn new(page: &Page, relative: &Relative, this: TokenId) -> Self {
        match &relative.token {
            Some(token) if token.id == this => Self::This(token.name.clone()),
            Some(token) => {
                let status = status(page, token);
                let (name, path) = (token.name.clone(), path(token.id));
                Self::Other { name, path, tone: tone(status), word: state(status).1 }
            }
            None if relative.is_deleted => Self::Deleted,
            None => Self::Hidden,
        }
    }
}

/// The token between what it was made with and what was made with it.
pub(super) fn tree(page: &Page, details: &Details) -> Vec<Node> {
    let this = Relative {
        id: details.token.id,
        parent: details.token.parent_id,
        token: Some(details.token.clone()),
        is_deleted: false,
    };
    let above = details.ancestors.len();
    let mut line: Vec<(usize, &Relative)> = details.ancestors.iter().enumerate().collect();
    line.extend(below(above, &this, &details.descendants));
    let depths: Vec<usize> = line.iter().map(|(depth, _)| *depth).collect();
    let entries = line.iter().enumerate();
    entries
        .map(|(place, (depth, relative))| {
            let before = place.checked_sub(1).map(|before| depths[before]);
            let after = depths.get(place + 1).copied().unwrap_or_default();
            Node {
                entry: Entry::new(page, relative, this.id),
                is_maker: Some(relative.id) == this.parent,
                opens: before.is_some_and(|before| *depth > before),
                ends: after <= *depth,
                closes: depth.saturating_sub(after),
            }
        })
        .collect()
}

/// A token and what was made with it, each below the one it was made with.
fn below<'d>(depth: usize, this: &'d Relative, descendants: &'d [Relative]) -> Vec<(usize, &'d Relative)> {
    let mut children: HashMap<TokenId, Vec<&Relative>> = HashMap::new();
    for descendant in descendants.iter().rev() {
        if let Some(parent) = descendant.parent {
            children.entry(parent).or_default().push(descendant);
        }
    }
    let mut line = Vec::with_capacity(descendants.len() + 1);
    let mut waiting = vec![(depth, this)];
    while let Some((depth, relative)) = waiting.pop() {
        line.push((depth, relative));
        // Taken out, so that a cycle ends.
        let made = children.remove(&relative.id).unwrap_or_default();
        waiting.extend(made.into_iter().map(|child| (depth + 1, child)));
    }
    line
}
