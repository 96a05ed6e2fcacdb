//! `POST /v1/forget`: erases visitors of the secret key's site, for good. Answered when the log has it.

use actix_web::web::Payload;

use super::Incoming;
use crate::answer::Answer;
use crate::forget::Forgotten;
use crate::refusal::Refusal;

impl Incoming<'_> {
    pub(super) async fn forget(&self, payload: Payload) -> Result<Answer, Refusal> {
        let site = self.site_of_secret_key()?;
        let mut permit = self.permit()?;
        let body = self.body(payload, &mut permit).await?;
        let forgotten = Forgotten::parse(&body)?;
        forgotten.publish(self.state.direct.as_ref(), &site).await?;
        tracing::info!(site, visitors = forgotten.count(), "visitors are erased");
        Ok(Answer::Json(forgotten.answer()))
    }
}
