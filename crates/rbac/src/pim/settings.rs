//! The settings of a role at a scope: Azure's role management policies. A policy is a list of rules, each known by a
//! fixed id; what a scope does not say itself it has from the nearest scope above that says it, and in the end from the
//! product.
//!
//! Notifications are kept for the clients that write them; nothing is sent by mail. Four things are ours: `ticketPattern` on the rule about tickets, `approvalsRequired` and
//! `approvalStageTimeOutInMinutes` on an approval's stage, and `boundToSignIn` on the rule about an activation's end.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex_lite::Regex;
use schemars::JsonSchema;
use sekisho_arm::{ArmError, duration};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::Duration;
use uuid::Uuid;

use crate::PrincipalId;

/// Longest activation that a policy may allow.
const LONGEST_ACTIVATION: Duration = Duration::hours(24);
/// Shortest schedule with an end that must be there, and so the shortest maximum that a policy may set.
pub(super) const SHORTEST: Duration = Duration::minutes(5);
/// Longest time that an approver may be given.
const LONGEST_WAIT: Duration = Duration::days(30);
/// How old a proof may be that a request stands on, where nobody says otherwise.
pub const FRESH: Duration = Duration::minutes(10);
/// Most approvers, and most yeses.
const MOST_APPROVERS: usize = 100;

/// One rule, as clients write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RoleManagementPolicyRule")]
pub struct Rule {
    /// One of the fixed ids, such as `Expiration_EndUser_Assignment`.
    pub id: String,
    /// The kind that belongs to the id.
    pub rule_type: String,
    /// What the kind has.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A policy that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule '{rule}': {why}")]
pub struct PolicyError {
    rule: String,
    why: String,
}

impl From<PolicyError> for ArmError {
    fn from(error: PolicyError) -> ArmError {
        ArmError::bad("InvalidPolicyRule", format!("The policy cannot be kept: {error}."))
            .target("properties.rules")
    }
}

const EXPIRATION: &str = "RoleManagementPolicyExpirationRule";
const ENABLEMENT: &str = "RoleManagementPolicyEnablementRule";
const APPROVAL: &str = "RoleManagementPolicyApprovalRule";
const CONTEXT: &str = "RoleManagementPolicyAuthenticationContextRule";
const NOTIFICATION: &str = "RoleManagementPolicyNotificationRule";

/// What holds where nobody said anything else, in Azure's order. Eligibilities may be for ever, since they give nothing by themselves;
/// an activation takes a second factor and a reason, and lasts eight hours.
static DEFAULTS: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let expires =
        |required: bool, most: &str| json!({"isExpirationRequired": required, "maximumDuration": most});
    let mail = |told: &str, about: &str| {
        let body = json!({
            "notificationType": "Email", "recipientType": told, "isDefaultRecipientsEnabled": true,
            "notificationLevel": "All", "notificationRecipients": null,
        });
        rule(&format!("Notification_{told}_{about}"), NOTIFICATION, body)
    };
    let mails = |about| ["Admin", "Requestor", "Approver"].map(|told| mail(told, about));
    let mut all = vec![rule("Expiration_Admin_Eligibility", EXPIRATION, expires(false, "P365D"))];
    all.extend(mails("Admin_Eligibility"));
    all.extend([
        rule("Enablement_Admin_Eligibility", ENABLEMENT, json!({"enabledRules": []})),
        rule("Expiration_Admin_Assignment", EXPIRATION, expires(false, "P180D")),
        rule("Enablement_Admin_Assignment", ENABLEMENT, json!({"enabledRules": ["Justification"]})),
    ]);
    all.extend(mails("Admin_Assignment"));
    all.extend([
        rule(
            "Expiration_EndUser_Assignment",
            EXPIRATION,
            json!({"isExpirationRequired": true, "maximumDuration": "PT8H", "boundToSignIn": true}),
        ),
        rule(
            "Enablement_EndUser_Assignment",
            ENABLEMENT,
            json!({"enabledRules": ["MultiFactorAuthentication", "Justification"], "ticketPattern": null}),
        ),
        rule(
            "Approval_EndUser_Assignment",
            APPROVAL,
            json!({"setting": {
                "isApprovalRequired": false, "isApprovalRequiredForExtension": false,
                "isRequestorJustificationRequired": true, "approvalMode": "SingleStage",
                "approvalStages": [{
                    "approvalStageTimeOutInDays": 1, "isApproverJustificationRequired": true,
                    "approvalsRequired": 1, "escalationTimeInMinutes": 0, "isEscalationEnabled": false,
                    "primaryApprovers": [], "escalationApprovers": null,
                }],
            }}),
        ),
        rule(
            "AuthenticationContext_EndUser_Assignment",
            CONTEXT,
            json!({"isEnabled": false, "claimValue": ""}),
        ),
    ]);
    all.extend(mails("EndUser_Assignment"));
    all
});

