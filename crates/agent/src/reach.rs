//! The list of hosts near this machine to which it leads. It is read whenever it is asked, so that what an administrator
//! takes out of it is closed at once.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sekisho_link::reach::{self, Reach};

/// Where the list is.
#[derive(Debug, Clone)]
pub(crate) struct ReachFile(PathBuf);

impl ReachFile {
    pub(crate) fn new(path: PathBuf) -> ReachFile {
        ReachFile(path)
    }

    /// The list. What cannot be read, or could have been written by others than root, leads nowhere, and is told of.
    pub(crate) fn list(&self) -> Vec<Reach> {
        read(&self.0).unwrap_or_else(|error| {
            tracing::error!(
                error = format!("{error:#}"),
                "the list of hosts near this machine leads nowhere"
            );
            Vec::new()
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Reach>> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let about = file.metadata()?;
    let others = about.mode() & 0o022 != 0 || about.uid() != 0;
    ensure!(about.is_file() && !others, "{}: others than root can change it", path.display());
    let most = u64::try_from(reach::MAX_BYTES)?;
    ensure!(about.len() <= most, "{}: it is larger than {most} bytes", path.display());
    let mut text = String::new();
    file.by_ref().take(most).read_to_string(&mut text)?;
    reach::parse(&text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_list_that_others_could_have_written_or_that_cannot_be_read_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reach");
        let file = ReachFile::new(path.clone());
        assert!(file.list().is_empty());
        std::fs::write(&path, "10.0.5.0/24 22\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        let is_root = std::fs::metadata(&path).unwrap().uid() == 0;
        assert_eq!(file.list().len(), usize::from(is_root));
        for others in [0o666, 0o664] {
            mode(others);
            assert!(file.list().is_empty());
        }
        mode(0o644);
        std::fs::write(&path, "10.0.5.0/24 22\nnonsense\n").unwrap();
        assert!(file.list().is_empty());
    }
}
