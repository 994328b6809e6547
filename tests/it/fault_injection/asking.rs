//! A fault in a control command or a probe: what the command reports must be true, with the right status and in one
//! line.

use super::run::{Director, Outcome, Seen};
use crate::harness::{self, Running};

impl Director<'_> {
    /// Waits for the command's exit, checks that its status is true, and stops the manager.
    pub fn ask(&mut self, manager: Option<Running>) -> Result<(), String> {
        let watched = self.watched;
        let ended = self.until("the end of the command", || watched.has_ended());
        let Some(manager) = manager else { return ended };
        let found = ended.and_then(|()| self.is_true(&manager));
        let lived = manager.is_running();
        let stopped = manager.stop();
        let signals = harness::lines(&self.sandbox.out("signals"));
        found?;
        if stopped.code() != Some(0) {
            return Err(format!("the manager has ended so: {stopped:?}"));
        }
        let wanted: &[&str] = match (self.scenario.name, watched.status()) {
            ("ask-signal", Some(0)) => &["ready", "10", "15"],
            ("ask-replace", _) => return Ok(()),
            _ => &["ready", "15"],
        };
        if signals != wanted {
            return Err(format!("the server got {signals:?}"));
        }
        if !lived && self.scenario.name != "ask-stop" { Err("the manager has ended".to_owned()) } else { Ok(()) }
    }

    /// Checks that the command's exit status is true of the server and its manager.
    fn is_true(&mut self, manager: &Running) -> Result<(), String> {
        let (scenario, setting) = (self.scenario, self.setting);
        let alive = setting.alive(scenario);
        let lives = scenario.lives(self.sandbox);
        match (scenario.name, self.watched.status()) {
            ("ask-stop", Some(0)) if manager.is_running() || !alive.is_empty() => {
                Err("it says stopped, and is alive".to_owned())
            }
            ("ask-stop", _) => Ok(()),
            ("ask-replace", Some(0)) if lives.len() != 2 || alive != [lives[1].0] => {
                Err(format!("it says replaced, and alive are {alive:?} of {lives:?}"))
            }
            ("ask-replace", Some(0)) => Ok(()),
            ("ask-replace", _) => self.until("one server that lives", || setting.alive(scenario).len() == 1),
            ("ask-signal", Some(0)) => {
                let signals = self.sandbox.out("signals");
                self.until("the signal", || harness::lines(&signals).len() == 2)
            }
            _ if alive.len() == 1 => Ok(()),
            _ => Err(format!("alive are {alive:?}")),
        }
    }
}

impl Seen<'_> {
    /// Judges the command's exit status and output.
    pub fn answer(&self) -> Result<Outcome, String> {
        let (out, err) = (self.out, self.err);
        let status = self.trace.status;
        let said = || format!("status {status:?}, and it said {out:?} and {err:?}");
        let name = self.scenario.name;
        let lives = self.scenario.lives(self.setting.sandbox);
        let running = || format!("running: pid {} (PLACE/pid)", lives[0].0);
        let kind = if name.starts_with("ask-pro") { "probe" } else { name };
        match (kind, status) {
            ("ask-status", Some(0)) => {
                let is_right = out.len() == 1 && err.is_empty() && out[0].starts_with(&running());
                // The uptime is missing if a fault keeps the command from reading it.
                let whole = is_right && out[0].contains(", up ");
                let right = if whole { Outcome::Same } else { Outcome::WentOn };
                if is_right { Ok(right) } else { Err(said()) }
            }
            (_, Some(0)) if out.is_empty() => Ok(if err.is_empty() { Outcome::Same } else { Outcome::WentOn }),
            ("ask-status", Some(4))
                if err.is_empty() && out.len() == 1 && out[0].starts_with("state unknown: PLACE/pid: ") =>
            {
                Ok(Outcome::Refused)
            }
            ("ask-status" | "ask-signal" | "ask-stop" | "ask-replace", Some(4 | 125)) | ("probe", Some(1 | 125))
                if out.is_empty() =>
            {
                let reported = err.len() == 1 && err[0].starts_with("vsrun: ");
                let mute = err.is_empty() && self.fails_for_good(&["write"]);
                if reported || mute { Ok(Outcome::Refused) } else { Err(said()) }
            }
            _ => Err(said()),
        }
    }
}
