//! A validated event and its bytes on the log: `rungs.v1.Record` holding a `rungs.v1.Event`.
//!
//! The encoder is written by hand because its texts are borrowed from the request; a property test proves it equal to
//! prost's, byte for byte.

use rungs_proto::v1::Kind;

/// An event as `event.proto` describes it, borrowed. Empty texts and zeros are not written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Event<'a> {
    pub(crate) site: &'a str,
    pub(crate) visitor_id: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) event: &'a str,
    pub(crate) kind: Kind,
    pub(crate) ts_ms: i64,
    pub(crate) own_ts_ms: i64,
    pub(crate) received_at_ms: i64,
    pub(crate) properties: &'a str,
    pub(crate) context: &'a str,
    pub(crate) revenue_e4: Option<i64>,
    pub(crate) currency: &'a str,
    /// An encoded [`Origin`].
    pub(crate) origin: &'a [u8],
}

/// Where an event came from: the fields that its context and its request tell, the last ones of an event. Encoded once
/// for all events that share them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Origin<'a> {
    pub(crate) channel: &'a str,
    pub(crate) source: &'a str,
    pub(crate) medium: &'a str,
    pub(crate) campaign: &'a str,
    pub(crate) content: &'a str,
    pub(crate) device: &'a str,
    pub(crate) browser: &'a str,
    pub(crate) os: &'a str,
    pub(crate) country: &'a str,
    pub(crate) import_id: &'a str,
}

/// Field 1 of `Record`, length-delimited.
const RECORD_EVENT: u8 = 1 << 3 | 2;
/// Bytes of the event's length as a varint for events of 128 to 16,383 bytes, as most are.
const USUAL_LENGTH_BYTES: usize = 2;

impl Event<'_> {
    /// Appends the record to `out`. The event is written before its length is known; an event whose length takes an
    /// unusual number of bytes is moved.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(RECORD_EVENT);
        let at = out.len();
        out.extend_from_slice(&[0; USUAL_LENGTH_BYTES]);
        let body = out.len();
        self.fields(out);
        match u16::try_from(out.len() - body) {
            Ok(bytes @ 128..16_384) => {
                let varint = [(bytes & 0x7f) as u8 | 0x80, (bytes >> 7) as u8];
                if let Some(place) = out.get_mut(at..body) {
                    place.copy_from_slice(&varint);
                }
            }
            _ => {
                let mut length = Vec::new();
                put_varint(&mut length, (out.len() - body) as u64);
                out.splice(at..body, length);
            }
        }
    }

    /// Every field in the order of its number.
    fn fields(&self, to: &mut Vec<u8>) {
        text(to, 1, self.site);
        text(to, 2, self.visitor_id);
        text(to, 3, self.user_id);
        text(to, 4, self.message_id);
        text(to, 5, self.event);
        number(to, 6, self.kind as u64);
        number(to, 7, self.ts_ms.cast_unsigned());
        number(to, 8, self.own_ts_ms.cast_unsigned());
        number(to, 9, self.received_at_ms.cast_unsigned());
        text(to, 10, self.properties);
        text(to, 11, self.context);
        if let Some(revenue) = self.revenue_e4 {
            number(to, 12, zigzag(revenue));
            number(to, 13, 1);
        }
        text(to, 14, self.currency);
        to.extend_from_slice(self.origin);
    }
}

impl Origin<'_> {
    /// Appends the fields, as they stand in an event.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        text(to, 15, self.channel);
        text(to, 16, self.source);
        text(to, 17, self.medium);
        text(to, 18, self.campaign);
        text(to, 19, self.content);
        text(to, 20, self.device);
        text(to, 21, self.browser);
        text(to, 22, self.os);
        text(to, 23, self.country);
        text(to, 24, self.import_id);
    }
}

/// Defaults are left out, as proto3 has it. `field` is a constant wherever this is called, so that inlined most of it
/// is gone.
#[inline(always)]
fn text(out: &mut Vec<u8>, field: u8, text: &str) {
    if text.is_empty() {
        return;
    }
    match u8::try_from(text.len()) {
        // Key and length are a byte each: most fields.
        Ok(length @ 0..0x80) if field < 16 => out.extend_from_slice(&[field << 3 | 2, length]),
        // Two bytes and one.
        Ok(length @ 0..0x80) => out.extend_from_slice(&[field << 3 | 2 | 0x80, field >> 4, length]),
        _ => {
            put_varint(out, u64::from(field) << 3 | 2);
            put_varint(out, text.len() as u64);
        }
    }
    out.extend_from_slice(text.as_bytes());
}

#[inline]
fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(field) << 3);
        put_varint(out, value);
    }
}

#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use rungs_proto::v1;

    fn owned(event: &Event<'_>, origin: &Origin<'_>) -> v1::Record {
        let event = v1::Event {
            site: event.site.into(),
            visitor_id: event.visitor_id.into(),
            user_id: event.user_id.into(),
            message_id: event.message_id.into(),
            event: event.event.into(),
            kind: event.kind as i32,
            ts_ms: event.ts_ms,
            own_ts_ms: event.own_ts_ms,
            received_at_ms: event.received_at_ms,
            properties: event.properties.into(),
            context: event.context.into(),
            revenue_e4: event.revenue_e4.unwrap_or_default(),
            has_revenue: event.revenue_e4.is_some(),
            currency: event.currency.into(),
            channel: origin.channel.into(),
            source: origin.source.into(),
            medium: origin.medium.into(),
            campaign: origin.campaign.into(),
            content: origin.content.into(),
            device: origin.device.into(),
            browser: origin.browser.into(),
            os: origin.os.into(),
            country: origin.country.into(),
            import_id: origin.import_id.into(),
        };
        v1::Record { body: Some(v1::record::Body::Event(event)) }
    }

    proptest! {
        #[test]
        fn the_encoder_writes_what_prost_writes(
            texts in proptest::collection::vec("\\PC{0,6}|[a-z]{120,300}", 18), numbers in any::<[i64; 3]>(),
            revenue in any::<Option<i64>>(), kind in 0i32..6,
        ) {
            let text = |index: usize| texts[index].as_str();
            let origin = Origin {
                channel: text(8), source: text(9), medium: text(10), campaign: text(11), content: text(12),
                device: text(13), browser: text(14), os: text(15), country: text(16), import_id: text(17),
            };
            let mut origin_bytes = Vec::new();
            origin.encode(&mut origin_bytes);
            let event = Event {
                site: text(0), visitor_id: text(1), user_id: text(2), message_id: text(3), event: text(4),
                kind: Kind::try_from(kind).unwrap(), ts_ms: numbers[0], own_ts_ms: numbers[1],
                received_at_ms: numbers[2], properties: text(5), context: text(6), revenue_e4: revenue,
                currency: text(7), origin: &origin_bytes,
            };
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            prop_assert_eq!(bytes, owned(&event, &origin).encode_to_vec());
        }
    }

    #[test]
    fn lengths_of_every_size_are_written_as_prost_writes_them() {
        for bytes in [0, 1, 100, 120, 127, 128, 16_300, 16_380, 16_384, 70_000, 3_000_000] {
            let properties = "p".repeat(bytes);
            let event = Event { site: "shop", properties: &properties, ..Event::default() };
            let mut out = b"before".to_vec();
            event.encode(&mut out);
            assert_eq!(out[6..], owned(&event, &Origin::default()).encode_to_vec(), "{bytes}");
        }
    }
}
