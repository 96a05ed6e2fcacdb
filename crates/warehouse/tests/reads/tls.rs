//! ClickHouse behind TLS: a certificate of one's own authority is trusted when `ca_file` names it, and not otherwise.

use std::path::PathBuf;

use native_tls::{Identity, TlsAcceptor};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use runtime::settings::ClickHouseSettings;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use warehouse::migrate::check_schema;
use warehouse::rows::EventRow;
use warehouse::{Warehouse, WarehouseError, migrate};

use crate::database::{event, retention};
use crate::engine::Engine;

/// A certificate for loopback that signs itself, and its key; PEM.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2_048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .dns("localhost")
        .build(&builder.x509v3_context(None, None))
        .unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}

/// A front that speaks TLS with an engine behind it; its URL and its certificate's file.
async fn front(engine: &Engine, folder: &TempDir) -> (String, PathBuf) {
    let (certificate, key) = certificate();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &certificate).unwrap();
    let acceptor = TlsAcceptor::new(Identity::from_pkcs8(&certificate, &key).unwrap()).unwrap();
    let acceptor = tokio_native_tls::TlsAcceptor::from(acceptor);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let behind = engine.url.strip_prefix("http://").unwrap().to_owned();
    let serve = async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            let pass = async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(behind).await.unwrap();
                // Either side may end the connection at any time.
                drop(copy_bidirectional(&mut client, &mut server).await);
            };
            drop(runtime::Tasks::new().spawn("tls", pass));
        }
    };
    drop(runtime::Tasks::new().spawn("tls front", serve));
    (url, file)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named_and_only_there() {
    let (engine, folder) = (Engine::lease(), tempfile::tempdir().unwrap());
    let (url, file) = front(&engine, &folder).await;
    let database = format!("tls_{}", std::process::id());
    let settings = ClickHouseSettings { url: Some(url), database, ..ClickHouseSettings::default() };

    let stranger = Warehouse::connect(&settings).unwrap();
    let refused = stranger.ping().await.unwrap_err();
    assert!(matches!(refused, WarehouseError::Statement { .. }), "{refused}");

    let trusting = ClickHouseSettings { ca_file: Some(file), ..settings };
    let warehouse = Warehouse::connect(&trusting).unwrap();
    warehouse.ping().await.unwrap();
    migrate(&warehouse, &retention()).await.unwrap();
    check_schema(&warehouse).await.unwrap();
    let row = event("ann", "m1", "view", 1_700_000_000_000, 1);
    warehouse.insert::<EventRow<'static>>("events", std::slice::from_ref(&row)).await.unwrap();
    let stored = warehouse.client().query("SELECT count() FROM events").fetch_one::<u64>().await.unwrap();
    assert_eq!(stored, 1);
}

#[test]
fn a_file_without_certificates_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let connect = || {
        let settings = ClickHouseSettings {
            url: Some("https://127.0.0.1:1".into()),
            ca_file: Some(file.clone()),
            ..ClickHouseSettings::default()
        };
        Warehouse::connect(&settings).unwrap_err().to_string()
    };
    let missing = connect();
    assert!(missing.contains("ca.pem") && missing.contains("cannot be read"), "{missing}");
    std::fs::write(&file, "no certificate").unwrap();
    let empty = connect();
    assert!(empty.contains("holds no certificate"), "{empty}");
}
