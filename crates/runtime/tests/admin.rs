//! The admin server as Prometheus and Kubernetes see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::{Ipv4Addr, SocketAddr};

use runtime::{AdminServer, Health, Metrics, Shutdown, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Admin {
    server: AdminServer,
    health: Health,
    tasks: Tasks,
    shutdown: Shutdown,
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn start() -> Admin {
    let (metrics, health) = (Metrics::new().unwrap(), Health::new());
    let (tasks, shutdown) = (Tasks::new(), Shutdown::new());
    tasks.register(&metrics).unwrap();
    let server = AdminServer::start(any_port(), metrics, health.clone(), &tasks, shutdown.clone()).unwrap();
    Admin { server, health, tasks, shutdown }
}

impl Admin {
    /// The whole answer, headers and all.
    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn metrics_are_served_in_the_text_format() {
    let admin = start();
    let answer = admin.get("/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    for name in ["process_resident_memory_bytes", "rungs_build_info", "rungs_tasks{task=\"admin server\"} 1"]
    {
        assert!(answer.contains(name), "{name} in {answer}");
    }
}

#[tokio::test]
async fn its_address_leads_to_what_is_there_and_another_path_says_so_too() {
    let admin = start();
    for (path, status) in [("/", "200"), ("/metric", "404")] {
        let answer = admin.get(path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(["/metrics", "/healthz", "/readyz"].iter().all(|there| answer.contains(there)), "{answer}");
    }
}

#[tokio::test]
async fn readiness_lists_what_is_missing_and_liveness_does_not_care() {
    let admin = start();
    let plan = admin.health.condition("plan loaded");
    let answer = admin.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"plan loaded\""), "{answer}");
    assert!(admin.get("/healthz").await.starts_with("HTTP/1.1 200"));
    plan.set(true);
    assert!(admin.get("/readyz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_draining_process_is_not_ready_but_can_be_watched_until_the_end() {
    let admin = start();
    admin.shutdown.request();
    let answer = admin.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("not shutting down"), "{answer}");
    admin.tasks.wait(std::time::Duration::from_secs(10)).await.unwrap();
    assert!(admin.get("/metrics").await.starts_with("HTTP/1.1 200"));
    let address = admin.server.address();
    admin.server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_named_in_the_error() {
    let taken = std::net::TcpListener::bind(any_port()).unwrap();
    let address = taken.local_addr().unwrap();
    let metrics = Metrics::new().unwrap();
    let started = AdminServer::start(address, metrics, Health::new(), &Tasks::new(), Shutdown::new());
    let error = started.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("[admin] listen"), "{error}");
}
