//! The protocol holds in every order of events, and the model notices what is left out of it.

use stateright::{Checker, HasDiscoveries, Model};
use tokenhouse_model::protocol::{Protocol, SAFETY, Weakness};

/// Looks at every state within the bounds.
fn assert_holds(nodes: usize, joins: u8, revokes: &[u8], at_least: usize) {
    let protocol = Protocol { weakness: Weakness::None, nodes, joins, revokes: revokes.to_vec() };
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > at_least, "only {states} states: is something never possible?");
}

/// 2,615,264 states.
#[test]
fn holds_with_two_nodes() {
    assert_holds(2, 2, &[0], 2_000_000);
}

/// 1,141,650 states.
#[test]
fn holds_when_rows_are_removed_and_nodes_restart() {
    assert_holds(1, 3, &[0], 1_000_000);
}

/// 201,140 states.
#[test]
fn holds_with_two_revokes_at_once() {
    assert_holds(1, 1, &[0, 1], 200_000);
}

/// 983,462 states.
#[test]
fn holds_when_the_same_token_is_revoked_twice() {
    assert_holds(1, 2, &[0, 0], 900_000);
}

/// What is left out, how many joins and which revokes show it, and the steps of the shortest way to a violation.
/// One node is enough for each.
const VIOLATIONS: [(Weakness, u8, &[u8], usize); 10] = [
    (Weakness::NoLeaseCheck, 1, &[0], 11),
    (Weakness::RenewalWithoutFollowing, 1, &[0], 11),
    (Weakness::DeadlineFromAnswer, 1, &[0], 14),
    (Weakness::NoAdvisoryLock, 1, &[0, 1], 13),
    (Weakness::RegistrationByRenewal, 1, &[0], 12),
    (Weakness::DriftBeyondMargin, 1, &[0], 13),
    (Weakness::NoFenceIfRevoked, 1, &[0, 0], 11),
    (Weakness::RemovalFromCommit, 1, &[0, 1], 20),
    (Weakness::UnconditionalRemoval, 1, &[0], 16),
    (Weakness::SameRowAgain, 2, &[0], 25),
];

#[test]
fn every_weakness_is_found() {
    let tried: Vec<Weakness> = VIOLATIONS.iter().map(|violation| violation.0).collect();
    assert_eq!([&[Weakness::None], &tried[..]].concat(), Weakness::ALL);
    for (weakness, joins, revokes, steps) in VIOLATIONS {
        let protocol = Protocol { weakness, nodes: 1, joins, revokes: revokes.to_vec() };
        // With one thread, what is found first is the shortest.
        let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let path = checker.discovery(SAFETY);
        let found = path.map(|path| path.into_actions().len());
        assert_eq!(found, Some(steps), "{weakness:?}");
    }
}
