//! Tests the rules of the architecture: reads the sources and reports each line that breaks a rule.
//!
//! A file is not parsed, but only split into words and punctuation marks, without comments, literals and tests. The
//! rules search for sequences of these words. The last tests check that each rule reports a line that breaks it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The maximum number of lines of a file, comments included and tests excluded.
const FILE_LIMIT: usize = 300;
/// The maximum number of lines of a function, from `fn` to the closing brace.
const FUNCTION_LIMIT: usize = 69;
/// The maximum number of lines of code in a row of the table of options, which rustfmt does not format. Longer code
/// belongs in a function.
const SETS_LIMIT: usize = 10;
/// Functions that may be longer: file, name, their own limit, and why.
const LONG_FUNCTIONS: &[(&str, &str, usize, &str)] =
    &[("runtime/start/spawn.rs", "apply_step", 76, "one match with an arm for each step, in the order of a start")];

/// Functions that may have a bool parameter: file, name, and why.
const BOOL_PARAMETERS: &[(&str, &str, &str)] =
    &[("sys/mod.rs", "ensure", "the parameter is the condition that must be true, as for assert!")];

/// The modules of `sys` that main.rs may use: they set up the entry point with argv, memory and descriptors 0 to 2.
const SYS_MODULES_OF_MAIN: &[&str] = &["entry", "heap", "fd", "stdio"];

/// Paths of std that the program must not use: they assume std's start-up code, or `sys` replaces them.
const FORBIDDEN_STD_PATHS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::os::unix::fs",
    "std::os::unix::net",
    "std::os::unix::process",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Macros that print through std's locked and buffered streams, or panic. PID 1 must do neither.
const MACROS: &[&str] =
    &["dbg", "eprint", "eprintln", "panic", "print", "println", "todo", "unimplemented", "unreachable"];

/// Methods that panic.
const METHODS: &[&str] = &["expect", "expect_err", "unwrap", "unwrap_err"];

#[test]
fn every_file_says_at_its_head_what_it_is_for() {
    assert_rule_holds(|file| {
        (!file.text.starts_with("//! ")).then(|| file.at(1, "the first line is no //! comment")).into_iter().collect()
    });
}

#[test]
fn unsafe_is_only_in_sys_and_in_the_entry() {
    assert_rule_holds(unsafe_code);
}

#[test]
fn the_other_layers_forbid_unsafe() {
    for layer in ["logic", "runtime"] {
        let head = fs::read_to_string(sources().join(layer).join("mod.rs")).unwrap();
        assert!(head.contains("#![forbid(unsafe_code)]"), "src/{layer}/mod.rs does not forbid unsafe code");
    }
}

#[test]
fn only_sys_names_rustix_and_libc() {
    assert_rule_holds(kernel_crates);
}

#[test]
fn logic_and_sys_use_no_other_layer() {
    assert_rule_holds(forbidden_layer_imports);
}

#[test]
fn no_module_imports_itself_through_others() {
    let files = read(&sources());
    let mut left = imports(&files);
    assert!(left.len() > 50, "only {} modules in {}", left.len(), sources().display());
    // A module that imports no remaining module is in no import circle.
    while let Some(done) = left.iter().find(|(_, imported)| imported.is_empty()).map(|(module, _)| module.clone()) {
        left.remove(&done);
        for imported in left.values_mut() {
            imported.remove(&done);
        }
    }
    assert!(left.is_empty(), "in a circle, or above one: {left:#?}");
}

#[test]
fn folders_of_runtime_use_only_those_below_them() {
    for (module, imported) in imports(&read(&sources())) {
        let folder = |module: &str| {
            let name = module.strip_prefix("runtime::")?.split_once("::")?.0.to_owned();
            let place = RUNTIME_FOLDERS.iter().position(|folder| *folder == name);
            Some(place.unwrap_or_else(|| panic!("src/runtime/{name} has no place in the order of folders")))
        };
        let Some(here) = folder(&module) else { continue };
        for other in imported {
            let top = other.starts_with("runtime::") && folder(&other).is_none();
            assert!(!top && folder(&other).is_none_or(|there| there <= here), "{module} imports {other}");
        }
    }
}

