//! Reads an encoded [`Record`](crate::v1::Record) without copying its texts: what the aggregator does for every event of
//! the log. Equal to prost's decoding in every field (a property test says so); unknown fields are passed over.

use std::ops::Range;

use prost::encoding::{WireType, encode_key, encode_varint};

/// A record whose event borrows from the encoded bytes.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // nearly every record is an event
pub enum RecordView<'a> {
    /// An event.
    Event(EventView<'a>),
    /// A control record, still encoded.
    Control(&'a [u8]),
}

/// Bytes that are no record of this contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// An event; the fields are those of `rungs.v1.Event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)] // documented in event.proto
pub struct EventView<'a> {
    pub site: &'a str,
    pub visitor_id: &'a str,
    pub user_id: &'a str,
    pub message_id: &'a str,
    pub event: &'a str,
    pub kind: i32,
    pub ts_ms: i64,
    pub own_ts_ms: i64,
    pub received_at_ms: i64,
    pub properties: &'a str,
    pub context: &'a str,
    pub revenue_e4: i64,
    pub has_revenue: bool,
    pub currency: &'a str,
    pub channel: &'a str,
    pub source: &'a str,
    pub medium: &'a str,
    pub campaign: &'a str,
    pub content: &'a str,
    pub device: &'a str,
    pub browser: &'a str,
    pub os: &'a str,
    pub country: &'a str,
    pub import_id: &'a str,
}

impl<'a> RecordView<'a> {
    /// Decodes a record; as in protobuf the last body wins.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        // Nearly always the event is all there is. It is decoded where it will stand: a view is large.
        let mut view = Self::Event(EventView::default());
        let mut found = false;
        let mut wire = Wire { rest: bytes };
        while let Some((field, value)) = wire.field()? {
            match (field, value) {
                (1, Value::Bytes(bytes)) => match &mut view {
                    Self::Event(event) if !found => event.fill(bytes)?,
                    _ => view = Self::Event(EventView::decode(bytes)?),
                },
                (2, Value::Bytes(control)) => view = Self::Control(control),
                (1 | 2, Value::Number(_)) => return Err(Malformed),
                _ => continue,
            }
            found = true;
        }
        if found { Ok(view) } else { Err(Malformed) }
    }
}

impl<'a> EventView<'a> {
    /// Decodes an event.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut event = Self::default();
        event.fill(bytes)?;
        Ok(event)
    }

    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut wire = Wire { rest: bytes };
        while let Some((field, value)) = wire.field()? {
            match value {
                Value::Number(number) => self.set_number(field, number)?,
                Value::Bytes(bytes) => self.set_text(field, bytes)?,
                Value::Other if field <= 24 => return Err(Malformed),
                Value::Other => {}
            }
        }
        Ok(())
    }

    fn set_number(&mut self, field: u32, number: u64) -> Result<(), Malformed> {
        match field {
            6 => self.kind = number as i32,
            7 => self.ts_ms = number as i64,
            8 => self.own_ts_ms = number as i64,
            9 => self.received_at_ms = number as i64,
            12 => self.revenue_e4 = (number >> 1) as i64 ^ -((number & 1) as i64),
            13 => self.has_revenue = number != 0,
            1..=24 => return Err(Malformed),
            _ => {}
        }
        Ok(())
    }

    fn set_text(&mut self, field: u32, bytes: &'a [u8]) -> Result<(), Malformed> {
        let slot = match field {
            1 => &mut self.site,
            2 => &mut self.visitor_id,
            3 => &mut self.user_id,
            4 => &mut self.message_id,
            5 => &mut self.event,
            10 => &mut self.properties,
            11 => &mut self.context,
            14 => &mut self.currency,
            15 => &mut self.channel,
            16 => &mut self.source,
            17 => &mut self.medium,
            18 => &mut self.campaign,
            19 => &mut self.content,
            20 => &mut self.device,
            21 => &mut self.browser,
            22 => &mut self.os,
            23 => &mut self.country,
            24 => &mut self.import_id,
            6..=9 | 12 | 13 => return Err(Malformed),
            _ => return Ok(()),
        };
        *slot = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        Ok(())
    }
}

/// Site and visitor of an encoded event, read no further than the second of them; `None` for a control record, an event
/// without a visitor, and bytes that are no record.
pub fn visitor_of(record: &[u8]) -> Option<(&str, &str)> {
    let mut wire = Wire { rest: record };
    let Ok(Some((1, Value::Bytes(event)))) = wire.field() else { return None };
    let mut wire = Wire { rest: event };
    let (mut site, mut visitor) = (None, None);
    while let Ok(Some((field, value))) = wire.field() {
        match (field, value) {
            (1, Value::Bytes(bytes)) => site = std::str::from_utf8(bytes).ok(),
            (2, Value::Bytes(bytes)) => visitor = std::str::from_utf8(bytes).ok(),
            _ => {}
        }
        if let (Some(site), Some(visitor)) = (site, visitor) {
            return Some((site, visitor));
        }
    }
    None
}

/// The field of a `RecordPack` that holds its records.
const PACKED: u32 = 3;

/// Appends an encoded record to an encoded `RecordPack`.
pub fn pack(record: &[u8], pack: &mut Vec<u8>) {
    encode_key(PACKED, WireType::LengthDelimited, pack);
    encode_varint(record.len() as u64, pack);
    pack.extend_from_slice(record);
}

/// Where the encoded records of a `RecordPack` stand; nothing where a value is no pack of at most `limit` records.
pub fn packed(value: &[u8], limit: usize) -> Option<Vec<Range<usize>>> {
    let mut wire = Wire { rest: value };
    let mut records = Vec::new();
    while let Some((field, found)) = wire.field().ok()? {
        match found {
            Value::Bytes(record) if field == PACKED && records.len() < limit => {
                let end = value.len() - wire.rest.len();
                records.push(end - record.len()..end);
            }
            // Nearly always: a record that stands alone.
            _ if records.is_empty() || field == PACKED => return None,
            _ => {}
        }
    }
    (!records.is_empty()).then_some(records)
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Protobuf's wire format.
struct Wire<'a> {
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    #[inline(always)]
    fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.number()?).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(Malformed),
        };
        if key >> 3 == 0 { Err(Malformed) } else { Ok(Some((key >> 3, value))) }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Nearly all are keys and lengths of a byte.
    #[inline]
    fn number(&mut self) -> Result<u64, Malformed> {
        match self.rest.split_first() {
            Some((byte @ ..0x80, rest)) => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            if shift == 63 && *byte > 1 {
                return Err(Malformed);
            }
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }
}
