//! The configuration: a file and the environment.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use sekisho_server::config::{Config, PREFIX};

/// The first line sets an environment variable when it has a `=`, the rest is the file. A configuration that is taken is the
/// same after it was printed and read back; one that is refused never repeats a password.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (first, file) = text.split_once('\n').unwrap_or(("", text));
    let variable = first.split_once('=').map(|(name, value)| (format!("{PREFIX}{name}"), value.to_owned()));
    let environment: BTreeMap<String, String> = variable.into_iter().collect();
    let config = match load(file, &environment) {
        Ok(config) => config,
        Err(error) => {
            // A key that is not known is named; it is no secret.
            let names_a_key = error.contains("there is no setting");
            assert!(names_a_key || !error.contains("hunter2"), "a password is repeated: {error}");
            return;
        }
    };
    let shown = config.describe();
    assert!(shown.parse::<toml::Table>().is_ok(), "what is shown is no configuration: {shown}");
    let again = load(&shown, &BTreeMap::new()).expect("what is shown is refused");
    assert_eq!(values(&again), values(&config));
    assert_eq!(config.certificate_names().first(), Some(&config.host));
    assert!(config.lake_retention_days > 0 && !config.join_address.is_empty());
}

fn load(text: &str, environment: &BTreeMap<String, String>) -> Result<Config, String> {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let path = DIRECTORY.get_or_init(crate::directory).path().join("sekisho.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), environment).map_err(|e| e.to_string())
}

/// Everything but where it came from.
fn values(config: &Config) -> toml::Table {
    config.describe().parse().unwrap()
}
