//! The steps of a plan and their order, tested without root and without fork(2).

use super::*;
use crate::logic::base::cstr::leak_cstr;
use crate::logic::cli::args_file::Args;
use crate::logic::cli::parse::{self, Request};
use crate::logic::cli::value::parse_limit;
use crate::logic::plan::env::Env;
use crate::logic::plan::host::{CanChangeIds, StdinTerminal};
use crate::logic::plan::limits::Capabilities;
use crate::logic::plan::socket_activation::InheritedSockets;
use crate::logic::plan::step::{KeepPermitted, Step};
use crate::logic::supervisor::event::Recipient;
use crate::logic::supervisor::policy::Restart;

const PASSWD: &[u8] = b"root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:/bin/false\n";
const GROUP: &[u8] = b"web:x:44:\nlog:x:4:web\n";

fn root() -> Host<'static> {
    let cwd = Some(b"/home".to_vec());
    Host { passwd_file: PASSWD, group_file: GROUP, cwd, ..Host::default() }
}

fn options(line: &str) -> Options {
    let words = std::iter::once("vsrun").chain(line.split(' ')).map(|text| leak_cstr(text.into())).collect();
    let mut options = Options::default();
    match parse::parse(&Args::new(words), &mut options, &mut None) {
        Ok(Request::Run) => options,
        other => panic!("{line}: {other:?}"),
    }
}

fn plan_for(line: &str, host: &Host<'_>) -> Plan {
    plan(&mut options(line), host).unwrap()
}

fn refused(line: &str, host: &Host<'_>) -> String {
    plan(&mut options(line), host).unwrap_err().to_string()
}

fn dir(path: &str) -> Step {
    Step::Chdir(leak_cstr(path.into()))
}

#[test]
fn privileges_are_dropped_last_and_in_order() {
    let plan = plan_for(
        "-u web -r /jail -w /srv -p /run/x -d /log 7 --umask 027 --port 80 --listen /s -- /bin/httpd",
        &root(),
    );
    let gone = KeepPermitted::Nothing;
    let proof = Step::VerifyCredentials { uid: 33, gid: 44, groups: &[4, 44] };
    assert_eq!(
        plan.server.steps,
        [
            Step::UnblockSignals,
            Step::DropControllingTerminal,
            Step::WritePidAndKeepLock(c"/run/x"),
            Step::RedirectInput,
            Step::RedirectOutput,
            Step::PassSockets(2),
            Step::CloseDescriptors,
            Step::Chroot(c"/jail"),
            dir("/"),
            Step::BlockSignals,
            Step::JoinNewKeyring,
            Step::Groups(&[44, 4]),
            Step::Gid(44),
            Step::Uid(33, gone),
            Step::JoinNewKeyring,
            Step::DropCapabilities(gone),
            proof,
            Step::Umask(0o027),
            dir("/srv"),
            Step::VerifyCwdInsideRoot(c"/srv"),
            Step::UnblockSignals,
            Step::Exec(c"/bin/httpd"),
        ]
    );
    assert_eq!((plan.sockets.inherited_count, plan.sockets.unix_socket_owner), (0, Some((33, 44))));
    assert_eq!(plan.server.env.get(b"LISTEN_FDS"), Some(&b"2"[..]));
}

