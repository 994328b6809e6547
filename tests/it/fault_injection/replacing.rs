//! A server is replaced during a fault: afterwards one server must run, and only one.

use super::LIMIT;
use super::run::{Director, PATIENCE};
use crate::harness::{sys, words};
use std::time::{Duration, Instant};

impl Director<'_> {
    /// Replaces the first server, kills the server that then runs, waits until it is restarted, and sends TERM.
    pub fn replace(&mut self) -> Result<(), String> {
        if !self.await_run(1, None)? {
            return Ok(());
        }
        let Some(manager) = self.watched.pid("vsrun") else { return Ok(()) };
        let (watched, setting) = (self.watched, self.setting);
        // If a fault keeps the manager from reading that its server is ready, it refuses the replacement, and the test
        // asks again.
        let since = Instant::now();
        self.until("a server that its manager finds ready", || {
            watched.has_ended() || setting.is_ready(manager) || watched.injected() > 0 && since.elapsed() > 2 * PATIENCE
        })?;
        if watched.has_ended() {
            return Ok(());
        }
        let old = self.one_serves()?;
        if self.scenario.has("--on-signal") {
            self.replace_by_signal(manager, old)
        } else {
            self.replace_by_command(old)
        }?;
        let new = self.one_serves()?;
        let rolled_back = self.rolled_back.is_some();
        if rolled_back != (old == new) {
            return Err(format!("{old} served and {new} serves now, but {:?}", self.rolled_back));
        }
        let named = crate::harness::text(&self.sandbox.path("pid"));
        if named.trim() != new.to_string() && !watched.err().iter().any(|line| line.contains("pidfile")) {
            return Err(format!("the pidfile says {named:?}, the server is {new}"));
        }
        let lives = self.lives();
        sys::kill(new, libc::SIGKILL);
        if !self.await_run(lives + 1, None)? {
            return Err("the manager ended when its server was killed".to_owned());
        }
        self.end(manager, &|| watched.has_ended())
    }

    /// Waits until only one server is left, and returns its pid. The other one may need a moment to exit.
    fn one_serves(&mut self) -> Result<i32, String> {
        let (scenario, setting, watched) = (self.scenario, self.setting, self.watched);
        let mut alive = Vec::new();
        self.until("one server that lives", || {
            alive = setting.alive(scenario);
            alive.len() == 1 || watched.has_ended()
        })
        .map_err(|why| {
            format!("{why}; alive are {:?} of {:?}", setting.alive(scenario), scenario.lives(self.sandbox))
        })?;
        alive.pop().ok_or_else(|| "the manager ended while its server lived".to_owned())
    }

    fn replace_by_command(&mut self, old: i32) -> Result<(), String> {
        let since = Instant::now();
        loop {
            let asking = self.sandbox.vsrun(words!["--replace", self.sandbox.path("monitor")]).start();
            self.until("the end of --replace", || !asking.is_running())?;
            let ended = asking.finish();
            match (ended.code(), &ended.err[..]) {
                (Some(0), []) if self.setting.alive(self.scenario).contains(&old) => {
                    return Err("--replace says 0, and the old server lives".to_owned());
                }
                (Some(0), []) => return Ok(()),
                (Some(3), [line])
                    if line.ends_with("no server is running that is ready") && since.elapsed() < LIMIT =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                (Some(125), [line]) if line.starts_with("vsrun: cannot replace ") => {
                    self.rolled_back = Some(line.clone());
                    return Ok(());
                }
                _ => return Err(format!("--replace says {ended:?}")),
            }
        }
    }

    fn replace_by_signal(&mut self, manager: i32, old: i32) -> Result<(), String> {
        let (scenario, setting, watched) = (self.scenario, self.setting, self.watched);
        let (mut since, mut sent, mut said) = (Instant::now(), 0, None);
        self.until("the end of the replacement", || {
            let err = watched.err();
            let failed =
                |line: &&String| line.contains("replacement failed: ") || line.contains("the server is not replaced: ");
            let early = |line: &&String| line.ends_with("no server is running that is ready");
            said = err.iter().filter(|line| !early(line)).find(failed).cloned();
            // Send the signal again if the manager has refused each request so far.
            if err.iter().filter(early).count() == sent && (sent == 0 || since.elapsed() > PATIENCE / 10) {
                (since, sent) = (Instant::now(), sent + 1);
                sys::kill(manager, libc::SIGUSR2);
            }
            // Until the manager has reaped the old server, the death of the new one would be a failed replacement. A
            // fault may keep it from recording the end.
            let recorded = |part: &str| err.iter().any(|line| line.contains(part));
            let is_over = watched.injected() > 0
                || !recorded("replacing the server (pid ")
                || recorded("the server has been replaced");
            let alive = setting.alive(scenario);
            said.is_some() || is_over && alive.len() == 1 && alive[0] != old || watched.has_ended()
        })?;
        self.rolled_back = said;
        Ok(())
    }
}
