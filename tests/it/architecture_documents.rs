//! ARCHITECTURE.md and CONTRIBUTING.md agree with the sources: each path, function, phase and step in them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];
/// A word that begins with one of these counts as a path, even without backquotes (as in the diagrams).
const FOLDERS: [&str; 6] = ["src/", "tests/", "tools/", "build/", "docs/", ".ci/"];
/// The choice nodes (diamonds) of the state diagram: functions, not phases.
const CHOICES: [&str; 3] = ["decide_after_run", "restart", "finish"];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

/// The words of a document that may be a path or a function.
fn names(document: &str) -> Vec<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || "_./()-".contains(c);
    let words = document.split(|c: char| !part(c)).map(|word| word.trim_end_matches('.').to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// The texts between two backquotes of a line, except those with a blank.
fn quoted(document: &str) -> Vec<String> {
    let parts = document.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    parts.filter(|part| !part.contains(' ')).map(str::to_owned).collect()
}

/// Appends all Rust sources below a folder to `found`.
fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names of an enum's variants: the lines of its body that are indented once and begin with a capital letter.
fn variants(path: &str, name: &str) -> BTreeSet<String> {
    let source = text(path);
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    lines.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

/// The mermaid diagram of ARCHITECTURE.md that begins with the line `first`, after this heading.
fn picture(heading: &str, first: &str) -> String {
    let document = text("ARCHITECTURE.md");
    let (_, chapter) = document.split_once(heading).unwrap();
    let (_, rest) = chapter.split_once(&format!("```mermaid\n{first}")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn every_path_in_the_documents_exists() {
    for document in DOCUMENTS {
        let content = text(document);
        let is_file = |word: &String| [".rs", ".md", ".txt", ".toml"].iter().any(|ending| word.ends_with(ending));
        // A path is relative to the repository or to `src/runtime/supervise`.
        let mut paths: BTreeSet<String> = quoted(&content).into_iter().filter(is_file).collect();
        paths.extend(names(&content).into_iter().filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder))));
        assert!(paths.len() > 15, "{document}: only {paths:?}");
        for path in paths {
            let beside = top().join("src/runtime/supervise").join(&path);
            assert!(top().join(&path).exists() || beside.exists(), "{document} names {path}, which does not exist");
        }
    }
}

#[test]
fn every_function_in_the_documents_exists() {
    let mut code = String::new();
    for folder in ["src", "tests/it"] {
        sources(&top().join(folder), &mut code);
    }
    for document in DOCUMENTS {
        let words = names(&text(document));
        let functions: BTreeSet<&str> = words.iter().filter_map(|word| word.strip_suffix("()")).collect();
        assert!(functions.len() > 5, "{document}: only {functions:?}");
        for name in functions {
            let exists = ["(", "<"].iter().any(|next| code.contains(&format!("fn {name}{next}")));
            assert!(exists, "{document} names {name}(), which does not exist");
        }
    }
}

#[test]
fn the_picture_of_the_states_shows_the_phases() {
    let picture = picture("### The states of the supervisor", "stateDiagram-v2\n");
    let mut shown = BTreeSet::new();
    for line in picture.lines() {
        if let Some((from, to)) = line.split_once(" --> ") {
            shown.insert(from.trim().to_owned());
            shown.insert(to.split(':').next().unwrap().trim().to_owned());
        }
    }
    let mut expected = variants("src/logic/supervisor/state.rs", "Phase");
    assert!(expected.len() > 10, "{expected:?}");
    expected.extend(CHOICES.map(str::to_owned));
    expected.insert("[*]".to_owned());
    assert_eq!(shown, expected);
}

#[test]
fn labels_in_the_state_diagram_begin_with_events() {
    let picture = picture("### The states of the supervisor", "stateDiagram-v2\n");
    let events = variants("src/logic/supervisor/event.rs", "Event");
    assert!(events.len() > 10, "{events:?}");
    for line in picture.lines() {
        let Some((from, label)) = line.split_once(" --> ").and_then(|(from, to)| Some((from, to.split_once(": ")?.1)))
        else {
            continue;
        };
        let first = label.split([' ', ',']).next().unwrap();
        let is_choice = CHOICES.contains(&from.trim());
        assert!(is_choice || events.contains(first), "no event: {line}");
    }
}

#[test]
fn the_order_of_a_start_shows_the_steps() {
    let document = text("ARCHITECTURE.md");
    let (_, chapter) = document.split_once("### The order of a start").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let shown: BTreeSet<&str> = chapter.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let steps = variants("src/logic/plan/step.rs", "Step");
    assert!(steps.len() > 30, "{steps:?}");
    let missing: Vec<&String> = steps.iter().filter(|step| !shown.contains(step.as_str())).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not show {missing:?}");
}