/// Attributes that need root are set before root is dropped, and capabilities after the user has been verified.
#[test]
fn attributes_that_need_root_are_set_before_the_user_changes() {
    let attributes = "--umask 7 --caps kill --no-new-privs --limit core=0 --nice -1 --limit cpu=1:2 --oom-score-adj 5";
    let line = format!("{attributes} -u web -r /jail -m - ask -s tag -- x");
    let plan = plan_for(&line, &root());
    let chosen = Capabilities::parse(b"kill").unwrap();
    let [core, cpu] = [&b"core=0"[..], b"cpu=1:2"].map(|value| parse_limit(value).unwrap());
    assert_eq!(
        plan.server.steps,
        [
            Step::UnblockSignals,
            Step::Setsid,
            Step::RedirectInput,
            Step::Nice(-1),
            Step::OomScoreAdj(c"5"),
            core,
            cpu,
            Step::RedirectOutput,
            Step::CloseDescriptors,
            Step::Chroot(c"/jail"),
            dir("/"),
            Step::BlockSignals,
            Step::JoinNewKeyring,
            Step::Groups(&[44, 4]),
            Step::Gid(44),
            Step::Uid(33, KeepPermitted::All),
            Step::JoinNewKeyring,
            Step::DropCapabilities(KeepPermitted::All),
            Step::VerifyCredentials { uid: 33, gid: 44, groups: &[4, 44] },
            Step::Capabilities(chosen),
            Step::NoNewPrivileges,
            Step::Umask(7),
            Step::UnblockSignals,
            Step::Exec(c"x"),
        ]
    );
    // The handler and the logger get none of these attributes, and drop the privileges that --user drops.
    let Output::Logger(logger, _) = plan.output else { panic!("no logger") };
    for steps in [plan.supervision.unwrap().crash_handler.unwrap().steps, logger.steps] {
        let spare = KeepPermitted::OneHarmlessNotIn(chosen.set);
        let [.., uid, Step::JoinNewKeyring, rights, proof, Step::UnblockSignals, Step::Exec(_)] = steps.as_slice()
        else {
            panic!("{steps:?}")
        };
        assert_eq!([uid, rights], [&Step::Uid(33, spare), &Step::DropCapabilities(spare)]);
        assert!(matches!(proof, Step::VerifyCredentials { .. }), "{steps:?}");
        let place = |wanted: &Step| steps.iter().position(|step| step == wanted).unwrap();
        assert!(place(&Step::RedirectOutput) < place(&Step::CloseDescriptors), "{steps:?}");
        assert!(place(&Step::CloseDescriptors) < place(&Step::BlockSignals), "{steps:?}");
        assert_eq!(steps.len(), 16, "{steps:?}");
    }
    // `-u root` keeps the capabilities of root. A process that already has the user only drops capabilities.
    let is_about_rights =
        |step: &Step| matches!(step, Step::Uid(..) | Step::DropCapabilities(_) | Step::Capabilities(_));
    let web = Host { euid: 33, ..root() };
    for (line, host, expected) in [
        ("-u root -- x", &root(), vec![Step::Uid(0, KeepPermitted::Nothing)]),
        ("-u root --caps kill -- x", &root(), vec![Step::Uid(0, KeepPermitted::All), Step::Capabilities(chosen)]),
        ("--caps kill -- x", &root(), vec![Step::Capabilities(chosen)]),
        ("-u web -- x", &web, vec![Step::DropCapabilities(KeepPermitted::Nothing)]),
        ("-u web --caps kill -- x", &web, vec![Step::Capabilities(chosen)]),
        ("-- x", &web, vec![]),
    ] {
        let steps = plan_for(line, host).server.steps;
        assert_eq!(steps.into_iter().filter(is_about_rights).collect::<Vec<_>>(), expected, "{line}");
    }
}

