//! One request from its head to its answer: route, body, events, key, log. The steps are in the order of this file;
//! `vendors` has what other vendors' clients need beside it, `bulk` takes bodies that are too large to be held, `clicks` counts a link's click and leads on.

mod bulk;
mod clicks;
mod vendors;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, ORIGIN, USER_AGENT,
};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwapOption;
use event_log::rejected::Rejections;
use event_log::{Clock, Generations, Message, PublishError, Publisher, SystemClock};
use rungs_proto::v1::ImportCompleted;
use runtime::Shutdown;
use runtime::settings::CollectorSettings;

use crate::adapters::{self, Endpoint, Form};
use crate::answer::{self, Answer, RequestId};
use crate::body::{self, InFlight, Permit};
use crate::cors;
use crate::derive::user_agent::{self, Agent};
use crate::draft::Parsed;
use crate::imports::{self, ImportStatus};
use crate::kept::Kept;
use crate::keys::{self, Caller, Keys};
use crate::limits::BUSY_ANSWER_DELAY_MS;
use crate::metrics::Metrics;
use crate::outcome::{Rejected, Undecided};
use crate::publish::publish;
use crate::refusal::Refusal;
use crate::tag::{self, TagPaths};
use crate::validate::{self, Validator};

/// What all requests share.
pub(crate) struct State {
    pub(crate) settings: CollectorSettings,
    pub(crate) country_header: Option<HeaderName>,
    pub(crate) tag_paths: TagPaths,
    pub(crate) publisher: Arc<dyn Publisher>,
    /// Takes imports and control records.
    pub(crate) direct: Arc<dyn Publisher>,
    pub(crate) keys: ArcSwapOption<Keys>,
    pub(crate) imports: Option<Arc<dyn ImportStatus>>,
    pub(crate) generations: Arc<Generations>,
    /// Takes rejected events, for people to find them.
    pub(crate) rejections: Option<Arc<Rejections>>,
    pub(crate) metrics: Metrics,
    pub(crate) in_flight: InFlight,
    pub(crate) shutdown: Shutdown,
    /// When the log last failed to store, UTC milliseconds; 0 = never.
    pub(crate) log_failed_at_ms: AtomicI64,
}

/// Handles a request.
pub(crate) async fn receive(request: HttpRequest, payload: Payload, state: Data<State>) -> HttpResponse {
    let request_id = RequestId::of(request.headers());
    let (endpoint, in_path) = state.find(&request);
    let incoming = Incoming { request: &request, state: &state, endpoint, in_path };
    let result = incoming.handle(payload).await.inspect_err(|refusal| state.metrics.refused_for(refusal));
    // A picture is a picture, also where its event is not stored: a broken image in a mail helps nobody.
    let result = match (endpoint, result) {
        (Endpoint::Pixel, Err(refusal)) if *request.method() == Method::GET => {
            tracing::debug!(request_id = request_id.as_str(), %refusal, "pixel refused");
            Ok(Answer::Pixel)
        }
        (Endpoint::Pixel | Endpoint::SnowplowQuery, Ok(Answer::Stored { .. })) => Ok(Answer::Pixel),
        (_, result) => result,
    };
    if endpoint.answers_busy_late() && result.as_ref().is_err_and(|refusal| refusal.wire().retry) {
        tokio::time::sleep(Duration::from_millis(BUSY_ANSWER_DELAY_MS)).await;
    }
    let closing = state.shutdown.is_requested();
    let response = answer::respond(result, request.headers(), &request_id, closing);
    state.metrics.request(endpoint, response.status().as_u16());
    response
}

impl State {
    /// What a request's path and method lead to; an import's id is in the path.
    fn find<'r>(&self, request: &'r HttpRequest) -> (Endpoint, Option<&'r str>) {
        match adapters::find(request.path()) {
            (Endpoint::Unknown, _) => {
                (tag::for_method(self.tag_paths.find(request.path()), request.method()), None)
            }
            (endpoint, import_id) => (tag::for_method(endpoint, request.method()), import_id),
        }
    }
}

/// A request and where it goes.
struct Incoming<'r> {
    request: &'r HttpRequest,
    state: &'r State,
    endpoint: Endpoint,
    /// An import's id or a key.
    in_path: Option<&'r str>,
}

