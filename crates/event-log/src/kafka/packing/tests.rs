//! Messages that become records of a topic that takes, refuses or loses them as the test says.

use std::cell::RefCell;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::kafka::call::InFlight;

/// A record's messages and whose they are.
type Taken = (Vec<String>, Parcel);

/// What was handed over. Refuses packs and messages larger than `limit`.
struct Topic {
    limit: usize,
    records: RefCell<Vec<Taken>>,
}

impl Topic {
    fn new() -> Self {
        Self { limit: usize::MAX, records: RefCell::default() }
    }

    /// The texts of all records so far.
    fn texts(&self) -> Vec<Vec<String>> {
        self.records.borrow().iter().map(|(texts, _)| texts.clone()).collect()
    }

    /// Takes the first record out.
    fn next(&self) -> (Vec<u8>, Parcel) {
        let (texts, parcel) = self.records.borrow_mut().remove(0);
        let mut value = Vec::new();
        texts.iter().for_each(|text| pack(text.as_bytes(), &mut value));
        (value, parcel)
    }
}

fn texts_of(value: &[u8]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match packed(value, PLACES as usize) {
        Some(places) => places.into_iter().map(|place| text(&value[place])).collect(),
        None => vec![text(value)],
    }
}

impl HandOver for Topic {
    fn hand_over(&self, record: Record<'_>, parcel: Parcel) -> HandedOver {
        if record.value.len() > self.limit {
            return Err((SendError::Refused("too large".to_owned()), parcel));
        }
        let mut records = self.records.borrow_mut();
        records.push((texts_of(record.value), parcel));
        Ok(())
    }
}

type Outcome = Arc<Mutex<Vec<Result<i64, SendError>>>>;

/// Adds texts to partition 0 as one call.
fn add(packing: &Packing, texts: &[&str], to: &Topic) -> Outcome {
    let messages: Vec<Message> = texts
        .iter()
        .map(|text| Message { partition: 0, value: Bytes::copy_from_slice(text.as_bytes()) })
        .collect();
    let outcome = Outcome::default();
    let told = Arc::clone(&outcome);
    let on_end = move |answer: Result<i64, SendError>| told.lock().unwrap().push(answer);
    let call = Call::new(messages.len(), 0, Arc::<InFlight>::default(), Box::new(on_end));
    packing.add(&messages, &call, to);
    call.ended(1);
    outcome
}

fn outcome(of: &Outcome) -> Vec<Result<i64, SendError>> {
    of.lock().unwrap().clone()
}

fn lost() -> SendError {
    SendError::Failed("lost".to_owned())
}

#[test]
fn one_that_comes_alone_goes_at_once_and_what_comes_meanwhile_goes_together() {
    let (packing, topic) = (Packing::new(1, 1_000), Topic::new());
    let first = add(&packing, &["a"], &topic);
    let others = [add(&packing, &["b"], &topic), add(&packing, &["c", "d"], &topic)];
    assert_eq!(topic.texts(), [["a"]]);
    assert!(packing.tick(&topic), "a is on its way, and others wait");
    assert_eq!(topic.texts().len(), 1);
    packing.acknowledged(topic.next().1, 7, Some(&topic));
    assert_eq!(outcome(&first), [Ok(7)]);
    packing.tick(&topic);
    assert_eq!(topic.texts(), [["b", "c", "d"]]);
    packing.acknowledged(topic.next().1, 8, Some(&topic));
    assert!(others.iter().all(|other| outcome(other) == [Ok(8)]));
    assert!(!packing.tick(&topic), "nothing waits any more");
    add(&packing, &["e"], &topic);
    assert_eq!(topic.texts(), [["e"]]);
}

#[test]
fn a_full_record_does_not_wait() {
    let (packing, topic) = (Packing::new(1, 39), Topic::new());
    add(&packing, &["first"], &topic);
    add(&packing, &["0123456789", "abcdefghij", "ABCDEFGHIJ"], &topic);
    assert_eq!(topic.texts(), [vec!["first"], vec!["0123456789", "abcdefghij"]]);
    let alone = (Packing::new(1, 0), Topic::new());
    add(&alone.0, &["a", "b", "c"], &alone.1);
    alone.0.tick(&alone.1);
    assert_eq!(alone.1.texts(), [["a"], ["b"]], "c waits for the tick after their answers");
}

#[test]
fn what_is_ample_waits_for_the_record_before_it_only() {
    let (packing, topic) = (Packing { ample_bytes: 10, ..Packing::new(1, 1_000) }, Topic::new());
    let ample = "x".repeat(10);
    add(&packing, &["a"], &topic);
    packing.acknowledged(topic.next().1, 1, Some(&topic));
    add(&packing, &["b"], &topic);
    assert!(topic.texts().is_empty(), "b waits for the next tick");
    add(&packing, &[&ample], &topic);
    assert_eq!(topic.texts(), [["b", ample.as_str()]]);
    add(&packing, &["c", &ample], &topic);
    assert_eq!(topic.texts().len(), 1, "one is on its way");
    packing.acknowledged(topic.next().1, 2, Some(&topic));
    assert_eq!(topic.texts(), [["c", ample.as_str()]]);
    add(&packing, &["d"], &topic);
    packing.acknowledged(topic.next().1, 3, Some(&topic));
    assert!(topic.texts().is_empty(), "d waits for the next tick");
    packing.tick(&topic);
    assert_eq!(topic.texts(), [["d"]]);
}