/// Whatever the options are: after the credentials are verified, no step follows that needs root. The last step is the
/// exec.
#[test]
fn no_step_needs_root_after_the_credentials_are_verified() {
    let parts = [
        "-u web",
        "-u 33:4",
        "-r /jail",
        "-w x",
        "-p pid",
        "-b",
        "-s tag",
        "-d log 1",
        "--stdin",
        "-m - -",
        "--umask 7 --nice 1 --limit core=0",
        "--caps kill --no-new-privs",
        "--port 80",
    ];
    // Miri is too slow for all combinations.
    for mask in (0u32..1 << parts.len()).step_by(if cfg!(miri) { 1499 } else { 1 }) {
        let chosen: Vec<&str> =
            parts.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, part)| *part).collect();
        let both = |a: u32, b: u32| mask >> a & 1 == 1 && mask >> b & 1 == 1;
        if both(0, 1) || both(6, 7) {
            continue;
        }
        let line = [chosen.join(" "), "-- cmd".into()].join(" ");
        let plan = plan_for(line.trim(), &root());
        let steps = &plan.server.steps;
        assert!(matches!(steps.last(), Some(Step::Exec(_))), "{line}");
        let place = |wanted: fn(&Step) -> bool| steps.iter().position(wanted);
        let proof = place(|step| matches!(step, Step::VerifyCredentials { .. }));
        assert_eq!(proof.is_some(), line.contains("-u "), "{line}");
        for step in steps.iter().skip(proof.unwrap_or(steps.len())).skip(1) {
            let chosen = matches!(step, Step::Capabilities(_) | Step::NoNewPrivileges);
            // The working directory is entered with the rights of the server.
            let enters =
                matches!(step, Step::Chdir(_) | Step::VerifyCwdInsideRoot(_) | Step::EnterCallersPathIfReplaced(_));
            let last = matches!(step, Step::Umask(_) | Step::UnblockSignals | Step::Exec(_));
            assert!(chosen || enters || last, "{line}: {step}");
        }
        // Steps that need a descriptor come before the descriptors are closed; the steps into the jail come after that.
        let closed = place(|step| matches!(step, Step::CloseDescriptors | Step::CloexecDescriptors)).unwrap();
        let protects = ["-u ", "-r ", "-m ", "-b"].iter().any(|option| line.contains(option));
        assert_eq!(steps.contains(&Step::CloseDescriptors), protects, "{line}");
        for (at, step) in steps.iter().enumerate() {
            let opens = matches!(
                step,
                Step::WritePidAndKeepLock(_)
                    | Step::WriteManagedPid(_)
                    | Step::RedirectInput
                    | Step::RedirectOutput
                    | Step::PassSockets(_)
                    | Step::EnterLogDir(_)
            );
            assert!(!opens || at < closed, "{line}: {step}");
            let enters = matches!(step, Step::Chroot(_) | Step::Chdir(_) | Step::BlockSignals | Step::Groups(_));
            assert!(!enters || at > closed || !protects, "{line}: {step}");
        }
        if let Some(root) = place(|step| matches!(step, Step::Chroot(_))) {
            assert_eq!(steps[root + 1], dir("/"), "{line}");
            assert!(proof.is_none_or(|proof| root < proof), "{line}");
        }
        // If the supervisor holds the pidfile, the server has no descriptor of it.
        let keeps = place(|step| matches!(step, Step::WritePidAndKeepLock(_))).is_some();
        assert_eq!(keeps, line.contains("-p ") && !line.contains("-m "), "{line}");
    }
}

#[test]
fn options_determine_the_steps_that_change_the_directory() {
    let callers = vec![Step::ReturnToCallersDir(c"/home", (0, 0)), Step::EnterCallersPathIfReplaced(c"/home")];
    for (line, expected) in [
        ("-- x", vec![]),
        ("-w sub -- x", vec![dir("sub")]),
        ("-d logs 1 -- x", vec![Step::EnterLogDir(c"logs")]),
        ("-d logs 1 -w sub -- x", vec![dir("sub")]),
        ("-m - - -- x", callers.clone()),
        ("-b -m - - -- x", callers),
        ("-b -- x", vec![]),
        ("-m - - -w sub -- x", vec![dir("/home/sub")]),
        ("-b -m - - -w sub -- x", vec![dir("/home/sub")]),
        ("-b -m - - -w ./sub -- x", vec![dir("/home/sub")]),
        ("-b -m - - -d logs 1 -- x", vec![Step::EnterLogDir(c"logs")]),
        ("-m - - -d logs 1 -- x", vec![Step::EnterLogDir(c"logs")]),
        ("-r jail -d logs 1 -- x", vec![Step::Chroot(c"jail"), dir("/")]),
        ("-b -m - - -r jail -w sub -- x", vec![Step::Chroot(c"/home/jail"), dir("/"), dir("sub")]),
    ] {
        let steps = plan_for(line, &root()).server.steps;
        let is_one = |step: &Step| {
            matches!(step, Step::Chroot(_) | Step::Chdir(_) | Step::EnterLogDir(_))
                || matches!(step, Step::ReturnToCallersDir(..) | Step::EnterCallersPathIfReplaced(_))
        };
        let found: Vec<Step> = steps.into_iter().filter(is_one).collect();
        assert_eq!(found, expected, "{line}");
    }
    let lost = Host { cwd: None, ..root() };
    assert!(refused("-b -m - - -- x", &lost).contains("cannot determine the current directory"));
    assert!(plan_for("-b -m - - -r /j -- x", &lost).supervision.is_some());
    // In the foreground the manager stays in the current directory, so it need not know the path.
    let stays = plan_for("-m - - -w sub -- x", &lost);
    assert!(!stays.leaves_cwd && stays.server.steps.contains(&dir("sub")));
}

