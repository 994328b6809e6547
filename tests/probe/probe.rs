//! The server that the tests start: it reports what it finds when it starts, and does what its arguments say.
//!
//! It has its own `main`, because Rust's start code would ignore SIGPIPE and open `/dev/null`, and the probe has to
//! report the state in which it was started. It is linked statically, so it runs in an empty chroot. Its arguments are
//! a script: one action after the other. After the last action it exits with 0. Output is appended to a FILE in one
//! write; `-` is standard output.
//!
//! | Action | What it does |
//! |---|---|
//! | `report FILE` | replaces FILE with the state of the process (see `report.rs`), by a rename(2) |
//! | `life FILE` | appends `PID MILLISECONDS` (monotonic); the number of lines in FILE is the number of this life |
//! | `at N ACTION` | does ACTION in life N only |
//! | `until N ACTION` | does ACTION in the lives 1 to N only |
//! | `append FILE TEXT` | appends TEXT and a newline |
//! | `copy FROM FILE` | appends the content of FROM |
//! | `await FILE` | waits until FILE exists |
//! | `print TEXT`, `complain TEXT` | prints TEXT and a newline to standard output or to standard error |
//! | `tell FD TEXT` | writes TEXT and a newline to descriptor FD |
//! | `close FD` | closes descriptor FD |
//! | `notify TEXT` | sends TEXT to the socket that `$NOTIFY_SOCKET` names, which must be abstract |
//! | `deluge N TEXT` | sends TEXT to that socket N times, as fast as it is read |
//! | `carry N TEXT` | sends TEXT to that socket N times, each time with 253 descriptors |
//! | `hang N M` | sends N messages with M descriptors to that socket; one of each is a socket whose close(2) sleeps |
//! | `lines FROM TO` | prints `line N` for each N in FROM to TO, with one write for each line |
//! | `flood FROM TO SIZE` | prints the lines FROM to TO, which have different lengths, SIZE bytes in each write |
//! | `collect FILE` | copies standard input to FILE until its end |
//! | `take N FILE` | appends N lines of standard input, and reads no byte after them |
//! | `ignore SIGNAL` | ignores signal number SIGNAL |
//! | `signals FILE N` | appends `ready`, and then the number of each signal that it gets, until it gets signal N |
//! | `orphans N FILE` | leaves N orphans; each one appends `PID PARENT` with its new parent, and exits |
//! | `crowd N` | leaves N orphans that wait until a signal kills them |
//! | `poke SIGNAL` | sends its parent signal number SIGNAL |
//! | `child FILE` | starts a child that ignores SIGTERM and SIGHUP and waits, and appends its pid |
//! | `lock FILE` | takes a POSIX write lock on FILE (fcntl(2), F_SETLK) |
//! | `regain FILE` | tries each way back to root and appends the results |
//! | `push FD FILE` | tries to push a keystroke into the terminal on FD and appends the result |
//! | `reach PID FILE` | tries each way into process PID and appends the results |
//! | `terminal FD FILE` | tries to misuse the open terminal on FD and appends the results |
//! | `keys NAME FILE` | appends the description of the session keyring, and whether key NAME is found in it |
//! | `scribble FD FILE` | tries to write to descriptor FD and to truncate its file, and appends the result |
//! | `processes PID N` | sets the soft RLIMIT_NPROC of process PID to N, but not above its hard limit |
//! | `serve FD` | answers every connection to the socket FD with its pid |
//! | `drain FD` | does the same until it gets SIGTERM; then it exits between two connections |
//! | `shut FD` | shuts the socket FD down, in both directions |
//! | `shut-reading FD` | shuts down receiving on the socket FD; a waiting accept(2) ends |
//! | `connect-to FD PORT` | connects the socket FD to PORT of 127.0.0.1 |
//! | `connect FD` | connects the UDP socket FD to port 9 of 127.0.0.1, from which no process sends |
//! | `receive FD FILE` | appends the next message that the socket FD receives |
//! | `nap N` | sleeps for N milliseconds |
//! | `hoard N` | allocates and writes N MiB of memory
//! | `assume` | makes the effective user also the real and saved user |
//! | `core` | allows core files of any size |
//! | `segv` | writes to an invalid address |
//! | `raise SIGNAL` | sends itself signal number SIGNAL |
//! | `exit N` | exits with status N |
//! | `try WHAT A [B]` | makes one attempt of `attempt.rs` and prints `WHAT A [B]: ` and `ok` or the name of the error |
//! | `escape NAME` | tries the way NAME out of its jail (see `escape.rs`); `escapes` prints all names |
//! | `accomplice FILE` | helps a process inside a jail from outside (see `escape.rs`), until it is killed |
//! | `root` | exits with 0 if the effective user is root, otherwise with EPERM |
//! | `forked ACTION` | does ACTION in a child, which then exits, and waits for it |
//! | `wait` | waits until a signal kills it |
//! | `run FILE` | continues with the script in FILE, which has one word on each line and may begin with `#!PROBE run` |
#![no_main]
#![allow(unsafe_code, missing_docs)]
#![allow(clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]

