//! Draws how cost grows with the number of tokens, and of nodes, from the figures that the other programs wrote.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenhouse_benches::Failure;
use tokenhouse_benches::plot::{Line, Plot};

/// Draw how cost grows with the number of tokens, and of nodes
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder with the figures as JSON, and those of criterion in `criterion`; the plots go there, too
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
}

/// Names that criterion makes folders of, and what they are called here.
const IN_PROCESS: [(&str, &str); 3] = [
    ("check", "whole check"),
    ("check, two readers, 1,000 changes_s", "whole check, two readers, 1,000 changes/s"),
    ("find", "lookup alone"),
];

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { results } = arguments;
    let plots = [
        Plot {
            title: "Checking a token in process",
            of: "tokens",
            unit: "nanoseconds",
            lines: in_process(&results.join("criterion"))?,
            file: "in-process.svg",
        },
        Plot {
            title: "A request over HTTP, on one core",
            of: "tokens",
            unit: "µs of CPU time",
            lines: over_http(&read(&results.join("load.json"))?),
            file: "http.svg",
        },
        Plot {
            title: "Memory for each token",
            of: "tokens",
            unit: "bytes for each token",
            lines: memory(&results)?,
            file: "memory.svg",
        },
        Plot {
            title: "From exec until ready",
            of: "tokens",
            unit: "seconds",
            lines: vec![startup(&read(&results.join("startup.json"))?)],
            file: "startup.svg",
        },
        Plot {
            title: "Until a revoke is in effect on every node",
            of: "nodes, all on one machine",
            unit: "milliseconds",
            lines: fleet(&read(&results.join("fleet.json"))?),
            file: "fleet.svg",
        },
    ];
    for plot in plots {
        let file = results.join(plot.file);
        plot.draw(&file)?;
        println!("{}", file.display());
    }
    Ok(())
}

fn read(file: &Path) -> Result<Value, Failure> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// The members of a list in JSON.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn in_process(criterion: &Path) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for (folder, name) in IN_PROCESS {
        let mut line = Line::new(name);
        for entry in fs::read_dir(criterion.join(folder))? {
            let entry = entry?;
            if let Some(tokens) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                let estimates = read(&entry.path().join("new/estimates.json"))?;
                line.put(tokens, &estimates["median"]["point_estimate"]);
            }
        }
        lines.push(line);
    }
    Ok(lines)
}

/// One line for each case, and a flat one for bare hyper.
fn over_http(load: &Value) -> Vec<Line> {
    let cases = list(&load["cases"]);
    let mut lines: Vec<Line> = Vec::new();
    for case in cases {
        let (Some(name), Some(tokens)) = (case["case"].as_str(), case["tokens"].as_f64()) else { continue };
        let place = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            lines.push(Line::new(name));
            lines.len() - 1
        });
        lines[place].put(tokens, &case["cpu_micros_per_request"]["median"]);
    }
    if let Some(hyper) = cases.iter().find(|case| case["tokens"].is_null()) {
        let mut flat = Line::new(hyper["case"].as_str().unwrap_or_default());
        for tokens in cases.iter().filter_map(|case| case["tokens"].as_f64()) {
            flat.put(tokens, &hyper["cpu_micros_per_request"]["median"]);
        }
        lines.push(flat);
    }
    lines
}

fn memory(results: &Path) -> Result<Vec<Line>, Failure> {
    let mut server = Line::new("server with ten tokens for each owner, less an empty one");
    let mut tokens_alone = Line::new("the same, less one with the owners alone");
    let mut index = Line::new("index alone, 1,000 owners");
    for entry in fs::read_dir(results)? {
        let file = entry?.path();
        if file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("memory-")) {
            let figures = read(&file)?;
            let tokens = figures["tokens"].as_f64().unwrap_or_default();
            server.put(tokens, &figures["server"]["bytes_per_token_less_empty"]);
            tokens_alone.put(tokens, &figures["server"]["bytes_per_token_less_same_owners"]);
            index.put(tokens, &figures["index_alone"]["bytes_per_token"]);
        }
    }
    Ok(vec![server, tokens_alone, index])
}

fn fleet(figures: &Value) -> Vec<Line> {
    let lines = [
        ("revoke, median", "/revoke_ms/median"),
        ("revoke, p99", "/revoke_p99_ms"),
        ("restore, which waits for nobody, median", "/restore_ms/median"),
    ];
    let line = |(name, of): (&str, &str)| {
        let mut line = Line::new(name);
        for fleet in list(&figures["revokes"]) {
            if let Some(nodes) = fleet["nodes"].as_f64() {
                line.put(nodes, fleet.pointer(of).unwrap_or(&Value::Null));
            }
        }
        line
    };
    lines.into_iter().map(line).collect()
}

fn startup(figures: &Value) -> Line {
    let mut line = Line::new("SQLite, in the page cache");
    for start in list(&figures["starts"]) {
        if let Some(tokens) = start["tokens"].as_f64() {
            line.put(tokens, &start["seconds_until_ready"]["median"]);
        }
    }
    line
}
