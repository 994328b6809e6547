//! The pictures in the documents: each one agrees with the source that it is drawn from.

use crate::harness::{self, Sandbox, needs, words};
use std::fs;
use std::path::{Path, PathBuf};

fn top(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(top(name)).unwrap()
}

#[test]
fn the_charts_are_drawn_from_the_page_with_the_figures() {
    needs!(harness::tool("python3"));
    let sandbox = Sandbox::new();
    fs::copy(top("docs/bench.md"), sandbox.path("bench.md")).unwrap();
    let line = words!["-B", top("benches/chart.py"), sandbox.directory()];
    sandbox.program(&harness::find_tool("python3").unwrap(), line).finish().assert_exited(0);
    for name in ["bench.svg", "summary.svg"] {
        let drawn = fs::read_to_string(sandbox.path(name)).unwrap();
        assert!(
            drawn == text(&format!("docs/{name}")),
            "docs/{name} is not from docs/bench.md: run benches/chart.py docs"
        );
    }
}

#[test]
fn the_recording_shows_the_commands_of_the_demo() {
    let recording = text("docs/demo.svg").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let demo = text("examples/demo.sh");
    let begins = ["    run \"", "    say \""];
    let shown = demo.lines().filter_map(|line| begins.iter().find_map(|begin| line.strip_prefix(begin)));
    let shown: Vec<String> = shown.filter_map(|rest| Some(rest.rsplit_once('"')?.0.replace("$port", "8080"))).collect();
    assert!(shown.len() > 12, "{shown:?}");
    for line in shown.iter().filter(|line| !line.contains("$1")) {
        assert!(recording.contains(&format!(" {line}<")), "'{line}' is not in docs/demo.svg: run make recording");
    }
}

#[test]
fn the_manual_in_html_has_the_pictures_of_the_readme() {
    needs!(harness::tool("python3"), harness::tool("mandoc"));
    let sandbox = Sandbox::new();
    let html = sandbox.path("vsrun.html");
    let page = Path::new(env!("OUT_DIR")).join("vsrun.8");
    sandbox.program(&top("tools/html"), words![page, &html]).directory(&top("")).finish().assert_exited(0);
    let html = fs::read_to_string(html).unwrap();
    assert_eq!(html.matches("<svg ").count(), 2);
    // The steps and arrows in the manual's pictures have the same labels as in README.
    let readme = text("README.md");
    let pictures: Vec<&str> =
        readme.split("```mermaid\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    let steps = pictures[0].split("[\"").skip(1).map(|part| part.split("\"]").next().unwrap());
    let labels = pictures[1].lines().filter_map(|line| Some(line.split_once(": ")?.1));
    for words in steps.chain(labels) {
        assert!(html.contains(&format!(">{words}</text>")), "'{words}' is not in the manual's pictures");
    }
}
