//! Notes on a site's time line, and what ClickHouse tells of itself.

use warehouse::annotations::Annotation;
use warehouse::embedded::ClickHouseMetrics;

use crate::database::*;

fn note(site: &str, id: &str, text: &str) -> Annotation {
    Annotation { site: site.to_owned(), id: id.to_owned(), at: 1_700_000_000_000, text: text.to_owned() }
}

#[tokio::test]
async fn a_removed_note_is_gone_of_its_site_only_and_can_be_written_again() {
    let warehouse = database().await;
    for written in [note("shop", "sale", "spring sale"), note("blog", "sale", "a text about the sale")] {
        warehouse.annotate(&written).await.unwrap();
    }
    let texts = async |site: &str| -> Vec<String> {
        let notes = warehouse.annotations(site, 0, i64::MAX).await.unwrap();
        notes.into_iter().map(|note| note.text).collect()
    };
    assert!(warehouse.remove_annotation("shop", "sale").await.unwrap());
    assert!(texts("shop").await.is_empty());
    assert_eq!(texts("blog").await, ["a text about the sale"]);
    assert!(!warehouse.remove_annotation("shop", "sale").await.unwrap(), "it is gone");
    assert!(!warehouse.remove_annotation("shop", "never").await.unwrap());
    warehouse.annotate(&note("shop", "sale", "again")).await.unwrap();
    assert_eq!(texts("shop").await, ["again"]);
}

#[tokio::test]
async fn what_clickhouse_takes_and_does_is_told_by_its_system_tables() {
    let warehouse = database().await;
    warehouse.annotate(&note("shop", "a", "x")).await.unwrap();
    let state = warehouse.engine_state().await.unwrap();
    assert!(state.memory_bytes > 1 << 20, "{state:?}");
    let of = |name: &str| state.tables.iter().find(|table| table.table == name).cloned().unwrap();
    let notes = of("annotations");
    assert_eq!((notes.parts, notes.rows), (1, 1));
    assert!(notes.bytes > 0);
    assert_eq!((of("events").parts, of("events").rows), (0, 0), "tables without parts are there");

    let metrics = runtime::Metrics::new().unwrap();
    ClickHouseMetrics::register(&metrics, 7).unwrap().show(&state);
    let shown = String::from_utf8(metrics.render().unwrap()).unwrap();
    for line in ["rungs_clickhouse_parts{table=\"annotations\"} 1", "rungs_clickhouse_max_memory_bytes 7"] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
}
