//! The configuration, and who can read what it names.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Finding;
use crate::config::{self, Config};

const AREA: &str = "settings";

pub(super) fn look(config: &Config, environment: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut all: Vec<Finding> = config::unknown_variables(environment)
        .map(|name| {
            let seen = format!("the environment variable {name} is no setting and has no effect");
            Finding::warning(AREA, seen, "'sekisho server --print-config' lists all settings")
        })
        .collect();
    if config.host == "localhost" {
        all.push(Finding::warning(
            AREA,
            "'host' is localhost: passkeys and the certificate are good on this machine only",
            "Set 'host' to the name by which people reach the server, before they register passkeys",
        ));
    }
    let private = [
        Some(config.data_dir.as_path()),
        Some(&config.data_dir.join("keys")),
        config.database_password_file.as_deref(),
        config.lake_options_file.as_deref(),
        config.recordings_options_file.as_deref(),
        config.certificate.as_ref().map(|c| c.key.as_path()),
    ]
    .into_iter()
    .flatten()
    .filter_map(exposed)
    .collect::<Vec<_>>();
    if all.is_empty() && private.is_empty() {
        all.push(Finding::fine(AREA, "every setting is known, and only the server can read its secrets"));
    }
    all.extend(private);
    all
}

/// What others can read of what is secret.
fn exposed(path: &Path) -> Option<Finding> {
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) => {
            let seen = format!("{} cannot be looked at: {error}", path.display());
            return Some(Finding::bad(AREA, seen, "Run this as root or as the server's user"));
        }
    };
    (mode & 0o007 != 0).then(|| {
        let seen = format!("{} can be read by everybody (mode {:o})", path.display(), mode & 0o777);
        Finding::bad(AREA, seen, format!("chmod o-rwx {}", path.display()))
    })
}
