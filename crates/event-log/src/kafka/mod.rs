//! The log in production: Apache Kafka through librdkafka.
//!
//! - [`ensure_topics`] creates and verifies the topics (`topics`); [`KafkaSettings`] is what all parts are opened with.
//! - [`KafkaPublisher`] writes events (`publisher`, `producer`, `packing`, `call`); one record of the topic may hold many of the log (`offsets`).
//! - [`KafkaSource`] reads them (`source`, `cursor`, `reader`), as the consumer group says (`membership`).
//! - [`KafkaPlans`] is the plan topic (`plans`), [`KafkaSalts`] the one of salts (`salts`; both `follower`),
//!   [`KafkaRejections`] and [`KafkaRejected`] the topic of what was not taken (`rejected`).

mod call;
mod client;
mod cursor;
mod error;
mod follower;
mod identity;
mod membership;
mod offsets;
mod packing;
mod plans;
mod producer;
mod publisher;
mod reader;
mod rejected;
mod salts;
mod settings;
mod sight;
mod source;
mod topics;

pub use call::SendError;
pub use error::{KafkaError, TopicProblem};
pub use membership::REVOKE_LIMIT_MS;
pub use offsets::PLACES;
pub use plans::KafkaPlans;
pub use producer::DELIVERY_LIMIT_MS;
pub use publisher::KafkaPublisher;
pub use rejected::{KafkaRejected, KafkaRejections};
pub use salts::KafkaSalts;
pub use settings::KafkaSettings;
pub use source::KafkaSource;
pub use topics::ensure as ensure_topics;

/// A member of the consumer group whose process is silent for longer than this loses its partitions; milliseconds.
pub const SESSION_TIMEOUT_MS: u64 = 6_000;
