//! How often the rules of a machine have matched, as its agent last said: private records by machine, replaced as a whole.

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Read, Scope, StoreError, Write};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The document kind.
pub(crate) const KIND: &str = "rule-hits";
/// Rules that are kept of a machine.
const MOST: usize = 10_000;
/// The longest text of a row, in bytes.
const LONGEST: usize = 1024;

/// How often one rule has matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleHits {
    /// The interface on the machine.
    pub interface: String,
    /// `Inbound` or `Outbound`.
    pub direction: String,
    /// The id of the group.
    pub group: String,
    /// The rule's name.
    pub rule: String,
    /// Whether the group only counted what it would have denied.
    #[serde(default)]
    pub audit: bool,
    /// First packets of flows that the rule decided, since it was first loaded on the machine.
    pub packets: u64,
    /// The bytes of these packets.
    pub bytes: u64,
}

/// What is kept of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// When it was said.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The rules that have matched.
    pub rules: Vec<RuleHits>,
}

/// Keeps what an agent says. What is beyond measure is left out: an agent is not believed to be brief.
///
/// # Errors
/// Those of the database.
pub async fn keep(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    mut rules: Vec<RuleHits>,
) -> Result<(), StoreError> {
    rules
        .retain(|r| [&r.interface, &r.direction, &r.group, &r.rule].iter().all(|text| text.len() <= LONGEST));
    rules.truncate(MOST);
    let kept = Kept { at: tx.now(), rules };
    write_document(tx, KIND, &machine.key(), &kept).await
}

/// What is kept of a machine.
///
/// # Errors
/// Those of the database.
pub async fn of(read: &mut (dyn Read + '_), machine: &Scope) -> Result<Option<Kept>, StoreError> {
    read_document(read, KIND, &machine.key()).await
}
