//! An HTTP server in the test program that vsrun's probes query in place of the real server. The test chooses the
//! response.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How the server responds to a request.
#[derive(Clone, Copy)]
pub enum Answer {
    /// Sends this text.
    Text(&'static str),
    /// Sends this text byte by byte, with a pause of 2 ms before each byte.
    Bytes(&'static str),
    /// Sends this text after this delay.
    Slow(&'static str, Duration),
    /// Sends nothing, and keeps the connection open.
    Never,
}

pub const OK: Answer = Answer::Text("HTTP/1.1 200 OK\r\n\r\n");
pub const UNAVAILABLE: Answer = Answer::Text("HTTP/1.1 503 Service Unavailable\r\n\r\n");

pub struct Web {
    /// The value for `--probe` or `--health` that requests `/health` from this server.
    pub probe: String,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
}

impl Web {
    pub fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::serve(format!("{port}/health"), answer, move || listener.accept().unwrap().0)
    }

    /// Starts a server that listens on a Unix socket at `path`.
    pub fn on_unix_socket(path: &Path, answer: Answer) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        super::sys::set_mode(path, 0o777);
        Self::serve(format!("{}:/health", path.display()), answer, move || listener.accept().unwrap().0)
    }

    fn serve<C: Read + Write + Send + 'static>(
        probe: String,
        answer: Answer,
        mut accept: impl FnMut() -> C + Send + 'static,
    ) -> Self {
        let web = Self { probe, answer: Arc::new(Mutex::new(answer)), requests: Arc::default() };
        let (answer, requests) = (Arc::clone(&web.answer), Arc::clone(&web.requests));
        // The thread runs until the test program exits.
        thread::spawn(move || {
            loop {
                let connection = accept();
                let (answer, requests) = (Arc::clone(&answer), Arc::clone(&requests));
                thread::spawn(move || respond(connection, &answer, &requests));
            }
        });
        web
    }

    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Returns the number of requests that were read completely so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub fn await_requests(&self, count: usize) {
        super::await_true(&format!("{count} requests"), || self.requests() >= count);
    }
}

/// Reads one request and responds to it. Errors are ignored: they mean that the probe was killed or has read enough.
fn respond(mut connection: impl Read + Write, answer: &Mutex<Answer>, requests: &AtomicUsize) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(connection.read(&mut byte), Ok(1)) {
            return;
        }
        request.push(byte[0]);
    }
    let answer = *answer.lock().unwrap();
    requests.fetch_add(1, Ordering::SeqCst);
    let _ = match answer {
        Answer::Text(text) => connection.write_all(text.as_bytes()),
        Answer::Bytes(text) => text.bytes().try_for_each(|byte| {
            thread::sleep(Duration::from_millis(2));
            connection.write_all(&[byte])
        }),
        Answer::Slow(text, time) => {
            thread::sleep(time);
            connection.write_all(text.as_bytes())
        }
        // Waits until the client closes the connection.
        Answer::Never => connection.read(&mut [0]).map(drop),
    };
}
