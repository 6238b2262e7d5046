//! Schedules, and the requests that make, change and end them.

use schemars::JsonSchema;
use sekisho_arm::{ArmError, Scope, duration};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Assignment, PrincipalId, PrincipalType, RoleId};

/// When a schedule's end is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExpirationType {
    /// Some time after its start.
    AfterDuration,
    /// At an instant.
    AfterDateTime,
    /// Never.
    #[default]
    NoExpiration,
}

/// When a schedule ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "ScheduleExpiration")]
pub struct Expiration {
    /// Which of the others says so.
    #[serde(rename = "type")]
    pub kind: ExpirationType,
    /// The instant.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>")]
    pub end_date_time: Option<OffsetDateTime>,
    /// The time after the start, ISO 8601.
    pub duration: Option<String>,
}

/// When a schedule begins and ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScheduleInfo {
    /// Its start; now when it is absent or over.
    #[serde(with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>")]
    pub start_date_time: Option<OffsetDateTime>,
    /// Its end.
    #[serde(deserialize_with = "or_default")]
    pub expiration: Expiration,
}

fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// The ticket that a request is about, in whatever system the operator keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TicketInfo {
    /// Its number.
    pub ticket_number: Option<String>,
    /// The system.
    pub ticket_system: Option<String>,
}

/// What a request asks for. Those that begin with `Self` are for oneself, by whoever is eligible; the others are for
/// anybody, by whoever may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequestType {
    /// A new schedule.
    AdminAssign,
    /// The end of one.
    AdminRemove,
    /// Other times for one.
    AdminUpdate,
    /// A later end for one that holds.
    AdminExtend,
    /// Another time for one that is over.
    AdminRenew,
    /// A role that one is eligible for.
    SelfActivate,
    /// The end of that.
    SelfDeactivate,
    /// A later end of that.
    SelfExtend,
    /// The same role once more.
    SelfRenew,
}

impl RequestType {
    /// Whether it is for oneself.
    pub fn is_own(self) -> bool {
        matches!(self, Self::SelfActivate | Self::SelfDeactivate | Self::SelfExtend | Self::SelfRenew)
    }
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    /// What it asked for holds.
    Provisioned,
    /// What it asked for begins later.
    ScheduleCreated,
    /// Somebody must say yes.
    PendingApproval,
    /// Somebody said no.
    Denied,
    /// Whoever asked thought better of it.
    Canceled,
    /// Nobody said anything for too long.
    TimedOut,
    /// What it asked for has been ended.
    Revoked,
    /// Somebody said yes, but it could not be done any more.
    Failed,
}

/// `properties` of `roleEligibilityScheduleRequests` and `roleAssignmentScheduleRequests`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ScheduleRequestProperties")]
pub struct RequestProperties {
    /// The id of the role definition.
    pub role_definition_id: String,
    /// Whom it is for.
    pub principal_id: String,
    /// What is asked for.
    pub request_type: RequestType,
    /// From when until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_info: Option<ScheduleInfo>,
    /// Why; for people.
    #[serde(default)]
    pub justification: Option<String>,
    /// The ticket that it is about.
    #[serde(default)]
    pub ticket_info: Option<TicketInfo>,
    /// What is granted holds only while this does.
    #[serde(default)]
    pub condition: Option<String>,
    /// Version of the condition's language.
    #[serde(default)]
    pub condition_version: Option<String>,
    /// The eligibility that an activation uses; found by role and scope when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked_role_eligibility_schedule_id: Option<String>,
    /// The assignment that is changed, made or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_role_assignment_schedule_id: Option<String>,
    /// The eligibility that is changed, made or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_role_eligibility_schedule_id: Option<String>,
    /// Where; filled in from the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What the principal is; filled in by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<PrincipalType>,
    /// How far it has come; filled in by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Who asked; filled in by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requestor_id: Option<String>,
    /// When; filled in by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_on: Option<String>,
    /// Whom it waits for; filled in by the server.
    #[serde(default)]
    pub approval_id: Option<String>,
    /// The sign-in that made it, to which an activation is bound; filled in by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sign_in_id: Option<Uuid>,
}

