//! A node: joins, keeps its lease, follows the log, answers checks.

use crate::clock::{Deadline, LEASE};
use crate::database::{Database, Incarnation, Number, Token};
use crate::protocol::{Protocol, Weakness};

/// What a node shows: which tokens it refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Index {
    /// The newest change that it shows.
    pub applied: Number,
    /// The revoked tokens, one bit each.
    revoked: u8,
}

impl Index {
    /// What is stored now, although only the changes up to `applied` are known to be in it.
    pub fn load(database: &Database, applied: Number) -> Self {
        let mut index = Self { applied, revoked: 0 };
        database.log.iter().for_each(|change| index.revoked |= 1 << change.token);
        index
    }

    /// Reads the log on by one change. `None` if there is nothing to read.
    ///
    /// Reading many at once and applying them later looks the same as having read only some of them.
    pub fn follow(&mut self, database: &Database) -> Option<()> {
        let change = database.next_after(self.applied)?;
        self.applied = change.number;
        self.revoked |= 1 << change.token;
        Some(())
    }

    /// Whether a check of the token would find it valid.
    pub fn accepts(self, token: Token) -> bool {
        self.revoked & (1 << token) == 0
    }
}

/// A step of a node, or of the database for its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained where it is done")]
pub enum NodeStep {
    Start,
    Load,
    Renew,
    RenewalBegins,
    RenewalEnds,
    Receive,
    GiveUp,
    Follow,
    Acknowledge,
    Leave,
    Crash,
}

/// Where the task is that keeps the lease. It sends one statement at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Nothing is under way.
    Idle,
    /// The row is being inserted.
    Registering,
    /// `UPDATE nodes SET renewals = renewals + 1 … RETURNING` the head was sent. The deadline is t0 + lease.
    Sent(Deadline),
    /// The database has begun with it: it has found the row and has read the head.
    Begun(Deadline, Number),
    /// It is committed, and the answer with the head is under way.
    Answered(Deadline, Number),
    /// There is no row, and the answer that says so is under way.
    Refused,
}

/// A process that has loaded its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// Which row is its own.
    pub incarnation: Incarnation,
    /// What it answers from.
    pub index: Index,
    /// Until when it answers. `None` before the first renewal and when it is over.
    pub lease: Option<Deadline>,
    /// The task that keeps the lease.
    pub exchange: Exchange,
    /// Whether it has inserted the same row twice. The protocol never does.
    pub same_row_again: bool,
}

/// A node and its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// Not started, stopped or crashed.
    Down,
    /// The process with this number has read the head of the log and is loading what is stored.
    Loading(u8, Number),
    /// The process has an index.
    Running(Running),
}

impl Node {
    /// The process, if it has an index.
    pub fn running(&self) -> Option<&Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::Down | Self::Loading(..) => None,
        }
    }

    /// The same, to be changed.
    pub fn running_mut(&mut self) -> Option<&mut Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::Down | Self::Loading(..) => None,
        }
    }

    /// What it may do next, among it what the database may do for its lease. Some may turn out to be impossible.
    pub fn steps(&self) -> impl Iterator<Item = NodeStep> {
        use NodeStep::{
            Acknowledge, Crash, Follow, GiveUp, Leave, Load, Receive, Renew, RenewalBegins, RenewalEnds,
            Start,
        };
        let steps: &[NodeStep] = match self {
            Self::Down => &[Start],
            Self::Loading(..) => &[Load],
            Self::Running(_) => &[Follow, Acknowledge, Leave, Crash],
        };
        let exchange: &[NodeStep] = match self.running().map(|running| running.exchange) {
            None | Some(Exchange::Registering) => &[],
            Some(Exchange::Idle) => &[Renew],
            Some(Exchange::Sent(_)) => &[RenewalBegins, GiveUp],
            Some(Exchange::Begun(..)) => &[RenewalEnds],
            Some(Exchange::Answered(..) | Exchange::Refused) => &[Receive, GiveUp],
        };
        steps.iter().chain(exchange).copied()
    }
}

impl Running {
    /// Whether it answers checks, instead of 503.
    pub fn answers(&self, protocol: &Protocol) -> bool {
        self.lease.is_some() || protocol.weakness == Weakness::NoLeaseCheck
    }

    /// Notes t0 and sends a renewal.
    pub fn renew(&mut self, protocol: &Protocol) -> Option<()> {
        if self.exchange != Exchange::Idle {
            return None;
        }
        self.exchange = Exchange::Sent(protocol.lease());
        Some(())
    }

    /// The connection is given up: the renewal isn't executed, or its answer doesn't arrive.
    pub fn give_up(&mut self) -> Option<()> {
        match self.exchange {
            Exchange::Sent(_) | Exchange::Answered(..) | Exchange::Refused => self.exchange = Exchange::Idle,
            Exchange::Idle | Exchange::Registering | Exchange::Begun(..) => return None,
        }
        Some(())
    }

    /// The database begins to execute the renewal: what it reads is of this moment.
    pub fn renewal_begins(&mut self, protocol: &Protocol, database: &Database) -> Option<()> {
        let Exchange::Sent(deadline) = self.exchange else { return None };
        let found = database.row(self.incarnation).is_some() || protocol.registers_by_renewing();
        self.exchange = if found { Exchange::Begun(deadline, database.head()) } else { Exchange::Refused };
        Some(())
    }

    /// Receives the head and, as soon as the index shows everything up to there, has a lease.
    pub fn receive_head(&mut self, protocol: &Protocol) -> Option<()> {
        let Exchange::Answered(deadline, head) = self.exchange else { return None };
        if self.index.applied < head && protocol.weakness != Weakness::RenewalWithoutFollowing {
            return None;
        }
        let deadline = match protocol.weakness {
            Weakness::DeadlineFromAnswer => protocol.lease(),
            _ => deadline,
        };
        self.lease = Some(deadline).filter(|deadline| !deadline.passed());
        self.exchange = Exchange::Idle;
        Some(())
    }

    /// A tick passes.
    pub fn tick(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.tick();
        }
        self.lease = self.lease.filter(|lease| !lease.passed());
        match &mut self.exchange {
            Exchange::Idle | Exchange::Registering | Exchange::Refused => {}
            Exchange::Begun(deadline, _) => deadline.tick(),
            Exchange::Sent(deadline) | Exchange::Answered(deadline, _) => {
                deadline.tick();
                // A renewal that takes as long as a lease is worth nothing.
                if deadline.passed() {
                    self.exchange = Exchange::Idle;
                }
            }
        }
    }
}

impl Protocol {
    /// The deadline of a lease that is counted from now.
    fn lease(&self) -> Deadline {
        Deadline::after(LEASE + self.drift())
    }
}
