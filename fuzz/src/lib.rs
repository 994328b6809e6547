//! Checks the pure layer (`logic`) with arbitrary bytes: it never panics; an input that it accepts has one meaning and
//! a canonical form with the same meaning; an error is one line that is safe to print.
//!
//! Each public function is a target of cargo-fuzz. Results are compared with a second implementation where there is
//! one: std's addresses, a shell's quoting, a plain loop over lines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod arena;

pub use arena::run_in_arena;
use vsrun::logic::base::cstr::leak_cstr;
use vsrun::logic::base::error::Error;
use vsrun::logic::base::exit::SuccessExits;
use vsrun::logic::base::signal::Signal;
use vsrun::logic::base::text::{ArrayText, Escaped, shell_join};
use vsrun::logic::base::time::{Span, Timestamp, parse_number};
use vsrun::logic::cli::args_file::Args;
use vsrun::logic::cli::options::Options;
use vsrun::logic::cli::parse::{self, Request};
use vsrun::logic::cli::value;
use vsrun::logic::formats::executable::{self, ExecFailure, ExecFailureDisplay, Executable, Machine};
use vsrun::logic::formats::log_name;
use vsrun::logic::formats::net_table;
use vsrun::logic::plan::account::{self, Identity, NameOrId, UserAndGroup};
use vsrun::logic::plan::env::{self, Env};
use vsrun::logic::plan::expand;
use vsrun::logic::plan::host::Host;
use vsrun::logic::plan::planner::plan;
use vsrun::logic::plan::program::Program;
use vsrun::logic::plan::socket_activation::InheritedSockets;
use vsrun::logic::plan::socket_address::{self, Listener, Transport};
use vsrun::logic::plan::step::Step;
use vsrun::logic::supervisor::policy::RestartLimit;
use vsrun::logic::supervisor::readiness::ReadyCondition;
use vsrun::logic::supervisor::{notify, signal_action};

/// Fuzz target. Input: USER[:GROUP], the contents of passwd and the contents of group, separated by bytes 0xff.
pub fn accounts(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let (text, passwd, group) = (part(), part(), part());
    let Some(login) = UserAndGroup::parse(text) else { return };
    let rendered =
        [render(&login.user), login.group.as_ref().map_or(vec![], |name| [b":", &render(name)[..]].concat())];
    assert_eq!(UserAndGroup::parse(&rendered.concat()), Some(login.clone()), "the canonical form means the same");
    match account::resolve(&login, passwd, group) {
        Err(error) => refused(&error, &[125]),
        Ok(found) => check_identity(&login, &found, passwd, group),
    }
}

fn render(name: &NameOrId) -> Vec<u8> {
    match name {
        NameOrId::Id(number) => {
            assert_ne!(*number, u32::MAX, "the number that means no change");
            number.to_string().into_bytes()
        }
        NameOrId::Name(text) => {
            assert!(!matches!(text[0], b'0'..=b'9' | b'-' | b'+'), "a name that looks like a number");
            text.clone()
        }
    }
}

