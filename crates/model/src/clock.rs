//! Durations by clocks that aren't quite right.
//!
//! The model counts ticks of true time and takes the worst that the clocks allow: a lease that its node believes to
//! be over after `LEASE` ticks may last `DRIFT` ticks more. A node may refuse at any time, so shorter leases are
//! covered. Only the difference between two clocks matters; the one that waits for a fence is taken to be right.

/// How long a lease lasts by its node's clock, counted from before its renewal is sent. Unit: ticks.
pub const LEASE: u8 = 1;

/// How much longer that may take in truth. Unit: ticks.
pub const DRIFT: u8 = 1;

/// How long a fence waits for rows that don't acknowledge, counted from after the commit. Unit: ticks.
pub const FENCE: u8 = 2;

/// A moment to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(u8);

impl Deadline {
    /// The moment `ticks` from now.
    pub fn after(ticks: u8) -> Self {
        Self(ticks)
    }

    /// Whether the moment is over.
    pub fn passed(self) -> bool {
        self.0 == 0
    }

    /// A tick of true time passes.
    pub fn tick(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}