fn rule(id: &str, kind: &str, body: Value) -> Rule {
    let (caller, level) = match id.rsplit('_').next() {
        Some("Eligibility") => ("Admin", "Eligibility"),
        _ if id.contains("EndUser") => ("EndUser", "Assignment"),
        _ => ("Admin", "Assignment"),
    };
    let mut rest = body.as_object().cloned().unwrap_or_default();
    let target = json!({
        "caller": caller, "operations": ["All"], "level": level, "targetObjects": null,
        "inheritableSettings": null, "enforcedSettings": null,
    });
    rest.insert("target".to_owned(), target);
    Rule { id: id.to_owned(), rule_type: kind.to_owned(), rest }
}

/// The rules that hold at a scope, given what each scope says itself, nearest first.
pub fn effective<'r>(said: impl IntoIterator<Item = &'r [Rule]>) -> Vec<Rule> {
    let mut found: BTreeMap<&str, &Rule> = BTreeMap::new();
    for rule in said.into_iter().flatten() {
        found.entry(&rule.id).or_insert(rule);
    }
    DEFAULTS.iter().map(|d| found.get(d.id.as_str()).map_or(d, |r| *r).clone()).collect()
}

/// Rules as a scope says them after it was given `new`: those are taken, the others stay.
///
/// # Errors
/// [`PolicyError`] when one cannot be read, or is not known.
pub fn changed(old: &[Rule], new: Vec<Rule>) -> Result<Vec<Rule>, PolicyError> {
    let mut all: BTreeMap<String, Rule> = old.iter().map(|r| (r.id.clone(), r.clone())).collect();
    for mut given in new {
        let wrong = |why: &str| PolicyError { rule: given.id.clone(), why: why.to_owned() };
        let known = DEFAULTS.iter().find(|d| d.id.eq_ignore_ascii_case(&given.id));
        let known = known.ok_or_else(|| wrong("there is no rule of this id"))?;
        if given.rule_type != known.rule_type {
            return Err(wrong(&format!("its ruleType is {}", known.rule_type)));
        }
        given.id.clone_from(&known.id);
        for (field, value) in &known.rest {
            given.rest.entry(field.clone()).or_insert_with(|| value.clone());
        }
        all.insert(given.id.clone(), given);
    }
    let all: Vec<Rule> = all.into_values().collect();
    Settings::of(&effective([all.as_slice()]))?;
    Ok(all)
}

/// Whoever may say yes, and how many of them must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// People and groups; nobody means whoever may assign the role there.
    pub approvers: Vec<PrincipalId>,
    /// How many different people must say yes.
    pub needed: usize,
    /// How long a request waits.
    pub within: Duration,
    /// Whether an approver must say why.
    pub justified: bool,
}

/// What a request for one level by one kind of caller must bring.
#[derive(Debug, Clone)]
pub struct Demands {
    /// Whether it must have an end.
    pub must_end: bool,
    /// The longest it may last.
    pub longest: Duration,
    /// A second factor, freshly proved.
    pub multi_factor: bool,
    /// Something that cannot be phished, freshly proved.
    pub phishing_resistant: bool,
    /// How old such a proof may be.
    pub fresh: Duration,
    /// A reason.
    pub justification: bool,
    /// A ticket.
    pub ticket: bool,
    /// How a ticket's number looks.
    pub ticket_pattern: Option<Regex>,
}

