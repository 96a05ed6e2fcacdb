//! Ten thousand connections that only hold their places, from a few addresses, while somebody else posts events: heads and
//! bodies that come a byte at a time, another head after an answered request, and nothing at all. The collector runs in a
//! process of its own, so that both have descriptors enough; with fewer than that takes, there are fewer connections, at
//! least [`LEAST`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use load_tests::process::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const MOST: u64 = 10_000;
const LEAST: u64 = 3_000;
/// What this process and the collector need beside connections.
const OTHER_DESCRIPTORS: u64 = 1_200;
const ADDRESSES: u64 = 4;
/// Longer than opening all of them takes.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// `BODY_TIMEOUT_MS` of the collector and some patience for a machine that is busy.
const ALL_ENDED_WITHIN: Duration = Duration::from_secs(90);
/// A connection that is held takes no more of the collector's memory than this: two buffers of the HTTP server of 8 KiB, its
/// state, and what the allocator needs beside them.
const BYTES_A_CONNECTION: u64 = 24 << 10;
/// Somebody who means it is answered within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const DRIP: Duration = Duration::from_secs(4);

/// In which way a connection is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slow {
    Head,
    Body,
    SecondHead,
    Silent,
}

impl Slow {
    const ALL: [Self; 4] = [Self::Head, Self::Body, Self::SecondHead, Self::Silent];

    /// What it sends at once.
    fn first(self, number: u64) -> String {
        let head = "POST /v1/track?key=wk_bench HTTP/1.1\r\nhost: x\r\n";
        match self {
            Self::Head => format!("{head}x-slow: "),
            // Far more than all of them may have together.
            Self::Body => format!("{head}content-length: 4000000\r\n\r\n{{\"event\":\""),
            Self::SecondHead => request(&format!("slow-{number}"), "") + "POST /v1/tr",
            Self::Silent => String::new(),
        }
    }

    /// Whether it ended as its limit says.
    fn is_ended_well(self, answer: &str) -> bool {
        match self {
            Self::Head | Self::Silent => answer.starts_with("HTTP/1.1 408"),
            Self::Body => answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"),
            Self::SecondHead => answer.starts_with("HTTP/1.1 200") && answer.contains("\"accepted\":1"),
        }
    }
}

