//! The rules of the design that a run can leave out. Production code knows nothing of it: each is broken at a seam, by the
//! store that a lane writes to and is restored from, by the log, or by the writer of control records.

/// A rule, left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The marker goes out before the journeys of a flush.
    Marker,
    /// Closed minutes are stored when the marker is written.
    MinutesBeforeMarker,
    /// Raw events are stored when the partition's marker is written, which says so.
    EventsBeforeMarker,
    /// Raw events are stored when the progress is written that says so.
    EventsBeforeProgress,
    /// Who was erased is stored when the progress is written that passes the record.
    ErasuresBeforeProgress,
    /// Journeys are stored when the progress is written that says so.
    JourneysBeforeProgress,
    /// Journeys are stamped with the position of their flush, not with that of the flush before.
    JourneyStamp,
    /// A restore takes progress's clock.
    ProgressClock,
    /// A restore begins where progress says.
    ProgressOffset,
    /// A restore reads journeys after progress.
    JourneysAfterProgress,
    /// A restore reads the marker last.
    MarkerLast,
    /// A build begins when everything before its cut-off is stored.
    BuildBarrier,
    /// The log forgets only what is stored and needed by no build.
    LogKeepsWhatIsNeeded,
    /// An acknowledgement comes after the event is durable.
    AcknowledgeWhenDurable,
    /// The first copy of a message wins in the raw table.
    FirstCopyWins,
    /// A plan is announced to all partitions under one generation.
    OneGenerationAPlan,
    /// A log begins no generation that a log before it used.
    GenerationFloor,
    /// Of ids of other partitions counts what was stored when the links were found.
    LinkedAsOfSet,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Marker,
        Self::MinutesBeforeMarker,
        Self::EventsBeforeMarker,
        Self::EventsBeforeProgress,
        Self::ErasuresBeforeProgress,
        Self::JourneysBeforeProgress,
        Self::JourneyStamp,
        Self::ProgressClock,
        Self::ProgressOffset,
        Self::JourneysAfterProgress,
        Self::MarkerLast,
        Self::BuildBarrier,
        Self::LogKeepsWhatIsNeeded,
        Self::AcknowledgeWhenDurable,
        Self::FirstCopyWins,
        Self::OneGenerationAPlan,
        Self::GenerationFloor,
        Self::LinkedAsOfSet,
    ];
}