#[test]
fn main_uses_only_startup_modules_of_sys() {
    assert_rule_holds(main_and_sys);
}

#[test]
fn the_services_of_std_are_not_used() {
    assert_rule_holds(foreign_services);
}

#[test]
fn nothing_panics_and_nothing_is_printed_by_std() {
    assert_rule_holds(panics_and_prints);
}

#[test]
fn files_are_short() {
    assert_rule_holds(file_length);
}

#[test]
fn functions_are_short() {
    assert_rule_holds(function_length);
}

#[test]
fn no_parameter_is_a_bool() {
    assert_rule_holds(bool_parameters);
}

#[test]
fn every_exception_is_still_needed() {
    let files = read(&sources());
    for (path, name, limit, reason) in LONG_FUNCTIONS {
        let file = files.iter().find(|file| file.path == *path).unwrap_or_else(|| panic!("no src/{path}"));
        let length = file.functions().iter().find(|function| function.name == *name).map(|function| function.length);
        let needed = length.is_some_and(|length| length > FUNCTION_LIMIT && length <= *limit);
        assert!(
            needed && !reason.is_empty(),
            "src/{path}: {name} has {length:?} lines: its exception is to be looked at"
        );
    }
    for (path, name, reason) in BOOL_PARAMETERS {
        let file = files.iter().find(|file| file.path == *path).unwrap_or_else(|| panic!("no src/{path}"));
        let needed = file.text.lines().any(|line| line.starts_with(&format!("fn {name}(")) && line.contains(": bool"));
        assert!(needed && !reason.is_empty(), "src/{path}: the exception for {name} is not needed");
    }
}

#[test]
fn the_table_of_options_is_read_by_build_rs_too_and_so_imports_nothing() {
    let build = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs")).unwrap();
    assert!(build.contains("src/logic/cli/flags.rs"), "build.rs does not read src/logic/cli/flags.rs");
    let files = read(&sources());
    let table: Vec<&File> = files.iter().filter(|file| file.path.starts_with("logic/cli/flags")).collect();
    assert!(table.len() > 10, "only {} files in src/logic/cli/flags", table.len());
    for file in table {
        let import = file.words.iter().find(|word| ["use", "crate", "super"].contains(&word.text.as_str()));
        assert!(import.is_none(), "src/{} imports: {import:?}", file.path);
        for code in file.text.split("        sets: ").skip(1) {
            let length = code.split("\n    }\n").next().unwrap().lines().count();
            assert!(length <= SETS_LIMIT, "src/{}: {length} lines in a row: {code:.40}", file.path);
        }
    }
}

/// The folders of `runtime`. Each may import from itself and from those before it in this list.
const RUNTIME_FOLDERS: &[&str] = &["report", "resources", "host", "start", "output", "supervise"];

/// The other modules that each module imports, without tests and without files that only declare modules.
fn imports(files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let plain = |path: &str| path.trim_end_matches(".rs").replace('/', "::");
    let all: BTreeSet<String> = files.iter().map(|file| plain(&file.path)).collect();
    // A file in the folder of another file counts as a part of that file: `a/b/c.rs` as a part of `a/b.rs`.
    let unit = |module: &str| match module.rsplit_once("::") {
        Some((parent, _)) if all.contains(parent) => parent.to_owned(),
        _ => module.to_owned(),
    };
    let mut found = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.contains('/') && !file.path.ends_with("/mod.rs")) {
        let own = plain(&file.path);
        let module = unit(&own);
        let here: Vec<&str> = own.split("::").collect();
        let imported: &mut BTreeSet<String> = found.entry(module.clone()).or_default();
        for (_, path) in file.paths(&["crate", "super"]) {
            let steps: Vec<&str> = path.split("::").collect();
            let up = steps.iter().filter(|step| **step == "super").count();
            let mut whole = if up > 0 { here[..here.len().saturating_sub(up)].to_vec() } else { Vec::new() };
            whole.extend(steps.iter().filter(|step| !["super", "crate", "self"].contains(step)));
            let known =
                (1..=whole.len()).rev().map(|length| whole[..length].join("::")).find(|path| all.contains(path));
            imported.extend(known.map(|known| unit(&known)).filter(|known| *known != module));
        }
    }
    found
}

