//! Determines which events are reported to the service manager.

use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::state::AfterStop;
use crate::logic::supervisor::state::Phase;
use crate::runtime::supervise::supervisor::Supervisor;

impl Supervisor<'_> {
    /// Reports an event to the service manager if it changes the state of the service.
    #[inline(never)]
    pub fn notify_service_manager(&mut self, event: Event) {
        let Some(service) = &mut self.config.service_manager else { return };
        match (event, self.state.phase) {
            // A requested restart is also reported if it came during the pause before a restart or while the handler
            // runs, but not if the supervisor is about to exit.
            (Event::Restart, Phase::Stopping { next: AfterStop::Restart, .. })
            | (Event::Restart, Phase::Running | Phase::HandlerRunning { .. } | Phase::ForkRetry { .. }) => {
                service.report_reloading()
            }
            (Event::Replace, _) => service.report_reloading(),
            (Event::Ready, Phase::Running) if !self.state.is_replacing() => service.report_ready_again(),
            (Event::Stop | Event::Interrupt, _) | (Event::Forward(_), Phase::DelayingStop { .. }) => {
                service.report_stopping()
            }
            _ => {}
        }
    }
}
