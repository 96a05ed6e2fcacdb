//! The embedded ClickHouse as its users meet it: through the `clickhouse` crate and through plain HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod embedded_support;

use clickhouse::{Client, Compression, Row};
use embedded_support::url;
use reqwest::StatusCode;
use runtime::settings::ClickHouseSettings;
use serde::{Deserialize, Serialize};
use warehouse::Warehouse;

fn client() -> Client {
    let settings = ClickHouseSettings { url: Some(url().to_owned()), ..ClickHouseSettings::default() };
    Warehouse::connect(&settings).unwrap().client().clone().with_compression(Compression::Lz4)
}

/// POSTs `sql` with further URL parameters and returns status, headers and text.
async fn post(sql: &str, parameters: &[(&str, &str)]) -> (StatusCode, reqwest::header::HeaderMap, String) {
    let mut target = reqwest::Url::parse(url()).unwrap();
    target.query_pairs_mut().append_pair("database", "rungs").extend_pairs(parameters);
    let response = reqwest::Client::new().post(target).body(sql.to_owned()).send().await.unwrap();
    (response.status(), response.headers().clone(), response.text().await.unwrap())
}

/// The text of a successful answer.
async fn ask(sql: &str) -> String {
    let (status, _, text) = post(sql, &[]).await;
    assert_eq!(status, 200, "{sql}: {text}");
    text
}

/// Sends `data` as the body of `INSERT …` in the URL.
async fn insert(sql: &str, parameters: &[(&str, &str)], data: Vec<u8>) -> (StatusCode, String) {
    let mut target = reqwest::Url::parse(url()).unwrap();
    target
        .query_pairs_mut()
        .append_pair("query", sql)
        .append_pair("database", "rungs")
        .extend_pairs(parameters);
    let response = reqwest::Client::new().post(target).body(data).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Everything {
    id: u64,
    name: String,
    kind: String,
    at: i64,
    big: u128,
    tags: Vec<String>,
    counts: Vec<u64>,
    maybe: Option<u32>,
}

fn everything(id: u64) -> Everything {
    Everything {
        id,
        name: format!("näme \0 {id}"),
        kind: ["click", "read"][usize::try_from(id % 2).unwrap()].to_owned(),
        at: 1_715_731_200_123 + i64::try_from(id).unwrap(),
        big: u128::MAX - u128::from(id),
        tags: vec!["a".to_owned(), String::new()],
        counts: (0..id % 5).collect(),
        maybe: id.is_multiple_of(3).then_some(7),
    }
}

async fn create_everything(table: &str) {
    ask(&format!(
        "CREATE TABLE {table} (id UInt64, name String, kind LowCardinality(String), at DateTime64(3), big UInt128,
         tags Array(String), counts Array(UInt64), maybe Nullable(UInt32)) ENGINE = MergeTree ORDER BY id"
    ))
    .await;
}

#[tokio::test]
async fn rows_of_every_type_come_back_as_they_went_in_with_and_without_compression() {
    create_everything("types").await;
    let sent: Vec<Everything> = (0..1000).map(everything).collect();
    for (compression, rows) in [(Compression::Lz4, &sent[..500]), (Compression::None, &sent[500..])] {
        let mut insert = client().with_compression(compression).insert::<Everything>("types").await.unwrap();
        for row in rows {
            insert.write(row).await.unwrap();
        }
        insert.end().await.unwrap();
    }
    for compression in [Compression::Lz4, Compression::None] {
        let query = client().with_compression(compression);
        let got =
            query.query("SELECT ?fields FROM types ORDER BY id").fetch_all::<Everything>().await.unwrap();
        assert!(got == sent, "the rows differ");
    }
}

#[tokio::test]
async fn a_hundred_thousand_row_binary_rows_are_all_stored() {
    create_everything("many").await;
    let mut insert = client().insert::<Everything>("many").await.unwrap();
    for id in 0..100_000 {
        insert.write(&everything(id)).await.unwrap();
    }
    insert.end().await.unwrap();
    let (rows, sum): (u64, u64) =
        client().query("SELECT count(), sum(id) FROM many").fetch_one().await.unwrap();
    assert_eq!((rows, sum), (100_000, 99_999 * 50_000));
}