#[test]
fn a_user_change_without_privilege_is_refused() {
    let web = Host { euid: 33, ..root() };
    assert_eq!(
        refused("-u root -- x", &web),
        "started using wrong user ID (33), expected 0 (only root can become 'root')"
    );
    for line in ["-u web -- x", "-u 33 -- x", "-u root --no-user-checks -- x"] {
        let plan = plan_for(line, &web);
        assert!(!plan.server.steps.iter().any(|step| matches!(step, Step::Uid(..))), "{line}");
    }
    let set_next = plan_for("-u root --no-user-checks -- x", &web);
    assert_eq!(set_next.server.env.get(b"HOME"), None);
    let host = Host { egid: 44, ..Host { euid: 33, ..root() } };
    assert_eq!(refused("-u web:4 -- x", &host), "cannot become group 4: only root can");
    assert!(!plan_for("-u web:44 -- x", &host).server.steps.iter().any(|step| matches!(step, Step::Uid(..))));
    // Root in a container without capabilities stays root, and cannot become another user.
    let poor = Host { can_change_ids: CanChangeIds::No, ..root() };
    assert!(!plan_for("-u 0 -- x", &poor).server.steps.iter().any(|step| matches!(step, Step::Groups(_))));
    assert!(refused("-u web -- x", &poor).contains("cannot become user 33"));
}

#[test]
fn the_server_and_the_handler_have_different_environments() {
    let env = Env(["VSRUN_SERVER_PID=1", "HOME=/x", "PATH=/p:/q"].map(|e| leak_cstr(e.into())).to_vec());
    let host = Host { env, ..root() };
    let plan = plan_for("-u web -e A=1 -e HOME=/mine -m - ask -- run it", &host);
    let server = &plan.server.env;
    assert_eq!(
        (server.get(b"HOME"), server.get(b"USER"), server.get(b"A")),
        (Some(&b"/mine"[..]), Some(&b"web"[..]), Some(&b"1"[..]))
    );
    let handler = plan.supervision.unwrap().crash_handler.unwrap();
    assert_eq!((handler.env.get(b"HOME"), handler.env.get(b"A")), (Some(&b"/srv"[..]), None));
    assert_eq!(
        (handler.env.get(b"VSRUN_SERVER_PID"), handler.env.get(b"VSRUN_SERVER_COMMAND")),
        (None, Some(&b"run it"[..]))
    );
    assert_eq!(handler.exec_paths, [c"/home/ask"]);
    assert_eq!(plan.server.exec_paths, [c"/p/run", c"/q/run"]);
}

#[test]
fn env_dir_overrides_the_caller_and_env_overrides_env_dir() {
    let env = Env(vec![c"A=caller", c"GONE=caller", c"HOME=/x", c"PATH=/p"]);
    let env_dir = vec![c"HOME=/dir", c"A=dir", c"GONE", c"B=dir", c"SHELL"];
    let host = Host { env, env_entries_from_files: env_dir, ..root() };
    let words = |line: &str| {
        let plan = plan_for(line, &host);
        let mut words: Vec<String> = plan.server.env.0.iter().map(|entry| entry.to_str().unwrap().to_owned()).collect();
        words.sort();
        (words.join(" "), plan.server.exec_paths.first().unwrap().to_str().unwrap().to_owned())
    };
    assert_eq!(
        words("-u web -e B=e -e SHELL=/e -- x"),
        ("A=dir B=e HOME=/dir LOGNAME=web PATH=/p SHELL=/e USER=web".into(), "/p/x".into())
    );
    assert_eq!(
        words("--clear-env -u web -- x"),
        ("A=dir B=dir HOME=/dir LOGNAME=web USER=web".into(), "/usr/local/sbin/x".into())
    );
    assert_eq!(words("--clear-env -e PATH=/e -- x"), ("A=dir B=dir HOME=/dir PATH=/e".into(), "/e/x".into()));
    // The handler belongs to vsrun, and has vsrun's environment.
    let handler = plan_for("--clear-env -m - ask -- x", &Host { cwd: Some(b"/".to_vec()), ..host })
        .supervision
        .unwrap()
        .crash_handler;
    assert_eq!(handler.unwrap().env.get(b"A"), Some(&b"caller"[..]));
}

