//! Who stands on a step: pages over the journeys of several partitions, with ids from the raw events.

use std::collections::BTreeMap;

use funnel::Plan;
use funnel::codec::encode;
use funnel::intake::visitor_hash;
use funnel::journey::Journey;
use funnel::standing::{Question, Standing};
use funnel::tail::TailEvent;
use warehouse::FunnelKey;
use warehouse::rows::{COMPLETE, EventRow, JourneyRow, ProgressRow, RollingRow, open_version};
use warehouse::visitors::PageQuery;

use crate::database::*;

const PLAN: &str = r#"
    [[sites]]
    id = "shop"
    write_keys = ["wk"]
    [[funnels]]
    site = "shop"
    id = "purchase"
    conversion_window = "1h"
    rolling_windows = ["1h", "7d"]
    [[funnels.steps]]
    id = "view"
    event = "view"
    [[funnels.steps]]
    id = "buy"
    event = "buy"
"#;
const NOW: i64 = 1_700_000_040_000;
const MINUTE: i64 = 60_000;

/// The journey of a visitor who did steps (as bits) so many minutes ago.
fn journey(visitor: &str, partition: u32, generation: u64, version: u64, done: &[(i64, u32)]) -> JourneyRow {
    let mut journey = Journey::default();
    for (message, (minutes_ago, matches)) in (1..).zip(done) {
        let ts = NOW - minutes_ago * MINUTE;
        journey.insert(
            TailEvent { ts, own_ahead_ms: 0, message, matches: *matches, values: [0; 4] },
            60 * MINUTE,
        );
    }
    let mut state = Vec::new();
    encode(&journey, &mut state);
    let FunnelKey { site, funnel, definition } = key();
    JourneyRow {
        site,
        funnel,
        definition,
        generation,
        log_partition: partition,
        visitor: visitor_hash(visitor),
        state,
        version,
    }
}

/// Visitors and the sizes of the pages they came in, and how many had no name.
async fn all(
    database: &Database,
    standing: Standing,
    limit: usize,
) -> (BTreeMap<String, String>, Vec<usize>, usize) {
    let plan = Plan::parse("plan", PLAN).unwrap();
    let question = Question::new(&plan.funnels[0], 0, standing, 7 * 86_400_000, NOW);
    let (mut found, mut pages, mut nameless, mut after) = (BTreeMap::new(), Vec::new(), 0, None);
    loop {
        let query = PageQuery { entries: vec!["view".into()], question, after, limit };
        let page = database.standing(&key(), &query).await.unwrap();
        pages.push(page.visitors.len());
        nameless += page.nameless;
        for visitor in page.visitors {
            assert!(found.insert(visitor.visitor, visitor.user_id).is_none(), "nobody twice");
        }
        after = page.next;
        if after.is_none() {
            return (found, pages, nameless);
        }
    }
}

#[tokio::test]
async fn pages_go_through_every_partition_once_and_name_whom_they_can() {
    let database = database().await;
    log(&database, "log", 2).await;
    generation(&database, 5, COMPLETE, 2, 1).await;
    let journeys = [
        journey("ann", 0, 5, 3, &[(5, 1)]),
        journey("ann", 0, 5, 2, &[(5, 1), (4, 2)]), // an older state
        journey("bob", 0, 5, 3, &[(5, 1), (4, 2)]),
        journey("cid", 1, 5, 3, &[(200, 1)]),
        journey("dan", 1, 5, 3, &[(5, 1)]),
        journey("eve", 1, 5, 3, &[(6, 1)]),
        journey("gone", 1, 5, 3, &[(7, 1)]),
        journey("older", 1, 4, 9, &[(5, 1)]),
    ];
    database.insert_journeys(&journeys).await.unwrap();
    let ago = |visitor: &'static str, message: &'static str, name: &'static str, minutes: i64| {
        event(visitor, message, name, NOW - minutes * MINUTE, 1)
    };
    let events = [
        ago("ann", "1", "view", 5),
        EventRow { user_id: "ann@example.org", ..ago("ann", "2", "note", 3) },
        ago("bob", "3", "view", 5),
        ago("cid", "4", "view", 200),
        ago("dan", "5", "view", 5),
        ago("eve", "6", "view", 6),
        ago("gone", "7", "view", 7),
    ];
    insert_events(&database, &events).await;
    let erase = "INSERT INTO erasures (site, visitor_id) VALUES ('shop', 'gone'), ('other', 'dan')";
    database.client().query(erase).execute().await.unwrap();

    let names = |found: &BTreeMap<String, String>| found.keys().cloned().collect::<Vec<_>>();
    for limit in [1, 2, 3, 1_000] {
        let (open, pages, nameless) = all(&database, Standing::Open, limit).await;
        assert_eq!((names(&open), nameless), (vec!["ann".into(), "dan".into(), "eve".into()], 1), "{limit}");
        assert_eq!(open["ann"], "ann@example.org");
        assert!(pages.iter().all(|page| *page <= limit), "{pages:?}");
    }
    let (dropped, ..) = all(&database, Standing::Dropped, 2).await;
    assert_eq!(names(&dropped), ["ann", "cid", "dan", "eve"]);
}

