//! The server of `make demo`. `hello PORT` serves HTTP on 127.0.0.1, one request after the other. `hello socket` does so
//! on the socket that vsrun passes as descriptor 3, and reports on descriptor 4 that it is ready.
//!
//! Under vsrun a server needs no special code. It runs in the foreground, writes its log to standard output, has no
//! pidfile and does not change its user. TERM ends it by the signal's default action.
//!
//! `GET /crash` is for the demo: the server dies of a segmentation fault.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a server is an ordinary program, with std's start-up and services"
)]
#![allow(unsafe_code, reason = "for descriptors from vsrun, and for the crash on purpose")]

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::process::{self, ExitCode};

fn main() -> ExitCode {
    let argument = env::args().nth(1).unwrap_or_default();
    if argument == "socket" {
        // SAFETY: vsrun has opened descriptor 3 for this process (--listen), and no other code here uses it.
        let listener = unsafe { TcpListener::from_raw_fd(3) };
        // SAFETY: vsrun has opened descriptor 4 for this process (--ready fd:4), and no other code here uses it.
        let mut ready = unsafe { File::from_raw_fd(4) };
        println!("process {} listens on the socket from vsrun", process::id());
        let _ = ready.write_all(b"\n");
        drop(ready);
        return serve(&listener);
    }
    let Ok(port) = argument.parse::<u16>() else {
        eprintln!("usage: hello PORT | hello socket");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on port {port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("process {} listens on port {port}", process::id());
    serve(&listener)
}

fn serve(listener: &TcpListener) -> ExitCode {
    for stream in listener.incoming() {
        // A client that closes its connection must not end the server.
        if let Err(error) = stream.and_then(respond) {
            println!("connection failed: {error}");
        }
    }
    ExitCode::SUCCESS
}

/// Reads a request and responds to it.
fn respond(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let Some(request) = lines.next().transpose()? else {
        return Ok(()); // a client only checked whether the port is open
    };
    println!("{request}");
    // Read the headers, although they are not used: closing a socket with unread data resets the connection, and the
    // client might lose the response.
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}

    match request.split(' ').nth(1) {
        Some("/") => reply(&stream, "200 OK", &process_info()),
        Some("/crash") => crash(),
        _ => reply(&stream, "404 Not Found", "not found: there are only / and /crash"),
    }
}

fn reply(mut stream: &TcpStream, status: &str, text: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n\r\n{text}\n")
}

/// The pid, user and working directory of this process, which vsrun has set.
fn process_info() -> String {
    let directory = env::current_dir().unwrap_or_default();
    // SAFETY: getuid cannot fail and touches no memory.
    let uid = unsafe { libc::getuid() };
    format!("hello from process {}, user {uid}, in {}", process::id(), directory.display())
}

/// Dies of a segmentation fault, without the undefined behaviour of a real one.
fn crash() -> ! {
    // SAFETY: the default action replaces std's own handler for SIGSEGV, which expects that a faulty instruction is
    // executed again.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // SAFETY: raise touches no memory. The signal ends this process.
    unsafe { libc::raise(libc::SIGSEGV) };
    process::abort()
}
