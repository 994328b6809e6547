//! The commands of `--before`: programs that run before the server, with its user and limits, but without its sockets
//! and pidfile.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::command_path::paths_to_try;
use super::companion_programs;
use super::env::Env;
use super::personality::VSRUN;
use super::program::Program;
use crate::logic::base::cstr::StaticCStr;
use crate::logic::cli::value::split_words;

/// A command of `--before`, which runs before the server.
#[derive(Debug)]
pub struct BeforeCommand {
    /// The value of `--before`, for messages.
    pub text: StaticCStr,
    /// The steps and arguments of the command. Its environment is a part of the server's, see [`Env::move_to_front`].
    pub program: Box<Program>,
}

/// Makes a command from each value of `--before`, with the steps that it shares with the server.
pub fn commands(texts: &[StaticCStr], server: &Program) -> Vec<BeforeCommand> {
    texts.iter().map(|text| BeforeCommand { text, program: program(text, server) }).collect()
}

#[inline(never)]
fn program(text: StaticCStr, server: &Program) -> Box<Program> {
    let argv = split_words(text.to_bytes()).unwrap_or_default();
    let command = argv.first().copied().unwrap_or_default();
    let steps = companion_programs::companion_steps(server, command);
    let exec_paths = paths_to_try(command, server.env.get(b"PATH"));
    Box::new(Program { steps, exec_paths, argv, env: Env::default(), personality: &VSRUN })
}
