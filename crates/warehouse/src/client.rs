//! The connection to ClickHouse that every service shares: a server or the embedded engine, over HTTP.
//!
//! Every statement has a name (for errors), a time limit, and an error that says whether trying again can help.
//! Inserts are upserts, so trying them again is safe; [`Warehouse::retry`] does so with bounded, jittered pauses.
//! Durability is asked for on every insert, and no insert is thrown away or merged by itself (`INSERT_SETTINGS`).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::query::Query;
use clickhouse::{Client, Compression, RowOwned, RowRead, RowWrite};
use rand::Rng;
use runtime::settings::ClickHouseSettings;
use url::{Host, Url};

use crate::connector;
use crate::engines::Replicas;
use crate::error::WarehouseError;
use crate::generations::GenerationCache;

/// A read that a person waits for ends within this time.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// An insert ends within this time.
pub const INSERT_TIMEOUT: Duration = Duration::from_secs(60);
/// Of every insert. It is stored when it is answered; one that repeats an earlier block is an upsert, not a duplicate.
/// Its rows are not merged before they are stored: they are read as of their largest version anyway, and it would cost
/// as much as all the rest of the insert.
const INSERT_SETTINGS: [(&str, &str); 3] =
    [("async_insert", "0"), ("insert_deduplicate", "0"), ("optimize_on_insert", "0")];
/// Attempts of [`Warehouse::retry`], the first included.
pub const MAX_ATTEMPTS: u32 = 6;
/// The pause after the first failure; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A handle on ClickHouse; clones share connections and the cache of generations.
#[derive(Clone)]
pub struct Warehouse {
    client: Client,
    database: Arc<str>,
    pub(crate) replicas: Replicas,
    pub(crate) generations: GenerationCache,
}

impl Warehouse {
    /// A handle on the server of these settings. Connects with the first statement, so a server that is away does not
    /// keep a service from starting.
    ///
    /// # Errors
    /// When `[clickhouse] url` is missing or not an HTTP address, or `ca_file` holds no certificate.
    pub fn connect(settings: &ClickHouseSettings) -> Result<Self, WarehouseError> {
        let url = parse_url(settings.url.as_deref())?;
        let compression = match is_loopback(&url) {
            true => Compression::None,
            false => Compression::Lz4,
        };
        let client = match &settings.ca_file {
            Some(ca_file) => connector::trusting(ca_file)?,
            None if url.scheme() == "http" => connector::plain(),
            None => Client::default(),
        };
        let mut client = client
            .with_url(url.as_str())
            .with_user(&settings.user)
            .with_database(&settings.database)
            .with_compression(compression)
            .with_product_info("rungs", runtime::VERSION);
        if let Some(password) = &settings.password {
            client = client.with_password(password);
        }
        Ok(Self {
            client,
            database: settings.database.as_str().into(),
            replicas: Replicas::new(settings.replicated),
            generations: GenerationCache::default(),
        })
    }

    /// The database that holds the tables.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The underlying client, for statements that this crate does not know.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether ClickHouse answers; the database need not exist.
    pub async fn ping(&self) -> Result<(), WarehouseError> {
        let query = self.without_database().query_raw("SELECT 1");
        within("ping", READ_TIMEOUT, query.fetch_one::<u8>()).await.map(drop)
    }

