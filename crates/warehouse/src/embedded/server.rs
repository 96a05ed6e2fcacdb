//! The embedded server: engine, workers and an HTTP front on loopback, started and stopped as one.
//!
//! The front runs on a thread of its own, so it serves whatever runtime its owner has. Stopping refuses new queries,
//! lets running ones finish, closes the connections and with the last of them the engine.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::mpsc;

use super::body::{self, BodyReader, BodyRest};
use super::engine::Engine;
use super::execute::{Job, REPLY_CHUNKS};
use super::pool::{Pool, Queue};
use super::quick_ack::{self, QuickAck};
use super::request::Request;
use super::session::Session;
use super::{EmbeddedError, Library, multipart, origin, response};

/// How the embedded ClickHouse is run.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// Folder of the data; created if missing, one process at a time.
    pub data_dir: PathBuf,
    /// Loopback address of the HTTP interface; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The library's file; by default it is looked for (see [`Library::load`]).
    pub library: Option<PathBuf>,
    /// Worker threads, each with a connection; at least 2, of which one serves inserts only. 3 is a good default.
    pub workers: usize,
    /// Memory the engine may use before it refuses queries.
    pub max_server_memory_bytes: u64,
}

/// A running embedded ClickHouse. One data folder a process; stop it before the process ends.
pub struct EmbeddedServer {
    address: SocketAddr,
    front: ServerHandle,
    front_thread: JoinHandle<()>,
    pool: Pool,
}

impl EmbeddedServer {
    /// Loads the library, opens the folder, creates the database `rungs` and listens. Takes well under a second.
    ///
    /// # Errors
    /// The address is not loopback or not free; the library is missing; the folder is in use or cannot be opened.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self, EmbeddedError> {
        if !settings.listen.ip().is_loopback() {
            return Err(EmbeddedError::NotLoopback(settings.listen));
        }
        let bind_error = |source| EmbeddedError::Bind { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let pool = start_pool(settings.clone()).await?;
        let front = serve(listener, pool.queue()).map_err(bind_error)?;
        let handle = front.handle();
        let front_thread = std::thread::Builder::new()
            .name("clickhouse-http".to_owned())
            .spawn(move || run_front(front))
            .map_err(bind_error)?;
        tracing::info!(%address, data_dir = %settings.data_dir.display(), "embedded ClickHouse is up");
        Ok(Self { address, front: handle, front_thread, pool })
    }

    /// Where the HTTP interface listens; never port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drains: no new connections, running queries finish, then the engine stops.
    pub async fn stop(self) {
        let Self { front, front_thread, pool, .. } = self;
        front.stop(true).await;
        let ended = tokio::task::spawn_blocking(move || {
            pool.stop();
            front_thread.join().is_ok()
        });
        if !ended.await.unwrap_or(false) {
            tracing::error!("the embedded ClickHouse's HTTP thread panicked");
        }
    }
}

/// Loading 560 MB and opening tables block, so they run off the runtime's threads.
async fn start_pool(settings: EmbeddedSettings) -> Result<Pool, EmbeddedError> {
    let path = settings.data_dir.clone();
    let started = tokio::task::spawn_blocking(move || {
        let library = Library::load(settings.library.as_deref())?;
        let (engine, first) = Engine::start(library, &settings.data_dir, settings.max_server_memory_bytes)?;
        let engine = Arc::new(engine);
        let mut sessions = vec![Session::new(Arc::clone(&engine), first)];
        for _ in 1..settings.workers.max(2) {
            sessions.push(Session::new(Arc::clone(&engine), engine.connect()?));
        }
        Pool::start(sessions).map_err(|error| EmbeddedError::file(&settings.data_dir, error))
    });
    started.await.unwrap_or(Err(EmbeddedError::Open { path }))
}

fn serve(listener: TcpListener, queue: Queue) -> std::io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(web::Data::new(queue.clone()))
            .route("/ping", web::to(ok))
            .route("/replicas_status", web::to(ok))
            .default_service(web::to(query))
    };
    let server = HttpServer::new(app)
        .on_connect(quick_ack::remember)
        .workers(1)
        .disable_signals()
        .shutdown_timeout(30);
    Ok(server.listen(listener)?.run())
}

fn run_front(front: Server) {
    if let Err(error) = actix_web::rt::System::new().block_on(front) {
        tracing::error!(%error, "the embedded ClickHouse's HTTP server failed");
    }
}

async fn ok() -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html; charset=UTF-8")).body("Ok.\n")
}

async fn query(http: HttpRequest, payload: web::Payload, queue: web::Data<Queue>) -> HttpResponse {
    let generated = response::random_text(32);
    let (request, body, rest) = match accept(&http, payload).await {
        Ok(Some(accepted)) => accepted,
        Ok(None) => return ok().await,
        Err(error) => return response::failure(&error, &generated),
    };
    let query_id = request.query_id.clone().unwrap_or(generated);
    let (replies, answers) = mpsc::channel(REPLY_CHUNKS);
    let is_insert = starts_with_insert(&request, &body);
    if let Err(error) = queue.push(Job { request, body, is_insert, replies }) {
        return response::failure(&error, &query_id);
    }
    match rest {
        None => response::answer(answers, &query_id).await,
        Some(rest) => {
            futures_util::future::join(rest.forward(), response::answer(answers, &query_id)).await.1
        }
    }
}

/// Reads a request; `None` for the bare `GET /` that ClickHouse answers with "Ok."
async fn accept(
    http: &HttpRequest,
    payload: web::Payload,
) -> Result<Option<(Request, BodyReader, Option<BodyRest>)>, EmbeddedError> {
    origin::check(http.headers())?;
    if http.path() != "/" && http.path() != "/query" {
        return Err(EmbeddedError::request(
            60,
            format!("There is no handler {}; queries go to /", http.path()),
        ));
    }
    let get = http.method() == Method::GET || http.method() == Method::HEAD;
    let mut request = Request::read(http.query_string(), http.headers(), get)?;
    if get && http.query_string().is_empty() {
        return Ok(None);
    }
    let (mut body, rest) = body::receive(payload, QuickAck::of(http)).await.map_err(EmbeddedError::Body)?;
    let content_type =
        http.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.starts_with("multipart/form-data") {
        let form = body.take_all(rest.is_none())?;
        let fields =
            multipart::fields(content_type, &form).map_err(|reason| EmbeddedError::request(36, reason))?;
        for (name, value) in fields {
            let value = String::from_utf8(value).map_err(|_| {
                EmbeddedError::request(36, format!("the form field {name} is not valid UTF-8"))
            })?;
            request.set(&name, value)?;
        }
    }
    Ok(Some((request, body, rest)))
}

/// Only decides who may run it; a wrong guess (SQL inside a compressed body) costs nothing but the reserved worker.
fn starts_with_insert(request: &Request, body: &BodyReader) -> bool {
    let text = if request.sql.is_empty() && request.encoding.is_plain() {
        body.beginning()
    } else {
        request.sql.as_bytes()
    };
    super::statement::is_insert(text)
}
