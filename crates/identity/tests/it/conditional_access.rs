//! Conditional access as a whole: policies in Graph's words, requests, verdicts.

use proptest::prelude::*;
use sekisho_identity::conditional_access::body::PolicyBody;
use sekisho_identity::conditional_access::lockout::{Administrator, leaves_somebody};
use sekisho_identity::conditional_access::{
    ClientApp, Country, Evaluation, Flow, Locations, NamedLocation, NotApplied, Outcome, Platform, Policy,
    RiskLevel, Signals, State, Strengths, Subject, Verdict, application, evaluate, location,
};
use sekisho_identity::session::{Method, Proof};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
const JO: Uuid = Uuid::from_u128(0x10);
const GROUP: Uuid = Uuid::from_u128(0x20);
const ROLE: Uuid = Uuid::from_u128(0x30);
const OFFICE: Uuid = Uuid::from_u128(0x40);
const JAPAN: Uuid = Uuid::from_u128(0x50);

fn compile(value: Value) -> Policy {
    let body = PolicyBody::read(value).unwrap();
    Policy::compile(Uuid::from_u128(1), &body).unwrap()
}

/// A policy that asks everybody for a second factor, changed by a merge patch.
fn policy(change: &Value) -> Value {
    let mut whole = json!({
        "displayName": "p", "state": "enabled",
        "conditions": {"users": {"includeUsers": ["All"]}, "applications": {"includeApplications": ["All"]}},
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
    });
    merge(&mut whole, change);
    whole
}