// The rules. Each takes a file and returns a complaint, `file:line: text`, for each violation in it.

fn unsafe_code(file: &File) -> Vec<String> {
    if file.in_layer("sys") {
        return Vec::new();
    }
    // main.rs may have `#[unsafe(no_mangle)]`, `unsafe extern` and one unsafe block, which calls `sys::entry`.
    let mut allowed = if file.is("main.rs") { vec!["(", "extern", "{"] } else { Vec::new() };
    let mut wrong = Vec::new();
    for found in file.find(&["unsafe"]) {
        match allowed.iter().position(|next| *next == file.text_after(found, 1)) {
            Some(once) => drop(allowed.remove(once)),
            None => wrong.push(file.at(file.words[found].line, "unsafe outside of sys")),
        }
    }
    wrong
}

fn kernel_crates(file: &File) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in ["libc", "rustix"].iter().filter(|_| !file.in_layer("sys")) {
        wrong.extend(file.lines_with(&[name], &format!("{name} outside of sys")));
    }
    wrong
}

fn forbidden_layer_imports(file: &File) -> Vec<String> {
    let (layer, closed) = match file.path.split('/').next() {
        Some("logic") => ("logic", ["runtime", "sys"]),
        Some("sys") => ("sys", ["runtime", "logic"]),
        _ => return Vec::new(),
    };
    file.paths(&["crate", "super", "vsrun"])
        .into_iter()
        .filter(|(_, path)| {
            let mut steps = path.split("::").filter(|step| !["crate", "super", "vsrun", "self"].contains(step));
            steps.next().is_some_and(|step| closed.contains(&step))
        })
        .map(|(line, path)| file.at(line, &format!("{layer} knows {path}")))
        .collect()
}

fn main_and_sys(file: &File) -> Vec<String> {
    if !file.is("main.rs") {
        return Vec::new();
    }
    let paths = file.paths(&["vsrun", "crate", "sys"]).into_iter();
    paths
        .filter(|(_, path)| {
            path.split("::")
                .skip_while(|step| *step != "sys")
                .nth(1)
                .is_some_and(|step| !SYS_MODULES_OF_MAIN.contains(&step))
        })
        .map(|(line, path)| file.at(line, &format!("main takes {path}")))
        .collect()
}

fn foreign_services(file: &File) -> Vec<String> {
    let paths = file.paths(&["std"]).into_iter();
    paths
        .filter(|(_, path)| {
            FORBIDDEN_STD_PATHS.iter().any(|foreign| path == foreign || path.starts_with(&format!("{foreign}::")))
        })
        .map(|(line, path)| file.at(line, &path))
        .collect()
}

fn panics_and_prints(file: &File) -> Vec<String> {
    let macros = MACROS.iter().flat_map(|name| file.lines_with(&[name, "!"], &format!("{name}!")));
    let methods = METHODS.iter().flat_map(|name| file.lines_with(&[".", name, "("], &format!(".{name}()")));
    macros.chain(methods).collect()
}

fn file_length(file: &File) -> Vec<String> {
    let length = file.text.lines().count() - file.test_lines;
    (length > FILE_LIMIT).then(|| file.at(1, &format!("{length} lines, more than {FILE_LIMIT}"))).into_iter().collect()
}

fn function_length(file: &File) -> Vec<String> {
    let limit = |name: &str| {
        let exception = LONG_FUNCTIONS.iter().find(|exception| file.is(exception.0) && exception.1 == name);
        exception.map_or(FUNCTION_LIMIT, |exception| exception.2)
    };
    let functions = file.functions().into_iter();
    functions
        .filter(|function| function.length > limit(&function.name))
        .map(|function| file.at(function.line, &format!("{} has {} lines", function.name, function.length)))
        .collect()
}

