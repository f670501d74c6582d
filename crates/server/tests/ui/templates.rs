//! What no template may have.

use std::path::Path;

use regex::Regex;

/// Every template and sprite, with its name.
fn templates() -> Vec<(String, String)> {
    let folders =
        ["templates", "tests/ui/templates"].map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files
        .map(|file| {
            let path = file.unwrap().path();
            (path.display().to_string(), std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn no_template_has_script_or_style_inside_or_anything_of_elsewhere() {
    let forbidden = Regex::new(
        r#"(?i)<style|\sstyle=|\son[a-z]+\s*=|javascript:|<script(?: type="module" src="\{\{ path \}\}"></script>)?|\|\s*safe|(?:src|href|action)="(?:https?:)?//|\{%-?\s*autoescape|<base|<iframe|<object"#,
    )
    .unwrap();
    let module = r#"<script type="module" src="{{ path }}"></script>"#;
    let found = templates();
    assert!(found.len() > 8);
    for (name, text) in found {
        let wrong: Vec<&str> =
            forbidden.find_iter(&text).map(|found| found.as_str()).filter(|&found| found != module).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

#[test]
fn no_control_counts_characters_in_another_way_than_the_server() {
    for (name, text) in templates() {
        assert!(!text.contains("maxlength="), "{name}");
    }
}

#[test]
fn every_icon_that_is_named_is_in_the_sprite() {
    let all = templates();
    let sprite = &all.iter().find(|(name, _)| name.ends_with("icons.svg")).unwrap().1;
    let ids = Regex::new(r#"id="i-([a-z]+)""#).unwrap();
    let known: Vec<&str> = ids.captures_iter(sprite).map(|id| id.extract::<1>().1[0]).collect();
    let used = Regex::new(r#"(?:icon\(|#i-|symbol=)"?([a-z]+)""#).unwrap();
    for (name, text) in &all {
        for icon in used.captures_iter(text) {
            assert!(known.contains(&icon.extract::<1>().1[0]), "{name}: {icon:?}");
        }
    }
}
