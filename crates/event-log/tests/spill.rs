//! The spill over a stand-in for Kafka that fails as told: what is acknowledged arrives, in order, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_log::kafka::{KafkaError, SendError};
use event_log::local::LocalLogSettings;
use event_log::spill::{OnSent, Remote, SLOW_LIMIT, Spill};
use event_log::{Message, PlanRecord, PublishError, Publisher, SystemClock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::{message, publish, until, wait};

/// What the stand-in does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Healthy,
    /// Takes nothing and says so.
    Failing,
    /// Takes it and says that it did not.
    LosingAnswers,
    /// Takes nothing and says nothing.
    Silent,
    /// Refuses everything that begins with "bad" for good.
    Picky,
}

#[derive(Default)]
struct Stored {
    records: BTreeMap<u32, Vec<String>>,
    waiting: Vec<(Vec<Message>, OnSent)>,
}

#[derive(Clone)]
struct Fake {
    mood: Arc<Mutex<Mood>>,
    /// Partitions without a leader: what is for them waits, or fails at once.
    leaderless: Arc<Mutex<BTreeSet<u32>>>,
    says_so: bool,
    stored: Arc<Mutex<Stored>>,
}

impl Fake {
    fn new(mood: Mood) -> Self {
        let (leaderless, stored) = (Arc::default(), Arc::default());
        Self { mood: Arc::new(Mutex::new(mood)), leaderless, says_so: true, stored }
    }

    /// A partition has a leader again: it takes what waits.
    fn elect(&self, partition: u32) {
        self.leaderless.lock().unwrap().remove(&partition);
        let waiting = std::mem::take(&mut self.stored.lock().unwrap().waiting);
        for (messages, on_sent) in waiting {
            self.send(&messages, on_sent).unwrap();
        }
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn records(&self, partition: u32) -> Vec<String> {
        self.stored.lock().unwrap().records.get(&partition).cloned().unwrap_or_default()
    }
}

impl Remote for Fake {
    fn partitions(&self) -> u32 {
        2
    }

    fn ensure(&self) -> Result<(), KafkaError> {
        match *self.mood.lock().unwrap() {
            Mood::Healthy | Mood::Picky => Ok(()),
            _ => Err(KafkaError::Unreachable { brokers: "fake".to_owned(), cause: "told to".to_owned() }),
        }
    }

    fn send(&self, messages: &[Message], on_sent: OnSent) -> Result<(), PublishError> {
        let mood = *self.mood.lock().unwrap();
        let mut stored = self.stored.lock().unwrap();
        let text = |message: &Message| String::from_utf8_lossy(&message.value).into_owned();
        let leaderless = self.leaderless.lock().unwrap().clone();
        if messages.iter().any(|message| leaderless.contains(&message.partition)) {
            let led = messages.iter().filter(|message| !leaderless.contains(&message.partition));
            for message in led {
                stored.records.entry(message.partition).or_default().push(text(message));
            }
            match self.says_so {
                true => on_sent(Err(SendError::Failed("no leader".to_owned()))),
                false => stored.waiting.push((messages.to_vec(), on_sent)),
            }
            return Ok(());
        }
        let bad = messages.iter().any(|message| text(message).starts_with("bad"));
        if matches!(mood, Mood::Healthy | Mood::LosingAnswers) || (mood == Mood::Picky && !bad) {
            for message in messages {
                stored.records.entry(message.partition).or_default().push(text(message));
            }
        }
        let failed = || Err(SendError::Failed("told to".to_owned()));
        match mood {
            Mood::Silent => stored.waiting.push((messages.to_vec(), on_sent)),
            Mood::Failing | Mood::LosingAnswers => on_sent(failed()),
            Mood::Picky if bad => on_sent(Err(SendError::Refused("bad".to_owned()))),
            Mood::Healthy | Mood::Picky => on_sent(Ok(())),
        }
        Ok(())
    }

