//! The limit that the collector is compared with: an actix-web handler that reads the body and answers 204.

use std::net::SocketAddr;

use actix_web::{App, HttpResponse, HttpServer, web};

async fn read_and_answer(_body: web::Bytes) -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// Serves on a free port of loopback, prints the address, and runs until it is ended.
pub fn serve() -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(|| {
            let limit = web::PayloadConfig::new(16 << 20);
            App::new().app_data(limit).default_service(web::to(read_and_answer))
        });
        let server = server.workers(2).max_connections(4_096).bind("127.0.0.1:0")?;
        println!("{}", server.addrs().first().copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))));
        server.run().await
    })
}