fn request(visitor: &str, headers: &str) -> String {
    let event = format!(r#"{{"event":"page_view","anonymousId":"{visitor}"}}"#);
    format!(
        "POST /v1/track?key=wk_bench HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n{event}",
        event.len()
    )
}

/// How many connections the system has descriptors for.
fn connections() -> u64 {
    runtime::descriptors::raise();
    let limit = runtime::descriptors::limit().unwrap_or(u64::MAX);
    let possible = limit.saturating_sub(OTHER_DESCRIPTORS).saturating_mul(10) / 12;
    if possible < MOST {
        println!("the system gives {limit} descriptors (ulimit -n): {possible} connections, not {MOST}");
    }
    assert!(possible >= LEAST, "{limit} descriptors are too few: raise ulimit -n to {}", LEAST * 2);
    possible.min(MOST) / 16 * 16
}

fn collector(folder: &std::path::Path, connections: u64) -> (Server, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rungs-bench"));
    command.arg("collector").arg(folder.join("log"));
    command.env("RUNGS_COLLECTOR__MAX_CONNECTIONS", (connections * 12 / 10).to_string());
    // A little less than each of the addresses tries to hold.
    command.env("RUNGS_COLLECTOR__ADDRESS_SHARE", "20");
    command.env("RUNGS_COLLECTOR__HEAD_TIMEOUT", format!("{}s", HEAD_TIMEOUT.as_secs()));
    let mut server = Server::start(&mut command).unwrap();
    let address = server.first_address().unwrap();
    (server, address)
}

/// Sends a byte now and then until the collector ends it; what it answered.
async fn hold(slow: Slow, number: u64, mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut is_open = stream.write_all(slow.first(number).as_bytes()).await.is_ok();
    loop {
        tokio::select! {
            read = stream.read_buf(&mut answer) => if !matches!(read, Ok(1..)) {
                return String::from_utf8_lossy(&answer).into_owned();
            },
            () = tokio::time::sleep(DRIP), if is_open && slow != Slow::Silent => {
                is_open = stream.write_all(b"x").await.is_ok();
            }
        }
    }
}

async fn connect(to: SocketAddr, last_byte: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last_byte], 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Posts an event on a new connection, again and again; how long the slowest answer took.
async fn post_until(done: Arc<AtomicBool>, to: SocketAddr) -> (u32, Duration) {
    let (mut posted, mut slowest) = (0, Duration::ZERO);
    while posted == 0 || !done.load(Ordering::Relaxed) {
        let began = Instant::now();
        let exchange = async {
            let mut stream = connect(to, 1).await;
            let request = request(&format!("visitor-{posted}"), "connection: close\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, exchange).await.expect("an answer in time");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"accepted\":1"), "{answer}");
        slowest = slowest.max(began.elapsed());
        posted += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (posted, slowest)
}

/// What became of the connections, and how many and how much the collector held meanwhile.
struct Ended {
    answers: Vec<(Slow, String)>,
    descriptors: usize,
    resident: u64,
}

/// Opens all of them, some at a time, and waits until each has ended.
async fn hold_all(server: &Server, to: SocketAddr, connections: u64) -> Ended {
    let connecting = Arc::new(Semaphore::new(64));
    let mut held = JoinSet::new();
    for number in 0..connections {
        let (slow, connecting) = (Slow::ALL[(number / ADDRESSES % 4) as usize], Arc::clone(&connecting));
        held.spawn(async move {
            let permit = connecting.acquire().await.unwrap();
            let stream = connect(to, 2 + (number % ADDRESSES) as u8).await;
            drop(permit);
            (slow, hold(slow, number, stream).await)
        });
    }
    let mut ended = Ended { answers: Vec::new(), descriptors: 0, resident: 0 };
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            answer = held.join_next() => match answer {
                Some(answer) => ended.answers.push(answer.unwrap()),
                None => return ended,
            },
            _ = look.tick() => {
                ended.descriptors = ended.descriptors.max(server.descriptors());
                ended.resident = ended.resident.max(server.resident());
            }
        }
    }
}

#[test]
fn ten_thousand_slow_connections_are_ended_and_cost_others_nothing() {
    let (connections, folder) = (connections(), tempfile::tempdir().unwrap());
    let (server, address) = collector(folder.path(), connections);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (ended, (posted, slowest), before) = runtime.block_on(async {
        // Once, so that all is open that stays open.
        post_until(Arc::new(AtomicBool::new(true)), address).await;
        let before = (server.descriptors(), server.resident());
        let done = Arc::new(AtomicBool::new(false));
        let mut posting = JoinSet::new();
        posting.spawn(post_until(Arc::clone(&done), address));
        let ended = tokio::time::timeout(ALL_ENDED_WITHIN, hold_all(&server, address, connections)).await;
        done.store(true, Ordering::Relaxed);
        (ended.expect("all of them end"), posting.join_next().await.unwrap().unwrap(), before)
    });
    let (descriptors_before, resident_before) = before;
    let refused = ended.answers.iter().filter(|(_, answer)| answer.is_empty()).count();
    let held = ended.answers.len() - refused;
    let grown = ended.resident.saturating_sub(resident_before);
    println!(
        "{held} held at most {} at a time, {refused} closed at once, {} KiB each; {posted} events posted, the slowest in {} ms",
        ended.descriptors - descriptors_before,
        grown / held as u64 / 1_024,
        slowest.as_millis()
    );
    // A fifth of 12/10 for each of four addresses: 96 of 100.
    assert_eq!(held as u64, connections * 96 / 100);
    for (slow, answer) in ended.answers.iter().filter(|(_, answer)| !answer.is_empty()) {
        assert!(slow.is_ended_well(answer), "{slow:?}: {answer}");
    }
    assert!(ended.descriptors - descriptors_before >= held * 9 / 10, "they were open at the same time");
    assert!(grown < BYTES_A_CONNECTION * held as u64, "{grown} bytes for {held}");
    assert!(posted > 50, "{posted}");
    let deadline = Instant::now() + ANSWER_WITHIN;
    while server.descriptors() > descriptors_before {
        assert!(Instant::now() < deadline, "{} descriptors stay open", server.descriptors());
        std::thread::sleep(Duration::from_millis(50));
    }
}