    fn purge(&self) {
        let waiting = std::mem::take(&mut self.stored.lock().unwrap().waiting);
        waiting.into_iter().for_each(|(_, on_sent)| on_sent(Err(SendError::Failed("purged".to_owned()))));
    }
}

fn spill(fake: &Fake, dir: &Path) -> Spill<Fake> {
    Spill::open(fake.clone(), LocalLogSettings::new(dir, 2), Arc::new(SystemClock)).unwrap()
}

/// The first copies, in order.
fn distinct(records: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    records.iter().filter(|text| seen.insert((*text).clone())).cloned().collect()
}

#[test]
fn a_healthy_remote_gets_everything_at_once() {
    let (fake, dir) = (Fake::new(Mood::Healthy), tempfile::tempdir().unwrap());
    let spill = spill(&fake, dir.path());
    publish(&spill, vec![message(0, "a"), message(1, "b")]).unwrap();
    assert_eq!((fake.records(0), fake.records(1)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert!(!spill.is_spilling());
    assert_eq!((spill.depth_records(), spill.spilled(), spill.age_ms()), (0, 0, 0));
    assert!(matches!(spill.publish(vec![message(2, "stray")]), Err(PublishError::Storage(_))));
}

#[test]
fn events_are_acknowledged_while_the_remote_is_away_and_arrive_in_order_afterwards() {
    for mood in [Mood::Failing, Mood::LosingAnswers, Mood::Silent] {
        let (fake, dir) = (Fake::new(Mood::Healthy), tempfile::tempdir().unwrap());
        let spill = spill(&fake, dir.path());
        publish(&spill, vec![message(0, "0")]).unwrap();
        fake.set(mood);
        for number in 1..50 {
            publish(&spill, vec![message(0, &number.to_string())]).unwrap();
        }
        assert!(spill.is_spilling() && spill.depth_records() > 0 && spill.spilled() >= 48, "{mood:?}");
        fake.set(Mood::Healthy);
        until("calls go straight again", || !spill.is_spilling());
        assert_eq!((spill.depth_records(), spill.age_ms()), (0, 0));
        publish(&spill, vec![message(0, "50")]).unwrap();
        let expected: Vec<String> = (0..=50).map(|number: i32| number.to_string()).collect();
        assert_eq!(distinct(&fake.records(0)), expected, "{mood:?}");
    }
}

#[test]
fn a_remote_that_says_nothing_is_waited_for_no_longer_than_the_limit() {
    let (fake, dir) = (Fake::new(Mood::Healthy), tempfile::tempdir().unwrap());
    let spill = spill(&fake, dir.path());
    fake.set(Mood::Silent);
    let began = std::time::Instant::now();
    publish(&spill, vec![message(0, "a")]).unwrap();
    assert!(
        (SLOW_LIMIT..SLOW_LIMIT + Duration::from_secs(3)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    let began = std::time::Instant::now();
    publish(&spill, vec![message(0, "b")]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_was_spilled_survives_a_restart_and_a_start_without_the_remote() {
    let (fake, dir) = (Fake::new(Mood::Failing), tempfile::tempdir().unwrap());
    for start in 0..3 {
        let spill = spill(&fake, dir.path());
        publish(&spill, vec![message(1, &start.to_string())]).unwrap();
        assert_eq!(spill.depth_records(), start + 1);
        if start == 1 {
            spill.close(Duration::from_millis(10));
            assert!(matches!(spill.publish(vec![]), Err(PublishError::Closed)));
        }
    }
    fake.set(Mood::Healthy);
    let spill = spill(&fake, dir.path());
    until("it is drained", || !spill.is_spilling());
    assert_eq!(distinct(&fake.records(1)), ["0", "1", "2"]);
}

#[test]
fn what_is_on_its_way_when_the_spill_closes_is_stored_and_acknowledged() {
    let (fake, dir) = (Fake::new(Mood::Healthy), tempfile::tempdir().unwrap());
    let first = spill(&fake, dir.path());
    fake.set(Mood::Silent);
    let receipt = first.publish(vec![message(0, "late")]).unwrap();
    first.close(Duration::from_millis(20));
    wait(receipt).unwrap();
    drop(first);
    fake.set(Mood::Healthy);
    let second = spill(&fake, dir.path());
    until("it is drained", || !second.is_spilling());
    assert_eq!(fake.records(0), ["late"]);
}

#[test]
fn a_full_spill_is_an_answer() {
    let (fake, dir) = (Fake::new(Mood::Failing), tempfile::tempdir().unwrap());
    let settings = LocalLogSettings { max_bytes: 4_000, ..LocalLogSettings::new(dir.path(), 2) };
    let spill = Spill::open(fake.clone(), settings, Arc::new(SystemClock)).unwrap();
    let full = loop {
        if let Err(error) = publish(&spill, vec![message(0, &"x".repeat(200))]) {
            break error;
        }
    };
    assert!(matches!(full, PublishError::Full { limit: "[log] max_size" }), "{full}");
    fake.set(Mood::Healthy);
    until("there is room again", || publish(&spill, vec![message(0, "y")]).is_ok());
}

#[test]
fn an_event_that_is_refused_for_good_is_told_to_its_sender_and_holds_up_no_others() {
    let (fake, dir) = (Fake::new(Mood::Picky), tempfile::tempdir().unwrap());
    let spill = spill(&fake, dir.path());
    assert!(matches!(publish(&spill, vec![message(0, "bad")]), Err(PublishError::Storage(_))));
    assert!(!spill.is_spilling());
    fake.set(Mood::Failing);
    for text in ["a", "bad", "b"] {
        publish(&spill, vec![message(0, text), message(1, &format!("{text} too"))]).unwrap();
    }
    fake.set(Mood::Picky);
    until("it is drained", || !spill.is_spilling());
    assert_eq!((distinct(&fake.records(0)), spill.refused()), (vec!["a".to_owned(), "b".to_owned()], 2));
    assert_eq!(distinct(&fake.records(1)), ["a too", "b too"]);
}

#[test]
fn a_partition_without_a_leader_holds_up_no_others_and_sends_them_nothing_twice() {
    for says_so in [true, false] {
        let fake = Fake { says_so, ..Fake::new(Mood::Healthy) };
        let dir = tempfile::tempdir().unwrap();
        let spill = spill(&fake, dir.path());
        fake.leaderless.lock().unwrap().insert(0);
        publish(&spill, vec![message(0, "0")]).unwrap();
        assert!(spill.is_spilling());
        let all: Vec<String> = (0..50).map(|number: i32| number.to_string()).collect();
        publish(&spill, vec![message(1, "0")]).unwrap();
        for (before, text) in all.iter().enumerate().skip(1) {
            publish(&spill, vec![message(0, text), message(1, text)]).unwrap();
            until("the other partition's new events arrive", || fake.records(1).len() > before);
        }
        assert_eq!(fake.records(1), all, "each once");
        until("they are released", || spill.depth_records() == 50);
        assert!(spill.is_spilling() && fake.records(0).is_empty());
        fake.elect(0);
        until("the first one is drained too", || !spill.is_spilling());
        assert_eq!(distinct(&fake.records(0)), all);
        assert_eq!((fake.records(1), spill.depth_records()), (all, 0));
    }
}

#[test]
fn the_kept_plan_is_what_the_topic_says_whatever_its_number_and_survives_a_restart() {
    let plan = |number: u64, text: &str| PlanRecord { number, applied_at_ms: 10, text: text.to_owned() };
    let (fake, dir) = (Fake::new(Mood::Failing), tempfile::tempdir().unwrap());
    {
        let spill = spill(&fake, dir.path());
        assert_eq!(spill.kept_plan(), None);
        (5..=7).for_each(|number| spill.keep_plan(&plan(number, "before Kafka was lost")).unwrap());
        assert_eq!(spill.kept_plan().as_deref(), Some(&plan(7, "before Kafka was lost")));
        for number in [1, 7] {
            spill.keep_plan(&plan(number, "applied again")).unwrap();
            assert_eq!(spill.kept_plan().as_deref(), Some(&plan(number, "applied again")));
        }
        spill.keep_plan(&plan(2, "applied again")).unwrap();
    }
    assert_eq!(spill(&fake, dir.path()).kept_plan().as_deref(), Some(&plan(2, "applied again")));
}

/// Several senders, each of which sends its next event when the last was acknowledged, over moods that change and
/// restarts: per sender everything acknowledged arrives, and first copies are in order.
#[test]
fn every_senders_acknowledged_events_arrive_in_order_whatever_the_remote_does() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        let (fake, dir) = (Fake::new(Mood::Healthy), tempfile::tempdir().unwrap());
        let mut acknowledged = vec![Vec::new(); 3];
        for life in 0..3 {
            let spill = spill(&fake, dir.path());
            std::thread::scope(|scope| {
                let senders: Vec<_> = (0..3_u32)
                    .map(|sender| {
                        let spill = &spill;
                        scope.spawn(move || {
                            let texts = (0..200).map(|number| format!("{sender}-{life}-{number:>4}"));
                            let sent =
                                texts.filter(|text| publish(spill, vec![message(sender % 2, text)]).is_ok());
                            sent.collect::<Vec<String>>()
                        })
                    })
                    .collect();
                while senders.iter().any(|sender| !sender.is_finished()) {
                    let moods = [Mood::Healthy, Mood::Failing, Mood::LosingAnswers, Mood::Healthy];
                    fake.set(moods[random.random_range(0..moods.len())]);
                    std::thread::sleep(Duration::from_millis(random.random_range(1..40)));
                }
                for (texts, sender) in acknowledged.iter_mut().zip(senders) {
                    texts.extend(sender.join().unwrap());
                }
            });
        }
        fake.set(Mood::Healthy);
        let spill = spill(&fake, dir.path());
        until("it is drained", || !spill.is_spilling());
        for (sender, texts) in acknowledged.iter().enumerate() {
            let stored = distinct(&fake.records(sender as u32 % 2));
            let mine: Vec<String> =
                stored.into_iter().filter(|text| text.starts_with(&format!("{sender}-"))).collect();
            assert_eq!(&mine, texts, "seed {seed}, sender {sender}");
        }
    }
}
