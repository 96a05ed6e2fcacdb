//! What stands between a client and the collector on a bad day: a proxy whose first requests meet faults, one after the
//! other, and which passes the others on. HTTP/1.1 with a content length, which is what all clients send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DEADLINE: Duration = Duration::from_secs(60);
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-type: application/json\r\n\
    content-length: 51\r\n\r\n{\"code\":\"log_full\",\"message\":\"full\",\"detail\":\"full\"}";

/// What befalls a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503, and the collector never sees it.
    Busy,
    /// The collector takes it, and the connection is cut before the answer.
    LostAnswer,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    faults: Vec<Fault>,
    requests: AtomicUsize,
}

impl Proxy {
    /// The first requests meet these faults.
    pub(crate) async fn start(upstream: SocketAddr, faults: Vec<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { upstream, faults, requests: AtomicUsize::new(0) });
        let (tasks, shared) = (Tasks::new(), state.clone());
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                // An end of a connection, whoever caused it, is the client's to deal with.
                let state = shared.clone();
                drop(tasks.spawn("connection", async move { drop(state.serve(client).await) }));
            }
        };
        drop(Tasks::new().spawn("proxy", accept));
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests met a fault.
    pub(crate) fn faults(&self) -> usize {
        self.state.requests.load(Ordering::Acquire).min(self.state.faults.len())
    }

    /// Waits until no fault is left.
    pub(crate) async fn until_passing(&self) {
        let deadline = Instant::now() + DEADLINE;
        while self.faults() < self.state.faults.len() {
            assert!(Instant::now() < deadline, "{} requests only", self.faults());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl State {
    /// A connection's requests, until it ends.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        loop {
            let request = message(&mut client).await?;
            let fault = self.faults.get(self.requests.fetch_add(1, Ordering::AcqRel)).copied();
            if fault == Some(Fault::Busy) {
                client.write_all(BUSY.as_bytes()).await?;
                continue;
            }
            let mut upstream = TcpStream::connect(self.upstream).await?;
            upstream.write_all(&request).await?;
            let answer = message(&mut upstream).await?;
            if fault == Some(Fault::LostAnswer) {
                client.set_zero_linger()?;
                return Ok(());
            }
            client.write_all(&answer).await?;
        }
    }
}

/// A request or an answer: head and body.
async fn message(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = end {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= head + length {
                return Ok(bytes);
            }
        }
        if from.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