mod attack;
mod attempt;
mod escape;
mod kernel;
mod notify;
mod report;

use std::ffi::{CStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

type Words = std::vec::IntoIter<OsString>;

enum Action {
    Report(PathBuf),
    RecordRun(PathBuf),
    InRun(u64, Box<Action>),
    UntilRun(u64, Box<Action>),
    Append(PathBuf, OsString),
    AppendContents(PathBuf, PathBuf),
    AwaitFile(PathBuf),
    Print(OsString),
    Complain(OsString),
    WriteToDescriptor(i32, OsString),
    Close(i32),
    Notify(OsString),
    NotifyManyTimes(u64, OsString),
    NotifyWithDescriptors(u64, OsString),
    NotifyWithSlowDescriptors(u64, u64),
    PrintLines(u64, u64),
    PrintInBlocks(u64, u64, u64),
    CopyStdin(PathBuf),
    TakeStdinLines(u64, PathBuf),
    Ignore(i32),
    RecordSignals(PathBuf, i32),
    LeaveOrphans(u64, PathBuf),
    LeaveWaitingOrphans(u64),
    SignalParent(i32),
    StartDeafChild(PathBuf),
    Lock(PathBuf),
    TryToBecomeRoot(PathBuf),
    PushKeystroke(i32, PathBuf),
    ReachIntoProcess(i32, PathBuf),
    MisuseTerminal(i32, PathBuf),
    FindSessionKey(OsString, PathBuf),
    TryToWrite(i32, PathBuf),
    SetProcessLimit(i32, u64),
    ServeConnections(i32),
    ServeUntilTerm(i32),
    ShutDown(i32),
    ShutDownReading(i32),
    ConnectSocket(i32, u16),
    Receive(i32, PathBuf),
    Sleep(u64),
    AllocateMemory(u64),
    AssumeEffectiveUser,
    AllowCoreFiles,
    CauseSegfault,
    Raise(i32),
    Exit(i32),
    Try(OsString, Vec<OsString>),
    Escape(OsString),
    Escapes,
    HelpEscape(PathBuf),
    ExitIfRoot,
    InChild(Box<Action>),
    Wait,
    Run(PathBuf),
}

#[unsafe(no_mangle)]
extern "C" fn main(argc: i32, argv: *const *const libc::c_char) -> i32 {
    let arguments: Vec<OsString> = (0..argc.cast_unsigned() as usize)
        .map(|index| unsafe { CStr::from_ptr(*argv.add(index)) })
        .map(|word| OsString::from_vec(word.to_bytes().to_vec()))
        .collect();
    let mut life = 0;
    let mut words = arguments.clone().into_iter();
    words.next();
    while let Some(action) = next_action(&mut words) {
        perform(action, &arguments, &mut words, &mut life);
    }
    0
}

fn next_action(words: &mut Words) -> Option<Action> {
    let name = words.next()?;
    Some(match name.to_str() {
        Some("report") => Action::Report(path(words)),
        Some("life") => Action::RecordRun(path(words)),
        Some("at") => Action::InRun(number(words), inner(words)),
        Some("until") => Action::UntilRun(number(words), inner(words)),
        Some("append") => Action::Append(path(words), text(words)),
        Some("copy") => Action::AppendContents(path(words), path(words)),
        Some("await") => Action::AwaitFile(path(words)),
        Some("print") => Action::Print(text(words)),
        Some("complain") => Action::Complain(text(words)),
        Some("tell") => Action::WriteToDescriptor(small(words), text(words)),
        Some("close") => Action::Close(small(words)),
        Some("notify") => Action::Notify(text(words)),
        Some("deluge") => Action::NotifyManyTimes(number(words), text(words)),
        Some("carry") => Action::NotifyWithDescriptors(number(words), text(words)),
        Some("hang") => Action::NotifyWithSlowDescriptors(number(words), number(words)),
        Some("lines") => Action::PrintLines(number(words), number(words)),
        Some("flood") => Action::PrintInBlocks(number(words), number(words), number(words)),
        Some("collect") => Action::CopyStdin(path(words)),
        Some("take") => Action::TakeStdinLines(number(words), path(words)),
        Some("ignore") => Action::Ignore(small(words)),
        Some("signals") => Action::RecordSignals(path(words), small(words)),
        Some("orphans") => Action::LeaveOrphans(number(words), path(words)),
        Some("crowd") => Action::LeaveWaitingOrphans(number(words)),
        Some("poke") => Action::SignalParent(small(words)),
        Some("child") => Action::StartDeafChild(path(words)),
        Some("lock") => Action::Lock(path(words)),
        Some("regain") => Action::TryToBecomeRoot(path(words)),
        Some("push") => Action::PushKeystroke(small(words), path(words)),
        Some("reach") => Action::ReachIntoProcess(small(words), path(words)),
        Some("terminal") => Action::MisuseTerminal(small(words), path(words)),
        Some("keys") => Action::FindSessionKey(text(words), path(words)),
        Some("scribble") => Action::TryToWrite(small(words), path(words)),
        Some("processes") => Action::SetProcessLimit(small(words), number(words)),
        Some("serve") => Action::ServeConnections(small(words)),
        Some("drain") => Action::ServeUntilTerm(small(words)),
        Some("shut") => Action::ShutDown(small(words)),
        Some("shut-reading") => Action::ShutDownReading(small(words)),
        Some("connect") => Action::ConnectSocket(small(words), 9),
        Some("connect-to") => Action::ConnectSocket(small(words), small(words) as u16),
        Some("receive") => Action::Receive(small(words), path(words)),
        Some("nap") => Action::Sleep(number(words)),
        Some("hoard") => Action::AllocateMemory(number(words)),
        Some("assume") => Action::AssumeEffectiveUser,
        Some("core") => Action::AllowCoreFiles,
        Some("segv") => Action::CauseSegfault,
        Some("raise") => Action::Raise(small(words)),
        Some("exit") => Action::Exit(small(words)),
        Some("try") => {
            let what = text(words);
            let count = attempt::argument_count(&what).unwrap_or_else(|| misused(&format!("unknown attempt {what:?}")));
            Action::Try(what, (0..count).map(|_| text(words)).collect())
        }
        Some("escape") => Action::Escape(text(words)),
        Some("escapes") => Action::Escapes,
        Some("accomplice") => Action::HelpEscape(path(words)),
        Some("root") => Action::ExitIfRoot,
        Some("forked") => Action::InChild(inner(words)),
        Some("wait") => Action::Wait,
        Some("run") => Action::Run(path(words)),
        _ => misused(&format!("unknown action {name:?}")),
    })
}

fn perform(action: Action, arguments: &[OsString], words: &mut Words, life: &mut u64) {
    match action {
        Action::Report(file) => write_whole(&file, &report::report(arguments)),
        Action::RecordRun(file) => *life = begin_life(&file),
        Action::InRun(wanted, action) if *life == wanted => perform(*action, arguments, words, life),
        Action::UntilRun(last, action) if *life <= last => perform(*action, arguments, words, life),
        Action::InRun(..) | Action::UntilRun(..) => {}
        Action::Append(file, text) => append_line(&file, &text),
        Action::AppendContents(from, file) => append(&file, &whole(&from)),
        Action::AwaitFile(file) => {
            while !file.exists() {
                kernel::pause_for_milliseconds(2);
            }
        }
        Action::Print(text) => kernel::write_all(1, &line(&text)),
        Action::Complain(text) => kernel::write_all(2, &line(&text)),
        Action::WriteToDescriptor(fd, text) => kernel::write_all(fd, &line(&text)),
        Action::Close(fd) => kernel::close(fd),
        Action::Notify(text) => {
            notify::notify(&text).unwrap_or_else(|error| misused(&format!("NOTIFY_SOCKET: {error}")));
        }
        Action::NotifyManyTimes(count, text) => notify::deluge(count, &text),
        Action::NotifyWithDescriptors(count, text) => notify::carry(count, &text),
        Action::NotifyWithSlowDescriptors(count, descriptors) => notify::hang(count, descriptors),
        Action::PrintLines(from, to) => {
            (from..=to).for_each(|n| kernel::write_all(1, format!("line {n}\n").as_bytes()))
        }
        Action::PrintInBlocks(from, to, size) => flood(from, to, size as usize),
        Action::CopyStdin(file) => while copy_some(&file, 4096) > 0 {},
        Action::TakeStdinLines(count, file) => take_lines(count, &file),
        Action::Ignore(signal) => kernel::ignore(signal),
        Action::RecordSignals(file, last) => print_signals(&file, last),
        Action::LeaveOrphans(count, file) => kernel::orphans(count, |pid, parent| {
            append(&file, format!("{pid} {parent}\n").as_bytes());
        }),
        Action::LeaveWaitingOrphans(count) => kernel::leave_waiting_orphans(count),
        Action::SignalParent(signal) => kernel::poke(signal),
        Action::StartDeafChild(file) => append_line(&file, &OsString::from(kernel::child_that_stays().to_string())),
        Action::Lock(file) => kernel::lock(&file),
        Action::TryToBecomeRoot(file) => append(&file, kernel::regain().as_bytes()),
        Action::PushKeystroke(fd, file) => append_line(&file, &OsString::from(kernel::push_keystroke(fd))),
        Action::ReachIntoProcess(pid, file) => append(&file, attack::reach(pid).as_bytes()),
        Action::MisuseTerminal(fd, file) => append(&file, attack::terminal(fd).as_bytes()),
        Action::FindSessionKey(name, file) => append(&file, attack::keys(&name.to_string_lossy()).as_bytes()),
        Action::TryToWrite(fd, file) => append_line(&file, &OsString::from(kernel::scribble(fd))),
        Action::SetProcessLimit(pid, most) => kernel::limit_processes(pid, most),
        Action::ServeUntilTerm(fd) => kernel::drain(fd, format!("{}\n", kernel::pid()).as_bytes()),
        Action::ServeConnections(fd) => kernel::serve(fd, format!("{}\n", kernel::pid()).as_bytes()),
        Action::ShutDown(fd) => kernel::shut(fd),
        Action::ShutDownReading(fd) => kernel::shut_reading(fd),
        Action::ConnectSocket(fd, port) => kernel::connect(fd, port),
        Action::Receive(fd, file) => append(&file, &kernel::receive(fd)),
        Action::Sleep(milliseconds) => kernel::pause_for_milliseconds(milliseconds as _),
        Action::AllocateMemory(count) => std::mem::forget(std::hint::black_box(vec![1_u8; (count as usize) << 20])),
        Action::AssumeEffectiveUser => kernel::assume_effective_user(),
        Action::AllowCoreFiles => kernel::allow_core(),
        Action::CauseSegfault => kernel::memory_fault(),
        Action::Raise(signal) => kernel::raise(signal),
        Action::Exit(status) => kernel::leave(status),
        Action::Try(what, with) => {
            let result = attempt::attempt(&what, &with);
            let said = [&[what][..], &with].concat().join(&OsString::from(" "));
            kernel::write_all(1, &[said.as_bytes(), b": ", result.as_bytes(), b"\n"].concat());
        }
        Action::Escape(name) => escape::attempt(&name.to_string_lossy()),
        Action::Escapes => kernel::write_all(1, escape::names().as_bytes()),
        Action::HelpEscape(file) => escape::accomplice(&file),
        Action::ExitIfRoot => kernel::leave(if escape::is_root() { 0 } else { libc::EPERM }),
        Action::InChild(action) => kernel::forked(|| perform(*action, arguments, words, life)),
        Action::Wait => loop {
            kernel::pause();
        },
        Action::Run(file) => *words = script(&file),
    }
}

fn flood(from: u64, to: u64, size: usize) {
    let mut bytes = Vec::new();
    for n in from..=to {
        bytes.extend(format!("{n} {}\n", "x".repeat(n as usize % 97)).bytes());
        if bytes.len() >= size || n == to {
            let rest = if n == to { 0 } else { bytes.len() % size };
            let whole = bytes.len() - rest;
            bytes[..whole].chunks(size).for_each(|bytes| kernel::write_all(1, bytes));
            bytes.drain(..whole);
        }
    }
}

fn inner(words: &mut Words) -> Box<Action> {
    Box::new(next_action(words).unwrap_or_else(|| misused("an action is missing")))
}

fn text(words: &mut Words) -> OsString {
    words.next().unwrap_or_else(|| misused("a word is missing"))
}

fn path(words: &mut Words) -> PathBuf {
    PathBuf::from(text(words))
}

fn number(words: &mut Words) -> u64 {
    let word = text(words);
    word.to_str().and_then(|word| word.parse().ok()).unwrap_or_else(|| misused(&format!("{word:?} is no number")))
}

fn small(words: &mut Words) -> i32 {
    number(words) as i32
}

fn misused(why: &str) -> ! {
    kernel::write_all(2, format!("probe: {why}\n").as_bytes());
    kernel::leave(99)
}

fn line(text: &OsString) -> Vec<u8> {
    [text.as_bytes(), b"\n"].concat()
}

fn append_line(file: &Path, text: &OsString) {
    append(file, &line(text));
}

/// Appends with one write(2), so that the lines of several processes do not mix.
fn append(file: &Path, bytes: &[u8]) {
    if file.as_os_str() == "-" {
        return kernel::write_all(1, bytes);
    }
    let fd = kernel::open_to_append(file).unwrap_or_else(|error| misused(&format!("{}: {error}", file.display())));
    kernel::write_all(fd, bytes);
    kernel::close(fd);
}

fn write_whole(file: &Path, bytes: &[u8]) {
    if file.as_os_str() == "-" {
        return kernel::write_all(1, bytes);
    }
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", kernel::pid()));
    let draft = PathBuf::from(draft);
    append(&draft, bytes);
    std::fs::rename(&draft, file).unwrap_or_else(|error| misused(&format!("{}: {error}", file.display())));
}

fn whole(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| misused(&format!("{}: {error}", file.display())))
}

