//! What browser clients ask for before they send: Segment's settings and PostHog's configuration. The answers depend on
//! the request alone; whether the key is known is told when events come.

/// What stands in the address: letters, digits, `-`, `_` and `.`, as keys are; anything else is not put into an answer.
fn is_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=256).contains(&key.len()) && key.bytes().all(plain)
}

/// `GET /v1/projects/KEY/settings`: Segment's analytics.js sends nothing before it has this. `scheme` and `host` are
/// those of the request: events go where the settings came from.
pub(crate) fn segment(key: &str, scheme: &str, host: &str) -> Option<String> {
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
    if !is_key(key) || !is_host {
        return None;
    }
    let protocol = if scheme == "https" { "https" } else { "http" };
    Some(format!(
        r#"{{"integrations":{{"Segment.io":{{"apiKey":"{key}","apiHost":"{host}/v1","protocol":"{protocol}"}}}},"plan":{{}},"edgeFunction":{{}}}}"#
    ))
}

/// `GET /array/KEY/config`: compressed events are taken, so that posthog-js sends without preflights; nothing of
/// PostHog's other products is here.
pub(crate) fn posthog(key: &str) -> Option<String> {
    is_key(key).then(|| {
        format!(
            r#"{{"token":"{key}","supportedCompression":["gzip","gzip-js"],"analytics":{{"endpoint":"/i/v0/e/"}},"hasFeatureFlags":false,"surveys":false,"sessionRecording":false,"heatmaps":false,"captureDeadClicks":false,"capturePerformance":false,"autocaptureExceptions":false,"defaultIdentifiedOnly":true,"elementsChainAsString":true,"siteApps":[],"isAuthenticated":false,"toolbarParams":{{}}}}"#
        )
    })
}

/// `GET /array/KEY/config.js`: the same as a script.
pub(crate) fn posthog_script(key: &str) -> Option<String> {
    let config = posthog(key)?;
    Some(format!(
        "(function(){{window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{{}};window._POSTHOG_REMOTE_CONFIG[\"{key}\"]={{config:{config},siteApps:[]}}}})();"
    ))
}

/// `POST /flags/`: there are no feature flags.
pub(crate) const POSTHOG_FLAGS: &str =
    r#"{"featureFlags":{},"featureFlagPayloads":{},"flags":{},"errorsWhileComputingFlags":false}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn answers_are_json_with_the_key_and_nothing_else_gets_into_them() {
        let read = |text: Option<String>| serde_json::from_str::<Value>(&text.unwrap()).unwrap();
        let settings = read(segment("wk_1", "http", "127.0.0.1:8080"));
        assert_eq!(
            settings["integrations"]["Segment.io"],
            json!({"apiKey": "wk_1", "apiHost": "127.0.0.1:8080/v1", "protocol": "http"})
        );
        assert_eq!(read(posthog("wk_1"))["supportedCompression"], json!(["gzip", "gzip-js"]));
        assert!(posthog_script("wk_1").unwrap().contains("[\"wk_1\"]={config:{"));
        for key in ["", "a\"b", "a/b", "</script>", "ü"] {
            assert_eq!(
                (posthog(key), posthog_script(key), segment(key, "https", "a.example")),
                (None, None, None)
            );
        }
        assert_eq!(segment("wk", "https", "evil\"host"), None);
        assert_eq!(read(Some(POSTHOG_FLAGS.into()))["featureFlags"], json!({}));
    }
}
