//! Conditional access: which requests are let through, and what somebody has to prove before they are.
//!
//! A policy comes and goes in the shape of Microsoft Graph's `conditionalAccessPolicy` ([`body`]) and is compiled once
//! ([`policy`]). [`evaluate`] takes the policies, what is known of a request ([`signals`]), and what was proved; it runs
//! for every request, so that a change holds at once and not with the next token. [`risk`] says why a sign-in looks
//! strange, by rules that can be explained; [`lockout`] proves that a set of policies leaves somebody who can undo it.
//!
//! All policies that apply must be satisfied; within a condition, an exclusion beats an inclusion; blocking beats
//! everything. What cannot be decided counts against the request: an unknown place is in every included location and in
//! no excluded one.

pub mod body;
mod evaluate;
pub mod location;
pub mod lockout;
pub mod policy;
pub mod risk;
pub mod signals;
pub mod strength;

pub use evaluate::{Demand, Evaluation, Limits, NotApplied, Outcome, PolicyResult, Verdict, evaluate};
pub use location::{Country, Locations, NamedLocation};
pub use policy::{Policy, PolicyError, Rules, State};
pub use risk::{Reason, Risk, RiskLevel};
pub use signals::{ClientApp, Flow, Platform, Signals, Subject, application};
pub use strength::{Combination, Strengths};
