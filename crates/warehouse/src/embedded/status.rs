//! The one table from an error to its HTTP status, as ClickHouse's HTTP handler answers the same exception.

use actix_web::http::StatusCode;

use super::EmbeddedError;

/// Status for an error that is known before the first byte of an answer was sent.
pub(super) fn status_of(error: &EmbeddedError) -> StatusCode {
    match error {
        EmbeddedError::Busy { .. } | EmbeddedError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        EmbeddedError::Body(_) => StatusCode::BAD_REQUEST,
        other => status_of_code(other.code()),
    }
}

fn status_of_code(code: u32) -> StatusCode {
    match code {
        // Types, values, texts and syntax the request got wrong.
        6 | 26 | 27 | 33 | 36 | 38 | 41 | 43 | 44 | 53 | 62 | 69 | 70 | 72 | 117 | 130 | 131 | 167 | 168
        | 321 | 441 | 456 | 457 | 675 | 676 => StatusCode::BAD_REQUEST,
        // Names that do not exist: function, identifier, type, storage, table, aggregate function, format,
        // query type, database, setting, direction of sorting, role.
        46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 137 | 511 => StatusCode::NOT_FOUND,
        48 => StatusCode::NOT_IMPLEMENTED,
        // A cross-site request, refused by the front.
        497 => StatusCode::FORBIDDEN,
        307 => StatusCode::PAYLOAD_TOO_LARGE,
        202 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_404_syntax_is_400_and_the_rest_is_500() {
        assert_eq!(status_of_code(60), 404);
        assert_eq!(status_of_code(81), 404);
        assert_eq!(status_of_code(62), 400);
        assert_eq!(status_of_code(395), 500);
    }
}