/// Settings, read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For making somebody eligible.
    pub eligibility: Demands,
    /// For giving somebody a role.
    pub assignment: Demands,
    /// For taking a role that one is eligible for.
    pub activation: Demands,
    /// Who must say yes to that; `None` when nobody.
    pub approval: Option<Approval>,
    /// Whether an activation holds in the sign-in only that made it.
    pub bound: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpirationRule {
    is_expiration_required: bool,
    maximum_duration: String,
    #[serde(default = "yes")]
    bound_to_sign_in: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnablementRule {
    enabled_rules: Option<Vec<Enabled>>,
    #[serde(default)]
    ticket_pattern: Option<String>,
}

#[derive(Deserialize, PartialEq)]
enum Enabled {
    MultiFactorAuthentication,
    Justification,
    Ticketing,
}

#[derive(Deserialize)]
struct ApprovalRule {
    setting: ApprovalSetting,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApprovalSetting {
    is_approval_required: bool,
    approval_stages: Option<Vec<Stage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stage {
    approval_stage_time_out_in_days: u16,
    approval_stage_time_out_in_minutes: Option<u32>,
    is_approver_justification_required: bool,
    approvals_required: usize,
    primary_approvers: Option<Vec<Approver>>,
}

impl Default for Stage {
    fn default() -> Stage {
        Stage {
            approval_stage_time_out_in_days: 1,
            approval_stage_time_out_in_minutes: None,
            is_approver_justification_required: true,
            approvals_required: 1,
            primary_approvers: None,
        }
    }
}

#[derive(Deserialize)]
struct Approver {
    id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContextRule {
    is_enabled: bool,
    claim_value: Option<String>,
}

/// The authentication context, and the word for the strength that it stands for.
pub const PHISHING_RESISTANT: &str = "phishingResistant";

impl Settings {
    /// Reads the rules that hold somewhere.
    ///
    /// # Errors
    /// [`PolicyError`] naming the rule.
    pub fn of(rules: &[Rule]) -> Result<Settings, PolicyError> {
        let (eligibility, _) = demands(rules, "Admin_Eligibility")?;
        let (assignment, _) = demands(rules, "Admin_Assignment")?;
        let (mut activation, bound) = demands(rules, "EndUser_Assignment")?;
        let id = "Expiration_EndUser_Assignment";
        if activation.longest > LONGEST_ACTIVATION {
            return Err(wrong(id, "an activation lasts a day at most"));
        }
        activation.must_end = true;
        let id = "AuthenticationContext_EndUser_Assignment";
        let context: ContextRule = read(rules, id)?;
        if context.is_enabled {
            if context.claim_value.as_deref() != Some(PHISHING_RESISTANT) {
                return Err(wrong(id, "its claimValue is 'phishingResistant'"));
            }
            activation.phishing_resistant = true;
        }
        Ok(Settings { eligibility, assignment, activation, approval: approval(rules)?, bound })
    }
}

fn approval(rules: &[Rule]) -> Result<Option<Approval>, PolicyError> {
    let id = "Approval_EndUser_Assignment";
    let ApprovalRule { setting } = read(rules, id)?;
    if !setting.is_approval_required {
        return Ok(None);
    }
    let mut stages = setting.approval_stages.unwrap_or_default();
    if stages.len() > 1 {
        return Err(wrong(id, "it has one stage"));
    }
    let stage = stages.pop().unwrap_or_default();
    let days = Duration::days(stage.approval_stage_time_out_in_days.into());
    let within = stage.approval_stage_time_out_in_minutes.map_or(days, |m| Duration::minutes(m.into()));
    if within < SHORTEST || within > LONGEST_WAIT {
        return Err(wrong(id, "a request waits for 5 minutes to 30 days"));
    }
    let approvers: Vec<PrincipalId> =
        stage.primary_approvers.unwrap_or_default().into_iter().map(|a| PrincipalId(a.id)).collect();
    if approvers.len() > MOST_APPROVERS || !(1..=MOST_APPROVERS).contains(&stage.approvals_required) {
        return Err(wrong(id, "it has at most 100 approvers, of whom 1 to 100 must say yes"));
    }
    let justified = stage.is_approver_justification_required;
    Ok(Some(Approval { approvers, needed: stage.approvals_required, within, justified }))
}

fn demands(rules: &[Rule], about: &str) -> Result<(Demands, bool), PolicyError> {
    let id = format!("Expiration_{about}");
    let expiration: ExpirationRule = read(rules, &id)?;
    let longest = duration::parse(&expiration.maximum_duration)
        .filter(|d| *d >= SHORTEST)
        .ok_or_else(|| wrong(&id, "its maximumDuration is an ISO 8601 duration of 5 minutes or more"))?;
    let id = format!("Enablement_{about}");
    let enablement: EnablementRule = read(rules, &id)?;
    let ticket_pattern = ticket_pattern(enablement.ticket_pattern.as_deref())
        .map_err(|e| wrong(&id, &format!("its ticketPattern cannot be read: {e}")))?;
    let enabled = enablement.enabled_rules.unwrap_or_default();
    let demands = Demands {
        must_end: expiration.is_expiration_required,
        longest,
        multi_factor: enabled.contains(&Enabled::MultiFactorAuthentication),
        phishing_resistant: false,
        fresh: FRESH,
        justification: enabled.contains(&Enabled::Justification),
        ticket: enabled.contains(&Enabled::Ticketing),
        ticket_pattern,
    };
    Ok((demands, expiration.bound_to_sign_in))
}

/// How a ticket's number must look: the whole of it, not some part. An empty pattern is none.
///
/// # Errors
/// When it is no regular expression.
pub fn ticket_pattern(pattern: Option<&str>) -> Result<Option<Regex>, regex_lite::Error> {
    pattern.filter(|p| !p.is_empty()).map(|p| Regex::new(&format!("^(?:{p})$"))).transpose()
}

fn wrong(rule: &str, why: &str) -> PolicyError {
    PolicyError { rule: rule.to_owned(), why: why.to_owned() }
}

fn read<T: for<'de> Deserialize<'de>>(rules: &[Rule], id: &str) -> Result<T, PolicyError> {
    let rule = rules.iter().find(|r| r.id == id).ok_or_else(|| wrong(id, "it is missing"))?;
    T::deserialize(&Value::Object(rule.rest.clone())).map_err(|e| wrong(id, &e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(rules: Value) -> Vec<Rule> {
        serde_json::from_value(rules).unwrap()
    }

    #[test]
    fn what_a_scope_does_not_say_it_has_from_the_nearest_that_does() {
        let hours = |text: &str| {
            json!({"id": "Expiration_EndUser_Assignment", "ruleType": EXPIRATION,
                "isExpirationRequired": true, "maximumDuration": text})
        };
        let far = changed(
            &[],
            given(json!([hours("PT1H"), {"id": "Enablement_EndUser_Assignment",
            "ruleType": ENABLEMENT, "enabledRules": ["Ticketing"], "ticketPattern": "INC-[0-9]{4}"}])),
        )
        .unwrap();
        let near = changed(&[], given(json!([hours("PT2H")]))).unwrap();
        let settings = Settings::of(&effective([near.as_slice(), far.as_slice()])).unwrap();
        assert_eq!(settings.activation.longest, Duration::hours(2));
        assert!(settings.activation.ticket && !settings.activation.justification);
        let pattern = settings.activation.ticket_pattern.unwrap();
        assert!(pattern.is_match("INC-1234") && !pattern.is_match("xINC-12345"));
        let default = Settings::of(&effective([])).unwrap();
        assert_eq!(default.activation.longest, Duration::hours(8));
        assert!(default.bound && default.activation.multi_factor && default.approval.is_none());
    }

    #[test]
    fn a_change_keeps_the_other_rules_and_refuses_what_it_cannot_read() {
        let one =
            given(json!([{"id": "Enablement_Admin_Assignment", "ruleType": ENABLEMENT, "enabledRules": []}]));
        let first = changed(&[], one).unwrap();
        let two = given(json!([{"id": "AuthenticationContext_EndUser_Assignment", "ruleType": CONTEXT,
            "isEnabled": true, "claimValue": "phishingResistant"}]));
        let both = changed(&first, two).unwrap();
        let settings = Settings::of(&effective([both.as_slice()])).unwrap();
        assert!(settings.activation.phishing_resistant && !settings.assignment.justification);
        for wrong in [
            json!([{"id": "Expiration_Nobody", "ruleType": EXPIRATION}]),
            json!([{"id": "Enablement_Admin_Assignment", "ruleType": EXPIRATION}]),
            json!([{"id": "Enablement_Admin_Assignment", "ruleType": ENABLEMENT, "enabledRules": ["Luck"]}]),
            json!([{"id": "Expiration_EndUser_Assignment", "ruleType": EXPIRATION, "maximumDuration": "P2D"}]),
            json!([{"id": "Expiration_EndUser_Assignment", "ruleType": EXPIRATION, "maximumDuration": "PT1M"}]),
            json!([{"id": "Enablement_EndUser_Assignment", "ruleType": ENABLEMENT, "ticketPattern": "("}]),
            json!([{"id": "AuthenticationContext_EndUser_Assignment", "ruleType": CONTEXT, "isEnabled": true}]),
            json!([{"id": "Approval_EndUser_Assignment", "ruleType": APPROVAL, "setting":
                {"isApprovalRequired": true, "approvalStages": [{"approvalsRequired": 0}]}}]),
        ] {
            assert!(changed(&both, given(wrong.clone())).is_err(), "{wrong}");
        }
    }
}