/// Why times make no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It is not ISO 8601.
    #[error("'{0}' is no ISO 8601 duration such as PT8H")]
    Duration(String),
    /// The end is not told as the type promises.
    #[error("the expiration's type promises {0}, which is missing")]
    Missing(&'static str),
    /// It would be over before it begins.
    #[error("the end is not after the start")]
    Backwards,
}

impl From<WindowError> for ArmError {
    fn from(error: WindowError) -> ArmError {
        ArmError::bad("InvalidScheduleInfo", format!("The schedule means nothing: {error}."))
            .target("properties.scheduleInfo")
    }
}

/// From when until when; without an end for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first instant.
    pub from: OffsetDateTime,
    /// The first instant after it.
    pub until: Option<OffsetDateTime>,
}

impl Window {
    /// What a request's times mean now. A start that is over is now.
    ///
    /// # Errors
    /// [`WindowError`].
    pub fn of(info: &ScheduleInfo, now: OffsetDateTime) -> Result<Window, WindowError> {
        let from = info.start_date_time.unwrap_or(now).max(now);
        let expiration = &info.expiration;
        let until = match expiration.kind {
            ExpirationType::NoExpiration => None,
            ExpirationType::AfterDateTime => {
                Some(expiration.end_date_time.ok_or(WindowError::Missing("endDateTime"))?)
            }
            ExpirationType::AfterDuration => {
                let text = expiration.duration.as_deref().ok_or(WindowError::Missing("duration"))?;
                let unreadable = || WindowError::Duration(text.to_owned());
                let length = duration::parse(text).ok_or_else(unreadable)?;
                Some(from.checked_add(length).ok_or_else(unreadable)?)
            }
        };
        if until.is_some_and(|until| until <= from) {
            return Err(WindowError::Backwards);
        }
        Ok(Window { from, until })
    }

    /// How long it is; `None` for ever.
    pub fn length(&self) -> Option<time::Duration> {
        self.until.map(|until| until - self.from)
    }

    /// Whether it holds.
    pub fn holds(&self, now: OffsetDateTime) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

/// `properties` of `roleEligibilitySchedules` and `roleAssignmentSchedules`, as they are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleProperties {
    /// Where.
    pub scope: String,
    /// Which role.
    pub role_definition_id: String,
    /// Who.
    pub principal_id: String,
    /// What they are.
    pub principal_type: PrincipalType,
    /// `Provisioned`.
    pub status: Status,
    /// From when.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub start_date_time: OffsetDateTime,
    /// Until when.
    #[serde(with = "time::serde::rfc3339::option", default)]
    #[schemars(with = "Option<String>")]
    pub end_date_time: Option<OffsetDateTime>,
    /// `Direct`: groups are resolved where rights are decided.
    pub member_type: String,
    /// When it was made.
    pub created_on: String,
    /// When it was changed.
    pub updated_on: String,
    /// It holds only while this does.
    #[serde(default)]
    pub condition: Option<String>,
    /// Version of the condition's language.
    #[serde(default)]
    pub condition_version: Option<String>,
    /// The request that made an eligibility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_eligibility_schedule_request_id: Option<String>,
    /// The request that made an assignment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_assignment_schedule_request_id: Option<String>,
    /// The eligibility that an activation stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked_role_eligibility_schedule_id: Option<String>,
    /// `Activated` by the principal, or `Assigned` to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment_type: Option<String>,
    /// The sign-in to which an activation is bound; what asks through another one does not have the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub sign_in_id: Option<Uuid>,
}

