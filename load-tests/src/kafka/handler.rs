//! The limit that answers as ours does: an actix-web handler that looks at nothing, gives each line of a body to rdkafka's
//! own producer, a record each and on any partition, and answers once Kafka has acknowledged. A process of its own.

use std::process::Command;

use actix_web::{App, HttpResponse, HttpServer, web};
use futures_util::future::try_join_all;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::bare::{config, create_topic, producing};
use crate::BenchError;
use crate::http::Load;
use crate::ingest::Phase;
use crate::process::Server;

const TOPIC: &str = "bench.handler";
const BODY_BYTES: usize = 16 << 20;

/// A load against it.
pub(super) fn against(load: &Load, brokers: &str) -> Result<Phase, BenchError> {
    let handler = ["on-kafka", "handler", brokers];
    let mut handler = Server::start(Command::new(std::env::current_exe()?).args(handler))?;
    let address = handler.first_address()?;
    Phase::run(&Load { address, ..load.clone() }, &handler)
}

/// Serves on a free port of loopback, prints the address, and runs until it is ended.
pub(super) fn serve(brokers: &str) -> Result<(), BenchError> {
    create_topic(brokers, TOPIC)?;
    let producer: FutureProducer = config(&producing(brokers)).create()?;
    actix_web::rt::System::new().block_on(async {
        let app = move || {
            let limit = web::PayloadConfig::new(BODY_BYTES);
            let producer = web::Data::new(producer.clone());
            App::new().app_data(limit).app_data(producer).default_service(web::to(produce_and_answer))
        };
        let server = HttpServer::new(app).workers(2).max_connections(4_096).bind("127.0.0.1:0")?;
        server.addrs().iter().for_each(|address| println!("{address}"));
        Ok(server.run().await?)
    })
}

async fn produce_and_answer(producer: web::Data<FutureProducer>, body: web::Bytes) -> HttpResponse {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let send = |line| producer.send_result(FutureRecord::<(), [u8]>::to(TOPIC).payload(line)).ok();
    let Some(sent) = lines.map(send).collect::<Option<Vec<_>>>() else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    match try_join_all(sent).await {
        Ok(answers) if answers.iter().all(Result::is_ok) => HttpResponse::NoContent().finish(),
        _ => HttpResponse::ServiceUnavailable().finish(),
    }
}
