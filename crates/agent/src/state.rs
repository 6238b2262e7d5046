//! What the agent keeps on disk: its identity, the newest desired document, the last confirmed policy, the journal of a
//! change that is not confirmed yet, and what was seen of the log. Every file is written beside itself, synced and renamed, so that a crash
//! leaves the old or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sekisho_agent::enrol::Identity;
use sekisho_bastion::part::SshPart;
use sekisho_jit::agent::Ledger;
use sekisho_jit::part::JitPart;
use sekisho_jit::usage::Tally;
use sekisho_link::SignedDesired;
use sekisho_link::message::Report;
use sekisho_link::stream::Stream;
use sekisho_nsg::agent::{Saved, compile};
use sekisho_nsg::compile::Compiled;
use sekisho_nsg::flow::part::FlowPart;
use sekisho_nsg::policy::NsgPart;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::elevation::Memory;
use crate::log::Seen;
use crate::since_boot::Standing;

/// A file of the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The operating system says no.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// The content is not what this version wrote.
    #[error("{0} cannot be read: {1}")]
    Content(PathBuf, serde_json::Error),
}

/// The policy that was confirmed last: what is restored and repaired to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    /// Its generation.
    pub(crate) generation: u64,
    /// The policy. Without any NIC there is no table at all.
    pub(crate) part: NsgPart,
    /// What is guarded and open. The guarded ports are in the policy, too.
    #[serde(default)]
    pub(crate) access: JitPart,
    /// Whose flows are logged. Where what is denied is told of is in the policy, too.
    #[serde(default)]
    pub(crate) flows: FlowPart,
    /// Whom the SSH server trusts; nobody of the bastion's without it.
    #[serde(default)]
    pub(crate) ssh: Option<SshPart>,
}

impl Confirmed {
    /// The policy as the kernel shall hold it; `None` when there shall be no table.
    pub(crate) fn compile(&self) -> Option<Compiled> {
        (!self.part.nics.is_empty()).then(|| compile(&self.part, self.generation))
    }
}

/// A change that was begun and not confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// The generation being applied.
    pub(crate) generation: u64,
    /// What to put back.
    pub(crate) saved: Saved,
}

/// Held by the agent that runs; its process is written into it.
const LOCK: &str = "agent.lock";
const LEDGER: &str = "access.json";
const STANDING: &str = "standing.json";
const USAGE: &str = "usage.json";
const ELEVATIONS: &str = "elevations.json";
const TRUST: &str = "trust-log.json";
const SSHD_READ: &str = "sshd-read.json";

/// The state directory.
#[derive(Debug, Clone)]
pub(crate) struct State {
    dir: PathBuf,
}

