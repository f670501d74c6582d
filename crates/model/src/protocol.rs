//! All that can happen, one step at a time, and what has to hold.

use crate::clock::{DRIFT, Deadline, FENCE};
use crate::database::{Database, Incarnation, NodeId, Row, Statement, Token};
use crate::node::{Exchange, Index, Node, NodeStep, Running};
use crate::revoke::{Phase, Proof, Revoke, RevokeStep, Writer};
use crate::state::{State, Watch};
use stateright::{Model, Property};

/// What is left out of the protocol, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// Nothing: the protocol as it is.
    None,
    /// A node answers checks, lease or not.
    NoLeaseCheck,
    /// A renewal gives a lease before the index shows what was the head.
    RenewalWithoutFollowing,
    /// The lease is counted from the receipt of the answer.
    DeadlineFromAnswer,
    /// Numbers are given out without the advisory lock.
    NoAdvisoryLock,
    /// The first renewal inserts the row, so the row is seen later than the head was read.
    RegistrationByRenewal,
    /// The clock of a node may lag by more than the margin between lease and fence.
    DriftBeyondMargin,
    /// A revoke that finds the token revoked is acknowledged without a fence.
    NoFenceIfRevoked,
    /// A fence that ends by time removes rows whose `renewals` are what its first read showed, which may have
    /// been later than the commit that its wait is counted from.
    RemovalFromCommit,
    /// A row is removed without the condition that its `renewals` are still what was seen.
    UnconditionalRemoval,
    /// A node whose row was removed inserts the same row again, with `renewals` counted from 0.
    SameRowAgain,
}

impl Weakness {
    /// All of them, the whole protocol first.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::NoLeaseCheck,
        Self::RenewalWithoutFollowing,
        Self::DeadlineFromAnswer,
        Self::NoAdvisoryLock,
        Self::RegistrationByRenewal,
        Self::DriftBeyondMargin,
        Self::NoFenceIfRevoked,
        Self::RemovalFromCommit,
        Self::UnconditionalRemoval,
        Self::SameRowAgain,
    ];
}

/// The name of the property that must hold always.
pub const SAFETY: &str = "no check accepts what is revoked";

/// The protocol and the bounds of the model.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// What is left out.
    pub weakness: Weakness,
    /// How many nodes there are.
    pub nodes: usize,
    /// How often nodes may join: at a start, at a restart, and when the row is gone.
    pub joins: u8,
    /// The tokens that are revoked, once for each time.
    pub revokes: Vec<Token>,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A step of a node.
    Node(NodeId, NodeStep),
    /// Some process looks at a row that it may have to remove.
    Watch(Incarnation),
    /// It has seen no renewal for long enough.
    Remove,
    /// A step of a revoke.
    Revoke(usize, RevokeStep),
    /// The database executes a statement.
    Execute(usize),
}

impl Protocol {
    /// How many ticks the clock of a node may lag during a lease.
    pub(crate) fn drift(&self) -> u8 {
        if self.weakness == Weakness::DriftBeyondMargin { DRIFT + 1 } else { DRIFT }
    }

    /// Whether nodes have no row before their first renewal.
    pub(crate) fn registers_by_renewing(&self) -> bool {
        self.weakness == Weakness::RegistrationByRenewal
    }

    fn node_step(&self, state: &mut State, id: NodeId, step: NodeStep) -> Option<()> {
        // Which node is called the first makes no difference.
        if id > 0 && state.joins == 0 {
            return None;
        }
        let State { database, nodes, joins, .. } = state;
        let node = &mut nodes[id];
        match step {
            NodeStep::Start => self.start(node, joins, database),
            NodeStep::Load => self.load(state, id),
            NodeStep::Renew => node.running_mut()?.renew(self),
            NodeStep::RenewalBegins => node.running_mut()?.renewal_begins(self, database),
            NodeStep::RenewalEnds => self.renewal_ends(state, id),
            NodeStep::Receive => self.receive(state, id),
            NodeStep::GiveUp => node.running_mut()?.give_up(),
            NodeStep::Follow => node.running_mut()?.index.follow(database),
            NodeStep::Acknowledge => state.acknowledge(id),
            NodeStep::Leave => {
                // The process answers no more before it says so.
                let incarnation = node.running()?.incarnation;
                state.end(id);
                state.send(Statement::Leave(incarnation))
            }
            NodeStep::Crash => {
                node.running()?;
                state.end(id);
                Some(())
            }
        }
    }

    /// A process starts and reads the head.
    fn start(&self, node: &mut Node, joins: &mut u8, database: &Database) -> Option<()> {
        if *node != Node::Down || *joins == self.joins {
            return None;
        }
        *joins += 1;
        *node = Node::Loading(*joins, database.head());
        Some(())
    }

    /// It loads the index and then sends its row.
    fn load(&self, state: &mut State, id: NodeId) -> Option<()> {
        let node = &mut state.nodes[id];
        let Node::Loading(number, head) = *node else { return None };
        let incarnation = Incarnation { node: id, number };
        let index = Index::load(&state.database, head);
        let exchange = if self.registers_by_renewing() { Exchange::Idle } else { Exchange::Registering };
        *node = Node::Running(Running { incarnation, index, lease: None, exchange, same_row_again: false });
        if exchange == Exchange::Registering {
            state.send(Statement::Register(Row { incarnation, applied: head }))?;
        }
        Some(())
    }

