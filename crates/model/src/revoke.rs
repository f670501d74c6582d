//! A revoke: a transaction and the fence that has to hold before it is acknowledged.

use crate::clock::{Deadline, FENCE};
use crate::database::{Change, Database, Incarnation, NodeId, Number, Row, Token};
use crate::node::Node;
use crate::protocol::{Protocol, Weakness};

/// Who revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Writer {
    /// A node.
    Node(NodeId),
    /// The command line, which has no index and no row.
    CommandLine,
    /// A process that is gone. What it has sent may still be executed.
    Gone,
}

/// A step of a revoke, or of the database for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained where it is done")]
pub enum RevokeStep {
    Begin(Writer),
    Commit,
    ReceiveCommit,
    ReadRows,
    TimeOut,
}

/// Which way a fence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Every row shows the change or is gone.
    Rows,
    /// Every lease from before the commit is over.
    Time,
    /// None: the weakened protocol took the revoked token for enough.
    None,
}

/// The wait after a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// What every node has to show.
    pub number: Number,
    /// T' + fence.
    pub until: Deadline,
    /// The rows that had not when they were read first. Only where a fence removes them in the end.
    pub outstanding: Option<Vec<Incarnation>>,
}

/// How far a revoke is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not begun.
    Waiting,
    /// It has its number, and `COMMIT` was sent.
    Committing(Number),
    /// It is committed, or was found to be revoked already, and the answer is under way.
    Committed(Number),
    /// The wait.
    Fencing(Fence),
    /// The caller was told that the token is revoked.
    Acknowledged(Proof),
    /// The caller was told an error, or nothing.
    Failed,
}

/// A revoke.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revoke {
    /// What is revoked.
    pub token: Token,
    /// By whom, once it has begun.
    pub writer: Writer,
    /// How far it is.
    pub phase: Phase,
}

impl Revoke {
    /// What may be done for it next. Some may turn out to be impossible.
    pub fn steps(&self, nodes: usize) -> impl Iterator<Item = RevokeStep> {
        let steps: &[RevokeStep] = match self.phase {
            Phase::Waiting => &[RevokeStep::Begin(Writer::CommandLine)],
            Phase::Committing(_) => &[RevokeStep::Commit],
            Phase::Committed(_) => &[RevokeStep::ReceiveCommit],
            Phase::Fencing(_) => &[RevokeStep::ReadRows, RevokeStep::TimeOut],
            Phase::Acknowledged(_) | Phase::Failed => &[],
        };
        let nodes = if self.phase == Phase::Waiting { nodes } else { 0 };
        steps.iter().copied().chain((0..nodes).map(|id| RevokeStep::Begin(Writer::Node(id))))
    }

    /// Takes the advisory lock and reads the head: that gives the number. Finds the token revoked, perhaps.
    pub fn begin(&mut self, place: usize, protocol: &Protocol, database: &mut Database) -> Option<()> {
        if self.phase != Phase::Waiting || database.lock.is_some() {
            return None;
        }
        if database.is_revoked(self.token) {
            self.phase = match protocol.weakness {
                Weakness::NoFenceIfRevoked => Phase::Acknowledged(Proof::None),
                _ => Phase::Committed(database.head()),
            };
            return Some(());
        }
        if protocol.weakness != Weakness::NoAdvisoryLock {
            database.lock = Some(place);
        }
        database.given += 1;
        self.phase = Phase::Committing(database.given);
        Some(())
    }

    /// The database commits, whether or not somebody still waits for the answer.
    pub fn commit(&mut self, database: &mut Database) -> Option<()> {
        let Phase::Committing(number) = self.phase else { return None };
        database.log.push(Change { number, token: self.token });
        database.lock = None;
        if self.writer == Writer::Gone {
            self.ends(Phase::Failed);
        } else {
            self.phase = Phase::Committed(number);
        }
        Some(())
    }

    /// The answer to the commit arrives: the fence begins now.
    pub fn receive_commit(&mut self) -> Option<()> {
        let Phase::Committed(number) = self.phase else { return None };
        let until = Deadline::after(FENCE);
        self.phase = Phase::Fencing(Fence { number, until, outstanding: None });
        Some(())
    }

    /// Reads the table of nodes: ends when no row is outstanding.
    ///
    /// One step, although the answer takes its time: what a row shows stays shown and what is gone stays gone, so
    /// an answer that arrives later only acknowledges later.
    pub fn read_rows(&mut self, protocol: &Protocol, database: &Database, nodes: &[Node]) -> Option<()> {
        let shown = self.is_shown_by_writer(nodes);
        let own = match self.writer {
            Writer::Node(node) => nodes[node].running().map(|running| running.incarnation),
            Writer::CommandLine | Writer::Gone => None,
        };
        let Phase::Fencing(fence) = &mut self.phase else { return None };
        let is_outstanding = |row: &&Row| Some(row.incarnation) != own && row.applied < fence.number;
        let mut outstanding =
            database.rows.iter().filter(is_outstanding).map(|row| row.incarnation).peekable();
        if outstanding.peek().is_none() && shown {
            self.ends(Phase::Acknowledged(Proof::Rows));
        } else if protocol.weakness == Weakness::RemovalFromCommit && fence.outstanding.is_none() {
            fence.outstanding = Some(outstanding.collect());
        } else {
            return None;
        }
        Some(())
    }

    /// The wait is over by the writer's clock. Gives the rows that are to be removed.
    pub fn time_out(&mut self, nodes: &[Node]) -> Option<Vec<Incarnation>> {
        let shown = self.is_shown_by_writer(nodes);
        let Phase::Fencing(fence) = &mut self.phase else { return None };
        if !fence.until.passed() || !shown {
            return None;
        }
        let outstanding = fence.outstanding.take().unwrap_or_default();
        self.ends(Phase::Acknowledged(Proof::Time));
        Some(outstanding)
    }

    /// The writer crashes or stops.
    pub fn writer_ends(&mut self) {
        match self.phase {
            Phase::Waiting | Phase::Acknowledged(_) | Phase::Failed => {}
            Phase::Committing(_) => self.writer = Writer::Gone,
            Phase::Committed(_) | Phase::Fencing(_) => self.ends(Phase::Failed),
        }
    }

    /// It is over, whoever it was.
    fn ends(&mut self, phase: Phase) {
        self.phase = phase;
        self.writer = Writer::CommandLine;
    }

    /// Whether nothing of it is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Acknowledged(_) | Phase::Failed)
    }

    /// Whether the index of the writing node, if it is one, shows the change.
    fn is_shown_by_writer(&self, nodes: &[Node]) -> bool {
        match (self.writer, &self.phase) {
            (Writer::Node(node), Phase::Fencing(fence)) => {
                nodes[node].running().is_some_and(|running| running.index.applied >= fence.number)
            }
            _ => true,
        }
    }
}
