//! Why the log on Kafka could not be opened.

use std::fmt::Write as _;

use rdkafka::error::KafkaError as ClientError;

use super::settings::KafkaSettings;

/// Why the log on Kafka could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KafkaError {
    /// A setting makes no sense.
    #[error("{0}")]
    Settings(String),
    /// No broker answered in time. May pass.
    #[error("Kafka at {brokers} does not answer: {cause}")]
    Unreachable {
        /// `[kafka] brokers`.
        brokers: String,
        /// librdkafka's own words.
        cause: String,
    },
    /// Topics exist, but not as they must be.
    #[error("{}", listed(.0))]
    Topics(Vec<TopicProblem>),
    /// librdkafka or the brokers refused something else.
    #[error("Kafka: {0}")]
    Client(String),
}

/// What is wrong with one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProblem {
    /// Its name.
    pub topic: String,
    /// Each difference, e.g. `cleanup.policy is compact, must be delete`.
    pub differences: Vec<String>,
    /// What to do, a command or a sentence each.
    pub fixes: Vec<String>,
}

impl KafkaError {
    /// Whether it may work a moment later without anybody's doing.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(super) fn unreachable(settings: &KafkaSettings, cause: impl ToString) -> Self {
        Self::Unreachable { brokers: settings.brokers.clone().unwrap_or_default(), cause: cause.to_string() }
    }
}

/// What librdkafka says when it makes a client: its settings are wrong.
impl From<ClientError> for KafkaError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::ClientConfig(_, what, key, value) => {
                Self::Settings(format!("[kafka.options] \"{key}\" = \"{value}\": {what}"))
            }
            ClientError::ClientCreation(what) => Self::Settings(format!("[kafka]: {what}")),
            other => Self::Client(other.to_string()),
        }
    }
}

fn listed(problems: &[TopicProblem]) -> String {
    let mut text = "Kafka's topics are not as they must be".to_owned();
    for problem in problems {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}:", problem.topic);
        for difference in &problem.differences {
            let _ = write!(text, "\n  {difference}");
        }
        for fix in &problem.fixes {
            let _ = write!(text, "\n  to mend it: {fix}");
        }
    }
    text
}
