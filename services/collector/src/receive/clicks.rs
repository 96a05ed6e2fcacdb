//! `GET /v1/click`: counts a click and sends the visitor on.

use std::time::Duration;

use actix_web::http::Method;
use url::Url;

use super::Incoming;
use crate::adapters::click::{self, Click};
use crate::answer::Answer;
use crate::keys;
use crate::limits::CLICK_WAIT_MS;
use crate::refusal::Refusal;

/// Where a link leads.
struct Leading {
    destination: Url,
    /// Whether the visitor may be named there.
    is_followed: bool,
    /// Whether a visitor without an id gets one.
    makes_visitors: bool,
}

impl Incoming<'_> {
    /// Sends the visitor on wherever the plan allows it, also where the event is not stored: nobody is to be stranded by
    /// what is wrong with a count, or with the log. A HEAD is nobody's click. Who does not want to be followed is not: no
    /// visitor is named to the destination.
    pub(super) async fn click(&self) -> Result<Answer, Refusal> {
        let query = self.request.query_string();
        let Leading { destination, is_followed, makes_visitors } = self.leading(query)?;
        let Click { event, visitor } = click::parse(query, &destination, makes_visitors);
        if *self.request.method() == Method::GET {
            let stored = self.store_query(&event);
            match tokio::time::timeout(Duration::from_millis(CLICK_WAIT_MS), stored).await {
                Ok(Ok(_)) => {}
                Ok(Err(refusal)) => {
                    self.state.metrics.refused_for(&refusal);
                    tracing::debug!(%refusal, "click refused");
                }
                Err(_) => tracing::debug!("click not acknowledged in time"),
            }
        }
        Ok(Answer::Redirect(match visitor.filter(|_| is_followed) {
            Some(visitor) => click::with_visitor(destination, &visitor),
            None => destination,
        }))
    }

    fn leading(&self, query: &str) -> Result<Leading, Refusal> {
        let keys = self.state.keys.load();
        let keys = keys.as_deref().ok_or(Refusal::NoPlan)?;
        let key = keys::in_head(self.headers(), query).unwrap_or_default();
        let site = keys.caller(&key)?.site;
        let to = click::destination(query).ok_or(Refusal::NoDestination)?;
        let destination = site.destination(&to).ok_or(Refusal::DestinationNotAllowed)?;
        let is_followed = self.opt_out(site).is_none();
        Ok(Leading { destination, is_followed, makes_visitors: !site.policy.cookieless })
    }
}
