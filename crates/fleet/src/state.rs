//! What a fleet keeps: the identities of its machines in one file that only its owner can read, so that a later run
//! connects the same machines again without joining.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use sekisho_agent::enrol::Identity;

use crate::FleetError;

const FILE: &str = "identities.json";

fn failed(dir: &Path) -> impl Fn(io::Error) -> FleetError {
    let dir = dir.display().to_string();
    move |error| FleetError::State(dir.clone(), error)
}

/// The identities of an earlier run, in the order of the machines' numbers; `None` when there was none.
///
/// # Errors
/// [`FleetError::State`] when they cannot be read.
pub fn load(dir: &Path) -> Result<Option<Vec<Identity>>, FleetError> {
    match fs::read(dir.join(FILE)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| failed(dir)(e.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(dir)(error)),
    }
}

/// Keeps the identities.
///
/// # Errors
/// [`FleetError::State`] when they cannot be written.
pub fn keep(dir: &Path, identities: &[Identity]) -> Result<(), FleetError> {
    let fresh = dir.join(format!("{FILE}.new"));
    let write = || {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(identities)?)?;
        fs::rename(&fresh, dir.join(FILE))
    };
    write().map_err(failed(dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn identities_read_back_and_only_their_owner_can_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("fleet");
        assert!(load(&dir).unwrap().is_none());
        let identity = Identity {
            agent_id: "a".into(),
            machine: "/m".into(),
            address: "localhost:1".into(),
            ca: String::new(),
            certificate: String::new(),
            key: "k".into(),
            command_key: String::new(),
            log_key: None,
        };
        keep(&dir, &[identity]).unwrap();
        assert_eq!(load(&dir).unwrap().unwrap()[0].key, "k");
        assert_eq!(fs::metadata(dir.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(dir.join(FILE), "{").unwrap();
        assert!(load(&dir).is_err());
    }
}
