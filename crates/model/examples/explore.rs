//! Checks the protocol within the bounds that are given: nodes, joins, and the token of each revoke (`01` are two
//! revokes of two tokens). A fourth argument leaves something out, e.g. `NoLeaseCheck`.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use stateright::report::WriteReporter;
use stateright::{Checker, HasDiscoveries, Model};
use tokenhouse_model::protocol::{Protocol, Weakness};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(protocol) = parse(&arguments) else {
        println!("explore NODES JOINS TOKENS [WEAKNESS], where WEAKNESS is one of {:?}", Weakness::ALL);
        return;
    };
    println!("{protocol:?}");
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker = protocol.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
    checker.spawn_bfs().join_and_report(&mut WriteReporter::new(&mut std::io::stdout()));
}

fn parse(arguments: &[String]) -> Option<Protocol> {
    let [nodes, joins, tokens, weakness @ ..] = arguments else { return None };
    let weakness = match weakness {
        [] => Weakness::None,
        [name, ..] => Weakness::ALL.into_iter().find(|it| format!("{it:?}") == *name)?,
    };
    let token = |digit: u8| digit.checked_sub(b'0').filter(|token| *token < 8);
    let revokes = tokens.bytes().map(token).collect::<Option<Vec<_>>>()?;
    Some(Protocol { weakness, nodes: nodes.parse().ok()?, joins: joins.parse().ok()?, revokes })
}
