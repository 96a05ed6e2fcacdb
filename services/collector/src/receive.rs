//! One request from its head to its answer: route, body, events, and what all requests share. `store` has the rest of
//! the way, from the events to the log; `sender` tells who sent a request, `stand_in` whose the events without an id
//! are, `vendors` has what other vendors' clients need beside it, `bulk` takes bodies that are too large to be held,
//! `clicks` counts a link's click and leads on, `importing` is about imports, `forgetting` erases visitors,
//! `rebuilding` has funnels counted anew, `left_out` tells which events are not wanted.

mod bulk;
mod clicks;
mod forgetting;
mod importing;
mod left_out;
mod rebuilding;
mod sender;
mod stand_in;
mod store;
mod vendors;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, ORIGIN,
};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwapOption;
use event_log::rejected::Rejections;
use event_log::salts::Salts;
use event_log::{Generations, Publisher};
use runtime::Shutdown;
use runtime::settings::CollectorSettings;
use tokio::sync::watch;

use crate::adapters::{self, Endpoint, Form};
use crate::answer::{self, Answer, RequestId};
use crate::body::{self, InFlight, Permit};
use crate::connection::Phase;
use crate::imports::SeenImports;
use crate::keys::{self, Caller, Keys};
use crate::limits::BUSY_ANSWER_DELAY_MS;
use crate::metrics::Metrics;
use crate::quota::{Addresses, Visitors};
use crate::refusal::Refusal;
use crate::tag::{self, TagPaths};
use crate::warehouse_status::WarehouseStatus;

use store::{Arrival, Stored};

/// What all requests share.
pub(crate) struct State {
    pub(crate) settings: CollectorSettings,
    pub(crate) country_header: Option<HeaderName>,
    pub(crate) address_header: Option<HeaderName>,
    pub(crate) tag_paths: TagPaths,
    pub(crate) publisher: Arc<dyn Publisher>,
    /// Takes imports and control records.
    pub(crate) direct: Arc<dyn Publisher>,
    pub(crate) keys: ArcSwapOption<Keys>,
    pub(crate) salts: watch::Receiver<Option<Arc<Salts>>>,
    pub(crate) warehouse: Option<Arc<dyn WarehouseStatus>>,
    pub(crate) seen_imports: SeenImports,
    pub(crate) generations: Arc<Generations>,
    /// Takes rejected events, for people to find them.
    pub(crate) rejections: Option<Arc<Rejections>>,
    pub(crate) metrics: Metrics,
    pub(crate) in_flight: InFlight,
    /// What addresses have sent to sites that limit them.
    pub(crate) addresses: Addresses,
    /// What visitors have sent.
    pub(crate) visitors: Visitors,
    pub(crate) shutdown: Shutdown,
    /// When the log last failed to store, UTC milliseconds; 0 = never.
    pub(crate) log_failed_at_ms: AtomicI64,
}

/// Handles a request.
pub(crate) async fn receive(request: HttpRequest, payload: Payload, state: Data<State>) -> HttpResponse {
    let _handling = request.conn_data::<Phase>().map(Phase::handle);
    // Read while the head is at hand: it is far away when the events are durable.
    let (request_id, origin) = (RequestId::of(request.headers()), request.headers().get(ORIGIN).cloned());
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
    let response = answer::respond(result, request.headers(), origin.as_ref(), &request_id, closing);
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
        // Programs that check links and caches, and scanners of mails, ask for heads; of what can be asked for, all have one.
        let is_head = *method == Method::HEAD && self.endpoint.method() == Method::GET;
        if method.as_str() != self.endpoint.method() && !is_head {
            return Err(Refusal::MethodNotAllowed(self.endpoint.method()));
        }
        match self.endpoint {
            // Nobody looks at a head: nothing is counted.
            Endpoint::Pixel | Endpoint::SnowplowQuery if is_head => return Ok(Answer::Pixel),
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
            Endpoint::Rebuild => self.rebuild(payload).await,
            Endpoint::Forget => self.forget(payload).await,
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
            // Seldom, and large: apart from what every request holds.
            return Box::pin(self.bulk(payload)).await;
        }
        let arrival = Arrival::now();
        let mut permit = self.permit()?;
        let body = self.body(payload, &mut permit).await?;
        let parsed = self.endpoint.parse(&body, form, self.limits())?;
        let prepared = self.prepare(parsed, arrival.of_bytes(body.len()), &mut permit)?;
        // Not held while Kafka or the disk is waited for.
        drop(body);
        Ok(self.make_durable(prepared).await?.answer(Vec::new()))
    }

    async fn pixel(&self) -> Result<Answer, Refusal> {
        let event = adapters::parse_pixel(self.request.query_string());
        Ok(self.store_query(&event).await?.answer(Vec::new()))
    }

    /// Stores the event that was made of a request's query.
    async fn store_query(&self, event: &[u8]) -> Result<Stored, Refusal> {
        let mut permit = self.permit()?;
        permit.grow(event.len())?;
        let parsed = self.endpoint.parse(event, Form::Text, self.limits())?;
        self.store(parsed, Arrival::now().of_bytes(event.len()), &mut permit).await
    }

    /// A permit for the request's bytes. Where the head names the site, they count for its share from the first one on, not
    /// only when the body has come: many bodies that come slowly would fill what is others'.
    fn permit(&self) -> Result<Permit, Refusal> {
        let mut permit = self.state.in_flight.permit();
        let keys = self.state.keys.load();
        if let Some(keys) = keys.as_deref().filter(|keys| keys.have_shares())
            && let Some(key) = keys::in_head(self.headers(), self.request.query_string())
            && let Ok(Caller { account, .. }) = keys.caller(&key)
            && let Some(share) = &account.share
        {
            permit.belong_to(share)?;
        }
        Ok(permit)
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
