//! The log: Kafka's manners or a local log's, by the weather. Members read it, links and control writers append to it, and
//! the judge reads everything that was ever appended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use event_log::{LogId, LogRecord, Message, PublishError, Publisher, ReadError, Receipt, Source};
use tokio::sync::watch;

use crate::fate::Fate;
use crate::rules::Rule;
use crate::weather::{LogKind, Weather};

/// A log in memory.
pub struct Broker {
    fate: Fate,
    weather: Weather,
    left_out: Option<Rule>,
    partitions: Mutex<Vec<Partition>>,
    ends: Vec<watch::Sender<u64>>,
    plans: Mutex<BTreeMap<u64, String>>,
}

#[derive(Default)]
struct Partition {
    records: Vec<LogRecord>,
    next: u64,
    /// Records before it are gone.
    first: u64,
    /// By how much its leader's clock is wrong.
    skew_ms: i64,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Everything is stored.
    All,
    /// Each message may be stored or not, and the caller is told that they are not.
    Some,
    /// Nothing is stored.
    Nothing,
}

impl Broker {
    /// An empty log.
    pub fn new(fate: Fate, weather: Weather, left_out: Option<Rule>) -> Arc<Self> {
        let partitions = weather.partitions as usize;
        Arc::new(Self {
            fate,
            weather,
            left_out,
            partitions: Mutex::new((0..partitions).map(|_| Partition::default()).collect()),
            ends: (0..partitions).map(|_| watch::Sender::new(0)).collect(),
            plans: Mutex::default(),
        })
    }

    /// Stores messages as far as `taken` says.
    pub fn store(&self, messages: &[Message], taken: Taken) {
        for message in messages {
            let stored = match taken {
                Taken::All => true,
                // Parts of a call are Kafka's; a local log stores a call whole.
                Taken::Some => self.weather.log == LogKind::Local || self.fate.percent(50),
                Taken::Nothing => false,
            };
            if stored {
                self.append(message);
            }
        }
    }

    fn append(&self, message: &Message) {
        let mut partitions = self.partitions.lock().unwrap();
        let partition = &mut partitions[message.partition as usize];
        if self.weather.log == LogKind::Kafka && self.fate.strikes(5) {
            partition.next += 1 + self.fate.below(3);
        }
        let offset = partition.next;
        let last = partition.records.last().map_or(0, |last| last.appended_at_ms);
        let now_ms = self.fate.now_ms() + partition.skew_ms;
        let appended_at_ms = if self.weather.log == LogKind::Local { now_ms.max(last) } else { now_ms };
        partition.records.push(LogRecord { offset, appended_at_ms, value: message.value.clone() });
        partition.next = offset + 1;
        self.ends[message.partition as usize].send_replace(offset + 1);
        self.fate.say(|| format!("log: partition {} takes {offset} at {appended_at_ms}", message.partition));
    }

    /// Sets a partition's clock wrong by so much.
    pub fn set_clock(&self, partition: u32, skew_ms: i64) {
        self.partitions.lock().unwrap()[partition as usize].skew_ms = skew_ms;
        self.fate.say(|| format!("log: the clock of partition {partition} is wrong by {skew_ms} ms"));
    }

    /// The latest time that any clock of the log shows or stamped.
    pub fn latest_ms(&self) -> i64 {
        let partitions = self.partitions.lock().unwrap();
        let stamped =
            partitions.iter().flat_map(|partition| &partition.records).map(|record| record.appended_at_ms);
        let shown = partitions.iter().map(|partition| self.fate.now_ms() + partition.skew_ms);
        stamped.chain(shown).max().unwrap_or(0)
    }

    /// Everything that was ever appended to a partition.
    pub fn everything(&self, partition: u32) -> Vec<LogRecord> {
        self.partitions.lock().unwrap()[partition as usize].records.clone()
    }

    /// Whether a partition has no record from an offset on.
    pub fn is_read(&self, partition: u32, next_offset: u64) -> bool {
        let partitions = self.partitions.lock().unwrap();
        partitions[partition as usize].records.last().is_none_or(|last| last.offset < next_offset)
    }

    /// Keeps a plan's text.
    pub fn keep_plan(&self, number: u64, text: String) {
        self.plans.lock().unwrap().insert(number, text);
    }

    /// A plan's text.
    pub fn plan_text(&self, number: u64) -> Option<String> {
        self.plans.lock().unwrap().get(&number).cloned()
    }

    /// What becomes of the next call.
    pub fn draw(&self) -> Taken {
        if !self.fate.strikes(self.weather.bad_publishes) {
            return Taken::All;
        }
        self.fate.note("a call to the log failed");
        *self.fate.pick(&[Taken::Some, Taken::Nothing])
    }
}

impl Publisher for Broker {
    fn partitions(&self) -> u32 {
        self.weather.partitions
    }

    fn publish(&self, messages: Vec<Message>) -> Result<Receipt, PublishError> {
        let taken = self.draw();
        if taken == Taken::Nothing && self.fate.percent(50) {
            return Err(PublishError::Full { limit: "[log] max_size" });
        }
        let durable = self.left_out != Some(Rule::AcknowledgeWhenDurable) || !self.fate.strikes(2);
        self.store(&messages, if durable { taken } else { Taken::Nothing });
        let (answer, receipt) = Receipt::pending();
        let lost = || PublishError::Storage("the answer was lost".to_owned());
        drop(answer.send(if taken == Taken::All { Ok(()) } else { Err(lost()) }));
        Ok(receipt)
    }
}

impl Source for Broker {
    fn id(&self) -> LogId {
        LogId("log".to_owned())
    }

    fn partitions(&self) -> u32 {
        self.weather.partitions
    }

    /// Some of the records, however many fit.
    fn read(&self, partition: u32, from: u64, _max_bytes: usize) -> Result<Vec<LogRecord>, ReadError> {
        if self.fate.strikes(self.weather.bad_log_reads) {
            self.fate.note("a read of the log failed");
            return Err(ReadError::Storage("told to".to_owned()));
        }
        let partitions = self.partitions.lock().unwrap();
        let partition_state = &partitions[partition as usize];
        if from < partition_state.first {
            return Err(ReadError::Gone { partition, wanted: from, first: partition_state.first });
        }
        let most = 1 + self.fate.below(8) as usize;
        let records = partition_state.records.iter().filter(|record| record.offset >= from);
        Ok(records.take(most).cloned().collect())
    }

    fn end(&self, partition: u32) -> watch::Receiver<u64> {
        self.ends[partition as usize].subscribe()
    }

    fn release(&self, partition: u32, offset: u64) {
        if self.weather.log == LogKind::Kafka {
            return;
        }
        let mut partitions = self.partitions.lock().unwrap();
        let state = &mut partitions[partition as usize];
        let early = self.left_out == Some(Rule::LogKeepsWhatIsNeeded);
        state.first = state.first.max(if early { state.next } else { offset });
        self.fate.note("the log forgot what was stored");
        self.fate.say(|| format!("log: partition {partition} forgets what lies before {}", state.first));
    }
}
