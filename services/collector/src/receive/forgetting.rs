//! `POST /v1/forget`: erases visitors of the secret key's site, for good. Answered when the log has it.

use std::collections::HashSet;
use std::time::Duration;

use actix_web::web::Payload;

use super::Incoming;
use crate::answer::Answer;
use crate::forget::Forgotten;
use crate::refusal::Refusal;

/// For so long the warehouse is asked whether anything was stored: erasing does not wait for it.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

impl Incoming<'_> {
    pub(super) async fn forget(&self, payload: Payload) -> Result<Answer, Refusal> {
        let site = self.site_of_secret_key()?;
        let mut permit = self.permit()?;
        let body = self.body(payload, &mut permit).await?;
        let forgotten = Forgotten::parse(&body)?;
        let stored = self.stored_of(&site, &forgotten).await;
        forgotten.publish(self.state.direct.as_ref(), &site).await?;
        tracing::info!(site, visitors = forgotten.count(), "visitors are erased");
        Ok(Answer::Json(forgotten.answer(stored.as_ref())))
    }

    /// Those of whom an event is stored, so that who mistypes an id learns of it; `None` where nobody can tell.
    async fn stored_of(&self, site: &str, forgotten: &Forgotten) -> Option<HashSet<String>> {
        let warehouse = self.state.warehouse.as_ref()?;
        let stored = warehouse.stored_visitors(site, forgotten.visitors());
        tokio::time::timeout(LONGEST_LOOK, stored).await.ok()?.ok()
    }
}
