//! The chapter of the manual page about replacing other tools names only options that exist.

use crate::harness::{self, words};
use std::fs;
use std::path::Path;

/// The width in bytes of the tables' left column (the other tool). The right column has the vsrun options.
const COLUMN: usize = 34;

/// Returns the options that `--help-completion` lists, long and short.
fn known_options() -> Vec<String> {
    let sandbox = harness::Sandbox::new();
    let lines = sandbox.vsrun(words!["--help-completion"]).finish().out;
    let names = lines.iter().filter_map(|line| line.split(' ').next());
    names.flat_map(|names| names.split(',')).map(str::to_owned).collect()
}

#[test]
fn each_option_that_replaces_another_tools_exists() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("build/man/coming-from.txt")).unwrap();
    let known = known_options();
    let mut options = 0;
    for line in text.lines().filter(|line| line.starts_with("    ")) {
        let (left, right) = line.split_at(COLUMN.min(line.len()));
        if !left.ends_with("  ") || right.is_empty() {
            continue;
        }
        // The words after `--` are COMMAND, and a quoted part is a command in the value of an option.
        let ours = right.split(" -- ").next().unwrap().split('\'').next().unwrap();
        for word in
            ours.split([' ', ',', '(', ')', '=', ':', ';']).filter(|word| word.len() > 1 && word.starts_with('-'))
        {
            assert!(word == "--" || known.iter().any(|name| name == word), "{word} in {line:?}");
            options += 1;
        }
    }
    assert!(options > 100, "{options}");
}
