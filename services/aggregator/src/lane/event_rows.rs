//! An event of the log as others take it: the fold ([`incoming_of`]) and the raw table ([`row_of`]).

use funnel::intake::{Incoming, message_hash, visitor_hash};
use funnel::plan::{Derived, EventFields};
use rungs_proto::view::EventView;
use warehouse::rows::{EventRow, event_version};

/// An event of the log as a fold takes it; never later than the clock.
pub fn incoming_of<'a>(event: &EventView<'a>, clock_ms: i64) -> Incoming<'a> {
    Incoming {
        fields: fields_of(event),
        visitor: visitor_hash(event.visitor_id),
        user_id: event.user_id,
        message: message_hash(event.message_id),
        ts: event.ts_ms.min(clock_ms),
        own_ts: event.own_ts_ms,
    }
}

fn fields_of<'a>(event: &EventView<'a>) -> EventFields<'a> {
    let derived = Derived {
        channel: event.channel,
        source: event.source,
        medium: event.medium,
        campaign: event.campaign,
        content: event.content,
        device: event.device,
        browser: event.browser,
        os: event.os,
        country: event.country,
    };
    EventFields { event: event.event, properties: event.properties, context: event.context, derived }
}

/// The row of the raw table.
pub(crate) fn row_of<'a>(event: &EventView<'a>, ts: i64, offset: u64, epoch: u32) -> EventRow<'a> {
    const KINDS: [&str; 6] = ["track", "page", "screen", "identify", "alias", "group"];
    EventRow {
        site: event.site,
        visitor_id: event.visitor_id,
        message_id: event.message_id,
        event: event.event,
        kind: usize::try_from(event.kind).ok().and_then(|kind| KINDS.get(kind)).copied().unwrap_or("other"),
        user_id: event.user_id,
        ts,
        own_ts: event.own_ts_ms,
        received_at: event.received_at_ms,
        properties: event.properties,
        context: event.context,
        revenue: event.revenue_e4,
        currency: event.currency,
        channel: event.channel,
        source: event.source,
        medium: event.medium,
        campaign: event.campaign,
        content: event.content,
        device: event.device,
        browser: event.browser,
        os: event.os,
        country: event.country,
        import_id: event.import_id,
        log_epoch: epoch,
        offset,
        version: event_version(epoch, offset),
        retention_days: 0,
    }
}
