//! What a machine's agent is told of sessions over SSH.

use serde::{Deserialize, Serialize};

/// The part's name in a desired document. Where it is missing, the machine's SSH server knows nothing of the bastion.
pub const PART: &str = "ssh";

/// Whom the machine's SSH server is to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SshPart {
    /// The authorities of people, as OpenSSH writes public keys, oldest first.
    pub authorities: Vec<String>,
    /// Keys that are good no more, in the same form.
    pub revoked: Vec<String>,
    /// Certificates of the machine's host keys, as OpenSSH writes them.
    pub host_certificates: Vec<String>,
}