#[tokio::test]
async fn names_are_looked_for_from_the_receipt_of_the_first_climb_on_and_ids_in_all_of_the_past() {
    let database = database().await;
    log(&database, "log", 2).await;
    generation(&database, 5, COMPLETE, 2, 1).await;
    let entered = ["imported", "known", "live", "skewed", "impossible"];
    let journeys: Vec<_> =
        (5..).zip(entered).map(|(ago, visitor)| journey(visitor, 0, 5, 3, &[(ago, 1)])).collect();
    database.insert_journeys(&journeys).await.unwrap();
    let days = |count: i64| count * 1_440 * MINUTE;
    let entry = |visitor: &'static str, minutes: i64, received_at: i64| EventRow {
        received_at,
        ..event(visitor, visitor, "view", NOW - minutes * MINUTE, 1)
    };
    let events = [
        entry("imported", 5, NOW + days(90)),
        entry("known", 6, NOW - 6 * MINUTE),
        EventRow { user_id: "known@example.org", ..event("known", "long ago", "note", NOW - days(90), 1) },
        entry("live", 7, NOW),
        entry("skewed", 8, NOW - days(1) / 2),
        // Not that there were one: it shows that older months are left out.
        entry("impossible", 9, NOW - days(60)),
    ];
    insert_events(&database, &events).await;
    let (found, _, nameless) = all(&database, Standing::Open, 100).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["imported", "known", "live", "skewed"]);
    assert_eq!((found["known"].as_str(), nameless), ("known@example.org", 1));
}

#[tokio::test]
async fn journeys_are_as_of_the_partition_that_stored_them_least_far() {
    let database = database().await;
    let as_of = async || database.journeys_as_of(&key()).await.unwrap();
    let unknown = FunnelKey { definition: 8, ..key() };
    assert_eq!(database.journeys_as_of(&unknown).await.unwrap(), None);
    log(&database, "log", 2).await;
    let stored = async |partition: u32, next_offset: u64, clock_ms: i64| {
        let row = ProgressRow { clock_ms, ..progress("log", partition, 2, 5, COMPLETE, next_offset) };
        database.insert::<ProgressRow>("progress", &[row]).await.unwrap();
    };
    stored(0, 10, NOW).await;
    stored(1, 20, NOW + 5_000).await;
    stored(2, 1, 1).await; // of a partition that there is not
    assert_eq!(as_of().await, Some(NOW));
    let shown = async |partition: u32, next_offset: u64, as_of: i64| {
        let row = RollingRow { as_of, ..rolling(partition, 5, "", [1, 0], open_version(next_offset)) };
        database.insert::<RollingRow>("funnel_open", &[row]).await.unwrap();
    };
    shown(0, 10, NOW + 60_000).await;
    shown(1, 21, NOW + 60_000).await;
    assert_eq!(as_of().await, Some(NOW + 5_000), "the idle one is as far as it shows, the other one is not");
    stored(1, 21, NOW + 6_000).await;
    assert_eq!(as_of().await, Some(NOW + 60_000));
}
