//! The decision itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::location::Locations;
use super::policy::{Grant, Places, Policy, Rules, State, Target, Whom};
use super::signals::{Signals, Subject};
use super::strength::{Combination, Strengths, since};
use crate::session::Proof;

/// Why a policy does not apply (Graph's `whatIfAnalysisReasons`), in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NotApplied {
    /// It is switched off.
    PolicyNotEnabled,
    /// It is about other people.
    Users,
    /// It is about programs, or about other ones.
    WorkloadIdentities,
    /// It is about other applications.
    Application,
    /// It is about another action.
    UserActions,
    /// It is about a step up that was not asked for.
    AuthenticationContext,
    /// It is about other systems.
    DevicePlatform,
    /// It is about other clients.
    ClientApps,
    /// It is about other places.
    Location,
    /// It is about stranger sign-ins.
    SignInRisk,
    /// It is about accounts in more danger.
    UserRisk,
    /// It is about another flow.
    AuthenticationFlow,
}

/// What a policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is not about it.
    NotApplied(NotApplied),
    /// It is satisfied.
    Success,
    /// Something must be proved first.
    Interrupted,
    /// It blocks.
    Failure,
}

/// What one policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyResult {
    /// Which policy.
    pub policy: Uuid,
    /// Whether it holds.
    pub state: State,
    /// What it says.
    pub outcome: Outcome,
}

impl PolicyResult {
    /// The word of Graph's `appliedConditionalAccessPolicyResult`.
    pub fn word(&self) -> &'static str {
        match (self.state, self.outcome) {
            (State::Disabled, _) => "notEnabled",
            (State::Enabled, Outcome::NotApplied(_)) => "notApplied",
            (State::Enabled, Outcome::Success) => "success",
            (State::Enabled, Outcome::Interrupted | Outcome::Failure) => "failure",
            (State::ReportOnly, Outcome::NotApplied(_)) => "reportOnlyNotApplied",
            (State::ReportOnly, Outcome::Success) => "reportOnlySuccess",
            (State::ReportOnly, Outcome::Interrupted) => "reportOnlyInterrupted",
            (State::ReportOnly, Outcome::Failure) => "reportOnlyFailure",
        }
    }
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// For each policy that is not satisfied: what would satisfy it. One combination of each must be proved.
    pub needs: Vec<BTreeSet<Combination>>,
    /// How old that proof may be.
    pub max_age: Option<Duration>,
    /// The policies.
    pub by: Vec<Uuid>,
}

impl Demand {
    /// Whether one combination satisfies everything.
    pub fn is_met_by(&self, proved: Combination) -> bool {
        self.needs.iter().all(|need| need.iter().any(|c| proved.contains(*c)))
    }
}

/// What holds for the session: the strictest of all policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// How old the proofs may be.
    pub max_age: Option<Duration>,
    /// Time without requests after which it ends.
    pub idle: Option<Duration>,
    /// Whether it holds from its own address only.
    pub bound_to_address: bool,
}

impl Limits {
    fn tighten(&mut self, other: &super::policy::Session) {
        let least = |a: Option<Duration>, b: Option<Duration>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.max_age = least(self.max_age, other.max_age);
        self.idle = least(self.idle, other.idle);
        self.bound_to_address |= other.bound_to_address;
    }
}

/// Whether a request is let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is, within limits.
    Granted(Limits),
    /// It would be, if something were proved.
    Demanded(Demand),
    /// It is not, whatever is proved.
    Blocked(Vec<Uuid>),
}

/// The verdict and what every policy says, also those that only report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether the request is let through.
    pub verdict: Verdict,
    /// One for each policy, in their order.
    pub results: Vec<PolicyResult>,
}

/// Decides. `proofs` is what was proved, whenever that was.
pub fn evaluate<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    locations: &Locations,
    strengths: &Strengths,
    signals: &Signals,
    proofs: &[Proof],
    now: OffsetDateTime,
) -> Evaluation {
    let mut results = Vec::new();
    let mut blocked = Vec::new();
    let mut demand = Demand { needs: Vec::new(), max_age: None, by: Vec::new() };
    let mut limits = Limits::default();
    for policy in policies {
        let outcome = match policy.rules.applies(policy.state, signals, locations) {
            Err(why) => Outcome::NotApplied(why),
            Ok(()) => {
                let unmet = policy.rules.unmet(strengths, proofs, now);
                let outcome = match (&policy.rules.grant, &unmet) {
                    (Grant::Block, _) => Outcome::Failure,
                    (_, Some(_)) => Outcome::Interrupted,
                    (_, None) => Outcome::Success,
                };
                if policy.state == State::Enabled {
                    limits.tighten(&policy.rules.session);
                    match (outcome, unmet) {
                        (Outcome::Failure, _) => blocked.push(policy.id),
                        (_, Some(needs)) => {
                            demand.needs.extend(needs);
                            demand.by.push(policy.id);
                        }
                        _ => {}
                    }
                }
                outcome
            }
        };
        results.push(PolicyResult { policy: policy.id, state: policy.state, outcome });
    }
    demand.max_age = limits.max_age;
    let verdict = match (blocked.is_empty(), demand.by.is_empty()) {
        (false, _) => Verdict::Blocked(blocked),
        (true, false) => Verdict::Demanded(demand),
        (true, true) => Verdict::Granted(limits),
    };
    Evaluation { verdict, results }
}