/// Checks that the identity matches the entries of the files, which `entries` reads in a plain loop over lines.
fn check_identity(login: &UserAndGroup, found: &Identity, passwd: &[u8], group: &[u8]) {
    let ids = [found.uid, found.gid];
    assert!(ids.iter().chain(&found.groups).all(|id| *id != u32::MAX), "the number that means no change");
    assert_eq!(found.groups[0], found.gid);
    let mut sorted = found.groups.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), found.groups.len(), "a group twice");

    let users = entries(passwd, 7);
    let (name, number) = match &login.user {
        NameOrId::Id(number) => (None, Some(*number)),
        NameOrId::Name(name) => (Some(name), None),
    };
    let is = |entry: &&Vec<&[u8]>| match (name, number) {
        (Some(name), _) => entry[0] == name.as_slice(),
        (_, number) => id(entry[2]).is_some() && id(entry[2]) == number,
    };
    match users.iter().find(is) {
        Some(entry) => {
            assert_eq!((id(entry[2]), entry[0]), (Some(found.uid), found.name.as_slice()));
            if login.group.is_none() {
                assert_eq!(id(entry[3]), Some(found.gid));
            }
        }
        None => {
            assert_eq!(number, Some(found.uid), "a name without an entry");
            assert!(login.group.is_some() || found.gid == found.uid);
            assert_eq!(found.groups.len(), 1, "a number is in no list of names");
        }
    }
    let groups = entries(group, 4);
    match &login.group {
        Some(NameOrId::Id(gid)) => assert_eq!(found.groups, [*gid]),
        Some(NameOrId::Name(name)) => {
            let entry = groups.iter().find(|entry| entry[0] == name.as_slice()).unwrap();
            assert_eq!((Some(found.gid), found.groups.len()), (id(entry[2]), 1));
        }
        None => {
            for gid in &found.groups[1..] {
                let lists = |entry: &&Vec<&[u8]>| {
                    id(entry[2]) == Some(*gid) && entry[3].split(|byte| *byte == b',').any(|user| user == found.name)
                };
                assert!(groups.iter().any(|entry| lists(&entry)), "group {gid} out of nowhere");
            }
        }
    }
}

fn entries(file: &[u8], fields: usize) -> Vec<Vec<&[u8]>> {
    let mut found = Vec::new();
    for line in file.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let entry: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let odd = line.is_empty() || b"#+-:".contains(&line[0]) || line.contains(&0);
        if !odd && entry.len() == fields {
            found.push(entry);
        }
    }
    found
}

fn id(text: &[u8]) -> Option<u32> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = plain.then(|| std::str::from_utf8(text).unwrap().parse().ok()).flatten();
    number.filter(|number| *number != u32::MAX)
}

/// Fuzz target. Input: the words of argv, each followed by a NUL; after an empty word, the contents of the `--args`
/// file.
pub fn command_line(data: &[u8]) {
    let end = data.windows(2).position(|window| window == [0, 0]).unwrap_or(data.len());
    let file = data.get(end + 2..).unwrap_or_default();
    let argv = data[..end].split(|byte| *byte == 0).map(|text| leak_cstr(text.to_vec()));
    let words = Args::new([c"vsrun"].into_iter().chain(argv).collect());
    match parse(&words) {
        Err(error) => refused(&error, &[2]),
        Ok((Request::ArgsFile(unread), _)) => match unread.insert_lines(file) {
            Err(error) => refused(&error, &[2]),
            Ok(words) => check_same_as_on_command_line(&words),
        },
        Ok(all) => check_plan(all),
    }
}

fn parse(words: &Args) -> Result<(Request, Options), Error> {
    let mut options = Options::default();
    parse::parse(words, &mut options, &mut None).map(|request| (request, options))
}

/// Checks that the words of an `--args` file mean the same as on the command line itself.
fn check_same_as_on_command_line(words: &Args) {
    let argv = [c"vsrun"].into_iter().chain(words.list.iter().copied()).collect();
    match (parse(words), parse(&Args::new(argv))) {
        (Err(within), Ok((Request::ArgsFile(_), _))) => refused(&within, &[2]),
        // Without arguments vsrun prints its usage, but an empty `--args` file is an error that names the file.
        (Err(within), Ok((Request::Help(_), _))) if words.list.is_empty() => refused(&within, &[2]),
        (Err(within), Err(without)) => {
            refused(&within, &[2]);
            assert!(within.text().ends_with(&without.text()), "{within} {without}");
        }
        (Ok(within), Ok(without)) => {
            assert_eq!(format!("{within:?}"), format!("{without:?}"));
            assert!(!matches!(within.0, Request::ArgsFile(_)), "a file in a file");
            check_plan(within);
        }
        (within, without) => panic!("{within:?} but {without:?}"),
    }
}

