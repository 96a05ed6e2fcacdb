//! `POST /v1/rebuild`: has a site's funnels, or one of them, counted anew from the raw events. Answered when every partition
//! of the log has it; readers keep the old numbers until the new ones are complete.

use actix_web::web::Payload;
use rungs_proto::v1::Rebuild;
use rungs_proto::v1::control::Action;
use runtime::now_ms;
use serde::Deserialize;

use super::Incoming;
use crate::answer::Answer;
use crate::imports;
use crate::refusal::Refusal;

/// The body; an empty one is for all funnels.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    funnel: String,
}

impl Incoming<'_> {
    pub(super) async fn rebuild(&self, payload: Payload) -> Result<Answer, Refusal> {
        let site = self.site_of_secret_key()?;
        let mut permit = self.permit()?;
        let body = self.body(payload, &mut permit).await?;
        let Body { funnel } = parse(&body)?;
        self.check_funnel(&site, &funnel)?;
        let generation = self.state.generations.next(now_ms());
        tracing::info!(site, funnel, generation, "funnels are counted anew");
        imports::tell(self.state.direct.as_ref(), generation, Action::Rebuild(Rebuild { site, funnel }))
            .await?;
        Ok(Answer::Json(format!("{{\"generation\":{generation}}}")))
    }

    fn check_funnel(&self, site: &str, funnel: &str) -> Result<(), Refusal> {
        let keys = self.state.keys.load();
        let funnels = keys.as_deref().map(|keys| keys.funnels(site)).unwrap_or_default();
        match funnel.is_empty() || funnels.iter().any(|known| known == funnel) {
            true => Ok(()),
            false => Err(Refusal::UnknownFunnel { asked: funnel.to_owned(), funnels }),
        }
    }
}

fn parse(body: &[u8]) -> Result<Body, Refusal> {
    if body.is_empty() {
        return Ok(Body::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| Refusal::InvalidBody(format!("expected {{\"funnel\":\"…\"}} or nothing: {error}")))
}