impl Rules {
    fn applies(&self, state: State, signals: &Signals, locations: &Locations) -> Result<(), NotApplied> {
        let is = |holds: bool, otherwise: NotApplied| if holds { Ok(()) } else { Err(otherwise) };
        is(state != State::Disabled, NotApplied::PolicyNotEnabled)?;
        self.is_about(&signals.subject)?;
        match &self.target {
            Target::Applications { include, exclude } => is(
                !signals.registers_security_info
                    && include.has_any(&signals.applications)
                    && !exclude.has_any(&signals.applications),
                NotApplied::Application,
            )?,
            Target::SecurityInfo => is(signals.registers_security_info, NotApplied::UserActions)?,
            Target::Contexts(contexts) => is(
                signals.context.as_ref().is_some_and(|c| contexts.contains(c)),
                NotApplied::AuthenticationContext,
            )?,
        }
        if let Some((include, exclude)) = &self.platforms {
            let listed = |set: &Vec<_>| signals.platform.is_some_and(|p| set.contains(&p));
            // Who does not say on which system they are, is on all of them and on none that is spared.
            let included = include.as_ref().is_none_or(|set| signals.platform.is_none() || listed(set));
            is(included && !listed(exclude), NotApplied::DevicePlatform)?;
        }
        is(self.clients.is_empty() || self.clients.contains(&signals.client), NotApplied::ClientApps)?;
        if let Some((include, exclude)) = &self.places {
            let included = include.hold(signals, locations, true);
            is(included && !exclude.hold(signals, locations, false), NotApplied::Location)?;
        }
        let risky = |levels: &Vec<_>, level| levels.is_empty() || levels.contains(&level);
        is(risky(&self.sign_in_risk, signals.sign_in_risk), NotApplied::SignInRisk)?;
        is(risky(&self.user_risk, signals.user_risk), NotApplied::UserRisk)?;
        is(self.flows.is_empty() || self.flows.contains(&signals.flow), NotApplied::AuthenticationFlow)
    }

    fn is_about(&self, subject: &Subject) -> Result<(), NotApplied> {
        match (&self.whom, subject) {
            (
                Whom::People {
                    include,
                    exclude,
                    include_groups,
                    exclude_groups,
                    include_roles,
                    exclude_roles,
                },
                Subject::Person { id, groups, possible_groups, roles, privileged, break_glass },
            ) => {
                let among = |some: &[Uuid], of: &[Uuid]| of.iter().any(|g| some.contains(g));
                let included = include.has(*id)
                    || among(include_groups, groups)
                    || among(include_groups, possible_groups)
                    || include_roles.has_any(roles, *privileged);
                let excluded = *break_glass
                    || exclude.has(*id)
                    || among(exclude_groups, groups)
                    || exclude_roles.has_any(roles, *privileged);
                if included && !excluded { Ok(()) } else { Err(NotApplied::Users) }
            }
            (Whom::Programs { include, exclude }, Subject::Program { id }) => {
                let about = include.has(*id) && !exclude.has(*id);
                if about { Ok(()) } else { Err(NotApplied::WorkloadIdentities) }
            }
            (Whom::Programs { .. }, Subject::Person { .. }) => Err(NotApplied::WorkloadIdentities),
            (Whom::People { .. }, Subject::Program { .. }) => Err(NotApplied::Users),
        }
    }

    /// What would satisfy it, where it is not satisfied.
    fn unmet(
        &self,
        strengths: &Strengths,
        proofs: &[Proof],
        now: OffsetDateTime,
    ) -> Option<Vec<BTreeSet<Combination>>> {
        let proved = Combination::proved(proofs, since(self.session.max_age, now));
        let need = |strength: Uuid| -> BTreeSet<Combination> {
            strengths.combinations(strength).iter().copied().collect()
        };
        let met = |need: &BTreeSet<Combination>| need.iter().any(|c| proved.contains(*c));
        let needs: Vec<BTreeSet<Combination>> = match &self.grant {
            // Only the age counts: anything that signs in will do.
            Grant::Open if self.session.max_age.is_some() => {
                let ways = [
                    Combination::PASSKEY,
                    Combination::PASSWORD_AND_CODE,
                    Combination::PASSWORD_AND_RECOVERY,
                    Combination::PASS,
                ];
                vec![ways.into()]
            }
            Grant::Open | Grant::Block => Vec::new(),
            Grant::Require { all: true, controls } => controls.iter().map(|c| need(c.strength)).collect(),
            Grant::Require { all: false, controls } => {
                vec![controls.iter().flat_map(|c| need(c.strength)).collect()]
            }
        };
        let unmet: Vec<_> = needs.into_iter().filter(|need| !met(need)).collect();
        (!unmet.is_empty()).then_some(unmet)
    }
}

impl Places {
    /// `unknown` is what holds of a location that does not exist any more.
    fn hold(&self, signals: &Signals, locations: &Locations, unknown: bool) -> bool {
        self.all
            || (self.trusted && locations.trusts(signals.address))
            || self
                .ids
                .iter()
                .any(|id| locations.holds(*id, signals.address, signals.country).unwrap_or(unknown))
    }
}
