//! The only crate with SQL: one store over SQLite or PostgreSQL.
//!
//! Reading takes a [`Connection`], from [`Store::read`] or inside a write transaction. Changing
//! takes a [`Writer`], which commits only together with an audit record, so that a change without
//! a record can't exist. One module per table; what differs between the two databases is in
//! `dialect.rs` and the two folders of migrations.

pub mod alerts;
pub mod audit;
pub mod changes;
pub mod deliveries;
mod dialect;
pub mod directory;
pub mod due;
mod durability;
mod error;
pub mod invitations;
mod keys;
pub mod knocks;
pub mod lineage;
pub mod networks;
pub mod nodes;
pub mod passwords;
#[cfg(test)]
mod plans;
pub mod policies;
pub mod positions;
pub mod reviews;
pub mod service_user_requests;
pub mod sessions;
pub mod setup;
mod sql;
mod store;
pub mod successors;
pub mod teams;
pub mod token_lists;
pub mod tokens;
mod turns;
pub mod usage;
pub mod users;
mod writer;

pub use sqlx::AnyConnection as Connection;

pub use error::{Cause, Error, What};
pub use store::{Reader, Store};
pub use writer::{Committed, Writer};

/// A part of a longer list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The items of this part.
    pub items: Vec<T>,
    /// How many there are altogether.
    pub total: i64,
}