/// A call such as `send(signal, true)` does not say what is true; an enum does.
fn bool_parameters(file: &File) -> Vec<String> {
    let mut wrong = Vec::new();
    for start in file.find(&["fn"]).into_iter().filter(|start| is_name(file.text_after(*start, 1))) {
        let (name, mut depth) = (file.text_after(start, 1), 0);
        for words in file.words[start..].windows(3) {
            match words[0].text.as_str() {
                "(" => depth += 1,
                ")" if depth == 1 => break,
                ")" => depth -= 1,
                "{" | ";" => break,
                parameter if depth == 1 && words[1].text == ":" && words[2].text == "bool" => {
                    wrong.push((words[0].line, name, parameter));
                }
                _ => {}
            }
        }
    }
    wrong.retain(|(_, name, _)| !BOOL_PARAMETERS.iter().any(|exception| file.is(exception.0) && exception.1 == *name));
    wrong
        .iter()
        .map(|(line, name, parameter)| file.at(*line, &format!("{name} has the bool parameter {parameter}")))
        .collect()
}

// Reading the source files.

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Panics with all violations of a rule in the sources.
fn assert_rule_holds(rule: impl Fn(&File) -> Vec<String>) {
    let files = read(&sources());
    assert!(files.iter().any(|file| file.is("main.rs")), "no sources found in {}", sources().display());
    let wrong: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All Rust files below a directory, except `tests.rs`.
fn read(top: &Path) -> Vec<File> {
    let (mut files, mut directories) = (Vec::new(), vec![top.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && path.file_name().unwrap() != "tests.rs" {
                files.push(File::read(top, path.strip_prefix(top).unwrap().to_str().unwrap()));
            }
        }
    }
    files
}

struct File {
    /// Relative to `src`.
    path: String,
    text: String,
    /// The words of the file, without comments, literals and code that is compiled only for tests.
    words: Vec<Word>,
    test_lines: usize,
}

/// A name, keyword or number, `::`, or any other single mark.
#[derive(Debug)]
struct Word {
    text: String,
    line: usize,
}

struct Function {
    name: String,
    line: usize,
    length: usize,
}

impl File {
    fn read(top: &Path, path: &str) -> Self {
        Self::new(path, fs::read_to_string(top.join(path)).unwrap())
    }

    fn new(path: &str, text: String) -> Self {
        let (words, test_lines) = without_tests(words(&text));
        Self { path: path.to_owned(), text, words, test_lines }
    }

    fn is(&self, path: &str) -> bool {
        self.path == path
    }

    fn in_layer(&self, layer: &str) -> bool {
        self.path.split('/').next() == Some(layer)
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }

    /// The indices in `words` at which this sequence begins.
    fn find(&self, sequence: &[&str]) -> Vec<usize> {
        let starts = self.words.windows(sequence.len()).enumerate();
        starts.filter(|(_, window)| window.iter().map(|word| &word.text).eq(sequence)).map(|(start, _)| start).collect()
    }

    /// A complaint for each place where this sequence of words begins.
    fn lines_with(&self, sequence: &[&str], what: &str) -> Vec<String> {
        self.find(sequence).into_iter().map(|start| self.at(self.words[start].line, what)).collect()
    }

    fn text_after(&self, start: usize, words: usize) -> &str {
        self.words.get(start + words).map_or("", |word| &word.text)
    }

    /// Each path that begins with one of these names, with its line. A `use` tree becomes several paths.
    fn paths(&self, roots: &[&str]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (start, word) in self.words.iter().enumerate() {
            // `other::std` is no path of std; `::std` is.
            let inner = start > 1
                && self.words[start - 1].text == "::"
                && self.words[start - 2].text != "use"
                && is_name(&self.words[start - 2].text);
            if !inner && roots.contains(&word.text.as_str()) {
                self.branches(start, "", &mut found);
            }
        }
        found
    }

    /// Expands the `use` tree that begins at the word `start`: `a::{b, c::d}` becomes `a::b` and `a::c::d`. Returns the
    /// index of the word after the tree.
    fn branches(&self, start: usize, before: &str, found: &mut Vec<(usize, String)>) -> usize {
        let path = format!("{before}{}", self.words[start].text);
        if self.text_after(start, 1) != "::" {
            found.push((self.words[start].line, path));
            return start + 1;
        }
        if self.text_after(start, 2) != "{" {
            return self.branches(start + 2, &format!("{path}::"), found);
        }
        let mut next = start + 3;
        while next < self.words.len() && self.words[next].text != "}" {
            // Between two branches: a comma, or `as` and another name.
            let separator = [",", "as"].contains(&self.words[next].text.as_str());
            next = if separator { next + 1 } else { self.branches(next, &format!("{path}::"), found) };
        }
        next + 1
    }

    /// Every function with a body.
    fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for start in self.find(&["fn"]).into_iter().filter(|start| is_name(self.text_after(*start, 1))) {
            let Some(end) = item_end(&self.words, start) else { continue };
            if self.words[end].text == "}" {
                let line = self.words[start].line;
                let length = self.words[end].line - line + 1;
                functions.push(Function { name: self.words[start + 1].text.clone(), line, length });
            }
        }
        functions
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The index of the last word of the item that begins at `start`: its `;`, or the brace that closes its body.
fn item_end(words: &[Word], start: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(start) {
        match word.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" if depth == 1 => return Some(at),
            "}" => depth -= 1,
            ";" if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// Removes every item after `#[cfg(test)]`. Returns the other words and the number of removed lines.
fn without_tests(mut words: Vec<Word>) -> (Vec<Word>, usize) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut lines = 0;
    while let Some(start) = words.windows(MARK.len()).position(|window| window.iter().map(|word| &word.text).eq(MARK)) {
        let end = item_end(&words, start + MARK.len()).unwrap_or(words.len() - 1);
        lines += words[end].line - words[start].line + 1;
        words.drain(start..=end);
    }
    (words, lines)
}

// Splitting a file into words.

fn words(text: &str) -> Vec<Word> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while !rest.is_empty() {
        let skipped = blank(rest).or_else(|| comment(rest)).or_else(|| literal(rest));
        let length = skipped.unwrap_or_else(|| word(rest));
        let (taken, after) = rest.split_at(length);
        if skipped.is_none() {
            found.push(Word { text: taken.to_owned(), line });
        }
        line += taken.matches('\n').count();
        rest = after;
    }
    found
}

// The following functions return the length in bytes of what they are named after, if the text begins with that.

fn blank(text: &str) -> Option<usize> {
    let length = text.find(|c: char| !c.is_whitespace()).unwrap_or(text.len());
    (length > 0).then_some(length)
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0;
    let mut at = 0;
    // Block comments of Rust can be nested.
    while text.starts_with("/*") {
        match &text[at..] {
            rest if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            rest if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            rest => at += rest.chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 || at >= text.len() {
            return Some(at);
        }
    }
    None
}

fn literal(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let rest =
            text.strip_prefix(prefix).unwrap_or(" ").trim_start_matches(if prefix.ends_with('r') { "#" } else { "\0" });
        rest.starts_with('"') || (["b", ""].contains(prefix) && rest.starts_with('\''))
    })?;
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = &rest[..rest.find('"')?];
        let close = format!("\"{hashes}");
        let body = hashes.len() + 1;
        return Some(prefix.len() + body + rest[body..].find(&close)? + close.len());
    }
    let quote = rest.chars().next()?;
    let mut characters = rest.char_indices().skip(1);
    if quote == '\'' && !rest.starts_with("'\\") && rest.chars().nth(2) != Some('\'') {
        return None; // a lifetime
    }
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    None
}

