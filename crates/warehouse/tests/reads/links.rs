//! Links of ids: what the raw events say of them, which set a generation counts by, what a partition reads by it, and what is
//! removed.

use event_log::partition_of;
use funnel::identity::{Companions, Person, Whose};
use funnel::intake::visitor_hash;
use warehouse::Warehouse;
use warehouse::erasures::{ErasureRow, Stored};
use warehouse::links::{LinkRow, LinkSet};
use warehouse::raw::RawQuery;
use warehouse::rows::{COMPLETE, EventRow, ProgressRow};

use crate::database::*;

const TS: i64 = 1_700_000_000_000;
const PARTITIONS: u32 = 3;

/// An event of an id that names a user, as the log had it at (1, offset).
fn of<'a>(visitor: &'a str, user_id: &'a str, message: &'a str, ago: i64, offset: u64) -> EventRow<'a> {
    EventRow { user_id, ..event(visitor, message, "view", TS - ago, offset) }
}

fn alias<'a>(visitor: &'a str, user_id: &'a str, properties: &'a str, ago: i64) -> EventRow<'a> {
    EventRow { kind: "alias", properties, ..of(visitor, user_id, "alias", ago, 1) }
}

async fn erase(warehouse: &Warehouse, visitor: &str, offset: u64) {
    let row = ErasureRow::new("shop", visitor, (1, offset));
    warehouse.insert::<ErasureRow>("erasures", &[row]).await.unwrap();
}

async fn companions(warehouse: &Warehouse, passed: u64, limit: usize) -> Vec<Companions> {
    let stored = Stored { epoch: 1, passed: vec![passed; PARTITIONS as usize] };
    warehouse.companions("shop", &stored, limit).await.unwrap()
}

fn seen(id: &str, last_seen_ms: i64, users: &[&str]) -> Companions {
    Companions { id: id.into(), last_seen_ms, users: users.iter().map(|user| (*user).to_owned()).collect() }
}

#[tokio::test]
async fn ids_come_with_their_users_the_first_one_first_as_far_as_they_are_stored() {
    let warehouse = database().await;
    let rows = [
        of("tablet", "bob", "m2", 10, 2),
        of("tablet", "ann", "m1", 50, 1),
        // A copy: the first one counts, who came before it by the log.
        of("tablet", "eve", "m1", 90, 7),
        of("phone", "ann", "m1", 30, 1),
        of("phone", "", "m2", 1, 2),
        of("late", "ann", "m1", 5, 9),
        EventRow { site: "blog", ..of("other", "ann", "m1", 5, 1) },
        alias("ann", "ann", "{\"previousId\":\"old\"}", 20),
        alias("dev", "", "{\"previousId\":1207}", 25),
    ];
    insert_events(&warehouse, &rows).await;
    let expected = [
        seen("tablet", TS - 10, &["ann", "bob"]),
        seen("ann", TS - 20, &["ann"]),
        seen("phone", TS - 30, &["ann"]),
        seen("1207", 0, &["dev"]),
        seen("old", 0, &["ann"]),
    ];
    assert_eq!(companions(&warehouse, 9, 100).await, expected);
    assert_eq!(companions(&warehouse, 9, 2).await, expected[..2]);
    assert_eq!(companions(&warehouse, 10, 1).await, [seen("late", TS - 5, &["ann"])]);
    // Whoever is erased links nothing, by whichever side.
    erase(&warehouse, "ann", 5).await;
    let left = [seen("tablet", TS - 10, &["bob"]), seen("1207", 0, &["dev"])];
    assert_eq!(companions(&warehouse, 9, 100).await, left);
}

