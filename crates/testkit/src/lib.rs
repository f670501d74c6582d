//! For tests only: real databases, started once and gone with the test.