#[test]
fn commands_are_searched_as_execvp_does() {
    let paths = |command: &str, path: Option<&str>| {
        let found = command_path::paths_to_try(leak_cstr(command.into()), path.map(str::as_bytes));
        found.iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths("a/b", Some("/bin")), ["a/b"]);
    assert_eq!(paths("", Some("/bin")), [""]);
    assert_eq!(paths("x", Some("/bin::/s/")), ["/bin/x", "./x", "/s//x"]);
    assert_eq!(paths("x", Some("")), ["./x"]);
    assert_eq!(paths("x", None).first().map(String::as_str), Some("/usr/local/sbin/x"));
}

#[test]
fn a_ready_descriptor_that_is_a_socket_is_refused() {
    let handed = |count| {
        let mut handed = InheritedSockets::default();
        handed.count = count;
        handed
    };
    for (line, count) in [("--listen 80 --ready fd:3", 0), ("--ready fd:4", 2), ("--listen 80 --ready fd:5", 2)] {
        let host = Host { inherited: handed(count), ..root() };
        assert!(refused(&format!("-b {line} -- x"), &host).contains("a socket has this number"), "{line}");
    }
    assert_eq!(
        plan_for("-b --listen 80 --ready fd:6 -- x", &Host { inherited: handed(2), ..root() }).ready,
        ReadyCondition::NewlineOnFd(6)
    );
    assert_eq!(plan_for("-b --ready fd:3 -- x", &root()).ready, ReadyCondition::NewlineOnFd(3));
}

/// If --user names the current user, nothing changes, so no privilege is needed.
#[test]
fn the_same_user_and_groups_need_no_privilege() {
    let with = |egid, groups: Option<&[u32]>| Host { egid, own_groups: groups.map(<[u32]>::to_vec), ..root() };
    for (line, host, changes) in [
        ("-u 0 -- x", with(0, Some(&[])), false),
        ("-u root -- x", with(0, Some(&[0])), false),
        ("-u root:root -- x", with(0, Some(&[0, 4])), true),
        ("-u 0 -- x", with(0, Some(&[4])), true),
        ("-u 0 -- x", with(4, Some(&[])), true),
        ("-u 0 -- x", with(0, None), true),
        ("-u 0:4 -- x", with(4, Some(&[])), false),
        ("-u web -- x", with(0, Some(&[])), true),
    ] {
        let host = Host { group_file: b"root:x:0:\n", ..host };
        let steps = plan_for(line, &host).server.steps;
        assert_eq!(steps.iter().any(|step| matches!(step, Step::Groups(_))), changes, "{line} {host:?}");
        assert_eq!(steps.contains(&Step::BlockSignals), changes, "{line}");
    }
}

/// nohup(1) ignores SIGHUP; an option and a new session override that.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let nohup = Host { hangup_ignored: true, ..root() };
    for (line, ignored, action) in [
        ("-- x", true, SignalAction::Restart),
        ("--init -- x", true, SignalAction::Ignore),
        ("-m - - -- x", true, SignalAction::Ignore),
        ("-m - - --on-signal HUP=restart -- x", false, SignalAction::Restart),
        ("-m - - --on-signal HUP=forward -- x", false, SignalAction::Forward(Signal::HUP)),
    ] {
        let plan = plan_for(line, &nohup);
        assert_eq!(plan.ignores_hangup, ignored, "{line}");
        assert!(plan.supervision.is_none() || plan.signal_table.get(Signal::HUP) == action, "{line}");
    }
    assert!(!plan_for("-b -m - - -- x", &nohup).ignores_hangup);
    assert!(!plan_for("-m - - -- x", &root()).ignores_hangup);
}