fn merge(to: &mut Value, change: &Value) {
    match (to, change) {
        (Value::Object(to), Value::Object(change)) => {
            for (name, value) in change {
                merge(to.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (to, change) => *to = change.clone(),
    }
}

fn jo() -> Signals {
    Signals {
        subject: Subject::Person {
            id: JO,
            groups: vec![GROUP],
            possible_groups: vec![],
            roles: vec![ROLE],
            privileged: false,
            break_glass: false,
        },
        applications: vec![application::PORTAL, application::API],
        registers_security_info: false,
        context: None,
        client: ClientApp::Browser,
        platform: Some(Platform::Linux),
        address: "192.0.2.7".parse().unwrap(),
        country: Country::parse("JP"),
        flow: Flow::Direct,
        sign_in_risk: RiskLevel::None,
        user_risk: RiskLevel::None,
    }
}

fn places() -> Locations {
    let office = vec![location::range("192.0.2.0/24").unwrap()];
    let japan = vec![Country::parse("JP").unwrap()];
    Locations::new([
        (OFFICE, NamedLocation::Ranges { trusted: true, ranges: office }),
        (JAPAN, NamedLocation::Countries { countries: japan, unknown: false }),
    ])
}

fn proofs(methods: &[Method], ago: Duration) -> Vec<Proof> {
    methods.iter().map(|m| Proof { method: *m, at: NOW - ago }).collect()
}

fn ask(policies: &[Policy], signals: &Signals, proofs: &[Proof]) -> Evaluation {
    evaluate(policies, &places(), &Strengths::default(), signals, proofs, NOW)
}

fn outcome(change: Value, signals: &Signals) -> Outcome {
    let known = proofs(&[Method::Password], Duration::ZERO);
    ask(&[compile(policy(&change))], signals, &known).results[0].outcome
}

#[test]
fn a_policy_about_a_group_that_nobody_can_read_is_about_everybody_and_spares_nobody() {
    let mut signals = jo();
    let Subject::Person { groups, possible_groups, .. } = &mut signals.subject else { unreachable!() };
    (*groups, *possible_groups) = (vec![], vec![GROUP]);
    let users = |v: Value| json!({"conditions": {"users": v}});
    let about = users(json!({"includeUsers": [], "includeGroups": [GROUP]}));
    assert_eq!(outcome(about, &signals), Outcome::Interrupted);
    assert_eq!(outcome(users(json!({"excludeGroups": [GROUP]})), &signals), Outcome::Interrupted);
}

#[test]
fn every_condition_is_asked_and_an_exclusion_beats_an_inclusion() {
    use NotApplied::*;
    let applies = Outcome::Interrupted;
    let not = Outcome::NotApplied;
    let users = |v: Value| json!({"conditions": {"users": v}});
    let apps = |v: Value| json!({"conditions": {"applications": v}});
    let at = |v: Value| json!({"conditions": {"locations": v}});
    let on = |v: Value| json!({"conditions": {"platforms": v}});
    let of = |v: Value| json!({"conditions": v});
    let cases = [
        (users(json!({})), applies),
        (users(json!({"includeUsers": ["None"]})), not(Users)),
        (users(json!({"includeUsers": [JO]})), applies),
        (users(json!({"includeUsers": [GROUP]})), not(Users)),
        (users(json!({"excludeUsers": [JO]})), not(Users)),
        (users(json!({"includeUsers": [], "includeGroups": [GROUP]})), applies),
        (users(json!({"excludeGroups": [GROUP]})), not(Users)),
        (users(json!({"includeUsers": [], "includeRoles": [ROLE]})), applies),
        (users(json!({"includeUsers": [], "includeRoles": ["Privileged"]})), not(Users)),
        (users(json!({"includeUsers": [JO], "excludeRoles": [ROLE]})), not(Users)),
        (apps(json!({"includeApplications": ["None"]})), not(Application)),
        (apps(json!({"includeApplications": [application::PORTAL]})), applies),
        (apps(json!({"includeApplications": [application::AZ]})), not(Application)),
        (apps(json!({"excludeApplications": [application::PORTAL]})), not(Application)),
        (
            apps(json!({"includeApplications": [], "includeUserActions": ["urn:user:registersecurityinfo"]})),
            not(UserActions),
        ),
        (
            apps(json!({"includeApplications": [], "includeAuthenticationContextClassReferences": ["c1"]})),
            not(AuthenticationContext),
        ),
        (on(json!({"includePlatforms": ["all"], "excludePlatforms": ["macOS"]})), applies),
        (on(json!({"includePlatforms": ["all"], "excludePlatforms": ["linux"]})), not(DevicePlatform)),
        (on(json!({"includePlatforms": ["iOS", "android"]})), not(DevicePlatform)),
        (of(json!({"clientAppTypes": ["all"]})), applies),
        (of(json!({"clientAppTypes": ["mobileAppsAndDesktopClients"]})), not(ClientApps)),
        (at(json!({"includeLocations": ["All"]})), applies),
        (at(json!({"includeLocations": ["AllTrusted"]})), applies),
        (at(json!({"includeLocations": ["All"], "excludeLocations": ["AllTrusted"]})), not(Location)),
        (at(json!({"includeLocations": [OFFICE]})), applies),
        (at(json!({"includeLocations": ["All"], "excludeLocations": [JAPAN]})), not(Location)),
        (of(json!({"signInRiskLevels": ["high", "medium"]})), not(SignInRisk)),
        (of(json!({"userRiskLevels": ["high"]})), not(UserRisk)),
        (of(json!({"authenticationFlows": {"transferMethods": "deviceCodeFlow"}})), not(AuthenticationFlow)),
        (json!({"state": "disabled"}), not(PolicyNotEnabled)),
        (
            json!({
                "conditions": {"users": null, "clientApplications": {"includeServicePrincipals": [JO]}},
                "grantControls": {"builtInControls": ["block"]},
            }),
            not(WorkloadIdentities),
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(outcome(change.clone(), &jo()), expected, "{change}");
    }
}

#[test]
fn what_is_not_known_counts_against_the_request() {
    let nowhere = Signals { country: None, platform: None, ..jo() };
    let at = |include: Value, exclude: Value| json!({"conditions": {"locations": {"includeLocations": include, "excludeLocations": exclude}}});
    let gone = Uuid::from_u128(0x99);
    let applies = Outcome::Interrupted;
    assert_eq!(outcome(at(json!(["All"]), json!([JAPAN])), &nowhere), applies, "not known to be in Japan");
    assert_eq!(outcome(at(json!([gone]), json!([])), &nowhere), applies, "a location that is gone");
    assert_eq!(outcome(at(json!(["All"]), json!([gone])), &nowhere), applies);
    let on = |include: Value, exclude: Value| json!({"conditions": {"platforms": {"includePlatforms": include, "excludePlatforms": exclude}}});
    assert_eq!(
        outcome(on(json!(["windows"]), json!([])), &nowhere),
        applies,
        "it does not say on what it runs"
    );
    assert_eq!(outcome(on(json!(["all"]), json!(["windows"])), &nowhere), applies);
}

#[test]
fn a_proof_counts_by_its_strength_and_its_age() {
    let every = |change: Value| compile(policy(&change));
    let mfa = every(json!({}));
    let strong = every(json!({"grantControls": {"builtInControls": [], "authenticationStrength":
        {"id": "00000000-0000-0000-0000-000000000004"}}}));
    let daily = every(json!({"grantControls": null, "sessionControls": {"signInFrequency":
        {"value": 4, "type": "hours", "isEnabled": true}}}));
    let always = every(json!({"sessionControls": {"signInFrequency":
        {"frequencyInterval": "everyTime", "isEnabled": true}}}));
    let code = [Method::Password, Method::Totp];
    let cases: [(&Policy, &[Method], i64, bool); 13] = [
        (&mfa, &[Method::Password], 0, false),
        (&mfa, &[Method::Link], 0, false),
        (&mfa, &code, 600, true),
        (&mfa, &[Method::Password, Method::RecoveryCode], 0, true),
        (&mfa, &[Method::Passkey], 600, true),
        (&strong, &code, 0, false),
        (&strong, &[Method::Passkey], 600, true),
        (&daily, &code, 239, true),
        (&daily, &code, 241, false),
        (&daily, &[Method::Passkey], 240, true),
        (&daily, &[Method::Link], 0, false),
        (&always, &[Method::Passkey], 5, true),
        (&always, &[Method::Passkey], 6, false),
    ];
    for (policy, methods, minutes, granted) in cases {
        let verdict =
            ask(std::slice::from_ref(policy), &jo(), &proofs(methods, Duration::minutes(minutes))).verdict;
        assert_eq!(
            matches!(verdict, Verdict::Granted(_)),
            granted,
            "{policy:?} {methods:?} {minutes}: {verdict:?}"
        );
    }
    // A demand says what would do, and both policies have to be satisfied by it.
    let Verdict::Demanded(demand) = ask(&[mfa, strong], &jo(), &proofs(&code, Duration::ZERO)).verdict else {
        panic!("a passkey is needed");
    };
    assert_eq!(demand.by.len(), 1);
    let kinds: Vec<String> = demand.needs[0].iter().map(ToString::to_string).collect();
    assert!(kinds.contains(&"fido2".to_owned()) && !kinds.contains(&"password,softwareOath".to_owned()));
}

#[test]
fn one_of_several_controls_is_enough_only_where_the_policy_says_or() {
    let with = |operator: &str| {
        compile(policy(&json!({"grantControls": {"operator": operator, "builtInControls": ["mfa"],
            "authenticationStrength": {"id": "00000000-0000-0000-0000-000000000004"}}})))
    };
    let code = proofs(&[Method::Password, Method::Totp], Duration::ZERO);
    assert!(matches!(ask(&[with("OR")], &jo(), &code).verdict, Verdict::Granted(_)));
    assert!(matches!(ask(&[with("AND")], &jo(), &code).verdict, Verdict::Demanded(_)));
}

#[test]
fn the_strictest_limits_of_all_policies_hold() {
    let one = compile(policy(&json!({"grantControls": null, "sessionControls": {
        "signInFrequency": {"value": 2, "type": "days", "isEnabled": true}, "sekisho": {"idleMinutes": 20}}})));
    let two = compile(policy(&json!({"grantControls": null, "sessionControls": {
        "signInFrequency": {"value": 12, "type": "hours", "isEnabled": true},
        "sekisho": {"idleMinutes": 25, "boundToAddress": true}}})));
    let Verdict::Granted(limits) =
        ask(&[one, two], &jo(), &proofs(&[Method::Passkey], Duration::ZERO)).verdict
    else {
        panic!("nothing is missing");
    };
    assert_eq!(limits.max_age, Some(Duration::hours(12)));
    assert_eq!((limits.idle, limits.bound_to_address), (Some(Duration::minutes(20)), true));
}

#[test]
fn programs_are_blocked_by_policies_about_programs_and_by_no_other() {
    let program = Signals {
        subject: Subject::Program { id: JO },
        client: ClientApp::MobileAppsAndDesktopClients,
        ..jo()
    };
    let block = json!({
        "conditions": {
            "users": {"includeUsers": ["None"]},
            "clientApplications": {"includeServicePrincipals": ["ServicePrincipalsInMyTenant"]},
            "locations": {"includeLocations": ["All"], "excludeLocations": [OFFICE]},
        },
        "grantControls": {"builtInControls": ["block"]},
    });
    let all = [compile(policy(&block)), compile(policy(&json!({})))];
    assert!(matches!(ask(&all, &program, &[]).verdict, Verdict::Granted(_)), "it asks from the office");
    let outside = Signals { address: "198.51.100.1".parse().unwrap(), ..program };
    assert_eq!(ask(&all, &outside, &[]).verdict, Verdict::Blocked(vec![all[0].id]));
}

#[test]
fn a_policy_that_is_not_understood_is_refused_by_the_name_of_what_is_not() {
    let cases = [
        (json!({"displayName": " "}), "displayName"),
        (json!({"state": "on"}), "state"),
        (json!({"grantControls": null}), "grantControls"),
        (json!({"grantControls": {"builtInControls": []}}), "grantControls"),
        (json!({"grantControls": {"builtInControls": ["compliantDevice"]}}), "grantControls.builtInControls"),
        (json!({"grantControls": {"builtInControls": ["block", "mfa"]}}), "grantControls"),
        (json!({"grantControls": {"operator": "XOR", "builtInControls": ["mfa"]}}), "grantControls.operator"),
        (json!({"conditions": {"users": null}}), "conditions.users"),
        (json!({"conditions": {"users": {"includeUsers": []}}}), "conditions.users.includeUsers"),
        (json!({"conditions": {"users": {"includeUsers": ["jo"]}}}), "conditions.users.includeUsers"),
        (json!({"conditions": {"applications": null}}), "conditions.applications"),
        (json!({"conditions": {"applications": {"includeApplications": []}}}), "conditions.applications"),
        (
            json!({"conditions": {"applications": {"includeApplications": ["Office365"]}}}),
            "conditions.applications.includeApplications",
        ),
        (json!({"conditions": {"clientAppTypes": ["fax"]}}), "conditions.clientAppTypes"),
        (json!({"conditions": {"platforms": {"excludePlatforms": ["linux"]}}}), "conditions.platforms"),
        (json!({"conditions": {"platforms": {"includePlatforms": ["BeOS"]}}}), "conditions.platforms"),
        (json!({"conditions": {"locations": {"excludeLocations": ["AllTrusted"]}}}), "conditions.locations"),
        (
            json!({"conditions": {"locations": {"includeLocations": ["All"], "excludeLocations": ["All"]}}}),
            "conditions.locations",
        ),
        (json!({"conditions": {"signInRiskLevels": ["extreme"]}}), "conditions.signInRiskLevels"),
        (
            json!({"sessionControls": {"persistentBrowser": {"mode": "always", "isEnabled": true}}}),
            "sessionControls.persistentBrowser",
        ),
        (
            json!({"sessionControls": {"signInFrequency": {"value": 24, "type": "hours", "isEnabled": true}}}),
            "sessionControls.signInFrequency",
        ),
        (json!({"sessionControls": {"sekisho": {"idleMinutes": 31}}}), "sessionControls.sekisho.idleMinutes"),
        (
            json!({"conditions": {"clientApplications": {"includeServicePrincipals": [JO]}}}),
            "conditions.clientApplications",
        ),
    ];
    for (change, field) in cases {
        let body = PolicyBody::read(policy(&change)).unwrap();
        let error = Policy::compile(Uuid::nil(), &body).unwrap_err();
        assert_eq!(error.field, field, "{change}: {error}");
    }
    for unknown in [
        json!({"conditions": {"devices": {"deviceFilter": {"mode": "include", "rule": "x"}}}}),
        json!({"conditions": {"applications": {"applicationFilter": {"mode": "include", "rule": "x"}}}}),
        json!({"conditions": {"weather": "rain"}}),
        json!({"grantControls": {"termsOfUse": ["x"]}}),
        json!({"sessionControls": {"cloudAppSecurity": {"isEnabled": true, "cloudAppSecurityType": "x"}}}),
    ] {
        assert!(PolicyBody::read(policy(&unknown)).is_err(), "{unknown}");
    }
}

#[test]
fn a_policy_exported_from_entra_is_read_as_it_is() {
    let exported = json!({
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#identity/conditionalAccess/policies/$entity",
        "id": "10ef4fe6-5e51-4f5e-b5a2-8fed19d0be67", "templateId": null, "displayName": "Require MFA",
        "createdDateTime": "2021-11-02T14:17:09Z", "modifiedDateTime": "2024-01-03T20:07:59Z", "state": "enabled",
        "deletedDateTime": null, "partialEnablementStrategy": null,
        "sessionControls": {"disableResilienceDefaults": null, "applicationEnforcedRestrictions": null,
            "cloudAppSecurity": null, "persistentBrowser": null, "signInFrequency": {"value": 4, "type": "hours",
            "authenticationType": "primaryAndSecondaryAuthentication", "frequencyInterval": "timeBased", "isEnabled": true}},
        "conditions": {
            "userRiskLevels": [], "signInRiskLevels": [], "clientAppTypes": ["all"], "platforms": null,
            "locations": null, "times": null, "deviceStates": null, "devices": null, "clientApplications": null,
            "servicePrincipalRiskLevels": [], "insiderRiskLevels": null, "authenticationFlows": null,
            "applications": {"includeApplications": ["All"], "excludeApplications": [], "includeUserActions": [],
                "includeAuthenticationContextClassReferences": [], "applicationFilter": null},
            "users": {"includeUsers": ["All"], "excludeUsers": [], "includeGroups": [], "excludeGroups": [],
                "includeRoles": [], "excludeRoles": [], "includeGuestsOrExternalUsers": null,
                "excludeGuestsOrExternalUsers": null}},
        "grantControls": {"operator": "OR", "builtInControls": ["mfa"], "customAuthenticationFactors": [],
            "termsOfUse": [], "authenticationStrength@odata.context": "https://x", "authenticationStrength": null},
    });
    let body = PolicyBody::read(exported).unwrap();
    let policy = Policy::compile(Uuid::nil(), &body).unwrap();
    assert_eq!((policy.name.as_str(), policy.state), ("Require MFA", State::Enabled));
    let again = PolicyBody::read(serde_json::to_value(&body).unwrap()).unwrap();
    assert_eq!(again, body, "what is written is what was read");
}

#[test]
fn a_set_that_stops_every_administrator_is_refused_and_says_why() {
    let admin = |name: &str, address: &str, methods: &[Method], break_glass: bool| {
        let subject = Subject::Person {
            id: Uuid::new_v4(),
            groups: vec![],
            possible_groups: vec![],
            roles: vec![ROLE],
            privileged: true,
            break_glass,
        };
        Administrator {
            name: name.to_owned(),
            signals: Signals { subject, address: address.parse().unwrap(), country: None, ..jo() },
            methods: methods.to_vec(),
        }
    };
    let strong = compile(policy(&json!({"grantControls": {"builtInControls": [], "authenticationStrength":
        {"id": "00000000-0000-0000-0000-000000000004"}}})));
    let mut office_only = compile(policy(&json!({
        "conditions": {"locations": {"includeLocations": ["All"], "excludeLocations": [OFFICE]}},
        "grantControls": {"builtInControls": ["block"]}})));
    office_only.id = Uuid::from_u128(2);
    let check = |policies: &[Policy], all: &[Administrator]| {
        leaves_somebody(policies, &places(), &Strengths::default(), all, NOW)
    };
    let coder = admin("coder", "192.0.2.1", &[Method::Password, Method::Totp], false);
    let away = admin("away", "198.51.100.1", &[Method::Passkey], false);
    let glass = admin("glass", "203.0.113.1", &[Method::Passkey], true);
    let none = admin("none", "192.0.2.1", &[], false);
    let both = [strong.clone(), office_only.clone()];
    assert_eq!(check(&both[..1], &[coder.clone(), away.clone()]), Ok(()), "away has a passkey");
    assert_eq!(check(&both[1..], &[coder.clone(), away.clone()]), Ok(()), "coder is in the office");
    let stopped = check(&both, &[coder, away, glass.clone(), none]).unwrap_err();
    let told: Vec<_> = stopped.iter().map(|s| (s.name.as_str(), s.blocked, s.by.as_slice())).collect();
    let (strong, office_only) = (strong.id, office_only.id);
    assert_eq!(
        told,
        [("coder", false, &[strong][..]), ("away", true, &[office_only]), ("none", false, &[strong])],
        "the emergency account is no excuse"
    );
    assert_eq!(check(&both, &[glass]), Ok(()), "unless there is nobody else");
    assert!(check(&[], &[]).is_err(), "nobody is nobody");
}

fn any_policy() -> impl Strategy<Value = Value> {
    let users = prop_oneof![
        Just(json!({"includeUsers": ["All"]})),
        Just(json!({"includeUsers": ["All"], "excludeGroups": [GROUP]})),
        Just(json!({"includeUsers": [], "includeRoles": [ROLE]})),
        Just(json!({"includeUsers": [Uuid::from_u128(0x11)]})),
    ];
    let locations = prop_oneof![
        Just(Value::Null),
        Just(json!({"includeLocations": ["All"], "excludeLocations": [OFFICE]})),
        Just(json!({"includeLocations": [JAPAN], "excludeLocations": []})),
    ];
    let grant = prop_oneof![
        Just(json!({"operator": "OR", "builtInControls": ["block"]})),
        Just(json!({"operator": "OR", "builtInControls": ["mfa"]})),
        Just(
            json!({"operator": "AND", "builtInControls": [], "authenticationStrength": {"id": Uuid::from_u128(4)}})
        ),
    ];
    let state = prop_oneof![Just("enabled"), Just("disabled"), Just("enabledForReportingButNotEnforced")];
    (users, locations, grant, state).prop_map(|(users, locations, grant, state)| {
        policy(&json!({"state": state, "conditions": {"users": users, "locations": locations}, "grantControls": grant}))
    })
}

fn any_request() -> impl Strategy<Value = (Signals, Vec<Proof>)> {
    let methods = prop::sample::subsequence(
        vec![Method::Password, Method::Totp, Method::Passkey, Method::RecoveryCode],
        0..4,
    );
    (any::<bool>(), any::<bool>(), any::<bool>(), methods).prop_map(|(member, inside, japan, methods)| {
        let subject = Subject::Person {
            id: JO,
            groups: if member { vec![GROUP] } else { vec![] },
            possible_groups: vec![],
            roles: if japan { vec![ROLE] } else { vec![] },
            privileged: false,
            break_glass: false,
        };
        let address = if inside { "192.0.2.7" } else { "198.51.100.7" }.parse().unwrap();
        let country = Country::parse(if japan { "JP" } else { "DE" });
        (Signals { subject, address, country, ..jo() }, proofs(&methods, Duration::ZERO))
    })
}

/// How much a verdict lets through.
fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Blocked(_) => 0,
        Verdict::Demanded(_) => 1,
        Verdict::Granted(_) => 2,
    }
}

proptest! {
    #[test]
    fn one_more_policy_never_lets_more_through_and_one_more_proof_never_less(
        policies in prop::collection::vec(any_policy(), 1..6),
        (signals, proofs) in any_request(),
    ) {
        let all: Vec<Policy> = policies.into_iter().map(compile).collect();
        let whole = ask(&all, &signals, &proofs).verdict;
        let fewer = ask(&all[1..], &signals, &proofs).verdict;
        prop_assert!(rank(&whole) <= rank(&fewer));
        let mut more = proofs.clone();
        more.push(Proof { method: Method::Passkey, at: NOW });
        prop_assert!(rank(&whole) <= rank(&ask(&all, &signals, &more).verdict));
    }

    #[test]
    fn what_only_reports_and_what_is_off_changes_nothing(
        policies in prop::collection::vec(any_policy(), 0..6),
        (signals, proofs) in any_request(),
    ) {
        let all: Vec<Policy> = policies.into_iter().map(compile).collect();
        let on: Vec<Policy> = all.iter().filter(|p| p.state == State::Enabled).cloned().collect();
        prop_assert_eq!(ask(&all, &signals, &proofs).verdict, ask(&on, &signals, &proofs).verdict);
        // What it would do is what it does once it is enabled.
        let enabled: Vec<Policy> = all.iter().cloned().map(|p| match p.state {
            State::ReportOnly => Policy { state: State::Enabled, ..p },
            _ => p,
        }).collect();
        let before: Vec<Outcome> = ask(&all, &signals, &proofs).results.iter().map(|r| r.outcome).collect();
        let after: Vec<Outcome> = ask(&enabled, &signals, &proofs).results.iter().map(|r| r.outcome).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn nothing_holds_for_an_emergency_account(policies in prop::collection::vec(any_policy(), 0..6)) {
        let all: Vec<Policy> = policies.into_iter().map(compile).collect();
        let subject = Subject::Person { id: JO, groups: vec![GROUP], possible_groups: vec![], roles: vec![ROLE], privileged: true, break_glass: true };
        let verdict = ask(&all, &Signals { subject, ..jo() }, &[]).verdict;
        prop_assert!(matches!(verdict, Verdict::Granted(_)), "{:?}", verdict);
    }

    #[test]
    fn no_json_breaks_the_reading_of_policies(text in ".{0,200}", field in "[a-zA-Z]{1,12}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = PolicyBody::read(value).map(|b| Policy::compile(Uuid::nil(), &b));
        }
        let _ = PolicyBody::read(json!({ field: text })).map(|b| Policy::compile(Uuid::nil(), &b));
    }
}
