//! What is measured in process, by criterion.

use std::path::PathBuf;
use std::time::Duration;

use criterion::Criterion;

/// What these measurements are told.
#[derive(clap::Args)]
pub struct Sampling {
    /// How long each figure is measured
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Folder for the figures, which go to `criterion` there
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

impl Sampling {
    /// Takes a fifth of the time before the figure, to be warm.
    pub fn criterion(&self) -> Criterion {
        let time = Duration::from_secs(self.seconds);
        Criterion::default()
            .output_directory(&self.results.join("criterion"))
            .without_plots()
            .sample_size(20)
            .warm_up_time(time / 5)
            .measurement_time(time)
    }
}