#[test]
fn what_waits_behind_a_record_that_failed_fails_with_it_and_a_call_only_once() {
    let (packing, topic) = (Packing::new(1, 1_000), Topic::new());
    let first = add(&packing, &["a"], &topic);
    let behind = add(&packing, &["b", "c"], &topic);
    let (value, parcel) = topic.next();
    packing.failed(parcel, &value, lost());
    assert_eq!((outcome(&first), outcome(&behind)), (vec![Err(lost())], vec![Err(lost())]));
    assert!(!packing.tick(&topic) && topic.texts().is_empty());
}

#[test]
fn of_a_refused_pack_each_message_goes_by_itself_and_only_the_refused_one_fails() {
    let (packing, mut topic) = (Packing::new(1, 1_000), Topic::new());
    add(&packing, &["a"], &topic);
    let good = add(&packing, &["b", "c"], &topic);
    let bad = add(&packing, &["far too large"], &topic);
    packing.acknowledged(topic.next().1, 1, Some(&topic));
    packing.tick(&topic);
    let (value, parcel) = topic.next();
    topic.limit = 5;
    packing.failed(parcel, &value, SendError::Refused("too large".to_owned()));
    let behind = add(&packing, &["d"], &topic);
    packing.tick(&topic);
    assert_eq!(topic.texts(), [["b"]], "one at a time, and d waits behind them");
    packing.acknowledged(topic.next().1, 2, Some(&topic));
    packing.tick(&topic);
    assert_eq!(topic.texts(), [["c"]]);
    packing.acknowledged(topic.next().1, 3, Some(&topic));
    assert_eq!(outcome(&good), [Ok(3)]);
    packing.tick(&topic);
    assert!(matches!(outcome(&bad)[..], [Err(SendError::Refused(_))]));
    assert_eq!(topic.texts(), [["d"]]);
    packing.acknowledged(topic.next().1, 4, Some(&topic));
    assert_eq!(outcome(&behind), [Ok(4)]);
}

#[test]
fn a_pack_that_is_refused_at_once_goes_in_parts() {
    let (packing, topic) = (Packing::new(1, 1_000), Topic { limit: 5, ..Topic::new() });
    let call = add(&packing, &["a", "b", "c"], &topic);
    for text in ["a", "b", "c"] {
        packing.tick(&topic);
        assert_eq!(topic.texts(), [[text]]);
        packing.acknowledged(topic.next().1, 1, Some(&topic));
    }
    assert_eq!(outcome(&call), [Ok(1)]);
}

#[test]
fn what_fills_records_behind_the_parts_of_a_refused_one_goes_in_its_turn() {
    let (packing, topic) = (Packing::new(1, 20), Topic { limit: 5, ..Topic::new() });
    let texts: Vec<String> = (0..30).map(|number| format!("{number:>4}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let call = add(&packing, &texts, &topic);
    for text in &texts {
        packing.tick(&topic);
        assert_eq!(topic.texts(), [[*text]]);
        packing.acknowledged(topic.next().1, 1, Some(&topic));
    }
    assert_eq!(outcome(&call), [Ok(1)]);
}

#[test]
fn a_producer_that_ended_answers_all_that_waits_and_all_that_comes() {
    let (packing, topic) = (Packing::new(1, 1_000), Topic::new());
    add(&packing, &["a"], &topic);
    let waiting = add(&packing, &["b"], &topic);
    packing.end(&lost());
    assert_eq!(outcome(&waiting), [Err(lost())]);
    let late = add(&packing, &["c"], &topic);
    assert!(matches!(outcome(&late)[..], [Err(SendError::Failed(_))]));
}

proptest! {
    /// Whatever is acknowledged, refused or lost when: each call is answered once, a success means that all its messages
    /// were acknowledged, and the topic has the messages in the order in which they came.
    #[test]
    fn every_call_has_one_true_answer_and_order_is_kept(
        steps in prop::collection::vec((0..8u8, 1..6usize), 1..60),
        record_bytes in 0..60u64,
        ample_bytes in 0..60usize,
    ) {
        let (packing, topic) = (Packing { ample_bytes, ..Packing::new(1, record_bytes) }, Topic::new());
        let (mut calls, mut acknowledged, mut number) = (Vec::new(), Vec::new(), 0);
        let mut answer = |how: u8| {
            if topic.records.borrow().is_empty() {
                return;
            }
            let (value, parcel) = topic.next();
            let texts = texts_of(&value);
            match how {
                4 => packing.failed(parcel, &value, lost()),
                // Full records behind it did not wait for its parts.
                5 if texts.len() > 1 && topic.records.borrow().is_empty() => packing.failed(parcel, &value, SendError::Refused(String::new())),
                _ => {
                    acknowledged.extend(texts);
                    packing.acknowledged(parcel, 1, Some(&topic));
                }
            }
        };
        for (what, count) in steps {
            match what {
                0..=2 => {
                    let texts: Vec<String> = (number..number + count).map(|number| format!("{number:>4}")).collect();
                    number += count;
                    let outcome = add(&packing, &texts.iter().map(String::as_str).collect::<Vec<_>>(), &topic);
                    calls.push((texts, outcome));
                }
                3 => drop(packing.tick(&topic)),
                how => answer(how),
            }
        }
        for _ in 0..500 {
            packing.tick(&topic);
            answer(6);
        }
        prop_assert!(acknowledged.is_sorted(), "{:?}", acknowledged);
        for (texts, told) in &calls {
            let told = outcome(told);
            prop_assert_eq!(told.len(), 1);
            if told[0].is_ok() {
                prop_assert!(texts.iter().all(|text| acknowledged.contains(text)));
            }
        }
    }
}
