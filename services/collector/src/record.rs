//! A validated event and its bytes on the log: `rungs.v1.Record` holding a `rungs.v1.Event`.
//!
//! The encoder is written by hand because its texts are borrowed from the request; a property test proves it equal to
//! prost's, byte for byte.

use bytes::{BufMut, BytesMut};
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

impl Event<'_> {
    /// Appends the record to `out`.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let mut length = Length(0);
        self.fields(&mut length);
        out.reserve(length.0 + 11);
        out.put_u8(RECORD_EVENT);
        put_varint(out, length.0 as u64);
        self.fields(&mut Bytes(out));
    }

    /// Every field in the order of its number, to whatever takes them.
    fn fields(&self, to: &mut impl Fields) {
        to.text(1, self.site);
        to.text(2, self.visitor_id);
        to.text(3, self.user_id);
        to.text(4, self.message_id);
        to.text(5, self.event);
        to.number(6, self.kind as u64);
        to.number(7, self.ts_ms.cast_unsigned());
        to.number(8, self.own_ts_ms.cast_unsigned());
        to.number(9, self.received_at_ms.cast_unsigned());
        to.text(10, self.properties);
        to.text(11, self.context);
        if let Some(revenue) = self.revenue_e4 {
            to.number(12, zigzag(revenue));
            to.number(13, 1);
        }
        to.text(14, self.currency);
        to.text(15, self.channel);
        to.text(16, self.source);
        to.text(17, self.medium);
        to.text(18, self.campaign);
        to.text(19, self.content);
        to.text(20, self.device);
        to.text(21, self.browser);
        to.text(22, self.os);
        to.text(23, self.country);
        to.text(24, self.import_id);
    }
}

/// Takes the fields of a message. Defaults are left out, as proto3 has it.
trait Fields {
    fn text(&mut self, number: u8, text: &str);
    fn number(&mut self, number: u8, value: u64);
}

/// Counts bytes.
struct Length(usize);

/// Writes bytes.
struct Bytes<'a>(&'a mut BytesMut);

impl Fields for Length {
    fn text(&mut self, number: u8, text: &str) {
        if !text.is_empty() {
            self.0 += tag_length(number) + varint_length(text.len() as u64) + text.len();
        }
    }

    fn number(&mut self, number: u8, value: u64) {
        if value != 0 {
            self.0 += tag_length(number) + varint_length(value);
        }
    }
}

impl Fields for Bytes<'_> {
    fn text(&mut self, number: u8, text: &str) {
        if !text.is_empty() {
            put_varint(self.0, u64::from(number) << 3 | 2);
            put_varint(self.0, text.len() as u64);
            self.0.put_slice(text.as_bytes());
        }
    }

    fn number(&mut self, number: u8, value: u64) {
        if value != 0 {
            put_varint(self.0, u64::from(number) << 3);
            put_varint(self.0, value);
        }
    }
}

/// Field numbers up to 15 take one byte.
fn tag_length(number: u8) -> usize {
    1 + usize::from(number > 15)
}

fn varint_length(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
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

    fn owned(event: &Event<'_>) -> v1::Record {
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
            channel: event.channel.into(),
            source: event.source.into(),
            medium: event.medium.into(),
            campaign: event.campaign.into(),
            content: event.content.into(),
            device: event.device.into(),
            browser: event.browser.into(),
            os: event.os.into(),
            country: event.country.into(),
            import_id: event.import_id.into(),
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
            let event = Event {
                site: text(0), visitor_id: text(1), user_id: text(2), message_id: text(3), event: text(4),
                kind: Kind::try_from(kind).unwrap(), ts_ms: numbers[0], own_ts_ms: numbers[1],
                received_at_ms: numbers[2], properties: text(5), context: text(6), revenue_e4: revenue,
                currency: text(7), channel: text(8), source: text(9), medium: text(10), campaign: text(11),
                content: text(12), device: text(13), browser: text(14), os: text(15), country: text(16),
                import_id: text(17),
            };
            let mut bytes = BytesMut::new();
            event.encode(&mut bytes);
            prop_assert_eq!(bytes.as_ref(), owned(&event).encode_to_vec());
        }
    }
}