fn word(text: &str) -> usize {
    let name = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    match name {
        0 if text.starts_with("::") => 2,
        0 => text.chars().next().map_or(1, char::len_utf8),
        _ => name,
    }
}

// Tests of the rules themselves.

#[test]
fn every_rule_sees_the_line_that_breaks_it() {
    type Rule = fn(&File) -> Vec<String>;
    let long = format!("//! x\nfn long() {{\n{}}}\n", "    step();\n".repeat(68));
    let endless = "//! x\n".repeat(FILE_LIMIT + 1);
    let bad: &[(Rule, &str, &str, &str)] = &[
        (
            unsafe_code,
            "runtime/run.rs",
            "fn f() {\n    unsafe { g() }\n}",
            "src/runtime/run.rs:2: unsafe outside of sys",
        ),
        (unsafe_code, "logic/cli/parse.rs", "unsafe impl Send for X {}", ":1: unsafe"),
        (unsafe_code, "lib.rs", "#[unsafe(no_mangle)]", ":1: unsafe"),
        (unsafe_code, "main.rs", "#[unsafe(no_mangle)]\nfn main() { unsafe { a() };\nunsafe { b() } }", ":3: unsafe"),
        (unsafe_code, "main.rs", "#[unsafe(no_mangle)]\n#[unsafe(link_section)]", ":2: unsafe"),
        (kernel_crates, "runtime/run.rs", "use rustix::fs;", "rustix outside of sys"),
        (kernel_crates, "logic/base/signal.rs", "const TERM: i32 = libc::SIGTERM;", "libc outside of sys"),
        (
            forbidden_layer_imports,
            "logic/plan/planner.rs",
            "use crate::runtime::say;",
            "logic knows crate::runtime::say",
        ),
        (
            forbidden_layer_imports,
            "logic/plan/planner.rs",
            "use crate::{sys::fd, logic::cli};",
            "logic knows crate::sys::fd",
        ),
        (
            forbidden_layer_imports,
            "logic/plan/planner/table.rs",
            "use super::super::super::runtime;",
            "logic knows super",
        ),
        (
            forbidden_layer_imports,
            "logic/plan/planner.rs",
            "fn f() { vsrun::sys::clock::now() }",
            "logic knows vsrun::sys::clock::now",
        ),
        (
            forbidden_layer_imports,
            "sys/fd.rs",
            "use crate::logic::{error::Error, time};",
            "sys knows crate::logic::error::Error",
        ),
        (forbidden_layer_imports, "sys/fd.rs", "use crate::{self as root, runtime};", "sys knows crate::runtime"),
        (main_and_sys, "main.rs", "use vsrun::{runtime, sys::{entry, wait}};", "main takes vsrun::sys::wait"),
        (main_and_sys, "main.rs", "fn f() { sys::clock::now() }", "main takes sys::clock::now"),
        (foreign_services, "sys/clock.rs", "use std::time::{Duration, Instant};", ":1: std::time::Instant"),
        (
            foreign_services,
            "runtime/host/system.rs",
            "use std::{\n    ffi::OsStr,\n    env::{self},\n};",
            ":3: std::env::self",
        ),
        (foreign_services, "runtime/host/system.rs", "fn f() { let _ = ::std::fs::read(\"x\"); }", "std::fs::read"),
        (foreign_services, "runtime/host/system.rs", "use std::fs as files;", "std::fs"),
        (foreign_services, "runtime/host/system.rs", "use ::std::net::TcpStream;", "std::net::TcpStream"),
        (panics_and_prints, "runtime/run.rs", "fn f() {\n    println!(\"{}\", 1);\n}", ":2: println!"),
        (panics_and_prints, "runtime/run.rs", "fn f() { todo!() }", "todo!"),
        (panics_and_prints, "runtime/run.rs", "fn f() { x\n    .unwrap() }", ":2: .unwrap()"),
        (panics_and_prints, "runtime/run.rs", "fn f() { x.expect(\"y\") }", ".expect()"),
        (panics_and_prints, "runtime/run.rs", "#[cfg(not(test))]\nfn f() { panic!() }", ":2: panic!"),
        (
            panics_and_prints,
            "runtime/run.rs",
            "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { panic!() }",
            ":3: panic!",
        ),
        (panics_and_prints, "runtime/run.rs", "#[cfg(test)]\nmod tests;\nfn g() { panic!() }", ":3: panic!"),
        (
            panics_and_prints,
            "runtime/run.rs",
            "const C: char = '\"'; fn f() { panic!() } const D: char = '\"';",
            "panic!",
        ),
        (panics_and_prints, "runtime/run.rs", "fn f<'a>(x: &'a str) { panic!() }", "panic!"),
        (panics_and_prints, "runtime/run.rs", "const C: &str = r#\"a\"b\"#; fn f() { panic!() } // \"", "panic!"),
        (file_length, "runtime/run.rs", &endless, "301 lines, more than 300"),
        (
            bool_parameters,
            "runtime/run.rs",
            "fn send(\n    to: Pid, now: bool,\n) {}",
            ":2: send has the bool parameter now",
        ),
        (bool_parameters, "sys/fd.rs", "pub fn f<T>(act: fn(T) -> (u8, u8), all: bool);", "the bool parameter all"),
        (function_length, "runtime/run.rs", &long, "src/runtime/run.rs:2: long has 70 lines"),
    ];
    for (rule, path, text, complaint) in bad {
        let found = rule(&File::new(path, (*text).to_owned()));
        assert!(found.iter().any(|line| line.contains(complaint)), "{text:?}: {found:?} has no {complaint:?}");
    }
}

