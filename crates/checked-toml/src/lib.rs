//! checked-toml
