//! The plan over the admin server: `GET /plan`, `POST /plan`, `GET /plan/history`. `rungs plan` calls them.
//!
//! Whoever can post a plan decides what is counted, so all three answer programs on this machine only: a caller from
//! elsewhere, and a web page (an `Origin` header, or a host name that is no address of this machine), is refused.

use std::sync::Arc;

use actix_web::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use checked_toml::Problem;
use event_log::PlanRecord;
use funnel::Plan;
use serde::{Deserialize, Serialize};

use super::in_force::{ApplyError, PlanInForce};

/// The content type of a posted plan. Browsers send it to other origins only after asking, and are not answered.
pub(crate) const PLAN_MEDIA_TYPE: &str = "application/toml";
/// Bytes of a posted plan, at most.
const MAX_PLAN_BYTES: usize = 4 << 20;

/// Answer of `POST /plan`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AppliedAnswer {
    /// The number of the plan in force.
    pub(crate) number: u64,
    /// False: its text was in force already.
    pub(crate) changed: bool,
}

/// Answer of `GET /plan`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanAnswer {
    pub(crate) number: u64,
    /// UTC milliseconds.
    pub(crate) applied_at_ms: i64,
    pub(crate) text: String,
}

impl From<PlanRecord> for PlanAnswer {
    fn from(PlanRecord { number, applied_at_ms, text }: PlanRecord) -> Self {
        Self { number, applied_at_ms, text }
    }
}

/// A plan in the answer of `GET /plan/history`, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanSummary {
    pub(crate) number: u64,
    /// UTC milliseconds.
    pub(crate) applied_at_ms: i64,
    pub(crate) sites: usize,
    pub(crate) funnels: usize,
}

/// A mistake in the answer 422 of `POST /plan`, under `problems`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProblemAnswer {
    /// From 1; 0: the whole file.
    pub(crate) line: usize,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl ProblemAnswer {
    /// The problem, in the caller's file.
    pub(crate) fn problem(self, file: &str) -> Problem {
        let Self { line, message, hint } = self;
        Problem { file: file.to_owned(), line, message, hint }
    }
}

/// Adds the routes to the admin server.
pub(crate) fn routes(plans: Arc<PlanInForce>) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    let plans = Data::from(plans);
    move |config: &mut ServiceConfig| {
        config
            .app_data(plans.clone())
            .app_data(web::PayloadConfig::new(MAX_PLAN_BYTES))
            .service(web::resource("/plan").get(show).post(apply))
            .route("/plan/history", web::get().to(history));
    }
}

/// `GET /plan?number=N`: an earlier one.
#[derive(Debug, Deserialize)]
struct Which {
    number: Option<u64>,
}

async fn show(request: HttpRequest, plans: Data<PlanInForce>, which: web::Query<Which>) -> HttpResponse {
    if let Some(refused) = refuse_strangers(&request) {
        return refused;
    }
    let number = which.number;
    let found = web::block(move || match number {
        Some(number) => plans.numbered(number),
        None => Ok(plans.latest().as_deref().cloned()),
    });
    match (found.await, number) {
        (Ok(Ok(Some(plan))), _) => HttpResponse::Ok().json(PlanAnswer::from(plan)),
        (Ok(Ok(None)), None) => {
            HttpResponse::NotFound().body("there is no plan yet; apply one with `rungs plan apply FILE`\n")
        }
        (Ok(Ok(None)), Some(number)) => HttpResponse::NotFound().body(format!("plan {number} is not kept\n")),
        (Ok(Err(error)), _) => HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
        (Err(error), _) => HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
    }
}

async fn history(request: HttpRequest, plans: Data<PlanInForce>) -> HttpResponse {
    if let Some(refused) = refuse_strangers(&request) {
        return refused;
    }
    match web::block(move || plans.history()).await {
        Ok(Ok(plans)) => HttpResponse::Ok().json(plans.iter().map(PlanSummary::of).collect::<Vec<_>>()),
        Ok(Err(error)) => HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
        Err(error) => HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
    }
}

