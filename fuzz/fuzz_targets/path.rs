//! No path makes the parser panic; what it lets through holds nothing that could be read differently.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tokenhouse_core::rules::{Path, Pattern};

fuzz_target!(|raw: &str| {
    let _ = Pattern::parse(raw);
    let Ok(path) = Path::parse(raw) else { return };
    for segment in path.segments() {
        assert!(!segment.is_empty() && segment != "." && segment != "..");
        assert!(!segment.contains(['/', '\\']) && !segment.chars().any(char::is_control));
    }
    let everything = Pattern::parse("/{*rest}").expect("a good pattern");
    assert!(everything.matches(&path));
});
