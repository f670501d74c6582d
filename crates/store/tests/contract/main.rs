//! What the store promises, on both databases. One program, so that PostgreSQL is started once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod alerts;
mod audit;
mod directory;
mod directory_people;
mod due;
mod feed;
mod governance;
mod knocks;
mod lineage;
mod nodes;
mod opening;
mod service_user_requests;
mod sessions;
mod setting;
mod teams;
mod token_lists;
mod tokens;
mod users;
mod writing;
