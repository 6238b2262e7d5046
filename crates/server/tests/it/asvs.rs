//! The page on OWASP ASVS names every requirement of its chapters once, and tests that exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many requirements each chapter of version 5.0.0 has.
const CHAPTERS: [(&str, usize); 6] =
    [("V6", 47), ("V7", 19), ("V8", 13), ("V9", 7), ("V10", 36), ("V16", 17)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The text of every file in which tests are.
fn sources(dir: &Path, into: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["node_modules", "target", "dist"].contains(&name.as_str()) {
            sources(&path, into);
        } else if [".rs", ".py", ".e2e.ts"].iter().any(|end| name.ends_with(end)) {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_requirement_has_a_test_that_exists_or_a_reason() {
    let page = std::fs::read_to_string(root().join("docs/reference/asvs.md")).unwrap();
    let mut all = String::new();
    for dir in ["crates", "tests", "portal/e2e"] {
        sources(&root().join(dir), &mut all);
    }
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| V")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, by] = cells.as_slice() else { panic!("{row}") };
        assert!(!seen.contains(id), "{id} stands there twice");
        seen.push(id);
        *counted.entry(id.split('.').next().unwrap()).or_default() += 1;
        if let Some(reason) = by.strip_prefix("open: ").or_else(|| by.strip_prefix("not applicable: ")) {
            assert!(!reason.is_empty(), "{id} has no reason");
            continue;
        }
        for test in by.split(", ") {
            let name = test
                .strip_prefix('`')
                .and_then(|t| t.strip_suffix('`'))
                .unwrap_or_else(|| panic!("{id}: {test}"));
            let defined = [format!("fn {name}"), format!("def {name}("), format!("test(`{name}")];
            assert!(defined.iter().any(|d| all.contains(d)), "{id}: there is no test '{name}'");
        }
    }
    assert_eq!(counted, CHAPTERS.into_iter().collect());
}
