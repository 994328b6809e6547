//! The server of `make demo`: `hello PORT` answers HTTP on 127.0.0.1, one request after the other. `hello socket` does so
//! on the socket that vsrun gives it as descriptor 3, and reports on descriptor 4 that it is ready.
//!
//! It does what a server under vsrun should do, which is nothing special. It stays in the foreground, writes its log
//! to standard output, knows no pidfile and changes no user. TERM ends it, as it ends every program that does not ask.
//!
//! `GET /crash` is for the demo: it makes the server die as a bad pointer would.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a server is an ordinary program, with std's start-up and services"
)]
#![allow(unsafe_code, reason = "crashing on purpose")]

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::process::{self, ExitCode};

fn main() -> ExitCode {
    let word = env::args().nth(1).unwrap_or_default();
    if word == "socket" {
        // SAFETY: vsrun has opened it for this process (--listen), and nothing else here uses it.
        let listener = unsafe { TcpListener::from_raw_fd(3) };
        // SAFETY: as above (--ready fd:4).
        let mut ready = unsafe { File::from_raw_fd(4) };
        println!("hello, I am process {} and have a socket", process::id());
        let _ = ready.write_all(b"\n");
        drop(ready);
        return serve(&listener);
    }
    let Ok(port) = word.parse::<u16>() else {
        eprintln!("usage: hello PORT");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(("127.0.0.1", port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on port {port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("hello, I am process {} and listen on port {port}", process::id());
    serve(&listener)
}

fn serve(listener: &TcpListener) -> ExitCode {
    for stream in listener.incoming() {
        // A client that went away is no reason for a server to end.
        if let Err(error) = stream.and_then(answer) {
            println!("lost a client: {error}");
        }
    }
    ExitCode::SUCCESS
}

/// Reads a request and answers it.
fn answer(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let Some(request) = lines.next().transpose()? else {
        return Ok(()); // a client only checked whether we are here
    };
    println!("{request}");
    // The headers say nothing to us, but what is left unread when we hang up would take the answer with it.
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}

    match request.split(' ').nth(1) {
        Some("/") => reply(&stream, "200 OK", &who_am_i()),
        Some("/crash") => crash(),
        _ => reply(&stream, "404 Not Found", "only / and /crash are here"),
    }
}

fn reply(mut stream: &TcpStream, status: &str, text: &str) -> io::Result<()> {
    write!(stream, "HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n\r\n{text}\n")
}

/// What vsrun made of this process.
fn who_am_i() -> String {
    let directory = env::current_dir().unwrap_or_default();
    // SAFETY: getuid cannot fail and touches no memory.
    let uid = unsafe { libc::getuid() };
    format!("hello from process {}, user {uid}, in {}", process::id(), directory.display())
}

/// Dies of a segmentation fault, without the undefined behaviour of a real one.
fn crash() -> ! {
    // SAFETY: takes std's own handler for SIGSEGV away, which would wait for the faulty instruction to come again.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // SAFETY: the signal now ends this process, which holds nothing that another process waits for.
    unsafe { libc::raise(libc::SIGSEGV) };
    process::abort()
}
