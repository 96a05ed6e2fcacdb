//! Writes the dashboards to `observability/grafana/dashboards`: run it after a change of a dashboard's source.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana/dashboards");
    for (name, dashboard) in observability::all() {
        std::fs::write(folder.join(name), observability::text(&dashboard))?;
    }
    Ok(())
}
