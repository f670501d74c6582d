//! Checking tokens for others. Thin, and without the database: the verdict comes from the index.

pub mod assertion;
pub mod forward_auth;
pub mod gateway;
pub mod identity;
pub mod oauth;
