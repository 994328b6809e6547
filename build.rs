//! Makes the help text, the man page and the completions from the table of options.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "no part of the program: it stops where something is wrong, and speaks to cargo"
)]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

#[path = "src/logic/cli/flags.rs"]
mod flags;
#[path = "build/help.rs"]
mod help;

/// Compresses the help text to half of its size.
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
    let parts = help::parts();
    let (texts, pairs) = pack::packed_parts(&parts);
    for ((name, _), text) in parts.iter().zip(texts) {
        fs::write(out.join(format!("{name}.txt")), text).expect("cannot write a part of the help");
    }
    fs::write(out.join("pairs"), pairs.concat()).expect("cannot write pairs");
    fs::write(out.join("vsrun.8"), man::page(&version)).expect("cannot write vsrun.8");
    fs::write(out.join("vsrun.bash"), completions::bash()).expect("cannot write vsrun.bash");
    fs::write(out.join("_vsrun"), completions::zsh()).expect("cannot write _vsrun");
    fs::write(out.join("vsrun.fish"), completions::fish()).expect("cannot write vsrun.fish");

    // The compiler and the architecture that `vsrun --version` shows.
    let rustc = Command::new(env::var_os("RUSTC").expect("cargo sets RUSTC")).arg("--version").output();
    let rustc = String::from_utf8(rustc.expect("cannot run rustc").stdout).expect("rustc speaks UTF-8");
    println!("cargo::rustc-env=VSRUN_RUSTC={}", rustc.split_whitespace().nth(1).unwrap_or("unknown"));
    println!("cargo::rustc-env=VSRUN_ARCH={}", env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target"));
    for file in ["build.rs", "build", "src/logic"] {
        println!("cargo::rerun-if-changed={file}");
    }
}