#[tokio::test]
async fn parameters_reach_the_query_bound_by_client_and_by_server() {
    let bound: u64 = client().query("SELECT toUInt64(? + 1)").bind(41).fetch_one().await.unwrap();
    assert_eq!(bound, 42);
    let query = client().query("SELECT concat({a:String}, '!')").param("a", "it's\t\\ a\nline");
    assert_eq!(query.fetch_one::<String>().await.unwrap(), "it's\t\\ a\nline!");
    let (_, _, text) = post("SELECT {n:UInt8} + 1", &[("param_n", "6")]).await;
    assert_eq!(text, "7\n");
}

#[tokio::test]
async fn errors_carry_clickhouses_code_and_status() {
    let cases = [
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELECT * FROM nodb.t", 404, "81"),
        ("SELEC 1 FROM", 400, "62"),
        ("SELECT nofunction(1)", 404, "46"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("", 400, "62"),
    ];
    for (sql, status, code) in cases {
        let (got, headers, text) = post(sql, &[]).await;
        assert_eq!(
            (got.as_u16(), headers["X-ClickHouse-Exception-Code"].to_str().unwrap()),
            (status, code),
            "{text}"
        );
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{text}");
    }
    let error = client().query("SELECT 1 FROM nowhere").fetch_one::<u8>().await.unwrap_err();
    assert!(error.to_string().contains("Code: 60. DB::Exception"), "{error}");
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_long_answer_is_seen_by_the_client() {
    let sql = "SELECT throwIf(number = 3000000, 'enough') FROM numbers(5000000) SETTINGS max_threads = 1";
    let error = client().query(sql).fetch_all::<u8>().await.unwrap_err();
    assert!(error.to_string().contains("enough"), "{error}");
}

#[tokio::test]
async fn formats_are_chosen_by_the_query_the_url_or_the_default() {
    assert_eq!(ask("SELECT 1 AS a, 'x' AS b").await, "1\tx\n");
    assert_eq!(post("SELECT 1 AS a", &[("default_format", "JSONEachRow")]).await.2, "{\"a\":1}\n");
    let (_, headers, text) = post("SELECT 1 AS a FORMAT CSVWithNames", &[("default_format", "JSON")]).await;
    assert_eq!(text, "\"a\"\n1\n");
    assert_eq!(headers["X-ClickHouse-Format"], "CSVWithNames");
    assert!(headers["Content-Type"].to_str().unwrap().starts_with("text/csv"));
    assert_eq!(ask("SHOW DATABASES LIKE 'rungs'").await, "rungs\n");
    let json = ask("SELECT number FROM numbers(200000) FORMAT JSON").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["rows"], 200_000);
    let names = ask("SELECT number AS n FROM numbers(200000) FORMAT TSVWithNames").await;
    assert_eq!((names.lines().count(), names.matches('n').count()), (200_001, 1));
}

#[tokio::test]
async fn settings_in_the_url_hold_for_that_request_alone() {
    for round in 0..8 {
        let (_, _, text) = post("SELECT getSetting('max_block_size')", &[("max_block_size", "123")]).await;
        assert_eq!(text, "123\n", "round {round}");
        assert_ne!(ask("SELECT getSetting('max_block_size')").await, "123\n", "round {round}");
    }
    ask("SET max_block_size = 77").await;
    for _ in 0..8 {
        assert_ne!(ask("SELECT getSetting('max_block_size')").await, "77\n");
    }
    assert_eq!(post("SELECT 1", &[("no_such_setting", "1")]).await.0, 404);
}

#[tokio::test]
async fn each_request_has_the_database_it_names_also_when_many_run_at_once() {
    ask("CREATE DATABASE other").await;
    let requests = (0..40).map(|index| async move {
        let database = ["rungs", "other"][index % 2];
        let client = client().with_database(database);
        assert_eq!(client.query("SELECT currentDatabase()").fetch_one::<String>().await.unwrap(), database);
    });
    futures_util::future::join_all(requests).await;
    let response = reqwest::get(format!("{}/?query=SELECT%201&database=missing", url())).await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn text_formats_and_encodings_are_inserted_from_url_body_or_both() {
    ask("CREATE TABLE texts (a UInt64, b String) ENGINE = MergeTree ORDER BY a").await;
    ask("INSERT INTO texts VALUES (1, 'one'), (2, 'two')").await;
    ask("INSERT INTO texts FORMAT JSONEachRow\n{\"a\":3,\"b\":\"x\"}\n{\"a\":4,\"b\":\"y\"}\n").await;
    ask("INSERT INTO texts SELECT number + 5, 'n' FROM numbers(2)").await;
    assert_eq!(insert("INSERT INTO texts FORMAT CSV", &[], b"7,\"c\"\n".to_vec()).await.0, 200);
    assert_eq!(insert("INSERT INTO texts (b, a) VALUES", &[], b"('v', 8), ('w', 9)".to_vec()).await.0, 200);
    let native =
        reqwest::get(format!("{}/?query=SELECT%20toUInt64(10)%20a,'n'%20b%20FORMAT%20Native", url())).await;
    let native = native.unwrap().bytes().await.unwrap().to_vec();
    assert_eq!(insert("INSERT INTO texts FORMAT Native", &[], native).await.0, 200);
    assert_eq!(ask("SELECT count(), sum(a) FROM texts").await, "10\t55\n");
    let (status, text) = insert("INSERT INTO texts FORMAT CSV", &[], b"not a number,x\n".to_vec()).await;
    assert_eq!(status, 400, "{text}");
    let (status, text) = insert("INSERT INTO nowhere FORMAT CSV", &[], vec![b'1'; 3_000_000]).await;
    assert_eq!(status, 404, "{text}");
}

#[tokio::test]
async fn an_insert_says_how_many_rows_it_wrote() {
    ask("CREATE TABLE counted (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let (_, headers, _) = post("INSERT INTO counted FORMAT CSV\n1\n2\n3\n", &[("query_id", "q-1")]).await;
    let summary: serde_json::Value =
        serde_json::from_str(headers["X-ClickHouse-Summary"].to_str().unwrap()).unwrap();
    assert_eq!(summary["written_rows"], "3");
    assert_eq!(headers["X-ClickHouse-Query-Id"], "q-1");
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ask("CREATE TABLE cut (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    // Under a megabyte the query is never queued; above it, rows are on their way into the engine when it breaks off.
    for rows in [1000_usize, 200_000] {
        let mut socket = tokio::net::TcpStream::connect(url().trim_start_matches("http://")).await.unwrap();
        let length = rows * 8 + 1000;
        let head = format!(
            "POST /?database=rungs&query=INSERT%20INTO%20cut%20FORMAT%20RowBinary HTTP/1.1\r\nHost: localhost\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&vec![1; rows * 8]).await.unwrap();
        socket.shutdown().await.unwrap();
        socket.read_to_end(&mut Vec::new()).await.ok();
    }
    // An insert of its own passes the reserved worker after the aborted ones.
    ask("INSERT INTO cut FORMAT CSV\n7\n").await;
    assert_eq!(ask("SELECT count() FROM cut").await, "1\n");
}

#[tokio::test]
async fn an_aborted_insert_of_the_client_stores_nothing() {
    create_everything("aborted").await;
    let mut insert = client().insert::<Everything>("aborted").await.unwrap();
    for id in 0..50_000 {
        insert.write(&everything(id)).await.unwrap();
    }
    drop(insert);
    let mut whole = client().insert::<Everything>("aborted").await.unwrap();
    whole.write(&everything(1)).await.unwrap();
    whole.end().await.unwrap();
    assert_eq!(ask("SELECT count() FROM aborted").await, "1\n");
}

#[tokio::test]
async fn a_large_result_streams_and_arrives_whole() {
    let mut cursor = client()
        .query("SELECT number, toString(number) FROM numbers(2000000)")
        .fetch::<(u64, String)>()
        .unwrap();
    let (mut rows, mut sum) = (0_u64, 0_u64);
    while let Some((number, _)) = cursor.next().await.unwrap() {
        (rows, sum) = (rows + 1, sum + number);
    }
    assert_eq!((rows, sum), (2_000_000, 1_999_999 * 1_000_000));
}

#[tokio::test]
async fn long_selects_do_not_hold_up_inserts() {
    ask("CREATE TABLE busy (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let long = "SELECT sum(sipHash64(number)) FROM numbers(150000000) SETTINGS max_threads = 1";
    let selects: Vec<_> = (0..3).map(|_| Box::pin(post(long, &[("max_execution_time", "20")]))).collect();
    let insert = Box::pin(post("INSERT INTO busy FORMAT CSV\n1\n", &[]));
    let first = futures_util::future::select(futures_util::future::select_all(selects), insert).await;
    let futures_util::future::Either::Right(((status, _, text), _)) = first else {
        panic!("a select of seconds ended before an insert of one row")
    };
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn clients_that_go_away_in_the_middle_of_a_result_leave_their_workers_free() {
    for _ in 0..6 {
        let endless = "SELECT number FROM system.numbers";
        let mut cursor = client().query(endless).fetch::<u64>().unwrap();
        assert_eq!(cursor.next().await.unwrap(), Some(0));
    }
    assert_eq!(ask("SELECT 1").await, "1\n");
}

#[tokio::test]
async fn settings_hold_for_streamed_inserts_too() {
    ask("CREATE TABLE delimited (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a").await;
    let settings = [("format_csv_delimiter", ";"), ("param_unused", "1")];
    let (status, text) = insert("INSERT INTO delimited FORMAT CSV", &settings, b"1;2\n3;4\n".to_vec()).await;
    assert_eq!(status, 200, "{text}");
    assert_eq!(ask("SELECT sum(a), sum(b) FROM delimited").await, "4\t6\n");
}

#[tokio::test]
async fn compressed_bodies_are_undone_by_their_content_encoding() {
    use std::io::Write;
    ask("CREATE TABLE encoded (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let rows: Vec<u8> = (0..300_000_u64).flat_map(u64::to_le_bytes).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&rows).unwrap();
    let zstd = zstd::encode_all(rows.as_slice(), 1).unwrap();
    let bodies =
        [("gzip", gzip.finish().unwrap(), 200), ("zstd", zstd.clone(), 200), ("br", zstd.clone(), 400)];
    let cut = ("zstd", zstd[..zstd.len() / 2].to_vec(), 400);
    for (encoding, body, status) in bodies.into_iter().chain([cut]) {
        let target = format!("{}/?database=rungs&query=INSERT%20INTO%20encoded%20FORMAT%20RowBinary", url());
        let request = reqwest::Client::new().post(target).header("Content-Encoding", encoding).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{encoding}: {}", response.text().await.unwrap());
    }
    assert_eq!(ask("SELECT count(), uniqExact(a) FROM encoded").await, "600000\t300000\n");
    let blocks = post("SELECT number FROM numbers(3)", &[("compress", "1")]).await;
    assert_eq!(blocks.0, 200);
}

#[tokio::test]
async fn get_reads_only_and_pages_of_other_sites_are_refused() {
    let get = |path: &str| reqwest::Client::new().get(format!("{}{path}", url()));
    assert_eq!(get("/?query=DROP%20DATABASE%20rungs").send().await.unwrap().status(), 500);
    assert_eq!(get("/?query=SELECT%201").send().await.unwrap().text().await.unwrap(), "1\n");
    for path in ["/ping", "/", "/replicas_status"] {
        assert_eq!(get(path).send().await.unwrap().text().await.unwrap(), "Ok.\n");
    }
    for (name, value) in [("Origin", "https://evil.example"), ("Host", "rebound.example")] {
        assert_eq!(
            get("/?query=SELECT%201").header(name, value).send().await.unwrap().status(),
            403,
            "{name}"
        );
    }
    let signed = get("/?query=SELECT%201").basic_auth("default", Some("secret")).send().await.unwrap();
    assert_eq!(signed.status(), 200);
}

#[tokio::test]
async fn a_durable_replacing_table_keeps_the_highest_version() {
    ask("CREATE TABLE durable (id UInt64, value String, version UInt64) ENGINE = ReplacingMergeTree(version)
         ORDER BY id SETTINGS fsync_after_insert = 1, fsync_part_directory = 1")
    .await;
    ask("INSERT INTO durable VALUES (1, 'new', 2), (2, 'only', 1)").await;
    ask("INSERT INTO durable VALUES (1, 'old', 1)").await;
    assert_eq!(ask("SELECT value FROM durable FINAL ORDER BY id").await, "new\nonly\n");
}

#[tokio::test]
async fn the_functions_the_reports_need_are_there() {
    let funnel =
        "SELECT windowFunnel(10)(t, e = 1, e = 2) FROM values('t UInt64, e UInt8', (1, 1), (11, 2), (30, 3))";
    assert_eq!(ask(funnel).await, "2\n");
    assert_eq!(ask("SELECT kafkaMurmurHash('a') = kafkaMurmurHash('a')").await, "1\n");
    assert_eq!(ask("SELECT toDecimal64('12.3400', 4)::Decimal(18, 4)").await, "12.34\n");
    assert_eq!(
        ask("SELECT timezone(), toDateTime64('2024-05-15 00:00:00.123', 3)").await,
        "UTC\t2024-05-15 00:00:00.123\n"
    );
}