/// Makes the plan of the options. It is refused, or it drops privileges in the only safe order.
fn check_plan((request, mut options): (Request, Options)) {
    let Request::Run = request else { return };
    let (has_root, has_user, has_dir) = (options.root.is_some(), options.user.is_some(), options.work_dir.is_some());
    let facts = Host {
        cwd: Some(b"/home".to_vec()),
        passwd_file: b"root:x:0:0::/root:/bin/sh\nweb:x:33:44::/w:/s\n",
        group_file: b"www:x:44:\nlog:x:4:web\n",
        ..Host::default()
    };
    match plan(&mut options, &facts) {
        Err(error) => refused(&error, &[2, 125]),
        Ok(plan) => {
            drops_in_order(&plan.server, has_user);
            if has_root {
                let place = |wanted: fn(&Step) -> bool| plan.server.steps.iter().position(wanted);
                let root = place(|step| matches!(step, Step::Chroot(_))).unwrap();
                assert!(matches!(plan.server.steps[root + 1], Step::Chdir(_)), "no chdir after the chroot");
                assert_eq!(place(|step| matches!(step, Step::VerifyCwdInsideRoot(_))).is_some(), has_dir);
                assert!(place(|step| matches!(step, Step::Groups(_))).is_none_or(|groups| groups > root));
            }
            if let Some(handler) = plan.supervision.as_ref().and_then(|stay| stay.crash_handler.as_ref()) {
                drops_in_order(handler, has_user);
            }
        }
    }
}

fn drops_in_order(program: &Program, has_user: bool) {
    let places = |wanted: fn(&Step) -> bool| {
        let steps = program.steps.iter().enumerate();
        steps.filter(|(_, step)| wanted(step)).map(|(place, _)| place).collect::<Vec<usize>>()
    };
    let order = [
        places(|step| matches!(step, Step::Groups(_))),
        places(|step| matches!(step, Step::Gid(_))),
        places(|step| matches!(step, Step::Uid(..))),
        places(|step| matches!(step, Step::VerifyCredentials { .. })),
        places(|step| matches!(step, Step::Exec(_))),
    ];
    let (drop, end) = order.split_at(4);
    assert!(drop.iter().all(|places| places.len() == usize::from(has_user)), "{order:?}");
    assert!(order.concat().is_sorted(), "{order:?}");
    assert_eq!(end, [[program.steps.len() - 1]], "the exec is the last step");
    // Descriptors are closed before the root directory and the user change. If neither changes, close-on-exec is
    // enough.
    let closed = places(|step| matches!(step, Step::CloseDescriptors));
    let sealed = places(|step| matches!(step, Step::CloexecDescriptors));
    let roots = places(|step| matches!(step, Step::Chroot(_)));
    assert_eq!(closed.len() + sealed.len(), 1, "{closed:?} {sealed:?}");
    assert!(sealed.is_empty() || (roots.is_empty() && !has_user), "{sealed:?}");
    assert!(
        closed.iter().all(|close| roots.iter().chain(&order[0]).all(|later| close < later)),
        "{closed:?} {roots:?}"
    );
    for step in &program.steps {
        harmless(&step.to_string());
    }
    assert!(!program.exec_paths.is_empty() && !program.argv.is_empty());
}