/// An interactive server gets the terminal, except if it runs as another user.
#[test]
fn only_an_interactive_server_of_the_same_user_gets_the_terminal() {
    let host = Host { terminal: StdinTerminal::Foreground, ..root() };
    for (line, first) in [
        ("--restart no --stdin -- sh", [Step::TakeForeground, Step::UnblockSignals]),
        ("--restart no -- sh", [Step::UnblockSignals, Step::Setsid]),
        ("--restart no --stdin -u web -- sh", [Step::UnblockSignals, Step::Setsid]),
        ("--restart no --stdin -b -- sh", [Step::UnblockSignals, Step::Setsid]),
        ("--stdin -u web -- sh", [Step::UnblockSignals, Step::DropControllingTerminal]),
    ] {
        assert_eq!(plan_for(line, &host).server.steps.get(..2).unwrap(), first, "{line}");
    }
    let job = Host { terminal: StdinTerminal::Background, ..root() };
    let steps = plan_for("--restart no --stdin -- sh", &job).server.steps;
    assert_eq!(steps.get(..2).unwrap(), [Step::UnblockSignals, Step::NewBackgroundGroup]);
}

#[test]
fn options_set_the_policy_of_an_init_or_a_manager() {
    use crate::logic::supervisor::policy::Role;
    let policy = |line: &str| plan(&mut options(&format!("{line} -- x")), &root()).unwrap().policy;
    for (line, role, timeout) in [
        ("--init", Role::Init, Some(30)),
        ("--init --stop-timeout 5", Role::InitWithTimeout, Some(5)),
        ("--init --stop-timeout 0", Role::Init, None),
        ("--restart no", Role::Manager, Some(30)),
        ("-m - - --stop-timeout 5", Role::Manager, Some(5)),
    ] {
        let policy = policy(line);
        assert_eq!((policy.role, policy.stop_timeout), (role, timeout.map(Span::secs)), "{line}");
        assert_eq!((policy.signal_scope, policy.linger_timeout), (Recipient::Server, None), "{line}");
    }
    assert_eq!(policy("--init").restart, Restart::No);
    let policy = policy("--init --group --linger 3");
    assert_eq!((policy.signal_scope, policy.linger_timeout), (Recipient::Group, Some(Span::secs(3))));
    let mut none = options("--init --linger 0 -- x");
    assert_eq!(plan(&mut none, &root()).unwrap().policy.linger_timeout, None);
}

/// The first step enters the control group. Landlock, which needs no_new_privs, comes last: only UnblockSignals and
/// Exec follow.
#[test]
fn the_control_group_is_entered_first_and_the_rules_come_last() {
    use crate::logic::plan::landlock::LandlockSupport;
    use crate::logic::plan::landlock_rules::{HandledRights, PathAccess, Rule};
    let host = Host { landlock: LandlockSupport::Abi(7), ..root() };
    let plan = plan_for("--cgroup /c --cgroup-set pids.max=9 --ro /x --scope signal -u web --umask 7 -- x", &host);
    let steps = &plan.server.steps;
    assert_eq!(steps.first(), Some(&Step::EnterCgroup(c"/c")));
    let last = [
        Step::NoNewPrivileges,
        Step::Umask(7),
        Step::CreateLandlockRuleset(HandledRights { file_rights: 0xffff, tcp_rights: 0, scope: 2 }),
        Step::AddLandlockRule(Rule::Path(PathAccess::Ro, c"/x"), 0xffff),
        Step::LandlockRestrictSelf,
        Step::UnblockSignals,
        Step::Exec(c"x"),
    ];
    assert_eq!(steps[steps.len() - last.len()..], last);
    assert!(steps.contains(&Step::CloseDescriptors) && !steps.contains(&Step::CloexecDescriptors));
    // A process cannot remove its own control group, so after a failed start another process does that.
    let lone = plan_for("--cgroup /c -- x", &host).server.steps;
    assert!(lone.contains(&Step::CloseDescriptors) && !lone.contains(&Step::CloexecDescriptors));
    assert_eq!(plan.cgroup.unwrap().settings, [(c"pids.max", c"9")]);
    // The handler is neither in the control group nor confined by Landlock.
    let plan = plan_for("--cgroup /c --ro /x -m - /h -- x", &host);
    let handler = plan.supervision.unwrap().crash_handler.unwrap();
    let jailed = |step: &Step| {
        matches!(step, Step::EnterCgroup(_) | Step::CreateLandlockRuleset(_) | Step::LandlockRestrictSelf)
    };
    assert!(!handler.steps.iter().any(jailed), "{:?}", handler.steps);
}
