//! Who is calling: from the bearer token, or the cookie of a session, to a handler's argument.

pub mod address;
pub mod bearer;
pub mod guard;
pub mod origin;
pub mod password;
pub mod session;
