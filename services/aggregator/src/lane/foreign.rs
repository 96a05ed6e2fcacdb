//! What an event of the log must be like, whoever wrote it. The collector refuses other events before they reach the log,
//! and sets every field; other producers are held to the same rules here, as far as numbers and tables rest on them, and
//! may leave out what can be filled in.

use event_log::partition_of;
use rungs_proto::view::EventView;

use crate::funnel_lane::PartitionId;

/// 2000-01-01, the earliest time of an event; the collector's limit too.
const MIN_TIMESTAMP_MS: i64 = 946_684_800_000;
/// Bytes of site, visitor, user, message id and event name; the collector's limits are not larger.
pub(crate) const MAX_NAME_BYTES: usize = 256;
const DAY_MS: i64 = 86_400_000;
/// The raw table has a part for each month of receipt, and an insert that reaches too many months is refused. So a stamp
/// that is further from the partition's clock than this is moved; it only informs.
const RECEIVED_BEFORE_MS: i64 = 366 * DAY_MS;
const RECEIVED_AFTER_MS: i64 = DAY_MS;

/// Completes an event of a partition and tells what is wrong with it, if anything is: a code.
pub fn admit(event: &mut EventView<'_>, clock_ms: i64, partition: &PartitionId) -> Result<(), &'static str> {
    let named = |text: &str| !text.is_empty() && text.len() <= MAX_NAME_BYTES;
    if !named(event.site) {
        return Err("invalid_site");
    }
    if !named(event.visitor_id) || event.user_id.len() > MAX_NAME_BYTES {
        return Err("invalid_visitor");
    }
    if !named(event.message_id) {
        return Err("invalid_message_id");
    }
    if !named(event.event) {
        return Err("invalid_event_name");
    }
    if event.ts_ms < MIN_TIMESTAMP_MS {
        return Err("invalid_timestamp");
    }
    if !is_at_home(event, (partition.partition, partition.partitions)) {
        return Err(WRONG_PARTITION);
    }
    if event.own_ts_ms == 0 {
        event.own_ts_ms = event.ts_ms;
    }
    if event.received_at_ms == 0 {
        event.received_at_ms = clock_ms;
    }
    event.received_at_ms =
        event.received_at_ms.clamp(clock_ms - RECEIVED_BEFORE_MS, clock_ms + RECEIVED_AFTER_MS);
    Ok(())
}

/// The reason of an event in a partition that is not its visitor's.
pub(crate) const WRONG_PARTITION: &str = "wrong_partition";

/// Whether an event is in the partition (of so many) that is its visitor's. Elsewhere it would count live, and in another
/// partition after a build from raw.
pub(crate) fn is_at_home(event: &EventView<'_>, (partition, partitions): (u32, u32)) -> bool {
    partition_of(event.site, event.visitor_id, partitions) == partition
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_lane::first_of;

    const NOW_MS: i64 = 1_700_000_000_000;

    /// In a log of one partition.
    fn admit(event: &mut EventView<'_>, clock_ms: i64) -> Result<(), &'static str> {
        super::admit(event, clock_ms, &first_of(1, "log".into()))
    }

    fn event<'a>() -> EventView<'a> {
        let (site, visitor_id, message_id, event) = ("shop", "v", "m", "view");
        EventView { site, visitor_id, message_id, event, ts_ms: NOW_MS - 5, ..EventView::default() }
    }

    #[test]
    fn what_can_be_filled_in_is() {
        let mut event = event();
        assert_eq!(admit(&mut event, NOW_MS), Ok(()));
        assert_eq!((event.own_ts_ms, event.received_at_ms), (NOW_MS - 5, NOW_MS));
    }

    #[test]
    fn an_event_that_is_nobodys_or_of_no_time_is_refused_by_name() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        let wrong = [
            (EventView { site: "", ..event() }, "invalid_site"),
            (EventView { visitor_id: "", ..event() }, "invalid_visitor"),
            (EventView { user_id: &long, ..event() }, "invalid_visitor"),
            (EventView { message_id: &long, ..event() }, "invalid_message_id"),
            (EventView { event: "", ..event() }, "invalid_event_name"),
            (EventView { ts_ms: i64::MIN, ..event() }, "invalid_timestamp"),
        ];
        for (mut event, reason) in wrong {
            assert_eq!(admit(&mut event, NOW_MS), Err(reason));
        }
    }

    #[test]
    fn an_event_belongs_to_the_partition_of_its_visitor_alone() {
        let own = partition_of("shop", "v", 8);
        for partition in 0..8 {
            let id = PartitionId { partition, ..first_of(8, "log".into()) };
            let admitted = super::admit(&mut event(), NOW_MS, &id);
            assert_eq!(admitted, if partition == own { Ok(()) } else { Err(WRONG_PARTITION) });
        }
    }

    #[test]
    fn a_strange_time_of_receipt_is_moved_near_the_clock() {
        for strange in [i64::MIN, i64::MAX, 1] {
            let mut event = EventView { received_at_ms: strange, ..event() };
            assert_eq!(admit(&mut event, NOW_MS), Ok(()));
            assert!((event.received_at_ms - NOW_MS).abs() <= RECEIVED_BEFORE_MS);
        }
    }
}
