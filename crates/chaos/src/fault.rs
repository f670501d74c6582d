//! What goes wrong, one thing after the other.

use std::fmt;
use std::thread;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde::Serialize;
use tokenhouse_testkit::postgres::Stop;
use tokenhouse_testkit::process;

use crate::fleet::{Fleet, NODES};
use crate::proxy::{Link, Way};

/// How much later things arrive on a slow link.
const DELAY: Duration = Duration::from_millis(300);

/// How long PostgreSQL is paused: longer than a statement may take, shorter than a lease.
const DATABASE_PAUSE: Duration = Duration::from_secs(2);

/// What can be the matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Nothing,
    NodeStopped,
    NodeKilled,
    Cut,
    SlowUp,
    SlowDown,
    SlowBoth,
    HoleUp,
    HoleDown,
    HoleBoth,
    DatabaseRestarted,
    DatabaseCrashed,
    DatabasePaused,
}

impl Kind {
    /// Whether it happens to the database, and so to all nodes.
    const fn is_of_database(self) -> bool {
        matches!(self, Self::DatabaseRestarted | Self::DatabaseCrashed | Self::DatabasePaused)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::NodeStopped => "node stopped, continued",
            Self::NodeKilled => "node killed, started",
            Self::Cut => "connections cut",
            Self::SlowUp => "300 ms to PostgreSQL",
            Self::SlowDown => "300 ms from PostgreSQL",
            Self::SlowBoth => "300 ms both ways",
            Self::HoleUp => "black hole to PostgreSQL",
            Self::HoleDown => "black hole from PostgreSQL",
            Self::HoleBoth => "black hole both ways",
            Self::DatabaseRestarted => "PostgreSQL restarted, fast",
            Self::DatabaseCrashed => "PostgreSQL restarted, immediate",
            Self::DatabasePaused => "PostgreSQL paused for 2 s",
        })
    }
}

/// Something that goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// With this node, where it isn't the database.
    pub(crate) node: usize,
    /// Nobody changes anything at that node meanwhile. Otherwise one of its transactions may hold the lock of all
    /// who write, so that nothing is acknowledged at all.
    pub(crate) is_spared: bool,
    /// For so long, where it takes time.
    time: Duration,
}

/// Every kind once and not for long. The first two, with the node spared, show that the fence or the lease is
/// missing: revokes are acknowledged while that node can't hear of them.
const SHORT: [(Kind, u64); 12] = [
    (Kind::SlowDown, 1_500),
    (Kind::HoleBoth, 5_000),
    (Kind::NodeStopped, 2_000),
    (Kind::NodeKilled, 0),
    (Kind::DatabaseCrashed, 0),
    (Kind::SlowUp, 1_000),
    (Kind::Cut, 1_000),
    (Kind::HoleUp, 1_500),
    (Kind::DatabasePaused, 2_000),
    (Kind::HoleDown, 1_500),
    (Kind::SlowBoth, 1_000),
    (Kind::DatabaseRestarted, 0),
];

impl Fault {
    /// Every kind once, each at another node than the one before.
    pub(crate) fn short_round() -> Vec<Self> {
        let fault = |(number, (kind, millis)): (usize, (Kind, u64))| Self {
            kind,
            node: number % NODES,
            is_spared: number < 2,
            time: Duration::from_millis(millis),
        };
        SHORT.into_iter().enumerate().map(fault).collect()
    }

    /// Every kind once in any order, at any node, for 1 to 6 s.
    pub(crate) fn round(random: &mut StdRng) -> Vec<Self> {
        let mut faults = Self::short_round();
        faults.shuffle(random);
        for fault in &mut faults {
            fault.node = random.random_range(0..NODES);
            fault.is_spared = random.random::<bool>() && !fault.kind.is_of_database();
            fault.time = Duration::from_millis(random.random_range(1_000..=6_000));
        }
        faults
    }

    /// What happens, in words.
    pub(crate) fn description(self, fleet: &Fleet) -> String {
        if self.kind.is_of_database() {
            return self.kind.to_string();
        }
        let changes = if self.is_spared { ", no changes there" } else { "" };
        format!("{}: {}{changes}", fleet.nodes[self.node].name, self.kind)
    }

    /// Lets it happen, and ends it.
    pub(crate) fn inflict(self, fleet: &mut Fleet) {
        let slow = Way::Delayed(DELAY);
        let link = match self.kind {
            Kind::Nothing => return thread::sleep(self.time),
            Kind::NodeStopped => return process::pause(fleet.nodes[self.node].id(), self.time),
            Kind::NodeKilled => return fleet.nodes[self.node].kill_and_start(),
            Kind::DatabaseRestarted => return fleet.postgres.restart(Stop::Fast),
            Kind::DatabaseCrashed => return fleet.postgres.restart(Stop::Immediate),
            Kind::DatabasePaused => return process::pause(fleet.postgres.id(), DATABASE_PAUSE),
            Kind::Cut => Link::CUT,
            Kind::SlowUp => Link { up: slow, ..Link::OPEN },
            Kind::SlowDown => Link { down: slow, ..Link::OPEN },
            Kind::SlowBoth => Link { up: slow, down: slow, ..Link::OPEN },
            Kind::HoleUp => Link { up: Way::Closed, ..Link::OPEN },
            Kind::HoleDown => Link { down: Way::Closed, ..Link::OPEN },
            Kind::HoleBoth => Link { up: Way::Closed, down: Way::Closed, ..Link::OPEN },
        };
        let proxy = &fleet.nodes[self.node].proxy;
        proxy.set(link);
        thread::sleep(self.time);
        proxy.set(Link::OPEN);
    }
}
