//! Rounds: everything is measured once in each, so that what else the machine does hits all alike.

use std::path::PathBuf;
use std::thread;

use crate::Failure;
use crate::report::Rounds;

/// What most programs are told.
#[derive(clap::Args)]
pub struct Measuring {
    /// How often everything is measured
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// How long each measurement takes
    #[arg(long, default_value_t = 2)]
    pub seconds: u64,
    /// Let servers and load use every core, instead of one for the servers and another for the load
    #[arg(long)]
    pub unpinned: bool,
    /// Folder for the figures as JSON
    #[arg(long, default_value = "bench-results")]
    pub results: PathBuf,
}

/// Which core is whose; `None` is any.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// That of the servers, all of them together.
    pub server: Option<usize>,
    /// That of the load.
    pub load: Option<usize>,
}

impl Measuring {
    /// With a single core, there is nothing to share out.
    pub fn cores(&self) -> Result<Cores, Failure> {
        let pinned = !self.unpinned && thread::available_parallelism()?.get() > 1;
        Ok(if pinned { Cores { server: Some(1), load: Some(0) } } else { Cores { server: None, load: None } })
    }

    /// Name of the file with the figures: `-unpinned` is added where that is so.
    pub fn name(&self, program: &str) -> String {
        format!("{program}{}", if self.unpinned { "-unpinned" } else { "" })
    }

    /// Measures each case in each round; the figures of one case stand together. Each round begins with
    /// another case, so that none always comes after the same.
    pub fn take_turns<T>(
        &self,
        cases: usize,
        mut measure: impl FnMut(usize) -> Result<T, Failure>,
    ) -> Result<Vec<Vec<T>>, Failure> {
        let mut figures: Vec<Vec<T>> = (0..cases).map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for case in (0..cases).map(|case| (case + round) % cases) {
                figures[case].push(measure(case)?);
            }
        }
        Ok(figures)
    }
}

/// One figure of every round.
pub fn all<T>(runs: &[T], of: impl Fn(&T) -> f64) -> Rounds {
    Rounds::new(runs.iter().map(of))
}

/// A figure over another of the same round.
pub fn ratio<T>(ours: &[T], theirs: &[T], of: impl Fn(&T) -> f64) -> Rounds {
    Rounds::new(ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_own_figure_of_every_round() {
        let measuring = Measuring { rounds: 3, seconds: 1, unpinned: false, results: PathBuf::new() };
        let mut order = Vec::new();
        let figures = measuring.take_turns(2, |case| {
            order.push(case);
            Ok((case, order.len()))
        });
        assert_eq!(figures.unwrap(), [vec![(0, 1), (0, 4), (0, 5)], vec![(1, 2), (1, 3), (1, 6)]]);
        assert_eq!(ratio(&[6.0, 9.0], &[2.0, 3.0], |figure| *figure).text(1), "3.0 (3.0–3.0)");
    }
}
