//! Who is calling: from the bearer token to a handler's argument.

pub mod address;
pub mod bearer;
pub mod guard;
