//! The plan in force as a command reaches it: over the admin server of a running `rungs up`, or in the plan topic on Kafka,
//! where no service need run.

use checked_toml::Problem;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::{AppliedAnswer, PLAN_MEDIA_TYPE, PlanAnswer, PlanSummary, ProblemAnswer};
use super::in_force::{ApplyError, PlanInForce};
use crate::failure::Failure;

/// Where plans are.
pub(crate) enum Plans {
    Admin(Admin),
    Topic(PlanInForce),
}

/// Why a plan is not in force.
pub(crate) enum NotApplied {
    /// It has mistakes; nothing was changed.
    Mistakes(Vec<Problem>),
    Failed(Failure),
}

impl Plans {
    /// The plan in force; `None` before the first one.
    pub(crate) async fn latest(&self) -> Result<Option<PlanAnswer>, Failure> {
        match self {
            Self::Admin(admin) => admin.plan("/plan").await,
            Self::Topic(plans) => Ok(plans.latest().map(|plan| plan.as_ref().clone().into())),
        }
    }

    /// A plan that is kept.
    pub(crate) async fn numbered(&self, number: u64) -> Result<Option<PlanAnswer>, Failure> {
        match self {
            Self::Admin(admin) => admin.plan(&format!("/plan?number={number}")).await,
            Self::Topic(plans) => Ok(plans.numbered(number)?.map(PlanAnswer::from)),
        }
    }

    /// Those that are kept, oldest first.
    pub(crate) async fn history(&self) -> Result<Vec<PlanSummary>, Failure> {
        match self {
            Self::Admin(admin) => json(successful(admin.get("/plan/history").await?).await?).await,
            Self::Topic(plans) => Ok(plans.history()?.iter().map(PlanSummary::of).collect()),
        }
    }

    /// Puts a plan in force; `name` is the file that mistakes are told with.
    pub(crate) async fn apply(&self, name: &str, text: &str) -> Result<AppliedAnswer, NotApplied> {
        match self {
            Self::Admin(admin) => admin.apply(name, text).await,
            Self::Topic(plans) => match plans.apply(name, text).await {
                Ok(applied) => Ok(AppliedAnswer { number: applied.number, changed: applied.changed }),
                Err(ApplyError::Invalid(found)) => Err(NotApplied::Mistakes(found)),
                Err(error) => Err(NotApplied::Failed(error.into())),
            },
        }
    }
}

/// The admin server of a running `rungs up`.
pub(crate) struct Admin {
    base: String,
    client: Client,
}

#[derive(Debug, Deserialize)]
struct RefusedAnswer {
    problems: Vec<ProblemAnswer>,
}

impl Admin {
    pub(crate) fn at(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), client: Client::new() }
    }

    async fn get(&self, path: &str) -> Result<Response, Failure> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await;
        response.map_err(|error| self.unreachable(&error))
    }

    async fn plan(&self, path: &str) -> Result<Option<PlanAnswer>, Failure> {
        let response = self.get(path).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            _ => json(successful(response).await?).await.map(Some),
        }
    }

    async fn apply(&self, name: &str, text: &str) -> Result<AppliedAnswer, NotApplied> {
        let request = self.client.post(format!("{}/plan", self.base));
        let response = request.header("content-type", PLAN_MEDIA_TYPE).body(text.to_owned()).send().await;
        let response = response.map_err(|error| NotApplied::Failed(self.unreachable(&error)))?;
        if response.status() == StatusCode::UNPROCESSABLE_ENTITY {
            let answer: RefusedAnswer = json(response).await.map_err(NotApplied::Failed)?;
            let problems = answer.problems.into_iter().map(|found| found.problem(name)).collect();
            return Err(NotApplied::Mistakes(problems));
        }
        let response = successful(response).await.map_err(NotApplied::Failed)?;
        json(response).await.map_err(NotApplied::Failed)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::new(format!(
            "{} does not answer: is `rungs up` running, and is --admin its admin address? ({})",
            self.base,
            crate::import::send::cause(error)
        ))
    }
}

/// The answer, or what the server said against it.
async fn successful(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(Failure::new(format!("the admin server answered {status}: {}", text.trim())))
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    response
        .json()
        .await
        .map_err(|error| Failure::new(format!("the admin server's answer is strange: {error}")))
}
