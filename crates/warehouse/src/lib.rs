//! ClickHouse behind one seam: the schema (`migrations/`), the rows ([`rows`]), the client every service shares, and the
//! queries of aggregator and console. The same code talks to a server and to [`embedded`] ClickHouse, over HTTP.

pub mod rows;
