//! What must be confirmed every time: the whole list, and how a request is found on it.
//!
//! It is about what would make a stolen session lasting or wide: rights, policies, secrets, and other people's ways to
//! sign in. One's own credentials are not on it; they ask for a fresh sign-in (`enrol`, `sessions`).

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use sekisho_arm::route::Route;
use serde::{Deserialize, Serialize};

/// Why a request must be confirmed, as the portal reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Reason {
    /// Who has which role, also for a time, by approval, or as a member of a group.
    Rights,
    /// What a role is.
    Role,
    /// What is denied.
    Deny,
    /// What may not be changed or removed.
    Lock,
    /// Which sign-ins are let in.
    Policy,
    /// What programs sign in with.
    ProgramSecret,
    /// With what somebody else signs in, or whether they may.
    OtherPerson,
    /// Where somebody else is signed in.
    OtherSession,
    /// Who may log in to machines in one's own name.
    Lending,
}

/// Types of `Microsoft.Authorization`, with everything below them: writes, removals and actions.
const ARM: &[(&str, Reason)] = &[
    ("roleAssignments", Reason::Rights),
    ("roleAssignmentScheduleRequests", Reason::Rights),
    ("roleAssignmentApprovals", Reason::Rights),
    ("roleEligibilityScheduleRequests", Reason::Rights),
    ("roleManagementPolicies", Reason::Role),
    ("roleManagementPolicyAssignments", Reason::Role),
    ("roleDefinitions", Reason::Role),
    ("denyAssignments", Reason::Deny),
    ("locks", Reason::Lock),
];

/// Makes links that lend a login to whoever has them.
const LENDING: (&str, &str) = ("Microsoft.Network", "bastionHosts/createShareableLinks");

/// Paths below `/v1.0`; `*` is any one word, and what follows the last word belongs to it. An empty method is every one.
const GRAPH: &[(&str, &str, Reason)] = &[
    ("", "groups/*/members", Reason::Rights),
    ("DELETE", "groups/*", Reason::Rights),
    ("", "identity/conditionalAccess/policies", Reason::Policy),
    ("", "identity/conditionalAccess/namedLocations", Reason::Policy),
    ("", "policies/authenticationStrengthPolicies", Reason::Policy),
    ("PATCH", "applications/*", Reason::ProgramSecret),
    ("", "applications/*/addPassword", Reason::ProgramSecret),
    ("", "applications/*/removePassword", Reason::ProgramSecret),
    ("", "applications/*/federatedIdentityCredentials", Reason::ProgramSecret),
    ("", "servicePrincipals/*/addPassword", Reason::ProgramSecret),
    ("", "servicePrincipals/*/removePassword", Reason::ProgramSecret),
    ("PATCH", "users/*", Reason::OtherPerson),
    ("DELETE", "users/*", Reason::OtherPerson),
    ("", "users/*/sekisho.invite", Reason::OtherPerson),
    ("", "users/*/authentication", Reason::OtherPerson),
    ("", "users/*/revokeSignInSessions", Reason::OtherSession),
    ("", "sekisho.sessions", Reason::OtherSession),
    ("", "identityProtection/riskyUsers", Reason::OtherPerson),
];

/// A path of the list that only asks.
const READS: &str = "identity/conditionalAccess/policies/sekisho.backtest";

/// Whether a request must be confirmed, and why. A path that is read differently elsewhere is on the list rather than
/// off it: words are compared without case, decoded and without empty ones.
pub(crate) fn needs_step_up(method: &Method, path: &str) -> Option<Reason> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    let decoded = |word: &str| percent_decode_str(word).decode_utf8_lossy().to_ascii_lowercase();
    let all: Vec<String> = path.split('/').filter(|w| !w.is_empty()).map(decoded).collect();
    let words = all.iter().map(String::as_str).skip_while(|w| *w == "adfsm").collect::<Vec<_>>();
    match words.first() {
        Some(&"v1.0") => graph(method, &words[1..]),
        Some(_) => arm(path.trim_start_matches('/').trim_start_matches("adfsm")),
        None => None,
    }
}

fn arm(path: &str) -> Option<Reason> {
    // What is no path of ARM is nothing that ARM does.
    let kind = match Route::parse(path).ok()? {
        Route::Item(scope) => scope.type_name(),
        Route::Collection { type_name, .. } => type_name,
        Route::Provider { .. } | Route::Bare { .. } => return None,
    };
    // Whoever moves a subscription or a group changes whose rights it inherits.
    if kind.namespace.eq_ignore_ascii_case("Microsoft.Management") {
        return Some(Reason::Rights);
    }
    if kind.namespace.eq_ignore_ascii_case(LENDING.0) && kind.path.eq_ignore_ascii_case(LENDING.1) {
        return Some(Reason::Lending);
    }
    if !kind.namespace.eq_ignore_ascii_case("Microsoft.Authorization") {
        return None;
    }
    let first = kind.path.split('/').next().unwrap_or_default();
    ARM.iter().find(|(path, _)| path.eq_ignore_ascii_case(first)).map(|(_, reason)| *reason)
}

fn graph(method: &Method, words: &[&str]) -> Option<Reason> {
    let begins = |pattern: &str, whole: bool| {
        let pattern: Vec<&str> = pattern.split('/').collect();
        let fits = pattern.iter().zip(words).all(|(p, w)| *p == "*" || p.eq_ignore_ascii_case(w));
        let long = if whole { words.len() == pattern.len() } else { words.len() >= pattern.len() };
        long && fits
    };
    if begins(READS, true) {
        return None;
    }
    // A method of its own is about the thing itself, not about what is below it.
    let found = GRAPH.iter().find(|(only, pattern, _)| match *only {
        "" => begins(pattern, false),
        only => method.as_str() == only && begins(pattern, true),
    });
    found.map(|(_, _, reason)| *reason)
}