/// Fuzz target. Input: the value of an option that is or contains a number, such as a duration, a size or a limit.
pub fn durations(data: &[u8]) {
    if let Some(span) = Span::parse(data) {
        assert_eq!(Span::parse(format!("{}ms", span.0).as_bytes()), Some(span), "the canonical form means the same");
        assert!(data[0].is_ascii_digit() && data.len() < 4096);
    }
    if let Some(keep) = Span::parse_retention(data) {
        assert_eq!(keep.0 % 3_600_000, 0, "whole hours");
        assert_eq!(Span::parse_retention(format!("{}h", keep.0 / 3_600_000).as_bytes()), Some(keep));
    }
    if let Some((min, max)) = value::parse_delay_range(data) {
        assert!(min <= max);
        assert_eq!(value::parse_delay_range(format!("{}ms:{}ms", min.0, max.0).as_bytes()), Some((min, max)));
    }
    if let Some(size) = value::parse_size(data) {
        assert!(size > 0);
        assert_eq!(value::parse_size(size.to_string().as_bytes()), Some(size));
    }
    if let Some(limit) = RestartLimit::parse(data) {
        assert!(limit.restarts > 0 && limit.within > Span::ZERO);
        let text = format!("{}/{}ms", limit.restarts, limit.within.0);
        let again = RestartLimit::parse(text.as_bytes()).unwrap();
        assert_eq!((again.restarts, again.within), (limit.restarts, limit.within));
    }
    let text = std::str::from_utf8(data).unwrap_or("?");
    let digits = !data.is_empty() && data.iter().all(u8::is_ascii_digit);
    assert_eq!(parse_number(data), if digits { text.parse::<u64>().ok() } else { None }, "std reads it so");
    if let Some(mask) = value::parse_umask(data) {
        assert_eq!(u32::from_str_radix(text, 8), Ok(mask));
        assert!(mask <= 0o777);
    }
    if let Some(signal) = Signal::parse(data) {
        let name = signal.to_string();
        // Signals 32 and 33 are reserved for the C library, and have no name.
        let nameless = matches!(signal.number(), 32 | 33);
        assert!(nameless || Signal::parse(name.as_bytes()) == Some(signal), "{name} means the same");
    }
    let _ = (value::parse_stop_signal(data), signal_action::parse(data), SuccessExits::parse(data));
    let steps = [value::parse_limit(data), value::parse_nice(data), value::parse_oom_score_adj(data)];
    steps.iter().flatten().for_each(|step| harmless(&step.to_string()));
    if let Some(ReadyCondition::NewlineOnFd(fd)) = ReadyCondition::parse(data) {
        assert!((3..=65_535).contains(&fd));
    }
    if let Some((seconds, millis)) = data.split_first_chunk().and_then(|(seconds, rest)| Some((seconds, rest.first()?)))
    {
        let seconds = i64::from_le_bytes(*seconds);
        // Up to 2^40 s, about 35000 years: the year 292 billion, which an i64 can express, does not fit into a date.
        let stamp = Timestamp { seconds: seconds % (1 << 40), millis: u16::from(*millis) };
        harmless(&stamp.to_string());
    }
}

/// Fuzz target. Input: one value of `--listen`, `--bind` or `--port`, also read as LISTEN_FDS and LISTEN_FDNAMES.
pub fn endpoints(data: &[u8]) {
    let listener = Listener::parse(data);
    // No word of a command line contains a NUL.
    if data.contains(&0) {
        return;
    }
    if let Some(found) = &listener {
        let again = [found.name, b"=", found.address_text].concat();
        let again = if found.name.is_empty() { found.address_text.to_vec() } else { again };
        let again = Listener::parse(&again).unwrap();
        assert_eq!((again.name, &again.sockaddr, again.transport), (found.name, &found.sockaddr, found.transport));
        assert!(!found.name.is_empty() && !found.name.contains(&b':') && found.name.len() < 256);
        assert_eq!(socket_address::parse_listen_option(data).unwrap().to_bytes(), data);
        if found.is_path() {
            assert_eq!((found.path().to_bytes(), found.transport), (found.address_text, Transport::Stream));
            assert!(found.sockaddr.len() <= 110 && found.ipv4_fallback().is_none());
        } else {
            assert_eq!(Some(socket_address(&found.sockaddr)), parse_with_std(found.address_text), "std reads it so");
            assert!(found.ipv4_fallback().is_none_or(|address| socket_address(&address).ip() == Ipv4Addr::UNSPECIFIED));
        }
    } else if !data.contains(&b'=') && !data.starts_with(b"/") {
        assert_eq!(parse_with_std(data), None, "std would take it");
    }
    let (port, bind) = (socket_address::parse_port_option(data), socket_address::parse_bind_option(data));
    if let Some(port) = port {
        assert!(listener.is_some());
        assert!(socket_address::join_port_and_bind(Some(port), None).is_some());
    }
    if let Some(bind) = bind.filter(|bind| !bind.to_bytes().starts_with(b"/")) {
        for port in ["1", "65535/udp"] {
            let joined =
                socket_address::join_port_and_bind(socket_address::parse_port_option(port.as_bytes()), Some(bind))
                    .unwrap();
            assert!(Listener::parse(joined.to_bytes()).is_some(), "{joined:?}");
        }
    }
    check_inherited_sockets(data);
}

