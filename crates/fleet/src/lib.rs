//! Thousands of simulated machines in one process. Each has a key of its own, joins as any machine does, holds a real
//! connection, sends facts as a machine of its kind would have them, and reports every desired document as applied.
//!
//! What is simulated is the machine; enrolment, TLS and messages are the agent's own. It must never touch the kernel or
//! the files of the machine it runs on, but for its state directory.

pub mod agent;
pub mod fleet;
pub mod machine;
pub mod state;

/// Why a fleet could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A machine was not let in.
    #[error("{0} was not let in: {1:#}")]
    Enrol(String, anyhow::Error),
    /// An identity cannot be used.
    #[error("{0} cannot connect: {1:#}")]
    Identity(String, anyhow::Error),
    /// A machine was told to go.
    #[error("the server dismissed {0}: {1}")]
    Dismissed(String, String),
    /// The state directory cannot be used.
    #[error("{0}: {1}")]
    State(String, std::io::Error),
    /// The state is of another fleet.
    #[error("the state directory holds {found} machines of {server}, not {wanted} of {asked}")]
    OtherFleet {
        /// Machines found.
        found: usize,
        /// Their server.
        server: String,
        /// Machines asked for.
        wanted: usize,
        /// The server asked for.
        asked: String,
    },
}
