//! Privileged identity management: roles that people may take when they need them, instead of having them always.
//!
//! Somebody is *eligible* for a role at a scope; with an activation they hold it for some hours, there or at a narrower
//! scope. Requests change schedules ([`schedule`]), the settings of a role at a scope say what a request must bring
//! ([`settings`]), and [`admit`] is the one place where the two meet. An activation is a grant to the **sign-in** that
//! made it, not to the person: [`Schedule::assignment`] names the session as its principal, and whoever asks through
//! that session acts as both.
//!
//! The shapes are Azure's (api-version 2020-10-01).

mod admit;
pub mod schedule;
pub mod settings;

pub use admit::{Brought, Refusal, admit};
pub use schedule::{
    Expiration, ExpirationType, RequestProperties, RequestType, Schedule, ScheduleInfo, ScheduleProperties,
    Status, TicketInfo, Window, WindowError,
};
pub use settings::{Approval, PolicyError, Rule, Settings, effective};