async fn apply(request: HttpRequest, plans: Data<PlanInForce>, body: web::Bytes) -> HttpResponse {
    if let Some(refused) = refuse_strangers(&request) {
        return refused;
    }
    if header(&request, CONTENT_TYPE.as_str()) != PLAN_MEDIA_TYPE {
        return HttpResponse::UnsupportedMediaType().body(format!("send the plan as {PLAN_MEDIA_TYPE}\n"));
    }
    let Ok(text) = std::str::from_utf8(&body) else {
        return HttpResponse::BadRequest().body("the plan is not UTF-8\n");
    };
    match plans.apply("plan", text).await {
        Ok(applied) => {
            HttpResponse::Ok().json(AppliedAnswer { number: applied.number, changed: applied.changed })
        }
        Err(ApplyError::Invalid(problems)) => {
            let problems: Vec<_> = problems.into_iter().map(answer).collect();
            HttpResponse::UnprocessableEntity().json(serde_json::json!({ "problems": problems }))
        }
        Err(error) => HttpResponse::ServiceUnavailable().body(format!("{error}\n")),
    }
}

fn answer(problem: Problem) -> ProblemAnswer {
    ProblemAnswer { line: problem.line, message: problem.message, hint: problem.hint }
}

impl PlanSummary {
    /// What a list says of a plan.
    pub(crate) fn of(record: &PlanRecord) -> Self {
        let plan = Plan::parse("plan", &record.text).unwrap_or_default();
        Self {
            number: record.number,
            applied_at_ms: record.applied_at_ms,
            sites: plan.sites.len(),
            funnels: plan.funnels.len(),
        }
    }
}

/// The answer to whoever is no program on this machine.
fn refuse_strangers(request: &HttpRequest) -> Option<HttpResponse> {
    let is_local = request.peer_addr().is_some_and(|peer| peer.ip().is_loopback());
    let from_page =
        request.headers().contains_key(ORIGIN) || !names_this_machine(header(request, HOST.as_str()));
    (!is_local || from_page)
        .then(|| HttpResponse::Forbidden().body("the plan is shown and changed from this machine only\n"))
}

/// An address, or `localhost`: a page that points its own name at 127.0.0.1 sends that name.
fn names_this_machine(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::{App, test};
    use event_log::SystemClock;
    use event_log::memory::MemoryLog;

    use super::*;

    const PLAN: &str = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n";

    fn post(text: &'static str) -> test::TestRequest {
        test::TestRequest::post()
            .uri("/plan")
            .peer_addr("127.0.0.1:50000".parse().unwrap())
            .insert_header((HOST, "127.0.0.1:9464"))
            .insert_header((CONTENT_TYPE, PLAN_MEDIA_TYPE))
            .set_payload(text)
    }

    async fn status_and_body(request: test::TestRequest) -> (StatusCode, String) {
        let clock = Arc::new(SystemClock);
        let log = Arc::new(MemoryLog::new(1, clock.clone()));
        let plans = Arc::new(PlanInForce::new(log.clone(), log, clock, 0));
        let app = test::init_service(App::new().configure(routes(plans))).await;
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status();
        (status, String::from_utf8(test::read_body(response).await.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn a_plan_is_applied_and_one_with_mistakes_is_answered_with_all_of_them() {
        let (status, body) = status_and_body(post(PLAN)).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "{\"number\":1,\"changed\":true}"));
        let (status, body) = status_and_body(post("[[sites]]\nidd = 1\n")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(body.contains("\"line\":2") && body.contains("\"line\":1"), "{body}");
    }

    #[actix_web::test]
    async fn other_machines_and_web_pages_are_refused() {
        let far = post(PLAN).peer_addr("10.0.0.7:50000".parse().unwrap());
        let page = post(PLAN).insert_header((ORIGIN, "https://evil.example"));
        let rebound = post(PLAN).insert_header((HOST, "evil.example:9464"));
        for request in [far, page, rebound] {
            assert_eq!(status_and_body(request).await.0, StatusCode::FORBIDDEN);
        }
        let form = post(PLAN).insert_header((CONTENT_TYPE, "text/plain"));
        assert_eq!(status_and_body(form).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    async fn names_of_this_machine_are_its_addresses_and_localhost() {
        for host in ["127.0.0.1:9464", "localhost", "LOCALHOST:1", "[::1]:9464", "192.168.0.5:80"] {
            assert!(names_this_machine(host), "{host}");
        }
        for host in ["evil.example", "evil.example:9464", "localhost.evil.example:1", ""] {
            assert!(!names_this_machine(host), "{host}");
        }
    }
}