impl Incoming<'_> {
    async fn handle(&self, payload: Payload) -> Result<Answer, Refusal> {
        let method = self.request.method();
        if method == Method::OPTIONS {
            return Ok(Answer::Preflight);
        }
        if self.endpoint == Endpoint::Unknown {
            return Err(Refusal::NotFound);
        }
        // Programs that check links and caches ask for heads.
        let takes_head = matches!(self.endpoint, Endpoint::Click | Endpoint::Script(_));
        if method.as_str() != self.endpoint.method() && !(takes_head && *method == Method::HEAD) {
            return Err(Refusal::MethodNotAllowed(self.endpoint.method()));
        }
        match self.endpoint {
            Endpoint::Click => return self.click().await,
            Endpoint::Script(script) => return Ok(Answer::Script(script.served(self.headers()))),
            _ => {}
        }
        if self.state.shutdown.is_requested() {
            return Err(Refusal::ShuttingDown);
        }
        match self.endpoint {
            Endpoint::Root => Ok(Answer::Root),
            Endpoint::Pixel => self.pixel().await,
            Endpoint::ImportStatus => self.import_status().await,
            Endpoint::ImportComplete => self.import_complete(payload).await,
            Endpoint::Vendor(vendor) => self.vendor(vendor, payload).await,
            Endpoint::SnowplowQuery => self.snowplow_query().await,
            Endpoint::SegmentSettings
            | Endpoint::PostHogConfig
            | Endpoint::PostHogScript
            | Endpoint::PostHogFlags => self.vendor_settings(),
            _ => self.events(payload).await,
        }
    }

    async fn events(&self, payload: Payload) -> Result<Answer, Refusal> {
        let form = Form::of(self.header(&CONTENT_TYPE));
        if form == Form::Lines && self.is_bulk() {
            return self.bulk(payload).await;
        }
        let received_at_ms = now_ms();
        let mut permit = self.state.in_flight.permit();
        let body = self.body(payload, &mut permit).await?;
        let parsed = self.endpoint.parse(&body, form, self.limits())?;
        self.store(parsed, received_at_ms).await
    }

    async fn pixel(&self) -> Result<Answer, Refusal> {
        let event = adapters::parse_pixel(self.request.query_string());
        let parsed = Endpoint::Events.parse(&event, Form::Text, self.limits())?;
        self.store(parsed, now_ms()).await
    }

    /// Validates the events and waits until the good ones are durable.
    async fn store(&self, parsed: Parsed<'_>, received_at_ms: i64) -> Result<Answer, Refusal> {
        let mut open = Undecided::new(&self.state.metrics, parsed.events.len());
        let import_id = self.import_parameter();
        let prepared = self.prepare(parsed, received_at_ms, import_id.as_deref(), &mut open);
        let (messages, rejected) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => {
                open.refuse();
                return Err(refusal);
            }
        };
        // An import can wait, and must be in its place when it is acknowledged: it does not go through a spill.
        let log = if import_id.is_some() { &self.state.direct } else { &self.state.publisher };
        let published = publish(log.as_ref(), messages, open).await;
        let accepted = published.map_err(|error| self.not_stored(error))?;
        Ok(Answer::Stored { accepted, rejected, ids: Vec::new() })
    }

    fn prepare(
        &self,
        parsed: Parsed<'_>,
        received_at_ms: i64,
        import_id: Option<&str>,
        open: &mut Undecided<'_>,
    ) -> Result<(Vec<Message>, Vec<Rejected>), Refusal> {
        let keys = self.state.keys.load();
        let keys = keys.as_deref().ok_or(Refusal::NoPlan)?;
        let caller = self.caller(keys, parsed.write_key.as_deref())?;
        open.belong_to(caller.account);
        if let Some(id) = import_id {
            require_secret(caller)?;
            self.check_site(caller)?;
            imports::check_id(id)?;
        }
        let country = self.country();
        let mut validator = Validator::new(validate::Request {
            site: &caller.site.id,
            received_at_ms,
            sent_at: parsed.sent_at,
            skew_threshold_ms: self.state.settings.skew_threshold_ms,
            agent: self.agent(caller),
            country: &country,
            import_id: import_id.unwrap_or_default(),
        });
        let kept = Kept {
            rejections: self.state.rejections.as_deref(),
            site: &caller.site.id,
            endpoint: self.endpoint.label(),
            received_at_ms,
        };
        Ok(records(&parsed, &mut validator, self.state.publisher.partitions(), open, &kept))
    }

    /// The id of the import that the request's events belong to.
    fn import_parameter(&self) -> Option<Cow<'_, str>> {
        let query = self.request.query_string();
        if query.is_empty() || self.endpoint != Endpoint::Events {
            return None;
        }
        keys::in_query(query, "import")
    }

    fn not_stored(&self, error: PublishError) -> Refusal {
        if matches!(error, PublishError::Storage(_)) {
            self.state.log_failed_at_ms.store(now_ms(), Ordering::Release);
        }
        error.into()
    }

    async fn import_complete(&self, payload: Payload) -> Result<Answer, Refusal> {
        let mut permit = self.state.in_flight.permit();
        let body = self.body(payload, &mut permit).await?;
        let (site, import_id) = self.import()?;
        let accepted_rows = imports::accepted_rows(&body)?;
        let generation = self.state.generations.next(now_ms());
        let completed = ImportCompleted { site, import_id: import_id.to_owned(), accepted_rows };
        imports::complete(self.state.direct.as_ref(), generation, completed).await?;
        tracing::info!(import_id, accepted_rows, generation, "import completed");
        Ok(Answer::Json(format!("{{\"generation\":{generation}}}")))
    }

    async fn import_status(&self) -> Result<Answer, Refusal> {
        let (site, import_id) = self.import()?;
        let warehouse = self.state.imports.as_ref().ok_or(Refusal::NoWarehouse)?;
        let progress = warehouse.progress(&site, import_id).await.map_err(|error| {
            tracing::warn!(%error, import_id, "import status");
            Refusal::WarehouseFailed
        })?;
        let progress = progress.ok_or(Refusal::UnknownImport)?;
        let state = if progress.is_ready { "ready" } else { "building" };
        let json = serde_json::json!({
            "stored_rows": progress.stored_rows, "state": state, "progress": progress.progress,
        });
        Ok(Answer::Json(json.to_string()))
    }

    /// The site of the secret key and the id in the path.
    fn import(&self) -> Result<(String, &str), Refusal> {
        let keys = self.state.keys.load();
        let caller = self.caller(keys.as_deref().ok_or(Refusal::NoPlan)?, None)?;
        require_secret(caller)?;
        self.check_site(caller)?;
        let id = self.in_path.unwrap_or_default();
        imports::check_id(id)?;
        Ok((caller.site.id.clone(), id))
    }

    /// The site that an import says it is for, if it does, must be the key's: rows in another site's funnels are hard to
    /// get out again.
    fn check_site(&self, caller: Caller<'_>) -> Result<(), Refusal> {
        match keys::in_query(self.request.query_string(), "site") {
            Some(asked) if asked != caller.site.id => {
                Err(Refusal::WrongSite { key: caller.site.id.clone(), asked: asked.into_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Reads and expands the body.
    async fn body(&self, payload: Payload, permit: &mut Permit) -> Result<Bytes, Refusal> {
        let settings = &self.state.settings;
        let length = self.header(&CONTENT_LENGTH).parse().ok();
        let sent = body::read(payload, length, settings.max_body_bytes, permit).await?;
        let sent_bytes = sent.len();
        let body = body::expand(sent, self.header(&CONTENT_ENCODING), settings.max_expanded_bytes)?;
        if body.len() > sent_bytes {
            permit.cover(sent_bytes + body.len())?;
        }
        Ok(body)
    }

    /// The site of the request's key, if the browser's origin may send to it.
    fn caller<'k>(&self, keys: &'k Keys, in_body: Option<&str>) -> Result<Caller<'k>, Refusal> {
        let in_head = keys::in_head(self.headers(), self.request.query_string());
        let caller = keys.caller(in_head.as_deref().or(in_body).unwrap_or_default())?;
        cors::check(self.headers().get(ORIGIN), &caller.site.origins)?;
        Ok(caller)
    }

    /// From a browser's own header; a server's User-Agent is not the visitor's.
    fn agent(&self, caller: Caller<'_>) -> Option<Rc<Agent>> {
        let header = self.header(&USER_AGENT);
        let is_visitors = !caller.is_secret && user_agent::is_browser(header);
        is_visitors.then(|| user_agent::agent(header))
    }

    fn country(&self) -> String {
        let header = self.state.country_header.as_ref().map(|name| self.header(name)).unwrap_or_default();
        let is_code = header.len() == 2 && header.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_code { header.to_ascii_uppercase() } else { String::new() }
    }

    fn limits(&self) -> adapters::Limits {
        adapters::Limits {
            max_event_bytes: self.state.settings.max_event_bytes,
            max_batch_events: self.state.settings.max_batch_events,
        }
    }

    fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    fn header(&self, name: &HeaderName) -> &str {
        self.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The good events as messages and the bad ones as the answer lists them, both in the request's order. All records of
/// a request share one buffer.
fn records<'b>(
    parsed: &Parsed<'b>,
    validator: &mut Validator<'_, 'b>,
    partitions: u32,
    open: &mut Undecided<'_>,
    kept: &Kept<'_>,
) -> (Vec<Message>, Vec<Rejected>) {
    let mut places = Vec::with_capacity(parsed.events.len());
    let mut rejected = Vec::new();
    let mut texts = parsed.rejected.iter();
    let mut buffer = Vec::with_capacity(384 * parsed.events.len());
    for (index, event) in parsed.events.iter().enumerate() {
        let start = buffer.len();
        let record = event
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|draft| validator.record(draft, partitions, &mut buffer));
        match record {
            Ok(partition) => places.push((partition, start..buffer.len())),
            Err(rejection) => {
                open.reject(rejection.reason);
                match event {
                    Ok(draft) => kept.draft(draft, &rejection),
                    Err(_) => kept.text(texts.next().copied().unwrap_or_default(), &rejection),
                }
                rejected.push(Rejected { index, rejection });
            }
        }
    }
    let buffer = Bytes::from(buffer);
    let message = |(partition, place)| Message { partition, value: buffer.slice(place) };
    (places.into_iter().map(message).collect(), rejected)
}

fn require_secret(caller: Caller<'_>) -> Result<(), Refusal> {
    if caller.is_secret { Ok(()) } else { Err(Refusal::SecretKeyRequired) }
}

/// UTC milliseconds.
pub(crate) fn now_ms() -> i64 {
    SystemClock.now_ms()
}