    /// Inserts rows as one block per million; durable when it returns. No rows, no request.
    pub async fn insert<T: RowWrite>(
        &self,
        table: &'static str,
        rows: &[T::Value<'_>],
    ) -> Result<(), WarehouseError> {
        self.insert_with::<T>(&self.inserting(), table, rows).await
    }

    /// As [`Warehouse::insert`], with the settings of this client.
    pub(crate) async fn insert_with<T: RowWrite>(
        &self,
        client: &Client,
        table: &'static str,
        rows: &[T::Value<'_>],
    ) -> Result<(), WarehouseError> {
        if rows.is_empty() {
            return Ok(());
        }
        let _turn = self.replicas.turn(table).await;
        within(table, INSERT_TIMEOUT, async {
            let mut insert = client.insert::<T>(table).await?;
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        })
        .await
    }

    /// A client for inserts.
    pub(crate) fn inserting(&self) -> Client {
        let client = INSERT_SETTINGS
            .into_iter()
            .fold(self.client.clone(), |client, (name, value)| client.with_setting(name, value));
        self.replicas.inserting(client)
    }

    /// A client whose queries see every insert that was answered, on whichever replica they end.
    pub(crate) fn reading_all(&self) -> Client {
        self.replicas.reading(self.client.clone())
    }

    /// A query of [`Warehouse::reading_all`].
    pub(crate) fn query_all(&self, sql: &str) -> Query {
        self.reading_all().query(sql)
    }

    /// Whether the tables are replicated.
    pub(crate) fn is_replicated(&self) -> bool {
        self.replicas.are_there
    }

    /// Runs `attempt` until it succeeds, fails for good, or failed [`MAX_ATTEMPTS`] times.
    pub async fn retry<T, F, A>(&self, mut attempt: A) -> Result<T, WarehouseError>
    where
        A: FnMut() -> F,
        F: Future<Output = Result<T, WarehouseError>>,
    {
        let mut failures = 0;
        loop {
            match attempt().await {
                Err(error) if error.is_retryable() && failures + 1 < MAX_ATTEMPTS => {
                    failures += 1;
                    tracing::warn!(%error, failures, "ClickHouse failed; trying again");
                    tokio::time::sleep(pause_after(failures)).await;
                }
                outcome => return outcome,
            }
        }
    }

    pub(crate) fn query(&self, sql: &str) -> Query {
        self.client.query(sql)
    }

    /// A client that can create the database.
    pub(crate) fn without_database(&self) -> Client {
        self.client.clone().with_database("default")
    }
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Warehouse").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Fetches all rows of a small answer.
pub(crate) async fn fetch_all<T>(statement: &'static str, query: Query) -> Result<Vec<T>, WarehouseError>
where
    T: RowOwned + RowRead,
{
    within(statement, READ_TIMEOUT, query.fetch_all::<T>()).await
}

/// Gives a statement its time limit and its name.
pub(crate) async fn within<T, F>(
    statement: &'static str,
    limit: Duration,
    work: F,
) -> Result<T, WarehouseError>
where
    F: Future<Output = Result<T, clickhouse::error::Error>>,
{
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome.map_err(|source| WarehouseError::statement(statement, source)),
        Err(_) => Err(WarehouseError::Timeout { statement, limit }),
    }
}

fn parse_url(url: Option<&str>) -> Result<Url, WarehouseError> {
    let refused = |reason: &str| WarehouseError::Settings { reason: reason.to_owned() };
    let text = url.ok_or_else(|| refused("url is missing; e.g. url = \"http://127.0.0.1:8123\""))?;
    let url = Url::parse(text).map_err(|error| refused(&format!("url cannot be parsed: {error}")))?;
    match (url.scheme(), url.host()) {
        ("http" | "https", Some(_)) => Ok(url),
        _ => Err(refused("url must start with http:// or https:// and name a host")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Between half of and the whole exponential pause, so that services do not come back in step.
fn pause_after(failures: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn warehouse(url: &str) -> Result<Warehouse, WarehouseError> {
        Warehouse::connect(&ClickHouseSettings { url: Some(url.into()), ..ClickHouseSettings::default() })
    }

    #[test]
    fn a_missing_or_strange_address_is_refused_with_an_example() {
        let error = Warehouse::connect(&ClickHouseSettings::default()).unwrap_err();
        assert!(error.to_string().contains("[clickhouse] url is missing"), "{error}");
        for url in ["localhost:8123", "ftp://host", "no"] {
            assert!(warehouse(url).is_err(), "{url}");
        }
        assert!(warehouse("https://clickhouse.internal:8443").is_ok());
    }

    #[test]
    fn the_debug_form_shows_no_password() {
        let settings = ClickHouseSettings {
            url: Some("http://127.0.0.1:1".into()),
            password: Some("hush".into()),
            ..ClickHouseSettings::default()
        };
        assert!(!format!("{:?}", Warehouse::connect(&settings).unwrap()).contains("hush"));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        for failures in 1..40 {
            let pause = pause_after(failures);
            assert!(pause <= LONGEST_PAUSE && pause >= FIRST_PAUSE / 2, "{failures}: {pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_can_pass_is_tried_again_and_another_is_not() {
        let warehouse = warehouse("http://127.0.0.1:1").unwrap();
        let attempts = AtomicU32::new(0);
        let outcome = warehouse
            .retry(|| async {
                match attempts.fetch_add(1, Ordering::Relaxed) {
                    0 | 1 => Err(WarehouseError::Timeout { statement: "events", limit: READ_TIMEOUT }),
                    _ => Ok(7),
                }
            })
            .await;
        assert_eq!(outcome.unwrap(), 7);
        assert_eq!(attempts.load(Ordering::Relaxed), 3);

        let attempts = AtomicU32::new(0);
        let outcome: Result<(), _> = warehouse
            .retry(|| async {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err(WarehouseError::Settings { reason: "wrong".into() })
            })
            .await;
        assert!(outcome.is_err());
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn trying_again_ends() {
        let warehouse = warehouse("http://127.0.0.1:1").unwrap();
        let attempts = AtomicU32::new(0);
        let outcome: Result<(), _> = warehouse
            .retry(|| async {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err(WarehouseError::Timeout { statement: "events", limit: READ_TIMEOUT })
            })
            .await;
        assert!(outcome.is_err());
        assert_eq!(attempts.load(Ordering::Relaxed), MAX_ATTEMPTS);
    }
}