/// A schedule as decisions take it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The GUID that names it.
    pub name: Uuid,
    /// Where it is.
    pub scope: Scope,
    /// Who has it.
    pub principal: PrincipalId,
    /// What they are.
    pub principal_type: PrincipalType,
    /// The role.
    pub role: RoleId,
    /// The text of the condition, if any.
    pub condition: Option<String>,
    /// When it holds.
    pub window: Window,
    /// The eligibility that it stands on.
    pub linked: Option<Uuid>,
    /// The sign-in to which it is bound.
    pub sign_in: Option<Uuid>,
}

impl Schedule {
    /// Reads what is kept. `None` when a GUID is not one.
    pub fn of(name: Uuid, scope: Scope, kept: ScheduleProperties) -> Option<Schedule> {
        Some(Schedule {
            name,
            scope,
            principal: PrincipalId(Uuid::try_parse(&kept.principal_id).ok()?),
            principal_type: kept.principal_type,
            role: RoleId::parse(&kept.role_definition_id)?,
            condition: kept.condition,
            window: Window { from: kept.start_date_time, until: kept.end_date_time },
            linked: kept.linked_role_eligibility_schedule_id.as_deref().and_then(last_guid),
            sign_in: kept.sign_in_id,
        })
    }

    /// The grant that it is while it holds: to the sign-in that it is bound to, or to the principal.
    pub fn assignment(&self) -> Assignment {
        Assignment {
            name: self.name,
            scope: self.scope.clone(),
            principal: self.sign_in.map_or(self.principal, PrincipalId),
            principal_type: self.principal_type,
            role: self.role,
            condition: self.condition.clone(),
        }
    }
}

/// The GUID at the end of an id, or a bare one: clients send both.
pub fn last_guid(id: &str) -> Option<Uuid> {
    Uuid::try_parse(id.rsplit('/').next().unwrap_or(id)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::Duration;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);

    fn window(info: serde_json::Value) -> Result<Window, WindowError> {
        Window::of(&serde_json::from_value(info).unwrap(), NOW)
    }

    #[test]
    fn times_are_read_as_azure_sends_them() {
        let eight_hours = json!({"startDateTime": "2020-09-09T21:31:27.91Z",
            "expiration": {"type": "AfterDuration", "endDateTime": null, "duration": "PT8H"}});
        let found = window(eight_hours).unwrap();
        assert_eq!(
            (found.from, found.length()),
            (NOW, Some(Duration::hours(8))),
            "a start that is over is now"
        );
        let later = json!({"startDateTime": "2026-11-27T12:00:00Z",
            "expiration": {"type": "AfterDateTime", "endDateTime": "2026-11-28T12:00:00+00:00"}});
        let found = window(later).unwrap();
        assert_eq!(found.length(), Some(Duration::days(1)));
        assert!(!found.holds(NOW) && found.holds(found.from) && !found.holds(found.until.unwrap()));
        for forever in
            [json!({}), json!({"expiration": null}), json!({"expiration": {"type": "NoExpiration"}})]
        {
            assert_eq!(window(forever).unwrap(), Window { from: NOW, until: None });
        }
    }

    #[test]
    fn times_that_mean_nothing_are_refused() {
        let of = |expiration: serde_json::Value| window(json!({"expiration": expiration}));
        assert_eq!(of(json!({"type": "AfterDuration"})), Err(WindowError::Missing("duration")));
        assert_eq!(of(json!({"type": "AfterDateTime"})), Err(WindowError::Missing("endDateTime")));
        assert_eq!(
            of(json!({"type": "AfterDuration", "duration": "8 hours"})),
            Err(WindowError::Duration("8 hours".to_owned()))
        );
        assert_eq!(of(json!({"type": "AfterDuration", "duration": "PT0S"})), Err(WindowError::Backwards));
        let yesterday = json!({"type": "AfterDateTime", "endDateTime": "2026-11-25T12:00:00Z"});
        assert_eq!(of(yesterday), Err(WindowError::Backwards));
    }
}
