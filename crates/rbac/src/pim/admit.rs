//! Whether a request brings what the settings demand.

use sekisho_arm::{ArmError, SignIn};
use time::OffsetDateTime;

use super::schedule::Window;
use super::settings::{Demands, SHORTEST};

/// Most characters of a reason.
const LONGEST_REASON: usize = 1000;

/// What a request comes with.
pub struct Brought<'r> {
    /// Why.
    pub justification: Option<&'r str>,
    /// The number of a ticket.
    pub ticket: Option<&'r str>,
    /// From when until when.
    pub window: Window,
    /// What was proved in the sign-in.
    pub sign_in: &'r SignIn,
}

/// What is missing. Azure's names of the rules are in the message, as its clients look for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It must have an end.
    #[error("ExpirationRule: it must have an end, at most {0} after its start")]
    Endless(String),
    /// It is too long.
    #[error("ExpirationRule: it may last {0} at most")]
    TooLong(String),
    /// It is too short to be meant.
    #[error("ExpirationRule: it lasts 5 minutes at least")]
    TooShort,
    /// There must be a reason.
    #[error("JustificationRule: a justification of at most 1,000 characters is required")]
    NoReason,
    /// There must be a ticket.
    #[error("TicketingRule: a ticket number is required")]
    NoTicket,
    /// The ticket looks different.
    #[error("TicketingRule: the ticket number must look like {0}")]
    StrangeTicket(String),
    /// A second factor must be proved.
    #[error("MfaRule: prove two factors anew")]
    SecondFactor,
    /// Something must be proved that cannot be phished.
    #[error("AuthenticationContextRule: prove a passkey anew")]
    Passkey,
}

impl Refusal {
    /// The error that a client is told; `code` is what the client's kind of request calls it.
    pub fn told(self, code: &'static str) -> ArmError {
        let failed = format!("The following policy rules failed: [\"{self}\"].");
        match self {
            Refusal::SecondFactor | Refusal::Passkey => ArmError::new(
                401,
                "StepUpRequired",
                format!("{failed} In the portal, prove it and try again; for az run 'az login' first."),
            ),
            _ => ArmError::bad(code, failed),
        }
    }
}

impl From<Refusal> for ArmError {
    fn from(refusal: Refusal) -> ArmError {
        refusal.told("RoleAssignmentRequestPolicyValidationFailed")
    }
}

/// Lets a request through when it brings what is demanded. What a person has to prove is asked for last, so that nobody
/// unlocks a passkey for a request that is refused anyway.
///
/// # Errors
/// The first [`Refusal`].
pub fn admit(brought: &Brought<'_>, demands: &Demands, now: OffsetDateTime) -> Result<(), Refusal> {
    let most = || sekisho_arm::duration::write(demands.longest);
    match brought.window.length() {
        None if demands.must_end => return Err(Refusal::Endless(most())),
        None => {}
        Some(length) if length < SHORTEST && demands.must_end => return Err(Refusal::TooShort),
        Some(length) if length > demands.longest => return Err(Refusal::TooLong(most())),
        Some(_) => {}
    }
    let reason = brought.justification.map(str::trim).unwrap_or_default();
    if (demands.justification && reason.is_empty()) || reason.chars().count() > LONGEST_REASON {
        return Err(Refusal::NoReason);
    }
    let ticket = brought.ticket.map(str::trim).unwrap_or_default();
    if demands.ticket && ticket.is_empty() {
        return Err(Refusal::NoTicket);
    }
    if let Some(pattern) = &demands.ticket_pattern
        && !ticket.is_empty()
        && !pattern.is_match(ticket)
    {
        return Err(Refusal::StrangeTicket(pattern.as_str().to_owned()));
    }
    let fresh = |at: Option<OffsetDateTime>| at.is_some_and(|at| now - at <= demands.fresh);
    if demands.phishing_resistant && !fresh(brought.sign_in.phishing_resistant) {
        return Err(Refusal::Passkey);
    }
    if demands.multi_factor && !fresh(brought.sign_in.multi_factor) {
        return Err(Refusal::SecondFactor);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Rule, Settings, changed, effective};
    use super::*;
    use serde_json::json;
    use time::Duration;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-26 12:00 UTC);

    fn asked(
        hours: i64,
        reason: &str,
        ticket: &str,
        proved: [Option<i64>; 2],
        rules: &[Rule],
    ) -> Result<(), Refusal> {
        let until = (hours >= 0).then(|| NOW + Duration::hours(hours));
        let at = |age: Option<i64>| age.map(|m| NOW - Duration::minutes(m));
        let sign_in =
            SignIn { ids: Vec::new(), multi_factor: at(proved[0]), phishing_resistant: at(proved[1]) };
        let brought = Brought {
            justification: Some(reason),
            ticket: Some(ticket),
            window: Window { from: NOW, until },
            sign_in: &sign_in,
        };
        admit(&brought, &Settings::of(&effective([rules])).unwrap().activation, NOW)
    }

    #[test]
    fn an_activation_brings_an_end_a_reason_and_a_fresh_second_factor() {
        let fresh = [Some(9), None];
        assert_eq!(asked(8, "why", "", fresh, &[]), Ok(()));
        assert_eq!(asked(9, "why", "", fresh, &[]), Err(Refusal::TooLong("PT8H".to_owned())));
        assert_eq!(asked(-1, "why", "", fresh, &[]), Err(Refusal::Endless("PT8H".to_owned())));
        assert_eq!(asked(0, "why", "", fresh, &[]), Err(Refusal::TooShort));
        assert_eq!(asked(8, "  ", "", fresh, &[]), Err(Refusal::NoReason));
        assert_eq!(asked(8, &"x".repeat(1001), "", fresh, &[]), Err(Refusal::NoReason));
        assert_eq!(asked(8, "why", "", [Some(11), None], &[]), Err(Refusal::SecondFactor));
        assert_eq!(asked(8, "why", "", [None, None], &[]), Err(Refusal::SecondFactor));
    }

    #[test]
    fn tickets_and_passkeys_are_asked_for_where_the_settings_say_so() {
        let given = json!([
            {"id": "Enablement_EndUser_Assignment", "ruleType": "RoleManagementPolicyEnablementRule",
             "enabledRules": ["Ticketing"], "ticketPattern": "INC-[0-9]+"},
            {"id": "AuthenticationContext_EndUser_Assignment",
             "ruleType": "RoleManagementPolicyAuthenticationContextRule", "isEnabled": true,
             "claimValue": "phishingResistant"},
        ]);
        let rules = changed(&[], serde_json::from_value(given).unwrap()).unwrap();
        assert_eq!(asked(1, "", "", [None, Some(1)], &rules), Err(Refusal::NoTicket));
        let strange = asked(1, "", "CHG-1", [None, Some(1)], &rules);
        assert!(matches!(strange, Err(Refusal::StrangeTicket(_))), "{strange:?}");
        assert_eq!(asked(1, "", "INC-1", [Some(1), None], &rules), Err(Refusal::Passkey));
        assert_eq!(asked(1, "", "INC-1", [None, Some(1)], &rules), Ok(()));
    }
}
