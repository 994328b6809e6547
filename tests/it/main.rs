//! Behaviour tests, one module for each topic: they run the program and check what it does.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests are ordinary programs, and one that panics has failed"
)]

mod accounts;
mod architecture;
mod architecture_documents;
mod args;
mod attributes;
mod automount;
mod background;
mod before;
mod boot;
mod caller;
mod capabilities;
mod cgroup;
mod check;
mod cli;
mod completions;
mod container;
mod control;
mod core_dumps;
mod cost;
mod cost_at_rest;
mod cross;
mod deb;
mod delivery;
mod dependencies;
mod diagnosis;
mod disks;
mod entrypoint;
mod env_dir;
mod escapes;
mod examples;
mod fake_success;
mod fault_injection;
mod faults;
mod field;
mod handler;
mod handler_output;
mod hard_links;
mod harness;
mod health;
mod hostile_server;
mod image;
mod init;
mod interface;
mod jail;
mod landlock;
mod launch;
mod leftovers;
mod lock_holders;
mod logdirs;
mod logs;
mod machine;
mod manifests;
mod manual;
mod microvm;
mod minimal_host;
mod names;
mod notify;
mod option_pairs;
mod output;
mod packaging;
mod paths;
mod pictures;
mod pidfile;
mod ports;
mod probes;
mod proc_descriptor_escapes;
mod rc;
mod readiness;
mod ready_probe;
mod real_servers;
mod recipes;
mod records;
mod remaining_processes;
mod replace;
mod replace_probed;
mod rights;
#[allow(clippy::cast_possible_truncation)]
mod rotation;
mod runc;
mod security;
mod service_manager_messages;
mod signals;
mod soak;
mod socket_recovery;
mod sockets;
mod stop_delay;
mod stopped_helpers;
mod stuck_terminal;
mod supervisor;
mod syslog;
mod systemd;
mod terminal;
mod termination_log;
mod traced;
mod unready;
mod watchdog;
mod wrong_usage;
mod year2038_and_large_files;