impl State {
    /// The state in a directory, which need not exist yet.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory, for root only.
    pub(crate) fn create(&self) -> Result<(), StateError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|e| StateError::Io(self.dir.clone(), e))
    }

    pub(crate) fn identity(&self) -> Result<Option<Identity>, StateError> {
        self.read("identity.json")
    }
    pub(crate) fn keep_identity(&self, identity: &Identity) -> Result<(), StateError> {
        self.write("identity.json", identity)
    }
    pub(crate) fn desired(&self) -> Result<Option<SignedDesired>, StateError> {
        self.read("desired.json")
    }
    pub(crate) fn keep_desired(&self, desired: &SignedDesired) -> Result<(), StateError> {
        self.write("desired.json", desired)
    }
    pub(crate) fn confirmed(&self) -> Result<Option<Confirmed>, StateError> {
        self.read("confirmed.json")
    }
    pub(crate) fn keep_confirmed(&self, confirmed: &Confirmed) -> Result<(), StateError> {
        self.write("confirmed.json", confirmed)
    }
    pub(crate) fn report(&self) -> Result<Option<Report>, StateError> {
        self.read("report.json")
    }
    pub(crate) fn keep_report(&self, report: &Report) -> Result<(), StateError> {
        self.write("report.json", report)
    }
    pub(crate) fn journal(&self) -> Result<Option<Journal>, StateError> {
        self.read("journal.json")
    }
    pub(crate) fn keep_journal(&self, journal: &Journal) -> Result<(), StateError> {
        self.write("journal.json", journal)
    }
    /// What is remembered of the ports that were opened.
    pub(crate) fn ledger(&self) -> Result<Ledger, StateError> {
        Ok(self.read(LEDGER)?.unwrap_or_default())
    }
    pub(crate) fn keep_ledger(&self, ledger: &Ledger) -> Result<(), StateError> {
        self.write(LEDGER, ledger)
    }
    /// What is remembered of the board's clock.
    pub(crate) fn standing(&self) -> Result<Option<Standing>, StateError> {
        self.read(STANDING)
    }
    pub(crate) fn keep_standing(&self, standing: &Standing) -> Result<(), StateError> {
        self.write(STANDING, standing)
    }
    /// What open ports have carried.
    pub(crate) fn usage(&self) -> Result<Tally, StateError> {
        Ok(self.read(USAGE)?.unwrap_or_default())
    }
    pub(crate) fn keep_usage(&self, tally: &Tally) -> Result<(), StateError> {
        self.write(USAGE, tally)
    }
    /// What users were given.
    pub(crate) fn elevations(&self) -> Result<Memory, StateError> {
        Ok(self.read(ELEVATIONS)?.unwrap_or_default())
    }
    pub(crate) fn keep_elevations(&self, memory: &Memory) -> Result<(), StateError> {
        self.write(ELEVATIONS, memory)
    }
    /// What was seen of the log.
    pub(crate) fn seen(&self) -> Result<Option<Seen>, StateError> {
        self.read("log.json")
    }
    pub(crate) fn keep_seen(&self, seen: &Seen) -> Result<(), StateError> {
        self.write("log.json", seen)
    }
    /// The key by which this machine says so, base64.
    pub(crate) fn witness_key(&self) -> Result<Option<String>, StateError> {
        self.read("witness.json")
    }
    pub(crate) fn keep_witness_key(&self, key: &str) -> Result<(), StateError> {
        self.write("witness.json", &key)
    }
    /// The files that the SSH server is known to have read when it started, by their names below `/etc/ssh`.
    pub(crate) fn sshd_read(&self) -> Result<BTreeMap<String, String>, StateError> {
        Ok(self.read(SSHD_READ)?.unwrap_or_default())
    }
    pub(crate) fn keep_sshd_read(&self, files: &BTreeMap<String, String>) -> Result<(), StateError> {
        self.write(SSHD_READ, files)
    }
    /// A person asks that the log be trusted again; the agent that runs takes note of it.
    pub(crate) fn ask_trust(&self) -> Result<(), StateError> {
        self.write(TRUST, &true)
    }
    pub(crate) fn is_trust_asked(&self) -> bool {
        self.dir.join(TRUST).exists()
    }
    pub(crate) fn forget_trust(&self) -> Result<(), StateError> {
        self.remove(TRUST)
    }
    pub(crate) fn clear_journal(&self) -> Result<(), StateError> {
        self.remove("journal.json")
    }

    /// How many connections to the server were opened, as far as was kept.
    pub(crate) fn connections(&self) -> Result<u64, StateError> {
        Ok(self.read("connections.json")?.unwrap_or(0))
    }
    pub(crate) fn keep_connections(&self, count: u64) -> Result<(), StateError> {
        self.write("connections.json", &count)
    }

    /// Marks this process as the one agent of this state for as long as the lock is held; `None` when there is one
    /// already. Two would use one key and be taken for two machines.
    pub(crate) fn lock(&self) -> Result<Option<Flock<File>>, StateError> {
        let mut held = match self.try_lock()? {
            Some(held) => held,
            None => return Ok(None),
        };
        let noted = held.set_len(0).and_then(|()| held.write_all(std::process::id().to_string().as_bytes()));
        noted.map_err(|e| StateError::Io(self.dir.join(LOCK), e))?;
        Ok(Some(held))
    }

    /// The process of the agent that runs on this state.
    pub(crate) fn running(&self) -> Result<Option<u32>, StateError> {
        if self.try_lock()?.is_some() {
            return Ok(None);
        }
        Ok(fs::read_to_string(self.dir.join(LOCK)).ok().and_then(|text| text.trim().parse().ok()))
    }

    fn try_lock(&self) -> Result<Option<Flock<File>>, StateError> {
        let path = self.dir.join(LOCK);
        let failed = |e: io::Error| StateError::Io(path.clone(), e);
        let open = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        match Flock::lock(open.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(held)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    /// Has the streams of events be numbered anew from the next start on: what another machine with a copy of this state
    /// told meanwhile has the same numbers.
    pub(crate) fn renumber_events(&self) -> Result<(), StateError> {
        for stream in Stream::ALL {
            self.remove(&format!("spool/{}/boot", stream.word()))?;
        }
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) -> Result<(), StateError> {
        for name in [
            "identity.json",
            "desired.json",
            "confirmed.json",
            "report.json",
            "journal.json",
            "connections.json",
            "log.json",
            "witness.json",
            TRUST,
            LEDGER,
            USAGE,
            ELEVATIONS,
            SSHD_READ,
            "deadman.lock",
        ] {
            self.remove(name)?;
        }
        // What was not told yet is nothing to whoever this machine joins next.
        let spool = self.dir.join("spool");
        match fs::remove_dir_all(&spool) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::Io(spool, error)),
            _ => Ok(()),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let path = self.dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| StateError::Content(path, e)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::Io(path, error)),
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        let path = self.dir.join(name);
        let fresh = self.dir.join(format!("{name}.new"));
        let bytes = serde_json::to_vec(value).map_err(|e| StateError::Content(path.clone(), e))?;
        let written = (|| {
            let mut file =
                OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.dir)?.sync_all()
        })();
        written.map_err(|e| StateError::Io(path, e))
    }

    fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::Io(path, error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_kept_reads_back_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(&dir.path().join("s"));
        state.create().unwrap();
        assert_eq!(state.journal().unwrap(), None);
        let journal = Journal { generation: 7, saved: Saved::Nothing };
        state.keep_journal(&journal).unwrap();
        assert_eq!(state.journal().unwrap(), Some(journal));
        let mode = |p: PathBuf| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.dir().join("journal.json")), 0o600);
        assert_eq!(mode(state.dir().to_owned()), 0o700);
        state.clear_journal().unwrap();
        assert_eq!(state.journal().unwrap(), None);
    }

    #[test]
    fn a_machine_that_left_has_nothing_to_tell_whoever_it_joins_next() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        fs::create_dir_all(dir.path().join("spool/security")).unwrap();
        fs::write(dir.path().join("spool/security/000000000001.seg"), "told to nobody").unwrap();
        state.keep_connections(7).unwrap();
        state.clear().unwrap();
        assert!(!dir.path().join("spool").exists());
        assert_eq!(state.connections().unwrap(), 0);
        state.clear().unwrap();
    }

    #[test]
    fn one_agent_runs_on_a_state_and_is_known_by_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        assert_eq!(state.running().unwrap(), None);
        let held = state.lock().unwrap().unwrap();
        assert!(state.lock().unwrap().is_none());
        assert_eq!(state.running().unwrap(), Some(std::process::id()));
        drop(held);
        assert_eq!(state.running().unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it_and_never_an_empty_state() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        fs::write(dir.path().join("confirmed.json"), "{").unwrap();
        assert!(state.confirmed().unwrap_err().to_string().contains("confirmed.json"));
    }
}
