//! What others write into the topic of events, as the aggregator reads it: JSON, and records of protobuf.

use std::sync::LazyLock;

use aggregator::funnel_lane::PartitionId;
use aggregator::lane::{admit, incoming_of};
use collector::event_of_json;
use funnel::plan::{FunnelIndex, Plan, PlanMatcher};
use prost::Message;
use rungs_proto::v1::{Control, Event, Record, record::Body};
use rungs_proto::view::{EventView, RecordView, pack, packed};
use serde_json::{Value, json};

use crate::corpus::Corpus;
use crate::judge::judge_record;
use crate::wire::{RECEIVED_AT_MS, SITE, roomy_settings, settings};

/// Records of a pack.
const PACKED_AT_MOST: usize = 1_000;

/// Steps that look into an event in every way.
const PLAN: &str = r#"
[[sites]]
id = "shop"
write_keys = ["wk"]
[[funnels]]
site = "shop"
id = "purchase"
conversion_window = "7d"
rolling_windows = ["7d"]
breakdowns = ["channel", "page.url", "plan"]
[[funnels.steps]]
id = "in"
event = "a"
where = { property = "plan", in = ["pro", "1.5", "true"] }
[[funnels.steps]]
id = "least"
event = "a"
where = { property = "price", min = 1, max = 1e9 }
[[funnels.steps]]
id = "like"
event = "a"
where = { property = "page.url", matches = "^https?://[^/]+/(a|b)+$" }
[[funnels.steps]]
id = "there"
event = "a"
where = { property = "campaign.name", exists = true }
"#;

static MATCHER: LazyLock<PlanMatcher> = LazyLock::new(|| {
    PlanMatcher::new(&Plan::parse("plan.toml", PLAN).unwrap_or_else(|problems| panic!("{problems:?}")))
});

/// One event of JSON with its site.
pub(crate) fn json(data: &[u8]) {
    let record = event_of_json(data, RECEIVED_AT_MS, settings());
    assert_eq!(record, event_of_json(data, RECEIVED_AT_MS, settings()), "another reading, another record");
    let Ok(record) = record else { return };
    let Ok(RecordView::Event(event)) = RecordView::decode(&record) else { panic!("no event") };
    // The judge knows one site.
    if event.site == SITE {
        judge_record(&record, |text| {
            let record = event_of_json(text.as_bytes(), RECEIVED_AT_MS, roomy_settings());
            record.unwrap_or_else(|rejection| panic!("{}: {text}", rejection.message))
        });
    }
    look_into(&event);
}

/// What the fold looks at in an event.
fn look_into(event: &EventView<'_>) {
    let incoming = incoming_of(event, RECEIVED_AT_MS);
    assert!(incoming.ts <= RECEIVED_AT_MS);
    let mut fields = incoming.fields;
    fields.event = "a";
    let funnel = MATCHER.funnel(FunnelIndex(0)).unwrap();
    assert_eq!(funnel.matches(&fields), funnel.matches(&fields));
    for value in funnel.breakdown_values(&fields) {
        assert!((1..=funnel::plan::MAX_VALUE_BYTES).contains(&value.len()), "{value:?}");
    }
}

/// Any bytes as what one record of the topic holds.
pub(crate) fn protobuf(data: &[u8]) {
    let Some(places) = packed(data, PACKED_AT_MOST) else { return record(data) };
    let records: Vec<&[u8]> = places.into_iter().map(|place| &data[place]).collect();
    let mut again = Vec::new();
    records.iter().for_each(|record| pack(record, &mut again));
    let places = packed(&again, PACKED_AT_MOST).unwrap();
    assert!(
        places.into_iter().map(|place| &again[place]).eq(records.iter().copied()),
        "packed again they are others"
    );
    assert!(RecordView::decode(&again).is_err(), "a pack is no record");
    records.into_iter().for_each(record);
}

fn record(data: &[u8]) {
    let viewed = RecordView::decode(data);
    assert_eq!(viewed, RecordView::decode(data));
    match viewed {
        Ok(RecordView::Event(event)) => protobuf_event(event),
        Ok(RecordView::Control(control)) => drop(Control::decode(control)),
        Err(_) => {}
    }
}

fn protobuf_event(mut event: EventView<'_>) {
    let owned = owned(&event);
    let bytes = Record { body: Some(Body::Event(owned)) }.encode_to_vec();
    assert_eq!(RecordView::decode(&bytes), Ok(RecordView::Event(event)), "written again it is another");
    let partition =
        PartitionId { log_id: String::new(), epoch: 1, generation_floor: 0, partition: 0, partitions: 1 };
    if admit(&mut event, RECEIVED_AT_MS, &partition).is_ok() {
        let mut again = event;
        assert_eq!(admit(&mut again, RECEIVED_AT_MS, &partition), Ok(()));
        assert_eq!(again, event, "what was completed is complete");
        look_into(&event);
    }
}

fn owned(event: &EventView<'_>) -> Event {
    let text = str::to_owned;
    Event {
        site: text(event.site),
        visitor_id: text(event.visitor_id),
        user_id: text(event.user_id),
        message_id: text(event.message_id),
        event: text(event.event),
        kind: event.kind,
        ts_ms: event.ts_ms,
        own_ts_ms: event.own_ts_ms,
        received_at_ms: event.received_at_ms,
        properties: text(event.properties),
        context: text(event.context),
        revenue_e4: event.revenue_e4,
        has_revenue: event.has_revenue,
        currency: text(event.currency),
        channel: text(event.channel),
        source: text(event.source),
        medium: text(event.medium),
        campaign: text(event.campaign),
        content: text(event.content),
        device: text(event.device),
        browser: text(event.browser),
        os: text(event.os),
        country: text(event.country),
        import_id: text(event.import_id),
    }
}

pub(crate) fn json_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let with_site = |mut event: Value| {
        event["site"] = json!(SITE);
        event.to_string().into_bytes()
    };
    corpus.events().into_iter().map(with_site).collect()
}

pub(crate) fn protobuf_seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    let record = |event| Record { body: Some(Body::Event(event)) }.encode_to_vec();
    let mut seeds: Vec<Vec<u8>> = corpus.protobuf_events().into_iter().map(record).collect();
    seeds.push(Record { body: Some(Body::Control(Control::default())) }.encode_to_vec());
    let mut all = Vec::new();
    seeds.iter().for_each(|record| pack(record, &mut all));
    seeds.push(all);
    seeds
}
