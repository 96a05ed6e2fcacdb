//! Table engines where ClickHouse replicates (`[clickhouse] replicated`), and what statements ask for there.
//!
//! Migrations name the plain engines. On replicas each is its `Replicated…` namesake without arguments: the database's
//! own engine (`Replicated`, which also carries `CREATE` and `ALTER` to every replica) or the server's
//! `default_replica_path` say where in Keeper a table lies.
//!
//! What is acknowledged must be read by whoever restores a partition, on whichever replica that read ends. So an insert
//! waits for a majority, one at a time a table, and reads of a restore or a build are sequentially consistent with them;
//! ClickHouse offers that only without parallel quorums (`insert_quorum_parallel = 0`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use clickhouse::Client;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Engines that have a replicated namesake.
const ENGINES: [&str; 2] = ["ReplacingMergeTree", "MergeTree"];

/// Of an insert, beside what every insert has.
const QUORUM: [(&str, &str); 3] =
    [("insert_quorum", "auto"), ("insert_quorum_parallel", "0"), ("insert_quorum_timeout", "30000")];
/// Of a read that must see every acknowledged insert.
const SEQUENTIAL: (&str, &str) = ("select_sequential_consistency", "1");

/// By table.
type Turns = HashMap<&'static str, Arc<Turn<()>>>;

/// Whether the tables are replicated, and the turns of inserts. Clones share the turns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replicas {
    pub(crate) are_there: bool,
    turns: Arc<Mutex<Turns>>,
}

impl Replicas {
    pub(crate) fn new(are_there: bool) -> Self {
        Self { are_there, turns: Arc::default() }
    }

    /// A client for inserts that are on a majority of replicas when they are answered.
    pub(crate) fn inserting(&self, client: Client) -> Client {
        let settings: &[(&str, &str)] = if self.are_there { &QUORUM } else { &[] };
        settings.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value))
    }

    /// A client whose reads see every insert that was answered.
    pub(crate) fn reading(&self, client: Client) -> Client {
        if self.are_there { client.with_setting(SEQUENTIAL.0, SEQUENTIAL.1) } else { client }
    }

    /// A table's turn: a second insert would be refused while the quorum of the first is awaited. Another process's may
    /// be under way all the same; then ClickHouse refuses, and the insert is tried again.
    pub(crate) async fn turn(&self, table: &'static str) -> Option<OwnedMutexGuard<()>> {
        if !self.are_there {
            return None;
        }
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(table).or_default())
        };
        Some(turn.lock_owned().await)
    }
}

/// A statement of the schema, with the replicated engines if they are asked for.
pub(crate) fn on_replicas(sql: &str, replicated: bool) -> String {
    if !replicated {
        return sql.to_owned();
    }
    let lines = sql.lines().map(|line| {
        let engine = ENGINES.iter().find(|engine| line.contains(&format!("ENGINE = {engine}")));
        match engine {
            Some(engine) => {
                line.replace(&format!("ENGINE = {engine}"), &format!("ENGINE = Replicated{engine}"))
            }
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_engine_is_another_one() {
        let sql = "CREATE TABLE a (b String)\nENGINE = ReplacingMergeTree(version) ORDER BY b";
        assert_eq!(on_replicas(sql, false), sql);
        assert_eq!(
            on_replicas(sql, true),
            "CREATE TABLE a (b String)\nENGINE = ReplicatedReplacingMergeTree(version) ORDER BY b"
        );
        assert_eq!(
            on_replicas("ENGINE = MergeTree ORDER BY epoch", true),
            "ENGINE = ReplicatedMergeTree ORDER BY epoch"
        );
        let other = "ALTER TABLE a MODIFY TTL b";
        assert_eq!(on_replicas(other, true), other);
    }

    #[tokio::test]
    async fn inserts_into_one_table_take_turns_on_replicas_only() {
        let plain = Replicas::new(false);
        assert!(plain.turn("events").await.is_none());
        let replicas = Replicas::new(true);
        let held = replicas.turn("events").await;
        assert!(replicas.turn("journeys").await.is_some(), "another table");
        let waiting = replicas.clone();
        let mut second = Box::pin(async move { waiting.turn("events").await });
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(held);
        assert!(second.await.is_some());
    }
}
