//! Any interleaving of publishing, reading, releasing, letting time pass and reopening agrees with a naive model: a
//! vector per partition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use event_log::local::{LocalLog, LocalLogSettings};
use event_log::memory::MemoryLog;
use event_log::{LogRecord, ManualClock, Message, PlanRecord, PlanTopic, Publisher, ReadError, Source};
use proptest::prelude::*;
use support::publish;

const PARTITIONS: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Partition and length of each message.
    Publish(Vec<(u32, usize)>),
    /// Where from, in thousandths of the partition's length.
    Read {
        partition: u32,
        from: u64,
        max_bytes: usize,
    },
    Release {
        partition: u32,
        to: u64,
    },
    /// The clock moves, also back; what retention may remove goes.
    Pass {
        ms: i64,
    },
    Plan,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    prop_oneof![
        6 => prop::collection::vec((partition.clone(), 0..300_usize), 1..12).prop_map(Step::Publish),
        6 => (partition.clone(), 0..1_100_u64, 0..2_000_usize)
            .prop_map(|(partition, from, max_bytes)| Step::Read { partition, from, max_bytes }),
        3 => (partition, 0..1_100_u64).prop_map(|(partition, to)| Step::Release { partition, to }),
        2 => (-5_000..60_000_i64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Plan),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    records: Vec<Vec<LogRecord>>,
    released: Vec<u64>,
    plans: Vec<PlanRecord>,
    values: u8,
}

trait Subject: Publisher + Source + PlanTopic {
    fn reopened(self, dir: &Path, clock: &Arc<ManualClock>) -> Self;
    fn tidy(&self);
}

impl Subject for MemoryLog {
    fn reopened(self, _: &Path, _: &Arc<ManualClock>) -> Self {
        self
    }

    fn tidy(&self) {
        self.remove_released();
    }
}

impl Subject for LocalLog {
    fn reopened(self, dir: &Path, clock: &Arc<ManualClock>) -> Self {
        drop(self);
        open(dir, clock)
    }

    /// The writer does it by itself.
    fn tidy(&self) {}
}

/// Small segments and hardly any tail, so that every path is taken.
fn open(dir: &Path, clock: &Arc<ManualClock>) -> LocalLog {
    let settings = LocalLogSettings {
        segment_bytes: 2_000,
        retention_ms: 30_000,
        retention_bytes: 8_000,
        max_group_bytes: 1_000,
        tail_bytes: 1_500,
        ..LocalLogSettings::new(dir, PARTITIONS)
    };
    LocalLog::open(settings, clock.clone()).unwrap()
}

impl Model {
    fn new() -> Self {
        let partitions = PARTITIONS as usize;
        Self { records: vec![Vec::new(); partitions], released: vec![0; partitions], ..Self::default() }
    }

    fn place(&self, partition: u32, thousandths: u64) -> u64 {
        self.records[partition as usize].len() as u64 * thousandths / 1_000
    }

    fn publish<L: Subject>(&mut self, log: &L, lengths: &[(u32, usize)], now_ms: i64) {
        let mut messages = Vec::new();
        for (partition, length) in lengths {
            self.values = self.values.wrapping_add(1);
            let value = Bytes::from(vec![self.values; *length]);
            let records = &mut self.records[*partition as usize];
            let appended_at_ms = records.last().map_or(now_ms, |last| last.appended_at_ms.max(now_ms));
            records.push(LogRecord { offset: records.len() as u64, appended_at_ms, value: value.clone() });
            messages.push(Message { partition: *partition, value });
        }
        publish(log, messages).unwrap();
    }

    fn check<L: Subject>(&self, log: &L, partition: u32, from: u64, max_bytes: usize) {
        let records = &self.records[partition as usize];
        assert_eq!(*log.end(partition).borrow(), records.len() as u64);
        match log.read(partition, from, max_bytes) {
            Ok(read) => {
                let rest = records.get(from as usize..).unwrap_or_default();
                assert!(rest.starts_with(&read), "partition {partition} from {from}: {read:?}");
                assert!(!read.is_empty() || rest.is_empty());
                let before_last: usize = read.iter().rev().skip(1).map(|record| record.value.len()).sum();
                assert!(
                    before_last <= max_bytes,
                    "{before_last} bytes before the last, asked for {max_bytes}"
                );
            }
            Err(ReadError::Gone { first, .. }) => {
                assert!(from < first && first <= self.released[partition as usize]);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn agrees<L: Subject>(mut log: L, dir: &Path, clock: &Arc<ManualClock>, steps: &[Step]) {
    let mut model = Model::new();
    let mut now_ms = 1_000_000;
    for step in steps {
        match step {
            Step::Publish(lengths) => model.publish(&log, lengths, now_ms),
            Step::Read { partition, from, max_bytes } => {
                model.check(&log, *partition, model.place(*partition, *from), *max_bytes);
            }
            Step::Release { partition, to } => {
                let to = model.place(*partition, *to);
                log.release(*partition, to);
                let end = model.records[*partition as usize].len() as u64;
                let released = &mut model.released[*partition as usize];
                *released = to.min(end).max(*released);
            }
            Step::Pass { ms } => {
                now_ms += ms;
                clock.set(now_ms);
                log.tidy();
            }
            Step::Plan => {
                let plan = PlanRecord {
                    number: model.plans.len() as u64 + 1,
                    applied_at_ms: now_ms,
                    text: "p".into(),
                };
                log.append(plan.clone()).unwrap();
                model.plans.push(plan);
            }
            Step::Reopen => log = log.reopened(dir, clock),
        }
    }
    for partition in 0..PARTITIONS {
        model.check(&log, partition, model.released[partition as usize], usize::MAX);
    }
    assert_eq!(log.history().unwrap(), model.plans);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_local_log_agrees_with_a_vector(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(1_000_000));
        agrees(open(dir.path(), &clock), dir.path(), &clock, &steps);
    }

    #[test]
    fn the_memory_log_agrees_with_a_vector(steps in prop::collection::vec(step(), 1..60)) {
        let clock = Arc::new(ManualClock::at(1_000_000));
        agrees(MemoryLog::new(PARTITIONS, clock.clone()), Path::new(""), &clock, &steps);
    }
}
