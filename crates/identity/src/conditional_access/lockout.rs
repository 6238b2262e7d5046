//! Whether a set of policies leaves anybody who can undo it.
//!
//! Every administrator is tried in the place they last came from, with everything they could prove. If none of them
//! gets through, the set is refused, and for each of them is said what is in the way. Accounts that no policy holds for
//! are not counted while there are others: they are for the day on which this proof was wrong.

use time::OffsetDateTime;
use uuid::Uuid;

use super::evaluate::{Verdict, evaluate};
use super::location::Locations;
use super::policy::Policy;
use super::signals::{Signals, Subject};
use super::strength::Strengths;
use crate::session::{Method, Proof};

/// Somebody who could change policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// What people call them.
    pub name: String,
    /// How they last came, or how they would.
    pub signals: Signals,
    /// What they have registered.
    pub methods: Vec<Method>,
}

/// An administrator who would not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Who.
    pub name: String,
    /// Whether they are blocked, or lack something to prove.
    pub blocked: bool,
    /// By which policies.
    pub by: Vec<Uuid>,
}

/// Finds out whether somebody gets through.
///
/// # Errors
/// Everybody, with what stops them; also when there is nobody at all.
pub fn leaves_somebody(
    policies: &[Policy],
    locations: &Locations,
    strengths: &Strengths,
    administrators: &[Administrator],
    now: OffsetDateTime,
) -> Result<(), Vec<Stopped>> {
    let glass = |a: &&Administrator| matches!(a.signals.subject, Subject::Person { break_glass: true, .. });
    let ordinary = administrators.iter().any(|a| !glass(&a));
    let mut stopped = Vec::new();
    for administrator in administrators.iter().filter(|a| !ordinary || !glass(a)) {
        let proofs: Vec<Proof> =
            administrator.methods.iter().map(|m| Proof { method: *m, at: now }).collect();
        let nothing_to_prove = proofs.is_empty();
        let signals = &administrator.signals;
        let (blocked, by) = match evaluate(policies, locations, strengths, signals, &proofs, now).verdict {
            Verdict::Granted(_) if nothing_to_prove => (false, Vec::new()),
            Verdict::Granted(_) => return Ok(()),
            Verdict::Blocked(by) => (true, by),
            Verdict::Demanded(demand) => (false, demand.by),
        };
        stopped.push(Stopped { name: administrator.name.clone(), blocked, by });
    }
    Err(stopped)
}