fn begin_life(file: &Path) -> u64 {
    append(file, format!("{} {}\n", kernel::pid(), kernel::milliseconds()).as_bytes());
    whole(file).iter().filter(|byte| **byte == b'\n').count() as u64
}

fn copy_some(file: &Path, at_most: usize) -> usize {
    let mut block = vec![0; at_most];
    match kernel::read(0, &mut block) {
        Ok(count) => {
            if count > 0 {
                append(file, &block[..count]);
            }
            count
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => copy_some(file, at_most),
        Err(error) => misused(&format!("standard input: {error}")),
    }
}

fn take_lines(count: u64, file: &Path) {
    for _ in 0..count {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") {
            match kernel::read(0, &mut byte) {
                Ok(0) => break,
                Ok(_) => line.push(byte[0]),
                Err(error) => misused(&format!("standard input: {error}")),
            }
        }
        append(file, &line);
    }
}

fn print_signals(file: &Path, last: i32) {
    kernel::block_all();
    append(file, b"ready\n");
    loop {
        let signal = kernel::next_signal();
        append(file, format!("{signal}\n").as_bytes());
        if signal == last {
            return kernel::unblock_all();
        }
    }
}

fn script(file: &Path) -> Words {
    let words: Vec<OsString> = whole(file)
        .split(|byte| *byte == b'\n')
        .filter(|word| !word.is_empty() && !word.starts_with(b"#!"))
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    words.into_iter()
}
