//! What agent and server say to each other: JSON in binary WebSocket messages, which go in [`frames`].
//!
//! Unknown messages are ignored by both sides, so that either may be newer; every message is at most
//! [`MAX_FRAME_BYTES`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use sekisho_audit::Succession;
use sekisho_audit::note::Verifier;
use sekisho_audit::witness::Advance;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::command::Command;
use crate::desired::CommandKey;
use crate::duplicate::Lineage;
use crate::hits::RuleHits;
use crate::stream::{Batch, Epoch, Stream};
use crate::ticket::Opening;

/// Largest message accepted, in bytes, and largest frame.
pub const MAX_FRAME_BYTES: usize = 8 << 20;
/// Messages go in frames of at most so many bytes. Each end keeps, for as long as the connection lives, a buffer of the largest
/// frame that came or went, and the server has thousands of connections.
const FRAME_BYTES: usize = 512;
/// Largest frame that opens a connection.
pub const MAX_HELLO_BYTES: usize = 64 << 10;

/// The frames that a message goes in: what is in each, whether it is the first, and whether it is the last.
pub fn frames(message: &[u8]) -> impl Iterator<Item = (&[u8], bool, bool)> {
    let count = message.len().div_ceil(FRAME_BYTES);
    message.chunks(FRAME_BYTES).enumerate().map(move |(at, part)| (part, at == 0, at + 1 == count))
}

/// `POST /link/join`: a machine asks to be let in.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinRequest {
    /// The secret of the join string, base64url.
    pub secret: String,
    /// A certificate signing request, PEM: proves that the machine has the key.
    pub csr: String,
    /// The machine's host name.
    pub hostname: String,
    /// The ARM id of the machine that it is already, when it joins again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
}

/// The answer to a join.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinAnswer {
    /// The agent's id.
    pub agent_id: String,
    /// The machine's ARM id.
    pub machine: String,
    /// The client certificate, PEM.
    pub certificate: String,
    /// The authorities that live, PEM.
    pub ca: String,
    /// The server's command key, base64.
    pub command_key: String,
    /// The log's key, a C2SP `vkey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<String>,
}

/// `POST /link/renew`: an agent whose certificate is over asks for another one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// A certificate signing request, PEM, for a new key.
    pub csr: String,
}

/// The answer to that.
#[derive(Debug, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// The certificate, PEM.
    pub certificate: String,
    /// The authorities that live, PEM.
    pub ca: String,
}

/// From agent to server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum ToServer {
    /// The first message of a connection.
    #[serde(rename_all = "camelCase")]
    Hello {
        /// The agent's version.
        version: String,
        /// The kernel's boot id.
        boot_id: String,
        /// The newest generation this agent has seen.
        generation: u64,
        /// How the newest one ended.
        report: Option<Report>,
        /// The hash of the facts the server was last sent.
        facts_hash: Option<String>,
        /// What the agent says of its own life.
        #[serde(default)]
        lineage: Lineage,
        /// What it remembers of the log.
        #[serde(default)]
        log: Remembered,
    },
    /// All facts.
    Facts {
        /// The facts.
        facts: Value,
    },
    /// A difference to the facts sent before.
    #[serde(rename_all = "camelCase")]
    FactsPatch {
        /// The hash of the facts it applies to.
        base: String,
        /// RFC 7396 merge patch.
        patch: Value,
        /// The hash of the result.
        hash: String,
    },
    /// How a generation ended.
    Report(Report),
    /// Nothing new; the machine lives.
    Alive,
    /// A request for a fresh certificate.
    Renew {
        /// A certificate signing request, PEM, for a new key.
        csr: String,
    },
    /// What the machine has to tell.
    Events(Batch),
    /// How often its rules have matched.
    Hits {
        /// Those that have.
        rules: Vec<RuleHits>,
    },
    /// It has seen the log at a size, and that it has only grown until then.
    Witnessed {
        /// The key it cosigns with.
        key: Verifier,
        /// The size.
        size: u64,
        /// The line of the signature.
        line: String,
    },
    /// A stream that was asked for does not come.
    #[serde(rename_all = "camelCase")]
    NotOpened {
        /// The ticket's id.
        id: Uuid,
        /// Why, for a person.
        reason: String,
    },
    /// A stream that was to end has ended.
    #[serde(rename_all = "camelCase")]
    Cut {
        /// The ticket's id.
        id: Uuid,
        /// How many processes ran in its login, and were ended.
        processes: u32,
    },
    /// It was shown a log that is not the one it has seen: it obeys nothing any more.
    Distrusts {
        /// Why, for a person.
        reason: String,
    },
    /// Something this version does not know.
    #[serde(other)]
    Unknown,
}