#[test]
fn the_rules_let_pass_what_only_looks_wrong() {
    let good = [
        ("sys/lock.rs", "use rustix::fs;\nfn f() { unsafe { libc::fork() } }"),
        ("main.rs", "#[unsafe(no_mangle)]\nunsafe extern \"C\" fn main() { unsafe { sys::entry::start() } }"),
        ("runtime/run.rs", "//! unsafe libc println!()\n/* std::fs /* panic!() */ todo!() */ fn f() {}"),
        (
            "runtime/run.rs",
            "const A: &str = \"unsafe \\\" libc::x println!()\"; const B: &[u8] = br##\"todo!() \"# \"##;",
        ),
        ("runtime/run.rs", "fn f() { x.unwrap_or(1); y.expect_word; }\nuse crate::{sys::fd, logic::cli};"),
        ("runtime/run.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() { fs::read(\"x\").unwrap(); }\n}"),
        ("runtime/run.rs", "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests { fn f() { panic!() } }"),
        ("logic/plan/planner.rs", "use super::action::Act; use std::ffi::OsString; fn runtime(sys: u8) -> u8 { sys }"),
        ("logic/cli/flags.rs", "fn f(x: fn(u8) -> [u8; 3]) {}"),
        ("logic/cli/flags.rs", "fn f(x: &dyn Fn(bool) -> bool) -> bool { let y: bool = x(true); y }"),
        (
            "logic/cli/flags.rs",
            "struct Flag { given: bool }\nfn f(Flag { given }: Flag) -> Option<bool> { Some(given) }",
        ),
    ];
    let rules = [
        unsafe_code,
        kernel_crates,
        forbidden_layer_imports,
        main_and_sys,
        foreign_services,
        panics_and_prints,
        file_length,
        function_length,
        bool_parameters,
    ];
    for (path, text) in good {
        let file = File::new(path, text.to_owned());
        let found: Vec<String> = rules.iter().flat_map(|rule| rule(&file)).collect();
        assert!(found.is_empty(), "{text:?}: {found:?}");
    }
}

#[test]
fn lines_of_tests_do_not_count() {
    let tests = "    fn f() {}\n".repeat(FILE_LIMIT);
    let file = File::new("runtime/run.rs", format!("//! x\nfn f() {{}}\n\n#[cfg(test)]\nmod tests {{\n{tests}}}\n"));
    assert_eq!(file_length(&file), Vec::<String>::new());
    assert_eq!(file.test_lines, FILE_LIMIT + 3);
}
