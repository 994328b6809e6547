//! What the service manager learns of the events.

use crate::logic::supervisor::event::Event;
use crate::logic::supervisor::state::AfterStop;
use crate::logic::supervisor::state::Phase;
use crate::runtime::supervise::supervisor::Supervisor;

impl Supervisor<'_> {
    /// Reports what has just happened, if that concerns the service manager.
    pub fn notify_service_manager(&mut self, event: Event) {
        let Some(service) = &mut self.config.service_manager else { return };
        match (event, self.state.phase) {
            // Also in a pause, and while the handler runs; but not where no server will follow.
            (Event::Restart, Phase::Stopping { next: AfterStop::Restart, .. })
            | (Event::Restart, Phase::Running | Phase::HandlerRunning { .. } | Phase::ForkRetry { .. }) => {
                service.reloading()
            }
            (Event::Ready, Phase::Running) => service.ready_again(),
            (Event::Stop | Event::Interrupt, _) => service.stopping(),
            _ => {}
        }
    }
}
