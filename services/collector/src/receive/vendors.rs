//! Requests of other vendors' clients: the body becomes Segment's batch before it goes the common way, and what browser
//! clients ask for before they send is answered.

use actix_web::web::Payload;

use super::Incoming;
use super::store::Arrival;
use crate::adapters::{self, Endpoint, Form, Vendor, vendor_settings};
use crate::answer::Answer;
use crate::refusal::Refusal;

impl Incoming<'_> {
    pub(super) async fn vendor(&self, vendor: Vendor, payload: Payload) -> Result<Answer, Refusal> {
        let arrival = Arrival::now();
        let mut permit = self.permit()?;
        let body = self.body(payload, &mut permit).await?;
        let recast = vendor.recast(&body)?;
        permit.grow(recast.len())?;
        let parsed = self.endpoint.parse(recast.as_bytes(), Form::Text, self.limits())?;
        let prepared = self.prepare(parsed, arrival.of_bytes(body.len()), &mut permit)?;
        let ids = vendor.answer_ids(&body);
        // Not held while Kafka or the disk is waited for.
        drop((recast, body));
        Ok(self.make_durable(prepared).await?.answer(ids))
    }

    pub(super) async fn snowplow_query(&self) -> Result<Answer, Refusal> {
        let recast = adapters::recast_snowplow_query(self.request.query_string());
        Ok(self.store_query(recast.as_bytes()).await?.answer(Vec::new()))
    }

    pub(super) fn vendor_settings(&self) -> Result<Answer, Refusal> {
        let key = self.in_path.unwrap_or_default();
        let answer = match self.endpoint {
            Endpoint::SegmentSettings => {
                let connection = self.request.connection_info();
                vendor_settings::segment(key, connection.scheme(), connection.host()).map(Answer::Settings)
            }
            Endpoint::PostHogConfig => vendor_settings::posthog(key).map(Answer::Settings),
            Endpoint::PostHogScript => vendor_settings::posthog_script(key).map(Answer::SettingsScript),
            _ => Some(Answer::Json(vendor_settings::POSTHOG_FLAGS.to_owned())),
        };
        answer.ok_or(Refusal::NotFound)
    }
}
