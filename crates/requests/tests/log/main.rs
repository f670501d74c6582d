//! The log as the server uses it, alone and in a fleet, and as other programs read it.

mod common;
mod foreign;
mod keeping;
mod shared;
