//! `data=…`: events as one field of a form, as some clients send them when a page is left (`sendBeacon` with a form needs no
//! preflight). The field is base64 of JSON, possibly compressed, or the JSON itself.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The field `data` of a form; `None` if the body is no such form.
pub(super) fn data(body: &[u8]) -> Option<Vec<u8>> {
    if !body.starts_with(b"data=") {
        return None;
    }
    let (_, data) = url::form_urlencoded::parse(body).find(|(name, _)| name == "data")?;
    let is_json = data.trim_start().starts_with(['{', '[']);
    if is_json { Some(data.into_owned().into_bytes()) } else { decode_base64(&data) }
}

/// Both base64 alphabets, with or without padding; `+` may have become a space on its way.
pub(crate) fn decode_base64(data: &str) -> Option<Vec<u8>> {
    let data = data.trim_end_matches('=').replace(' ', "+");
    URL_SAFE_NO_PAD.decode(&data).or_else(|_| STANDARD_NO_PAD.decode(&data)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_holds_base64_or_json() {
        let json = r#"{"a":"ü>?"}"#;
        let encoded: String =
            url::form_urlencoded::byte_serialize(STANDARD_NO_PAD.encode(json).as_bytes()).collect();
        assert_eq!(data(format!("data={encoded}%3D").as_bytes()).unwrap(), json.as_bytes());
        assert_eq!(data(b"data=%7B%7D&compression=base64").unwrap(), b"{}");
        assert_eq!((data(b"{}"), data(b"data=*"), data(b"a=b&data=e30")), (None, None, None));
    }
}