/// Parses `[ADDRESS:]PORT[/udp]` with std. None also for what vsrun refuses: port 0, and IPv6 with a zone or dots.
fn parse_with_std(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_suffix("/udp").unwrap_or(text);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let address = match text.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(_)) if text.contains(['.', '%']) => return None,
        Ok(address) => address,
        Err(_) if digits => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), text.parse().ok()?),
        Err(_) => return None,
    };
    (address.port() > 0).then_some(address)
}

/// Decodes a sockaddr_in or sockaddr_in6.
fn socket_address(bytes: &[u8]) -> SocketAddr {
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match (u16::from_ne_bytes([bytes[0], bytes[1]]), bytes.len()) {
        (2, 16) => SocketAddr::new(IpAddr::V4(<[u8; 4]>::try_from(&bytes[4..8]).unwrap().into()), port),
        (10, 28) => SocketAddr::new(IpAddr::V6(<[u8; 16]>::try_from(&bytes[8..24]).unwrap().into()), port),
        other => panic!("{other:?}"),
    }
}

/// Checks the sockets that the caller of vsrun passes in LISTEN_*. Input: their count, a blank and their names.
fn check_inherited_sockets(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b' ');
    let (count, names) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut env = Env::default();
    for (name, value) in [(&b"LISTEN_PID"[..], &b"7"[..]), (b"LISTEN_FDS", count), (b"LISTEN_FDNAMES", names)] {
        env.set(name, value);
    }
    let handed = InheritedSockets::take_from_env(&mut env, b"7");
    assert!(env.0.is_empty());
    handed.set_listen_vars(&[], &mut env);
    if handed.count > 0 {
        assert_eq!(env.get(b"LISTEN_FDS"), Some(handed.count.to_string().as_bytes()));
        let names = env.get(b"LISTEN_FDNAMES").unwrap();
        assert_eq!(names.split(|byte| *byte == b':').count(), usize::from(handed.count));
        assert!(names.split(|byte| *byte == b':').all(|name| !name.is_empty()));
    } else {
        assert!(env.0.is_empty());
    }
}

/// Fuzz target. Input: the first bytes of a file that cannot be executed.
pub fn images(data: &[u8]) {
    for here in [executable::NATIVE_MACHINE, Machine { class: 1, number: 40 }, Machine { class: 2, number: 62 }] {
        match executable::classify(data, here) {
            Executable::Script(word) => {
                assert!(data.starts_with(b"#!") && !word.iter().any(|byte| b" \t\n\0".contains(byte)));
                harmless(
                    &ExecFailureDisplay { cause: ExecFailure::NoInterpreter, path: word, path_on_host: b"" }
                        .to_string(),
                );
            }
            Executable::Elf(loader) => {
                assert!(data.starts_with(b"\x7fELF"));
                let loader = loader.unwrap_or_default();
                assert!(!loader.contains(&0));
                harmless(
                    &ExecFailureDisplay { cause: ExecFailure::NoLoader, path: loader, path_on_host: data }.to_string(),
                );
            }
            Executable::Foreign => assert!(data.starts_with(b"\x7fELF")),
            Executable::Unknown => assert!(!data.starts_with(b"#!")),
        }
    }
    // The numbers of all failures, and the next one, which no failure has.
    for number in 0..=16 {
        let path = &data[..data.len().min(64)];
        harmless(&ExecFailureDisplay { cause: ExecFailure::from_number(number), path, path_on_host: path }.to_string());
    }
}

/// Fuzz target. Input: the name of a file of `--env-dir`, a NUL and the contents of the file.
pub fn env_dir(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (name, file) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if name.is_empty() || name.contains(&b'=') {
        return;
    }
    let entry = env::env_dir_entry(name, file);
    let mut env = Env::default();
    env.set(b"OTHER", b"1");
    env.apply_entry(entry);
    if file.is_empty() {
        assert_eq!(entry.to_bytes(), name);
        return;
    }
    let line = file.split(|byte| *byte == b'\n').next().unwrap();
    let end = line.iter().rposition(|byte| !b" \t".contains(byte)).map_or(0, |last| last + 1);
    let value: Vec<u8> = line[..end].iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect();
    assert_eq!(env.get(name), Some(&value[..]));
    assert!(name == b"OTHER" || env.get(b"OTHER") == Some(b"1"), "another variable was changed");
}

