//! Everything at one moment.

use crate::clock::Deadline;
use crate::database::{Database, Incarnation, NodeId, Row, Statement};
use crate::node::{Node, Running};
use crate::protocol::Protocol;
use crate::revoke::{Fence, Phase, Proof, Revoke, Writer};

/// What a process has seen of a row: it isn't renewed. Gone with the next renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Whose row.
    pub incarnation: Incarnation,
    /// When every lease that was given before is over.
    pub until: Deadline,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The database.
    pub database: Database,
    /// Statements under way whose answers nobody needs.
    pub statements: Vec<Statement>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// How often nodes have joined.
    pub joins: u8,
    /// The row that some process has an eye on: a neighbour, or a writer after its fence. Whoever it is, it needs
    /// neither index nor lease for that. One row at a time.
    pub watch: Option<Watch>,
    /// The revokes.
    pub revokes: Vec<Revoke>,
}

impl State {
    /// Sends a statement. `None` if it is under way already.
    pub fn send(&mut self, statement: Statement) -> Option<()> {
        if self.statements.contains(&statement) {
            return None;
        }
        self.statements.push(statement);
        self.statements.sort_unstable();
        Some(())
    }

    /// A node tells how far its index is, if that is news.
    pub fn acknowledge(&mut self, id: NodeId) -> Option<()> {
        let running = self.nodes[id].running()?;
        let row = Row { incarnation: running.incarnation, applied: running.index.applied };
        let is_news = self.database.row(row.incarnation)?.applied < row.applied;
        if !is_news {
            return None;
        }
        self.send(Statement::Acknowledge(row))
    }

    /// A process ends.
    pub fn end(&mut self, id: NodeId) {
        self.nodes[id] = Node::Down;
        self.revokes
            .iter_mut()
            .filter(|revoke| revoke.writer == Writer::Node(id))
            .for_each(Revoke::writer_ends);
    }

    /// What others have seen of a row is of no more use: it was renewed or is gone.
    pub fn forget(&mut self, incarnation: Incarnation, keep_statements: bool) {
        self.watch = self.watch.filter(|watch| watch.incarnation != incarnation);
        for revoke in &mut self.revokes {
            if let Phase::Fencing(Fence { outstanding: Some(outstanding), .. }) = &mut revoke.phase {
                outstanding.retain(|it| *it != incarnation);
            }
        }
        if !keep_statements {
            self.statements.retain(|statement| *statement != Statement::Remove(incarnation));
        }
    }

    /// A tick passes for all.
    pub fn tick(&mut self) {
        self.nodes.iter_mut().filter_map(Node::running_mut).for_each(Running::tick);
        if let Some(watch) = &mut self.watch {
            watch.until.tick();
        }
        for revoke in &mut self.revokes {
            if let Phase::Fencing(fence) = &mut revoke.phase {
                fence.until.tick();
            }
        }
    }

    /// Whether a check that starts now would accept a token whose revoke was acknowledged.
    pub fn is_violated(&self, protocol: &Protocol) -> bool {
        self.revokes.iter().filter(|revoke| matches!(revoke.phase, Phase::Acknowledged(_))).any(|revoke| {
            let answering = self.nodes.iter().filter_map(Node::running).filter(|node| node.answers(protocol));
            answering.into_iter().any(|node| node.index.accepts(revoke.token))
        })
    }

    /// Whether nothing can go wrong any more: every revoke is over and every index shows them all. Whoever joins
    /// later loads them.
    pub fn is_settled(&self) -> bool {
        self.revokes.iter().all(|revoke| {
            let is_stale = |node: &Running| node.index.accepts(revoke.token);
            revoke.is_over() && !self.nodes.iter().filter_map(Node::running).any(is_stale)
        })
    }

    /// Whether a fence ended this way.
    pub fn is_acknowledged(&self, proof: Proof) -> bool {
        self.revokes.iter().any(|revoke| revoke.phase == Phase::Acknowledged(proof))
    }
}
