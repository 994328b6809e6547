//! What the kernel refuses for want of a right is answered with the capability that would do.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::print_stderr, missing_docs)]

mod kit;

use kit::{Place, words};

#[test]
fn a_step_that_is_refused_names_the_capability() {
    let place = Place::plain();
    for (options, says) in [
        (words!["-r", "/"], "cannot change root to '/': Operation not permitted (needs CAP_SYS_CHROOT)"),
        (words!["--nice", "-20"], "Permission denied (needs CAP_SYS_NICE)"),
        (words!["--caps", "kill"], "Operation not permitted (needs CAP_SETPCAP)"),
        (words!["--port", "1"], "Permission denied (low ports need CAP_NET_BIND_SERVICE)"),
        (words!["--limit", "nofile=unlimited"], ": more needs CAP_SYS_RESOURCE)"),
        (words!["-u", "1"], "(only root can become '"),
    ] {
        for way in [words![], words!["-m", "-", "-"]] {
            let line = [way, options.clone(), words!["--", place.probe()]].concat();
            place.vsrun(line).finish().failed(125, &[says]);
        }
    }
}

#[test]
fn a_limit_that_is_refused_names_the_one_in_force() {
    let place = Place::plain();
    let call = place.vsrun(words!["--limit", "nofile=2000", "--", place.probe()]);
    let call = call.before(|| kit::sys::limit_descriptors(1000));
    call.finish().failed(125, &["set --limit nofile=2000", "(the hard limit is 1000: more needs CAP_SYS_RESOURCE)"]);
}
