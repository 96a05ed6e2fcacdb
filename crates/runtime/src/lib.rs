//! What every service needs: settings, logging, metrics registry, health, admin server, tasks and shutdown.

pub mod settings;