/// Fuzz target. Input: read as a list of sockets in the format of /proc/net, and as a message to the notify socket.
pub fn kernel_lists(data: &[u8]) {
    for listener in ["80", "127.0.0.1:8080", "[::1]:8080/udp", "/run/x"] {
        let listener = Listener::parse(listener.as_bytes()).unwrap();
        let all = net_table::find_conflicting_socket(data, &listener, net_table::TcpStates::All);
        let certain = net_table::find_conflicting_socket(data, &listener, net_table::TcpStates::Listening);
        assert!(all.is_some() || certain.is_none());
        for found in [all, certain].into_iter().flatten() {
            let within = |part: &[u8]| part.is_empty() || data.windows(part.len()).any(|window| window == part);
            assert!(within(found.inode) && within(found.uid));
        }
        assert_eq!(net_table::find_conflicting_socket(b"", &listener, net_table::TcpStates::All), None);
    }
    let says = |word: &[u8]| data.split(|byte| *byte == b'\n').any(|line| line == word);
    let message = notify::parse(data);
    assert_eq!((message.ready, message.alive), (says(b"READY=1"), says(b"WATCHDOG=1")));
    assert!(message.status.is_none_or(|status| !status.contains(&b'\n')));
}

/// Fuzz target. Input: read as the name of a file in a log directory, as a rotation number and as times.
pub fn log_names(data: &[u8]) {
    for of in [log_name::OUTPUT_FILE, log_name::VSRUN_LOG_FILE] {
        if let Some(generation) = log_name::rotation_number(data, of) {
            let name = log_name::rotated_name(of, generation);
            assert_eq!(name.as_bytes(), [data, b"\0"].concat(), "only what vsrun writes is its own");
            assert!(!data.contains(&b'/'));
            assert_eq!(log_name::taken_rotation_number(data, of), Some(generation));
        }
    }
    let number = data.iter().take(4).fold(0, |sum: u32, byte| sum << 8 | u32::from(*byte));
    for of in [log_name::OUTPUT_FILE, log_name::VSRUN_LOG_FILE].iter().filter(|_| number > 0) {
        let name = log_name::rotated_name(of, number);
        let name = name.as_bytes().strip_suffix(b"\0").unwrap();
        assert_eq!(
            log_name::rotation_number(name, of),
            Some(number).filter(|number| *number <= log_name::MAX_ROTATION_NUMBER)
        );
    }
    let time = |at: usize| data.get(at..at + 8).map_or(0, |bytes| i64::from_le_bytes(bytes.try_into().unwrap()));
    let (mtime, now, keep) = (time(0), time(8), Span(time(16).cast_unsigned()));
    if log_name::is_expired(mtime, now, keep) {
        assert!(now > mtime, "a file from the future is young");
        assert!(log_name::is_expired(mtime.saturating_sub(1), now, keep), "what is older is too old as well");
    }
}

