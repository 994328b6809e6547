//! Makes the help text, the man page and the completions from the table of options.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "not part of the program: it panics if something is wrong, and prints instructions for cargo"
)]

extern crate alloc;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

#[macro_use]
#[path = "src/logic/base/phrases.rs"]
mod phrases;
#[allow(dead_code, reason = "only the texts are used here")]
#[path = "src/logic/base/errno_text.rs"]
mod errno_text;
#[allow(dead_code, reason = "only the texts are used here")]
#[path = "src/logic/formats/exec_failure.rs"]
mod exec_failure;
#[path = "src/logic/cli/flags.rs"]
mod flags;
#[path = "build/help.rs"]
mod help;
#[allow(dead_code, reason = "only the texts are used here")]
#[path = "src/logic/plan/step_text.rs"]
mod step_text;

#[allow(dead_code, reason = "only the texts are used here")]
#[path = "src/logic/base/note.rs"]
mod note;
#[allow(dead_code, reason = "only the texts are used here")]
#[path = "src/logic/base/problem.rs"]
mod problem;
#[allow(dead_code, reason = "only the texts are used here")]
#[path = "src/logic/base/reason.rs"]
mod reason;

/// Compresses the help and error texts to half of their size.
#[path = "build/pack.rs"]
mod pack;

/// Writes the man page.
#[path = "build/man.rs"]
mod man;

/// Writes the completions for the shells.
#[path = "build/completions.rs"]
mod completions;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets CARGO_PKG_VERSION");
    let mut parts: Vec<(&'static str, String)> = help::parts().into();
    parts.extend([
        ("problem", problem::Problem::TEXTS.into()),
        ("note", note::Note::TEXTS.into()),
        ("reason", reason::Reason::TEXTS.into()),
        ("step_text", step_text::StepText::TEXTS.into()),
        ("exec_failure", exec_failure::ExecFailure::TEXTS.into()),
        ("errno", errno_text::ErrnoText::TEXTS.into()),
    ]);
    let (texts, pairs) = pack::packed_parts(&parts);
    for ((name, _), text) in parts.iter().zip(texts) {
        fs::write(out.join(format!("{name}.txt")), text).expect("cannot write a text");
    }
    fs::write(out.join("pairs"), pairs.concat()).expect("cannot write the table of byte pairs");
    fs::write(out.join("vsrun.8"), man::page(&version)).expect("cannot write vsrun.8");
    fs::write(out.join("vsrun.bash"), completions::bash()).expect("cannot write vsrun.bash");
    fs::write(out.join("_vsrun"), completions::zsh()).expect("cannot write _vsrun");
    fs::write(out.join("vsrun.fish"), completions::fish()).expect("cannot write vsrun.fish");

    // The compiler version and the architecture, for `vsrun --version`.
    let rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC")).arg("--version").output();
    let rustc = String::from_utf8(rustc.expect("cannot run rustc").stdout).expect("rustc prints UTF-8");
    println!("cargo::rustc-env=VSRUN_RUSTC={}", rustc.split_whitespace().nth(1).unwrap_or("unknown"));
    println!("cargo::rustc-env=VSRUN_ARCH={}", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target"));
    for file in ["build.rs", "build", "src/logic"] {
        println!("cargo::rerun-if-changed={file}");
    }
}
