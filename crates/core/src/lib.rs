//! The rules of Tokenhouse: what a token is, who may do what, and whether a
//! request is let through. No I/O, no async, no SQL, no HTTP.
//!
//! Read in this order: [`people`], [`token`], [`policy`], [`keys`], [`codec`],
//! [`index`], [`verdict`], [`rules`], [`password`], [`session`], [`audit`].

pub mod audit;
pub mod clock;
pub mod codec;
pub mod id;
pub mod identity;
pub mod index;
pub mod keys;
pub mod network;
pub mod password;
pub mod people;
pub mod policies;
pub mod policy;
pub mod random;
pub mod reviews;
pub mod rules;
pub mod session;
pub mod token;
pub mod verdict;