#[tokio::test]
async fn an_alias_links_a_number_by_its_own_digits_and_a_text_beside_any_number() {
    let warehouse = database().await;
    let aliases = [
        (r#"{"previousId":18446744073709551615}"#, "18446744073709551615"),
        (r#"{"previousId":18446744073709551617}"#, "18446744073709551617"),
        (r#"{"previousId": -18446744073709551618 ,"a":1}"#, "-18446744073709551618"),
        (r#"{"previousId":1234567890.1700000001}"#, "1234567890.1700000001"),
        (r#"{"x":{"previousId":7},"previousId" : 1e3}"#, "1e3"),
        (r#"{"previousId":1.0}"#, "1.0"),
        (r#"{"previousId":"a\"n\u006e \\","order":18446744073709551617}"#, r#"a"nn \"#),
        (r#"{"x":{"previousId":"nested"}}"#, ""),
    ];
    let ids: Vec<String> = (0..aliases.len()).map(|place| format!("u{place}")).collect();
    let rows: Vec<_> = aliases.iter().zip(&ids).map(|((json, _), id)| alias(id, id, json, 20)).collect();
    insert_events(&warehouse, &rows).await;
    let found = companions(&warehouse, 9, 100).await;
    for ((json, expected), id) in aliases.iter().zip(&ids) {
        let linked: Vec<_> = found
            .iter()
            .filter(|found| &found.id != id && found.users.contains(id))
            .map(|found| found.id.as_str())
            .collect();
        let expected: Vec<_> = Some(*expected).into_iter().filter(|id| !id.is_empty()).collect();
        assert_eq!(linked, expected, "{json}");
    }
}

fn link(number: u64, id: &str, user: &str, person: &str) -> LinkRow {
    LinkRow {
        site: "shop".into(),
        number,
        visitor_id: id.into(),
        visitor: visitor_hash(id),
        user_hash: if user.is_empty() { 0 } else { visitor_hash(user) },
        is_second: false,
        person: visitor_hash(person),
        visitor_partition: partition_of("shop", id, PARTITIONS),
        person_partition: partition_of("shop", person, PARTITIONS),
    }
}

fn set(number: u64, links: u64, passed: u64) -> LinkSet {
    let passed = vec![passed; PARTITIONS as usize];
    LinkSet { site: "shop".into(), number, log_epoch: 1, passed, links, announced: true }
}

async fn store(warehouse: &Warehouse, set: &LinkSet, links: &[LinkRow]) {
    warehouse.insert::<LinkRow>("links", links).await.unwrap();
    warehouse.insert::<LinkSet>("link_sets", std::slice::from_ref(set)).await.unwrap();
}

/// An id of a partition.
fn at_home(partition: u32) -> String {
    (0..).map(|n| format!("id{n}")).find(|id| partition_of("shop", id, PARTITIONS) == partition).unwrap()
}

#[tokio::test]
async fn a_partition_reads_what_ids_of_others_had_when_the_set_was_made() {
    let warehouse = database().await;
    let [here, there, gone] = [0, 1, 2].map(at_home);
    let links = [&here, &there, &gone].map(|id| link(7, id, "ann", &here));
    store(&warehouse, &set(7, 3, 5), &links).await;
    let rows = [
        of(&here, "", "here early", 3, 1),
        of(&here, "", "here later", 2, 8),
        of(&here, "", "here at the cut-off", 1, 9),
        of(&there, "ann", "there early", 4, 4),
        of(&there, "ann", "there later", 3, 5),
        of(&gone, "ann", "gone", 4, 1),
    ];
    insert_events(&warehouse, &rows).await;
    erase(&warehouse, &gone, 4).await;
    // After the set was made: of the numbers, only their own partition takes them away.
    erase(&warehouse, &there, 5).await;
    let read = async |partition: u32| {
        let query = RawQuery {
            site: "shop".into(),
            events: vec!["view".into()],
            partition: Some((partition, PARTITIONS)),
            before: Some((1, 9)),
            joined: Some(set(7, 3, 5)),
            ..RawQuery::default()
        };
        let mut events = warehouse.raw_events(&query).unwrap();
        let mut found = Vec::new();
        while let Some(event) = events.next().await.unwrap() {
            found.push((event.message_id, event.user_id));
        }
        assert_eq!(warehouse.count_raw_events(&query).await.unwrap(), found.len() as u64);
        found
    };
    let expected = [("there early", "ann"), ("here early", ""), ("here later", "")];
    assert_eq!(read(0).await, expected.map(|(message, user)| (message.to_owned(), user.to_owned())));
    assert_eq!(read(1).await, [], "it was erased before the cut-off");
}

#[tokio::test]
async fn a_generation_counts_by_the_newest_set_of_its_log_that_is_no_newer_than_it() {
    let warehouse = database().await;
    let [here, there] = [0, 1].map(at_home);
    store(&warehouse, &set(7, 1, 5), &[link(7, "a", "u", "a")]).await;
    let second = LinkRow { is_second: true, user_hash: visitor_hash("bob"), ..link(9, &there, "", &here) };
    let links = [link(9, &here, "ann", &here), link(9, &there, "ann", &there), second];
    store(&warehouse, &set(9, 3, 5), &links).await;
    store(&warehouse, &LinkSet { log_epoch: 2, ..set(11, 0, 5) }, &[]).await;
    let number = async |generation, epoch| {
        warehouse.link_set("shop", generation, epoch).await.unwrap().map(|set| set.number)
    };
    assert_eq!((number(6, 1).await, number(8, 1).await, number(20, 1).await), (None, Some(7), Some(9)));
    assert_eq!((number(20, 2).await, number(10, 2).await), (Some(11), None));
    let newest = warehouse.newest_link_set("shop").await.unwrap().unwrap();
    assert!(newest.number == 11 && newest.announced && newest.age_ms < 60_000, "{newest:?}");

    // The one that counts the second user's events has to know whose they are not.
    let joined = warehouse.joined(&set(9, 3, 5), Some(0)).await.unwrap();
    let person = |visitor: &str| {
        let partition = partition_of("shop", visitor, PARTITIONS);
        Whose::Person(Person { visitor: visitor_hash(visitor), partition })
    };
    assert_eq!(joined.whose(visitor_hash(&there), "bob"), person(&here));
    assert_eq!(joined.whose(visitor_hash(&there), "ann"), person(&there));
    let elsewhere = warehouse.joined(&set(9, 3, 5), Some(2)).await.unwrap();
    assert!(elsewhere.is_empty());
    assert_eq!(warehouse.joined(&set(9, 3, 5), None).await.unwrap().len(), 3);
}

#[tokio::test]
async fn sets_are_kept_while_a_generation_counts_by_them_and_none_of_a_site_that_joins_no_ids() {
    let warehouse = database().await;
    for number in [3, 5, 7, 9] {
        store(&warehouse, &set(number, 1, 5), &[link(number, "a", "u", "a")]).await;
    }
    // Its maker did not come to the end.
    warehouse.insert::<LinkRow>("links", &[link(4, "a", "u", "a")]).await.unwrap();
    let row = ProgressRow { generation: 6, ..progress("log", 0, 1, 6, COMPLETE, 5) };
    warehouse.insert::<ProgressRow>("progress", &[row]).await.unwrap();
    let left = async || {
        let numbers = "SELECT arraySort(groupUniqArray(number)) FROM ";
        let sets: Vec<u64> =
            warehouse.client().query(&format!("{numbers} link_sets")).fetch_one().await.unwrap();
        let links: Vec<u64> =
            warehouse.client().query(&format!("{numbers} links")).fetch_one().await.unwrap();
        (sets, links)
    };
    assert_eq!(warehouse.remove_replaced_links("shop").await.unwrap(), 3);
    assert_eq!(left().await, (vec![5, 9], vec![5, 9]));
    assert_eq!(warehouse.remove_links_but_of(&["shop"]).await.unwrap(), 0);
    assert_eq!(warehouse.remove_links_but_of(&["blog"]).await.unwrap(), 1);
    assert_eq!(left().await, (vec![], vec![]));
}

#[tokio::test]
async fn a_set_that_joined_somebody_who_was_erased_is_told() {
    let warehouse = database().await;
    store(&warehouse, &set(7, 2, 5), &[link(7, "a", "u", "a"), link(7, "b", "u", "a")]).await;
    let newest = warehouse.newest_link_set("shop").await.unwrap().unwrap();
    let joins = async || warehouse.joins_erased("shop", &newest).await.unwrap();
    erase(&warehouse, "other", 3).await;
    assert!(!joins().await);
    erase(&warehouse, "u", 3).await;
    assert!(joins().await);
    warehouse.client().query_raw("TRUNCATE TABLE erasures").execute().await.unwrap();
    assert!(!joins().await);
    // What it said of the id was deleted before anybody looked.
    let delete = "DELETE FROM links WHERE visitor_id = 'b'";
    warehouse.client().query_raw(delete).execute().await.unwrap();
    assert!(joins().await);
}
