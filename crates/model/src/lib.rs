//! The protocol of a fleet as a model that a program checks in every order of events.
//!
//! # What is promised
//!
//! Once a revoke has been acknowledged, no check that starts later on any node accepts the token. A node that can't
//! prove that it is fresh refuses.
//!
//! # The protocol
//!
//! The nodes share a database. It has a log of changes with numbers without gaps, and a table with a row for each
//! running node: how far the node's index is (`applied`), and how often it has renewed its lease (`renewals`).
//!
//! - **Join**: read the head of the log, load the index, insert the own row, and only then renew. Before the first
//!   renewal nothing is answered.
//! - **Renew**: note t0; count the row's `renewals` up and read the head, in one statement; follow the log up to that
//!   head; only then answer checks, until t0 + [`LEASE`](clock::LEASE). Without a row, register anew, as another
//!   incarnation.
//! - **Wake**: at any time, or never, read the log and tell by `applied` how far the index is.
//! - **Revoke**: under an advisory lock read the head, write the next change and commit. T' is when the answer is
//!   there. Then the **fence**: acknowledge when the table, read after T', has no row of another node that shows
//!   less, or at T' + [`FENCE`](clock::FENCE), and in any case not before the own index shows it. A revoke that
//!   finds the token revoked has a fence for the head that it has read.
//! - **Remove** a row when it was seen without a renewal for [`FENCE`](clock::FENCE), counted from when it was seen,
//!   by a `DELETE` with the condition that its `renewals` are the same.
//! - **Leave**: answer no more, then delete the own row. **Crash**: the row stays. **Restart**: another incarnation.
//!
//! # Why it holds
//!
//! A lease was renewed from a t0. If the commit was before the renewal read the head, the index shows the change. If
//! not, t0 was before T', so the lease is over when the fence ends by time. A fence that ends by rows has seen every
//! node that may have such a lease: a row is there before the first renewal reads the head, and goes only when
//! the lease is over.
//!
//! # How it is modelled
//!
//! - A step is what happens in one place at one moment ([`Action`](protocol::Action)); any step that is possible may
//!   be the next. So a paused process is one that makes no step while time passes, a cut connection is a statement
//!   that isn't executed or an answer that isn't received, and a lost wake-up is a log that isn't read.
//! - Statements have a life of their own: they are executed long after they were sent, or after their process
//!   has crashed, or never. A renewal reads the head when it begins and is seen when it ends, as a statement
//!   in PostgreSQL is.
//! - Time is a count of ticks with no limit; every duration starts anew, so states repeat and there is an end.
//!   [`clock`] says how clocks that drift are covered.
//! - Bounded are the nodes, how often nodes join, and the revokes ([`Protocol`](protocol::Protocol)). A name that
//!   makes no difference isn't tried twice.
//!
//! Not modelled: what the database does to keep what it has committed (failover to a replica that lacks
//! something breaks the promise), changes that give access, a transaction that is rolled back (it leaves
//! nothing), and a renewal that is executed after its node has given it up (it only counts).
//!
//! The real protocol has to hold, and each [`Weakness`](protocol::Weakness) has to be found: see the tests.
//! `cargo run -p tokenhouse-model --example explore -- 2 3 0` tries other bounds.

pub mod clock;
pub mod database;
pub mod node;
pub mod protocol;
pub mod revoke;
pub mod state;
