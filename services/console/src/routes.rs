//! Paths to handlers, what all handlers share, and what every answer carries: security headers, metrics, and for the
//! API the check who may read.

use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{Compress, Next, from_fn};
use actix_web::web::{self, Data, PayloadConfig, ServiceConfig};
use funnel::Plan;
use funnel::plan::Funnel;
use tokio::sync::watch;

use crate::access::admit_request;
use crate::api_error::ApiError;
use crate::hub::Hub;
use crate::metrics::ConsoleMetrics;
use crate::params::FunnelPath;
use crate::request_id::RequestId;
use crate::source::NumberSource;
use crate::{
    annotations, assets, catalog, event_names, history, live, recent, report, secret, stream, visitors,
};

/// Every path of the API, as the OpenAPI description writes it, and its name in metrics.
pub const PATHS: [(&str, &str); 11] = [
    ("/api/v1/sites", "sites"),
    ("/api/v1/sites/{site}/events", "events"),
    ("/api/v1/sites/{site}/recent", "recent"),
    ("/api/v1/funnels", "funnels"),
    ("/api/v1/funnels/{site}/{funnel}/live", "live"),
    ("/api/v1/funnels/{site}/{funnel}/report", "report"),
    ("/api/v1/funnels/{site}/{funnel}/history", "history"),
    ("/api/v1/funnels/{site}/{funnel}/visitors", "visitors"),
    ("/api/v1/funnels/{site}/{funnel}/stream", "stream"),
    ("/api/v1/annotations", "annotations"),
    ("/api/v1/openapi.json", "openapi"),
];

/// A body is a note.
const MAX_BODY_BYTES: usize = 16 << 10;

/// What all handlers share.
pub(crate) struct State {
    token: Option<String>,
    pub(crate) source: Arc<dyn NumberSource>,
    plan: watch::Receiver<Option<Arc<Plan>>>,
    pub(crate) hub: Hub,
    metrics: ConsoleMetrics,
}

impl State {
    pub(crate) fn new(
        token: Option<String>,
        source: Arc<dyn NumberSource>,
        plan: watch::Receiver<Option<Arc<Plan>>>,
        hub: Hub,
        metrics: ConsoleMetrics,
    ) -> Self {
        Self { token, source, plan, hub, metrics }
    }

    /// The plan in force.
    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        self.plan.borrow().clone()
    }

    /// The console's token.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The funnel of a path.
    pub(crate) fn funnel(&self, path: &FunnelPath) -> Result<Arc<Funnel>, ApiError> {
        funnel_of(self.plan().as_deref(), &path.site, &path.funnel)
    }
}

/// A funnel of the plan in force, or which part of its name is unknown.
pub(crate) fn funnel_of(plan: Option<&Plan>, site: &str, funnel: &str) -> Result<Arc<Funnel>, ApiError> {
    let plan = plan.ok_or(ApiError::NoPlan)?;
    known_site(plan, site)?;
    plan.funnel(site, funnel).map(|found| Arc::new(found.clone())).ok_or_else(|| ApiError::UnknownFunnel {
        site: site.to_owned(),
        funnel: funnel.to_owned(),
        funnels: plan.funnels_of(site).map(|funnel| funnel.id.clone()).collect(),
    })
}

/// Refuses a site that the plan does not have, with those that it has.
pub(crate) fn known_site(plan: &Plan, site: &str) -> Result<(), ApiError> {
    match plan.site(site) {
        Some(_) => Ok(()),
        None => Err(ApiError::UnknownSite {
            site: site.to_owned(),
            sites: plan.sites.iter().map(|site| site.id.clone()).collect(),
        }),
    }
}

/// All paths. Streams are outside of compression: it would hold events back.
pub(crate) fn configure(config: &mut ServiceConfig) {
    let compressed = web::scope("")
        .wrap(Compress::default())
        .route("/sites", web::get().to(catalog::sites))
        .route("/sites/{site}/events", web::get().to(event_names::events))
        .route("/sites/{site}/recent", web::get().to(recent::recent))
        .route("/funnels", web::get().to(catalog::funnels))
        .route("/funnels/{site}/{funnel}/live", web::get().to(live::live))
        .route("/funnels/{site}/{funnel}/report", web::get().to(report::report))
        .route("/funnels/{site}/{funnel}/history", web::get().to(history::history))
        .route("/funnels/{site}/{funnel}/visitors", web::get().to(visitors::visitors))
        .service(
            web::resource("/annotations")
                .app_data(PayloadConfig::new(MAX_BODY_BYTES))
                .get(annotations::list)
                .post(annotations::write)
                .delete(annotations::remove)
                .default_service(web::to(unknown)),
        )
        .route("/openapi.json", web::get().to(assets::openapi))
        .default_service(web::to(unknown));
    config
        .service(
            web::scope("/api/v1")
                .wrap(from_fn(admitted))
                .route("/funnels/{site}/{funnel}/stream", web::get().to(stream::stream))
                .service(compressed),
        )
        .configure(assets::configure)
        .default_service(web::to(unknown));
}

async fn unknown() -> Result<HttpResponse, ApiError> {
    Err(ApiError::NotFound)
}

/// Lets a request of the API in, or answers why not.
async fn admitted(
    state: Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match admit_request(state.token.as_deref(), request.request()) {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(_) if asks_for_a_key(&request) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(refused) => Ok(request.into_response(HttpResponse::from_error(refused))),
    }
}

/// Whether the handler lets in whoever shows a secret key, and this caller shows one.
fn asks_for_a_key(request: &ServiceRequest) -> bool {
    let takes_keys = match *request.method() {
        Method::GET => request.path().ends_with("/visitors"),
        Method::POST | Method::DELETE => request.path() == "/api/v1/annotations",
        _ => false,
    };
    takes_keys && secret::shown(request.headers()).is_some()
}

const SECURITY_HEADERS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Counts and times every request and puts on every answer what all carry.
pub(crate) async fn observed(
    state: Data<State>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let is_api = request.path().starts_with("/api/");
    let id = RequestId::of(request.headers());
    let response = next.call(request).await?;
    let route = route_name(response.request().match_pattern().as_deref());
    state.metrics.answered(route, response.status().as_u16(), started.elapsed());
    let mut response = id.name(response.map_into_boxed_body());
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if is_api {
        response
            .headers_mut()
            .insert(HeaderName::from_static("cache-control"), HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

fn route_name(pattern: Option<&str>) -> &'static str {
    match pattern {
        Some(pattern) if assets::is_page(pattern) => "page",
        Some(pattern) => PATHS.iter().find(|(path, _)| *path == pattern).map_or("other", |(_, name)| name),
        None => "other",
    }
}