/// Whether a request is only tried: surely, whichever way its query is read. The readers differ in which of two equal
/// names counts and in what they decode, so that all must say the same, and one in plain letters.
pub(crate) fn is_preview(uri: &Uri) -> bool {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    let mut said = pairs
        .iter()
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| decoded(name).eq_ignore_ascii_case("whatIf"));
    let all = said.all(|(_, value)| decoded(value).eq_ignore_ascii_case("true"));
    all && pairs.iter().any(|pair| pair.eq_ignore_ascii_case("whatIf=true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "/subscriptions/11111111-1111-4111-8111-111111111111";

    fn why(method: &Method, path: &str) -> Option<Reason> {
        needs_step_up(method, path)
    }

    #[test]
    fn what_is_dangerous_is_found_however_its_path_is_written() {
        let name = "22222222-2222-4222-8222-222222222222";
        for (path, reason) in [
            (format!("{SUB}/providers/Microsoft.Authorization/roleAssignments/{name}"), Reason::Rights),
            (format!("{SUB}//providers/microsoft.authorization/ROLEassignments/{name}/"), Reason::Rights),
            (format!("/adfsm{SUB}/providers/Microsoft.Authorization/roleAssignments/{name}"), Reason::Rights),
            (
                format!("//adfsm/{SUB}/providers/Microsoft.Authorization/roleAssignments/{name}"),
                Reason::Rights,
            ),
            (format!("{SUB}/providers/Microsoft.Authorization/role%41ssignments/{name}"), Reason::Rights),
            (format!("/providers/Microsoft.Authorization/roleDefinitions/{name}"), Reason::Role),
            (
                format!("{SUB}/resourceGroups/a/providers/Microsoft.Authorization/denyAssignments/{name}"),
                Reason::Deny,
            ),
            (
                format!(
                    "{SUB}/resourceGroups/a/providers/Microsoft.Network/networkSecurityGroups/n/providers/Microsoft.Authorization/locks/l"
                ),
                Reason::Lock,
            ),
            ("/providers/Microsoft.Management/managementGroups/m/subscriptions/s".to_owned(), Reason::Rights),
            ("/v1.0/identityProtection/riskyUsers/dismiss".to_owned(), Reason::OtherPerson),
            ("/v1.0/Groups/g/members/$ref".to_owned(), Reason::Rights),
            ("/v1.0/groups/g/members/m/$ref".to_owned(), Reason::Rights),
            ("//v1.0/identity/conditional%41ccess/policies/p".to_owned(), Reason::Policy),
            ("/v1.0/identity/conditionalAccess/policies/p/sekisho.confirm".to_owned(), Reason::Policy),
            ("/v1.0/users/u/authentication/temporaryAccessPassMethods".to_owned(), Reason::OtherPerson),
            (
                format!(
                    "{SUB}/resourceGroups/a/providers/Microsoft.Network/bastionHosts/b/createShareableLinks"
                ),
                Reason::Lending,
            ),
        ] {
            for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
                assert_eq!(why(&method, &path), Some(reason), "{method} {path}");
            }
            assert_eq!(why(&Method::GET, &path), None, "{path}");
        }
        assert_eq!(why(&Method::PATCH, "/v1.0/applications/a"), Some(Reason::ProgramSecret));
        assert_eq!(why(&Method::DELETE, "/v1.0/users/u"), Some(Reason::OtherPerson));
    }

    #[test]
    fn everyday_work_is_not_asked_for() {
        for (method, path) in [
            (Method::PUT, format!("{SUB}/resourceGroups/a")),
            (
                Method::PUT,
                format!(
                    "{SUB}/resourceGroups/a/providers/Microsoft.Network/networkSecurityGroups/roleAssignments"
                ),
            ),
            (
                Method::DELETE,
                format!("{SUB}/resourceGroups/a/providers/Microsoft.Network/networkSecurityGroups/n"),
            ),
            (Method::POST, format!("{SUB}/providers/Microsoft.Authorization/register")),
            (Method::POST, "/v1.0/users".to_owned()),
            (Method::POST, "/v1.0/groups".to_owned()),
            (Method::POST, "/v1.0/users/u/getMemberGroups".to_owned()),
            (Method::POST, "/v1.0/identity/conditionalAccess/evaluate".to_owned()),
            (Method::POST, "/v1.0/identity/conditionalAccess/policies/sekisho.backtest".to_owned()),
            (Method::POST, "/auth/signout".to_owned()),
            (Method::POST, "/".to_owned()),
        ] {
            assert_eq!(why(&method, &path), None, "{method} {path}");
        }
    }

    #[test]
    fn a_preview_is_one_only_when_nobody_could_read_it_otherwise() {
        let is = |query: &str| is_preview(&format!("/a?{query}").parse().unwrap());
        assert!(is("whatIf=true") && is("api-version=1&WHATIF=TRUE"));
        for query in [
            "",
            "whatIf=false",
            "whatIf",
            "whatif=tru%65",
            "what%49f=true",
            "xwhatIf=true",
            "whatIf=true&whatIf=false",
            "whatIf=false&whatIf=true",
            "whatIf=true&what%49f=no",
            "whatIf=true&whatif",
        ] {
            assert!(!is(query), "{query}");
        }
    }
}