/// What an agent remembers of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Remembered {
    /// The largest size it has seen.
    pub size: u64,
    /// Why it does not believe the log any more.
    pub distrusts: Option<String>,
}

/// How a generation ended on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The generation.
    pub generation: u64,
    /// How it ended.
    pub outcome: ReportOutcome,
    /// Why, for a person; empty when all is well.
    #[serde(default)]
    pub message: String,
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReportOutcome {
    /// It is in force.
    Applied,
    /// It could not be loaded; the one before is in force.
    Failed,
    /// It cut the machine off and was taken back.
    Reverted,
    /// Another program had removed it; it is in force again.
    Repaired,
}

/// How far a stream has got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamState {
    /// The last number kept of each epoch.
    pub last: BTreeMap<Epoch, u64>,
    /// Bytes that may be on their way at once.
    pub credit: usize,
}

/// How the keys that an agent knows were replaced, since the first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Successions {
    /// The keys that sign commands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Succession<CommandKey>>,
    /// The log's keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<Succession<Verifier>>,
}

impl Successions {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.command.len() + self.log.len()
    }
}

/// From server to agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum ToAgent {
    /// The answer to a hello.
    #[serde(rename_all = "camelCase")]
    Welcome {
        /// The hash of the facts the server has, if any.
        facts_hash: Option<String>,
        /// How far the streams have got; empty when the server takes none.
        #[serde(default)]
        streams: BTreeMap<Stream, StreamState>,
        /// The server's clock, in milliseconds since 1970.
        #[serde(default)]
        now: Option<i64>,
        /// The log's key, for an agent that joined before there was one.
        #[serde(default)]
        log_key: Option<Verifier>,
        /// How the keys that an agent knows were replaced.
        #[serde(default)]
        successions: Successions,
    },
    /// A key that agents know was replaced.
    Successions(Successions),
    /// The newest checkpoint of the log.
    Checkpoint(Advance),
    /// Everything of a stream up to a number is kept.
    Acknowledged {
        /// The stream.
        stream: Stream,
        /// Its epoch.
        epoch: Epoch,
        /// The number.
        upto: u64,
        /// Bytes that may be on their way from now on.
        credit: usize,
    },
    /// What follows a number was not received: it is to be sent again.
    Missing {
        /// The stream.
        stream: Stream,
        /// Its epoch.
        epoch: Epoch,
        /// The last number received.
        last: u64,
    },
    /// How much may be on its way has changed.
    Credit {
        /// The stream.
        stream: Stream,
        /// Bytes.
        credit: usize,
    },
    /// What the machine should be.
    Desired(Command),
    /// A stream may be opened.
    Open(Opening),
    /// A stream is to end, with everything that runs in its login.
    Cut {
        /// The ticket's id.
        id: Uuid,
    },
    /// The patch did not fit: send all facts.
    NeedFacts,
    /// A renewed certificate and the authorities that live, PEM.
    Certificate {
        /// The certificate.
        certificate: String,
        /// The authorities.
        ca: String,
    },
    /// The connection ends.
    #[serde(rename_all = "camelCase")]
    Bye {
        /// Why, for a person.
        reason: String,
        /// Come back after this many seconds; absent when never.
        retry_after: Option<u32>,
    },
    /// Something this version does not know.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_in_frames_of_which_the_first_and_the_last_say_so() {
        let message: Vec<u8> = (0..1300_u16).map(|n| n.to_le_bytes()[0]).collect();
        for length in [1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 1300] {
            let all: Vec<(&[u8], bool, bool)> = frames(&message[..length]).collect();
            let whole: Vec<u8> = all.iter().flat_map(|(part, ..)| part.to_vec()).collect();
            assert_eq!(whole, message[..length]);
            assert!(all.iter().all(|(part, ..)| part.len() <= FRAME_BYTES));
            let (first, last) = (all.iter().filter(|f| f.1).count(), all.iter().filter(|f| f.2).count());
            assert_eq!((first, last), (1, 1));
            assert!(all[0].1 && all[all.len() - 1].2);
        }
    }

    #[test]
    fn a_message_from_a_newer_version_is_unknown_and_not_an_error() {
        let read: ToAgent = serde_json::from_str(r#"{"kind":"dance","tempo":3}"#).unwrap();
        assert_eq!(read, ToAgent::Unknown);
        let report = ToServer::Report(Report {
            generation: 1,
            outcome: ReportOutcome::Applied,
            message: String::new(),
        });
        assert_eq!(
            serde_json::from_str::<ToServer>(&serde_json::to_string(&report).unwrap()).unwrap(),
            report
        );
    }
}
