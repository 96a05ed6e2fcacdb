//! Reads `multipart/form-data`, in which clients send a query with its parameters (`query`, `param_*`).
//!
//! Pure. Only fields are read, as ClickHouse does for those names; files (external tables) are not supported.

/// The fields of `body`, in order. `content_type` is the header with its boundary.
///
/// # Errors
/// What is malformed, for the client's developer.
pub(super) fn fields(content_type: &str, body: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let boundary = boundary(content_type).ok_or("the Content-Type names no boundary")?;
    let delimiter = format!("\r\n--{boundary}");
    let first = body
        .strip_prefix(delimiter.trim_start().as_bytes())
        .ok_or("the body does not begin with its boundary")?;
    let (mut rest, mut found) = (first, Vec::new());
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = find(part, delimiter.as_bytes()).ok_or("the body ends before its closing boundary")?;
        let (field, after) = part.split_at(end);
        found.push(self::field(field)?);
        rest = after.get(delimiter.len()..).unwrap_or_default();
    }
    if rest.starts_with(b"--") { Ok(found) } else { Err("the body ends before its closing boundary".into()) }
}

fn boundary(content_type: &str) -> Option<&str> {
    let value = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"'))
}

fn field(part: &[u8]) -> Result<(String, Vec<u8>), String> {
    let end = find(part, b"\r\n\r\n").ok_or("a part has no header")?;
    let (head, value) = part.split_at(end);
    let head = String::from_utf8_lossy(head);
    let name = head
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))
        .find_map(|line| line.split(';').find_map(|item| item.trim().strip_prefix("name=")))
        .ok_or("a part has no name")?;
    Ok((name.trim_matches('"').to_owned(), value.get(4..).unwrap_or_default().to_vec()))
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_with_their_bytes() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:String}\r\n\
            --x\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n1\r\n2\r\n--x--\r\n";
        let found = fields("multipart/form-data; boundary=x", body).unwrap();
        assert_eq!(found[0], ("query".to_owned(), b"SELECT {a:String}".to_vec()));
        assert_eq!(found[1], ("param_a".to_owned(), b"1\r\n2".to_vec()));
    }

    #[test]
    fn a_cut_body_is_an_error() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT 1";
        assert!(fields("multipart/form-data; boundary=x", body).is_err());
    }
}
