//! Starts the processes of a run: the commands of `--before`, and then the server or the candidate of a replacement.

use std::os::fd::AsFd;

use super::exit_watch::ExitWatch;
use super::readiness::ReadyPipe;
use super::slot::ProcessSlot;
use super::socket_recovery::SocketUse;
use super::supervisor::{ServerProcess, Supervisor};
use crate::logic::base::error::MessageArg;
use crate::logic::base::note::Note;
use crate::logic::base::problem::Problem;
use crate::logic::control::parse_start_ticks;
use crate::logic::supervisor::event::{Event, LogFilesAtStart};
use crate::runtime::host::clock::now;
use crate::runtime::report::log::Priority;
use crate::runtime::report::os_error::os_error;
use crate::runtime::resources::pidfile_lock_holder::read_proc;
use crate::runtime::start::child_io::{ChildIo, StartKind};
use crate::runtime::start::spawn::{Spawned, spawn};
use crate::sys::process::ResourceUsage;
use crate::sys::{self, Errno};

impl Supervisor<'_> {
    /// Starts the server again, and returns the next event. Before a requested restart (`LogFilesAtStart::Rotate`),
    /// also rotates the logs and reads the environment files again.
    #[inline(never)]
    pub fn relaunch(&mut self, logs: LogFilesAtStart) -> Event {
        if logs == LogFilesAtStart::Keep {
            self.note(Priority::Notice, Note::Restarting, &[MessageArg::Count(self.state.unexpected_restarts())]);
        } else {
            self.config.output.rotate(&mut self.config.log);
            self.reread_env();
            self.note(Priority::Notice, Note::RestartingOnRequest, &[]);
        }
        self.launch(ProcessSlot::Server)
    }

    /// Starts the first command of `--before` or, without one, the server process in this slot. Then waits for the next
    /// event, and returns it. Returns `ForkFailed` at once if the start fails.
    pub fn launch(&mut self, slot: ProcessSlot) -> Event {
        if let Some(prober) = &mut self.config.prober {
            prober.end_attempts(slot);
        }
        match self.start_process(slot, 0) {
            Ok(()) => self.next_event(),
            Err(why) => self.on_launch_failed(slot, why),
        }
    }

    /// Starts the command of `--before` with this number in this slot or, after the last command, the server process.
    ///
    /// # Errors
    /// When the kernel cannot create a process or a descriptor.
    #[inline(never)]
    pub fn start_process(&mut self, slot: ProcessSlot, command_index: usize) -> sys::Result<()> {
        let start_kind = if self.is_first_start() { StartKind::First } else { StartKind::Later };
        if start_kind == StartKind::Later {
            let alone = slot == ProcessSlot::Server && self.second.is_none();
            self.restore_sockets(if alone { SocketUse::BetweenRuns } else { SocketUse::ByOtherProcess });
        }
        let before_command = self.prepare_command_or_server(slot, command_index);
        let begun = self.process_mut(slot).as_ref().filter(|_| command_index > 0).map(|last| last.log_start);
        let config = &mut *self.config;
        if before_command.is_none() {
            config.readiness.prepare_notify_socket(slot, &mut config.program.env)?;
        }
        let output = config.output.server_fd(&config.log);
        let step_log = config.traces_steps.then_some(&config.log);
        // The pid of a candidate is written to the pidfile only when the candidate becomes the server.
        let pidfile = self.pidfiles[0].as_ref().filter(|_| slot == ProcessSlot::Server);
        let (log_dir, cgroup) = (config.output.dir(), config.cgroup.as_ref());
        let pipe = if before_command.is_some() { None } else { config.readiness.create_ready_pipe()? };
        let (readiness, log) = match pipe {
            Some((read, write, number)) => (Some(ReadyPipe::new(read)), Some((write, number))),
            None => (None, None),
        };
        let ready_pipe_and_number = log.as_ref().map(|(write, number)| (write.as_fd(), *number));
        let io = ChildIo {
            output,
            error: output,
            log_dir,
            cgroup,
            ready_pipe_and_number,
            start_kind,
            step_log,
            ..ChildIo::inheriting_stdin()
        };
        let log_start = begun.unwrap_or_else(|| config.output.drain_and_mark_end());
        if let Some(handler) =
            config.crash_handler.as_mut().filter(|_| command_index == 0 && slot == ProcessSlot::Server)
        {
            handler.store_oom_kill_count();
        }
        let env = Some((&config.program.env, config.before_commands.skipped_vars));
        let Spawned { pid, report } = match config.before_commands.list.get(command_index) {
            // The commands of --before do not get the server's standard input.
            Some(command) => spawn(&command.image, &ChildIo { input: None, env_and_skipped_vars: env, ..io })?,
            None => spawn(&config.program, &ChildIo { pidfile, ..io })?,
        };
        let start_ticks =
            if slot == ProcessSlot::Second { read_proc(pid.number(), c"stat", parse_start_ticks) } else { None };
        *self.process_mut(slot) = Some(ServerProcess {
            pid,
            exec_pipe: Some(report),
            exit_watch: ExitWatch::new(pid),
            ready_pipe: readiness,
            before_command,
            failure: None,
            log_start,
            usage: ResourceUsage::default(),
            started: now(),
            candidate_start_ticks: start_ticks.unwrap_or(0),
            uptime: None,
            is_kept_zombie: false,
        });
        Ok(())
    }

    /// Records why a process could not be started, closes the notify socket of a candidate, and returns the event
    /// `ForkFailed` for this slot.
    pub fn on_launch_failed(&mut self, slot: ProcessSlot, why: Errno) -> Event {
        if self.is_first_start() {
            self.start_error = Some(os_error(Problem::StartProcess, why));
        } else {
            self.warn(Note::CannotStartProcess, MessageArg::None, why);
        }
        if let Some(receiver) = self.config.readiness.receiver().filter(|_| slot == ProcessSlot::Second) {
            receiver.close_second_socket();
        }
        slot.event_of_process(Event::ForkFailed)
    }
}
