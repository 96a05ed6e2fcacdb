//! The user name of Basic authorization, where services take keys: a key is sent as the name, without a password
//! (`curl -u KEY:`). Called by the collector and the console; whether the name is a key is for them to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The user name in the value of a header `Authorization` (RFC 7617); `None` where it has another scheme or cannot be read.
pub fn basic_user_name(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    let decoded = STANDARD.decode(rest.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let mut decoded = String::from_utf8(decoded).ok()?;
    decoded.truncate(decoded.find(':').unwrap_or(decoded.len()));
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_name_is_what_stands_before_the_first_colon() {
        for (value, name) in [
            ("Basic a2V5Og==", Some("key")),
            (" basic  a2V5 ", Some("key")),
            ("BASIC azpwOnc=", Some("k")),
            ("Basic Og==", Some("")),
            ("Bearer a2V5Og==", None),
            ("Basic ***", None),
            ("Basic /w==", None),
            ("Basic", None),
        ] {
            assert_eq!(basic_user_name(value).as_deref(), name, "{value}");
        }
    }
}
