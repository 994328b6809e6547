//! If the kernel refuses a step because of a missing privilege, the error names the capability or the limit.

use crate::harness::{self, Sandbox, words};

#[test]
fn a_step_that_is_refused_names_the_capability() {
    let sandbox = Sandbox::plain();
    for (options, says) in [
        (words!["-r", "/"], "cannot change root to '/': Operation not permitted (needs CAP_SYS_CHROOT)"),
        (words!["--nice", "-20"], "Permission denied (needs CAP_SYS_NICE)"),
        (words!["--caps", "kill"], "Operation not permitted (needs CAP_SETPCAP)"),
        (words!["--port", "1"], "Permission denied (low ports need CAP_NET_BIND_SERVICE)"),
        (words!["--limit", "nofile=unlimited"], ": more needs CAP_SYS_RESOURCE)"),
        (words!["-u", "1"], "(only root can become '"),
    ] {
        for way in [words![], words!["-m", "-", "-"]] {
            let line = [way, options.clone(), words!["--", sandbox.probe()]].concat();
            sandbox.vsrun(line).finish().assert_failed(125, &[says]);
        }
    }
}

#[test]
fn a_limit_that_is_refused_names_the_one_in_force() {
    let sandbox = Sandbox::plain();
    let call = sandbox.vsrun(words!["--limit", "nofile=2000", "--", sandbox.probe()]);
    let call = call.before(|| harness::sys::limit_descriptors(1000));
    call.finish()
        .assert_failed(125, &["set --limit nofile=2000", "(the hard limit is 1000: more needs CAP_SYS_RESOURCE)"]);
}
