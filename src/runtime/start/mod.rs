//! Starts a program: the child, its steps, its exec, and the report of a step that failed.

pub(crate) mod before_commands;
pub(crate) mod child_io;
pub(crate) mod close_inherited;
pub(crate) mod daemonize;
pub(crate) mod deliver;
pub(crate) mod diagnose;
pub(crate) mod exec_image;
pub(crate) mod landlock_steps;
pub(crate) mod outcome;
pub(crate) mod spawn;