    /// The database commits the renewal, unless the row was removed meanwhile.
    fn renewal_ends(&self, state: &mut State, id: NodeId) -> Option<()> {
        let running = state.nodes[id].running_mut()?;
        let Exchange::Begun(deadline, head) = running.exchange else { return None };
        let Running { incarnation, same_row_again, .. } = *running;
        if state.database.row(incarnation).is_none() {
            if !self.registers_by_renewing() {
                running.exchange = Exchange::Refused;
                return Some(());
            }
            state.database.insert(Row { incarnation, applied: running.index.applied });
        }
        running.exchange = Exchange::Answered(deadline, head);
        if !same_row_again {
            state.forget(incarnation, self.weakness == Weakness::UnconditionalRemoval);
        }
        Some(())
    }

    /// The node receives the answer to its renewal. Without a row it registers anew.
    fn receive(&self, state: &mut State, id: NodeId) -> Option<()> {
        let running = state.nodes[id].running_mut()?;
        if running.exchange != Exchange::Refused {
            return running.receive_head(self);
        }
        if state.joins == self.joins {
            return None;
        }
        state.joins += 1;
        if self.weakness == Weakness::SameRowAgain {
            running.same_row_again = true;
        } else {
            running.incarnation.number = state.joins;
        }
        running.exchange = Exchange::Registering;
        let row = Row { incarnation: running.incarnation, applied: running.index.applied };
        state.send(Statement::Register(row))
    }

    fn revoke_step(&self, state: &mut State, place: usize, step: RevokeStep) -> Option<()> {
        let State { database, nodes, revokes, .. } = state;
        // Which of them is called the first makes no difference.
        if place > 0 && revokes[place - 1].phase == Phase::Waiting {
            return None;
        }
        let revoke = &mut revokes[place];
        match step {
            RevokeStep::Begin(writer) => {
                if let Writer::Node(node) = writer {
                    nodes[node].running()?;
                }
                revoke.writer = writer;
                revoke.begin(place, self, database)
            }
            RevokeStep::Commit => revoke.commit(database),
            RevokeStep::ReceiveCommit => revoke.receive_commit(),
            RevokeStep::ReadRows => revoke.read_rows(self, database, nodes),
            RevokeStep::TimeOut => {
                for incarnation in revoke.time_out(nodes)? {
                    state.send(Statement::Remove(incarnation));
                }
                Some(())
            }
        }
    }

    /// The database executes a statement that is under way.
    fn execute(&self, state: &mut State, place: usize) {
        match state.statements.remove(place) {
            Statement::Register(row) => {
                state.database.insert(row);
                if let Some(running) = state.nodes[row.incarnation.node].running_mut()
                    && running.incarnation == row.incarnation
                {
                    running.exchange = Exchange::Idle;
                }
            }
            Statement::Acknowledge(row) => state.database.acknowledge(row),
            Statement::Remove(incarnation) | Statement::Leave(incarnation) => {
                state.database.remove(incarnation);
                if self.weakness != Weakness::SameRowAgain {
                    state.forget(incarnation, false);
                }
            }
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let revoke = |&token| Revoke { token, writer: Writer::CommandLine, phase: Phase::Waiting };
        vec![State {
            database: Database::default(),
            statements: Vec::new(),
            nodes: vec![Node::Down; self.nodes],
            joins: 0,
            watch: None,
            revokes: self.revokes.iter().map(revoke).collect(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.is_settled() {
            return;
        }
        actions.push(Action::Tick);
        for (id, node) in state.nodes.iter().enumerate() {
            actions.extend(node.steps().map(|step| Action::Node(id, step)));
        }
        for (place, revoke) in state.revokes.iter().enumerate() {
            actions.extend(revoke.steps(self.nodes).map(|step| Action::Revoke(place, step)));
        }
        match state.watch {
            None => actions.extend(state.database.rows.iter().map(|row| Action::Watch(row.incarnation))),
            Some(watch) if watch.until.passed() => actions.push(Action::Remove),
            Some(_) => {}
        }
        actions.extend((0..state.statements.len()).map(Action::Execute));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.tick(),
            Action::Node(id, step) => self.node_step(&mut state, id, step)?,
            Action::Revoke(place, step) => self.revoke_step(&mut state, place, step)?,
            Action::Watch(incarnation) => {
                // One step, although the answer takes its time: a wait that begins later is only longer.
                state.watch = Some(Watch { incarnation, until: Deadline::after(FENCE) });
            }
            Action::Remove => {
                let watch = state.watch.take()?;
                state.send(Statement::Remove(watch.incarnation))?;
            }
            Action::Execute(place) => self.execute(&mut state, place),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(SAFETY, |protocol: &Self, state: &State| !state.is_violated(protocol)),
            Property::sometimes("all nodes serve and have acknowledged", |_, state: &State| {
                let serves = |node: &Node| node.running().is_some_and(|running| running.lease.is_some());
                state.is_acknowledged(Proof::Rows) && state.nodes.iter().all(serves)
            }),
            Property::sometimes("a node is cut off and refuses", |_, state: &State| {
                let is_stale = |node: &&Running| state.revokes.iter().any(|it| node.index.accepts(it.token));
                let refuses = |node: &Running| node.lease.is_none();
                let stale = state.nodes.iter().filter_map(Node::running).filter(is_stale);
                state.is_acknowledged(Proof::Time) && stale.into_iter().any(refuses)
            }),
            Property::sometimes("a node learns that its row is gone", |_, state: &State| {
                state.nodes.iter().filter_map(Node::running).any(|node| node.exchange == Exchange::Refused)
            }),
        ];
        if usize::from(self.joins) > self.nodes {
            properties.push(Property::sometimes("a node serves again", |_, state: &State| {
                let again = |node: &Running| node.lease.is_some() && node.incarnation.number > 1;
                state.is_acknowledged(Proof::Time) && state.nodes.iter().filter_map(Node::running).any(again)
            }));
        }
        properties
    }
}
