//! What a build removes of the journeys that an attempt before it has stored.

use warehouse::FunnelKey;
use warehouse::rows::JourneyRow;

use crate::database::database;

fn journey(visitor: u128, generation: u64, version: u64) -> JourneyRow {
    JourneyRow {
        site: "shop".into(),
        funnel: "purchase".into(),
        definition: 7,
        generation,
        log_partition: 0,
        visitor,
        state: vec![1],
        version,
    }
}

#[tokio::test]
async fn journeys_of_some_visitors_go_up_to_a_version_and_all_others_stay() {
    let warehouse = database().await;
    // A hash that no 64-bit number holds.
    let (large, other) = (u128::MAX - 1, 5);
    let stored = [(large, 1, 4), (other, 1, 4), (6, 1, 4), (6, 1, 9), (large, 2, 4)];
    for (visitor, generation, version) in stored {
        warehouse.insert_journeys(&[journey(visitor, generation, version)]).await.unwrap();
    }
    let key = FunnelKey { site: "shop".into(), funnel: "purchase".into(), definition: 7 };
    warehouse.remove_journeys_of(&key, 1, 0, &[large, 6], 4).await.unwrap();
    for (generation, expected) in [(1, vec![(other, 4), (6, 9)]), (2, vec![(large, 4)])] {
        let mut left = Vec::new();
        let mut take = |row: warehouse::state::StoredJourney<'_>| left.push((row.visitor, row.version));
        warehouse.journeys(&key, generation, 0, &mut take).await.unwrap();
        assert_eq!(left, expected, "generation {generation}");
    }
}
