//! The panels that every service's dashboard ends with: what its processes use, and whether one failed.

use crate::dashboard::Dashboard;
use crate::panel::Panel;

impl Dashboard {
    /// A row about the processes with `service`: those that have the metric `marker`.
    pub(crate) fn processes(self, service: &str, marker: &str) -> Self {
        let about = format!("Of every process with {service}.");
        let lines = |title, expr: &str| {
            Panel::lines(title, &about)
                .over_time(&format!("{expr} and on (job, instance) {marker}"), "{{instance}}")
                .zero_based()
        };
        self.row("Processes")
            .add(8, 9, lines("Memory", "process_resident_memory_bytes").unit("bytes"))
            .add(8, 9, lines("CPU", "rate(process_cpu_seconds_total[$__rate_interval])").unit("short"))
            .add(8, 9, panics())
    }
}

fn panics() -> Panel {
    Panel::lines("Panics", "Tasks and threads that ended by a defect. Must be 0.")
        .over_time(
            "sum by (instance) (rungs_task_panics_total) or sum by (instance) (rungs_tasks) * 0",
            "{{instance}}",
        )
        .unit("short")
        .zero_based()
}
