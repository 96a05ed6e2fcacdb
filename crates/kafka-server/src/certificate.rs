//! A certificate of its own for brokers on loopback, made by Java's `keytool`.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Certificate {
    /// Certificate and key (PKCS 12), for the broker.
    pub(crate) keystore: PathBuf,
    /// The certificate alone, for clients.
    pub(crate) pem: PathBuf,
}

/// Of the key store.
pub(crate) const STORE_PASSWORD: &str = "store-password";

impl Certificate {
    /// Makes one in `folder`.
    pub(crate) fn make(folder: &Path) -> Self {
        let (keystore, pem) = (folder.join("broker.p12"), folder.join("ca.pem"));
        let store = keystore.to_str().expect("a path that is text").to_owned();
        let common = ["-alias", "broker", "-keystore", &store, "-storepass", STORE_PASSWORD];
        let names = "san=ip:127.0.0.1,dns:localhost";
        let made = ["-storetype", "PKCS12", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", names];
        keytool("-genkeypair", &[&common[..], &made[..], &["-validity", "2"]].concat());
        let file = pem.to_str().expect("a path that is text").to_owned();
        keytool("-exportcert", &[&common[..], &["-rfc", "-file", &file]].concat());
        Self { keystore, pem }
    }
}

fn keytool(command: &str, arguments: &[&str]) {
    let output = Command::new("keytool").arg(command).args(arguments).output().expect("keytool runs");
    assert!(output.status.success(), "keytool {command}: {}", String::from_utf8_lossy(&output.stdout));
}