/// Fuzz target. Input: foreign text that is written to records, or quoted in command lines.
pub fn texts(data: &[u8]) {
    let clean = Escaped(data).to_string();
    assert!(!clean.contains(char::is_control));
    assert_eq!(unescaped(&clean), data, "nothing is lost, and no two texts look the same");
    let mut cut = ArrayText::<16>::new();
    let (first, second) = data.split_at(data.len() / 2);
    cut.push(first);
    cut.push(second);
    assert_eq!(cut.as_bytes(), &data[..data.len().min(16)]);
    assert!(data.starts_with(cut.as_str().as_bytes()));
    cut.end_with(b'\n');
    assert_eq!(cut.as_bytes().last(), Some(&b'\n'));

    let words: Vec<&[u8]> = data.split(|byte| *byte == 0).collect();
    assert_eq!(split_as_shell(&shell_join(words.iter().copied())), words);
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digits = [*high, *low];
                assert!(!digits.iter().any(u8::is_ascii_uppercase));
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = after;
            }
            (b'\\', _) => panic!("a backslash of the text's own"),
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// Splits a line of quoted words as a shell does.
fn split_as_shell(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = vec![Vec::new()];
    let (mut quoted, mut rest) = (false, line);
    while let [first, after @ ..] = rest {
        rest = after;
        let word = words.last_mut().unwrap();
        match (first, quoted, after) {
            (b'\'', _, _) => quoted = !quoted,
            (_, true, _) => word.push(*first),
            (b' ', _, _) => words.push(Vec::new()),
            (b'\\', _, [next, after @ ..]) => {
                word.push(*next);
                rest = after;
            }
            _ => {
                assert!(first.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(first), "not quoted: {first}");
                word.push(*first);
            }
        }
    }
    assert!(!quoted);
    words
}

/// Fuzz target. Input: the value of a variable, a byte 0xff, and a word of COMMAND for `--expand`.
pub fn expand(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0xff);
    let (value, word) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if data.contains(&0) {
        return;
    }
    let mut env = Env::default();
    env.set(b"A", value);
    env.set(b"EMPTY", b"");
    env.set(b"B_2", b"$A ${A} $$");
    let expanded = |word: &[u8]| {
        let mut words = [leak_cstr(word.to_vec())];
        expand::check_syntax(&words).and_then(|()| expand::expand(&mut words, &env)).map(|()| words[0].to_bytes())
    };
    let read_again = read_word(word, &env);
    match expanded(word) {
        Ok(found) => assert_eq!(read_again.as_deref(), Ok(found), "{word:?}"),
        Err(error) => {
            refused(&error, &[2, 125]);
            assert_eq!(read_again, Err(error.exit_status), "{word:?}");
        }
    }
    if !word.contains(&b'$') {
        assert_eq!(expanded(word).ok(), Some(word), "nothing but the two forms is touched");
    }
    let doubled: Vec<u8> =
        word.iter().flat_map(|byte| if *byte == b'$' { vec![b'$'; 2] } else { vec![*byte] }).collect();
    assert_eq!(expanded(&doubled).ok(), Some(word), "doubled dollar signs make any text literal");
}

/// Expands a word byte by byte. Err: vsrun's exit status if the word cannot be expanded.
fn read_word(word: &[u8], env: &Env) -> Result<Vec<u8>, u8> {
    let (mut out, mut at, mut is_set) = (Vec::new(), 0, true);
    while let Some(byte) = word.get(at) {
        let next = word.get(at + 1).filter(|_| *byte == b'$');
        if next != Some(&b'{') {
            out.push(*byte);
            at += if next == Some(&b'$') { 2 } else { 1 };
            continue;
        }
        let inside = &word[at + 2..];
        let inside = &inside[..inside.iter().position(|byte| *byte == b'}').ok_or(2)?];
        at += inside.len() + 3;
        let colon = inside.windows(2).position(|pair| pair == b":-");
        let name = &inside[..colon.unwrap_or(inside.len())];
        let begins = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        if !begins || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
            return Err(2);
        }
        match (env.get(name), colon) {
            (Some(value), None) => out.extend_from_slice(value),
            (Some(value), Some(_)) if !value.is_empty() => out.extend_from_slice(value),
            (_, Some(colon)) => out.extend_from_slice(&inside[colon + 2..]),
            (None, None) => is_set = false,
        }
    }
    if is_set { Ok(out) } else { Err(125) }
}

/// Checks that an error has one of these exit statuses and a printable text.
fn refused(error: &Error, codes: &[u8]) {
    assert!(codes.contains(&error.exit_status), "{}: {}", error.exit_status, error);
    assert!(!error.to_string().trim().is_empty(), "it says nothing");
    harmless(&error.to_string());
}

/// Checks that a text has no control characters: it is one line that is safe on any terminal.
fn harmless(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
