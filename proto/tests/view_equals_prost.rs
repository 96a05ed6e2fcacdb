//! The borrowing reader and prost agree on every record, and on which bytes are none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use prost::Message;
use rungs_proto::v1::{Control, Event, Record, RecordPack, record::Body};
use rungs_proto::view::{EventView, RecordView, pack, packed};

fn event() -> impl Strategy<Value = Event> {
    let texts = prop::collection::vec(".{0,12}", 18);
    (texts, any::<[i64; 4]>(), any::<bool>(), 0..6i32).prop_map(|(texts, numbers, flag, kind)| {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        Event {
            site: text(),
            visitor_id: text(),
            user_id: text(),
            message_id: text(),
            event: text(),
            kind,
            ts_ms: numbers[0],
            own_ts_ms: numbers[1],
            received_at_ms: numbers[2],
            properties: text(),
            context: text(),
            revenue_e4: numbers[3],
            has_revenue: flag,
            currency: text(),
            channel: text(),
            source: text(),
            medium: text(),
            campaign: text(),
            content: text(),
            device: text(),
            browser: text(),
            os: text(),
            country: text(),
            import_id: text(),
        }
    })
}

fn view(event: &Event) -> EventView<'_> {
    EventView {
        site: &event.site,
        visitor_id: &event.visitor_id,
        user_id: &event.user_id,
        message_id: &event.message_id,
        event: &event.event,
        kind: event.kind,
        ts_ms: event.ts_ms,
        own_ts_ms: event.own_ts_ms,
        received_at_ms: event.received_at_ms,
        properties: &event.properties,
        context: &event.context,
        revenue_e4: event.revenue_e4,
        has_revenue: event.has_revenue,
        currency: &event.currency,
        channel: &event.channel,
        source: &event.source,
        medium: &event.medium,
        campaign: &event.campaign,
        content: &event.content,
        device: &event.device,
        browser: &event.browser,
        os: &event.os,
        country: &event.country,
        import_id: &event.import_id,
    }
}

proptest! {
    #[test]
    fn an_encoded_event_reads_back(event in event()) {
        let bytes = Record { body: Some(Body::Event(event.clone())) }.encode_to_vec();
        prop_assert_eq!(RecordView::decode(&bytes), Ok(RecordView::Event(view(&event))));
    }

    #[test]
    fn damaged_bytes_are_read_as_prost_reads_them(event in event(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = Record { body: Some(Body::Event(event)) }.encode_to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let ours = RecordView::decode(&bytes);
        if let (Ok(RecordView::Event(ours)), Ok(Some(Body::Event(theirs)))) = (&ours, Record::decode(&*bytes).map(|r| r.body)) {
            prop_assert_eq!(*ours, view(&theirs));
        }
    }
}

#[test]
fn a_control_record_is_told_from_an_event() {
    let control = Control { generation: 7, action: None };
    let bytes = Record { body: Some(Body::Control(control.clone())) }.encode_to_vec();
    assert_eq!(RecordView::decode(&bytes), Ok(RecordView::Control(&control.encode_to_vec())));
    assert!(RecordView::decode(b"").is_err());
}

fn packed_by_us(records: &[Vec<u8>]) -> Vec<u8> {
    let mut value = Vec::new();
    records.iter().for_each(|record| pack(record, &mut value));
    value
}

fn unpacked(value: &[u8], limit: usize) -> Option<Vec<&[u8]>> {
    packed(value, limit).map(|records| records.into_iter().map(|record| &value[record]).collect())
}

proptest! {
    #[test]
    fn packs_are_written_and_read_as_prost_does(events in prop::collection::vec(event(), 1..20)) {
        let records: Vec<Record> =
            events.into_iter().map(|event| Record { body: Some(Body::Event(event)) }).collect();
        let encoded: Vec<Vec<u8>> = records.iter().map(Record::encode_to_vec).collect();
        let value = packed_by_us(&encoded);
        prop_assert_eq!(RecordPack { records }.encode_to_vec(), value.clone());
        prop_assert_eq!(unpacked(&value, 20), Some(encoded.iter().map(Vec::as_slice).collect()));
        prop_assert_eq!(unpacked(&value, encoded.len() - 1), None);
        // What stands alone is no pack, and a pack no record that stands alone.
        prop_assert_eq!(packed(&encoded[0], 20), None);
        prop_assert!(RecordView::decode(&value).is_err());
    }

    #[test]
    fn a_pack_that_is_cut_off_is_none(events in prop::collection::vec(event(), 1..5), cut in 0.0..1.0) {
        let encoded: Vec<Vec<u8>> = events
            .into_iter()
            .map(|event| Record { body: Some(Body::Event(event)) }.encode_to_vec())
            .collect();
        let value = packed_by_us(&encoded);
        let cut = (value.len() as f64 * cut) as usize;
        let ends: Vec<usize> = packed(&value, 5).unwrap().into_iter().map(|record| record.end).collect();
        // Cut between two of its records it is a shorter pack.
        prop_assert_eq!(packed(&value[..cut], 5).is_some(), ends.contains(&cut));
    }

    #[test]
    fn no_bytes_confuse_the_reader_of_packs(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for found in unpacked(&bytes, 10).into_iter().flatten() {
            prop_assert!(found.len() < bytes.len());
        }
    }
}
