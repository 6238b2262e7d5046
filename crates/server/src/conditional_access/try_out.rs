//! Trying policies without enforcing them: on a sign-in that is made up (Graph's `evaluate`, the What-If tool), and on
//! everything that was seen of the last days.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{ArmError, PrincipalKind, Read};
use sekisho_identity::Person;
use sekisho_identity::conditional_access::body::PolicyBody;
use sekisho_identity::conditional_access::{
    ClientApp, Country, Flow, NotApplied, Outcome, Platform, Policy, RiskLevel, Signals,
    State as PolicyState, Verdict, application,
};
use sekisho_identity::oauth::timestamp;
use sekisho_identity::service_principal::ServicePrincipal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::Duration;
use uuid::Uuid;

use super::change::require;
use super::graph::{READ, answer, bad, json_of, not_found, understood};
use super::records::PolicyRecord;
use super::seen::{self, Record};
use super::{Rulebook, admit, kind};
use crate::app::App;
use crate::authn::Caller;
use crate::http as web;
use crate::routes::{List, Operation, Routes};
use crate::signin;

/// All routes.
pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::post(
                "/v1.0/identity/conditionalAccess/evaluate",
                "Says which policies would apply to a sign-in",
            )
            .takes::<WhatIf>()
            .answers::<List<Analysis>>(200),
            evaluate,
        )
        .on(
            Operation::post(
                "/v1.0/identity/conditionalAccess/policies/sekisho.backtest",
                "Says whom a policy would have stopped in the last days",
            )
            .takes::<Draft>()
            .answers::<Backtest>(200),
            backtest,
        )
}

/// A sign-in that is made up.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WhatIfSignIn")]
struct WhatIf {
    sign_in_identity: Identity,
    #[serde(default)]
    sign_in_context: Context,
    #[serde(default)]
    sign_in_conditions: Conditions,
    /// Only what applies.
    #[serde(default)]
    applied_policies_only: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WhatIfIdentity")]
struct Identity {
    /// Of a person.
    #[serde(default)]
    user_id: Option<String>,
    /// Of a program.
    #[serde(default)]
    service_principal_id: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "WhatIfContext")]
struct Context {
    include_applications: Vec<String>,
    /// `registerSecurityInformation`.
    user_action: Option<String>,
    /// `c1` to `c99`.
    authentication_context: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "WhatIfConditions")]
struct Conditions {
    device_platform: Option<String>,
    client_app_type: Option<String>,
    sign_in_risk_level: Option<String>,
    user_risk_level: Option<String>,
    country: Option<String>,
    ip_address: Option<String>,
}

/// What a policy would say.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "WhatIfAnalysisResult")]
struct Analysis {
    #[serde(flatten)]
    policy: PolicyBody,
    /// Whether it would apply.
    policy_applies: bool,
    /// Why not; `notSet` when it would.
    analysis_reasons: String,
}

fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

async fn evaluate(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        let asked: WhatIf = sekisho_arm::resource::typed(&json_of(request).await?, "")?;
        let mut read = app.store.read().await?;
        let now = read.now();
        let book = Rulebook::read(&mut read).await?;
        let signals = made_up(&app, &mut read, &asked, &book).await?;
        let records: Vec<(String, PolicyRecord)> = read_documents(&mut read, kind::POLICY).await?;
        let evaluation = book.evaluate(&signals, &[], now);
        let mut value = Vec::new();
        for result in &evaluation.results {
            let applies = !matches!(result.outcome, Outcome::NotApplied(_));
            if asked.applied_policies_only && !applies {
                continue;
            }
            let policy = records.iter().find(|(_, r)| r.id == result.policy).and_then(|(_, r)| r.shown(now));
            let reasons = match result.outcome {
                Outcome::NotApplied(why) => word::<NotApplied>(&why),
                _ => "notSet".to_owned(),
            };
            let policy = policy.ok_or_else(ArmError::internal)?;
            value.push(Analysis { policy, policy_applies: applies, analysis_reasons: reasons });
        }
        Ok(web::json(StatusCode::OK, &List::of(value)))
    };
    answer(run.await)
}

async fn made_up(
    app: &App,
    read: &mut (dyn Read + '_),
    asked: &WhatIf,
    book: &Rulebook,
) -> Result<Signals, ArmError> {
    let identity = &asked.sign_in_identity;
    let (principal, id, known) = match (&identity.user_id, &identity.service_principal_id) {
        (Some(id), None) => {
            let found: Option<Person> = read_document(read, signin::kind::PERSON, id).await?;
            (PrincipalKind::User, id, found.is_some())
        }
        (None, Some(id)) => {
            let found: Option<ServicePrincipal> =
                read_document(read, signin::kind::SERVICE_PRINCIPAL, id).await?;
            (PrincipalKind::ServicePrincipal, id, found.is_some())
        }
        _ => return Err(bad("signInIdentity: give userId or servicePrincipalId.").target("signInIdentity")),
    };
    let id = Uuid::try_parse(id).ok().filter(|_| known).ok_or_else(|| not_found("principal", id))?;
    let (context, conditions) = (&asked.sign_in_context, &asked.sign_in_conditions);
    let wrong =
        |field: &'static str, text: &str| bad(format!("{field}: '{text}' means nothing.")).target(field);
    let level = |field, text: &Option<String>| match text {
        None => Ok(RiskLevel::None),
        Some(text) => RiskLevel::parse(text).ok_or_else(|| wrong(field, text)),
    };
    let address: IpAddr = match &conditions.ip_address {
        Some(text) => text.parse().map_err(|_| wrong("ipAddress", text))?,
        None => std::net::Ipv4Addr::UNSPECIFIED.into(),
    };
    let country = match &conditions.country {
        Some(text) => Some(Country::parse(text).ok_or_else(|| wrong("country", text))?),
        None => app.countries.of(address),
    };
    let platform = match &conditions.device_platform {
        Some(text) => Some(Platform::parse(text).ok_or_else(|| wrong("devicePlatform", text))?),
        None => None,
    };
    let client = match conditions.client_app_type.as_deref() {
        None | Some("browser" | "all") => ClientApp::Browser,
        Some("mobileAppsAndDesktopClients") => ClientApp::MobileAppsAndDesktopClients,
        Some("other" | "exchangeActiveSync" | "easSupported") => ClientApp::Other,
        Some(text) => return Err(wrong("clientAppType", text)),
    };
    let applications = if context.include_applications.is_empty() && context.user_action.is_none() {
        vec![application::PORTAL, application::API]
    } else {
        let one = |text: &String| Uuid::try_parse(text).map_err(|_| wrong("includeApplications", text));
        context.include_applications.iter().map(one).collect::<Result<_, _>>()?
    };
    Ok(Signals {
        subject: admit::subject(principal, id, &app.access.snapshot(), book),
        applications,
        registers_security_info: context.user_action.is_some(),
        context: context.authentication_context.clone(),
        client,
        platform,
        address,
        country,
        flow: Flow::Direct,
        sign_in_risk: level("signInRiskLevel", &conditions.sign_in_risk_level)?,
        user_risk: level("userRiskLevel", &conditions.user_risk_level)?,
    })
}

/// A policy that is to be tried on the past. Members of groups and holders of roles are those of today.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PolicyDraft")]
struct Draft {
    /// As it would be written, whatever its state; with an id it takes the place of that policy.
    #[schemars(with = "PolicyBody")]
    policy: Value,
    /// How many days back: 1 to 30.
    #[serde(default)]
    days: Option<i64>,
}

/// Whom a policy would have stopped.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Backtest {
    /// How many days back there are records of.
    days: i64,
    /// How many requests those are.
    requests: u64,
    /// Those that would have been stopped, most requests first.
    stopped: Vec<Stopped>,
}

/// Requests of one kind that would have been stopped.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "StoppedRequests")]
struct Stopped {
    principal_id: String,
    name: String,
    /// `blocked`, or `interrupted`: something would have had to be proved.
    result: &'static str,
    client_app_type: String,
    platform: Option<String>,
    ip_address: String,
    country: Option<String>,
    applications: Vec<String>,
    requests: u64,
    first: String,
    last: String,
}

async fn backtest(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        let draft: Draft = sekisho_arm::resource::typed(&json_of(request).await?, "")?;
        let days = draft.days.unwrap_or(7);
        if !(1..=seen::DAYS).contains(&days) {
            return Err(bad(format!("days: it is 1 to {}.", seen::DAYS)).target("days"));
        }
        let body = PolicyBody::read(draft.policy).map_err(bad)?;
        let id = body.id.as_deref().and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_default();
        seen::flush(&app).await?;
        let mut read = app.store.read().await?;
        let policy = Policy { state: PolicyState::Enabled, ..understood(&mut read, id, &body).await? };
        let now = read.now();
        let since = now - Duration::days(days);
        let (first, last) = (since.date().to_string(), format!("{}/~", now.date()));
        let documents = read.documents_between(seen::KIND, &first, &last).await?;
        let records = documents.into_iter().filter_map(|d| d.typed::<Record>().ok());
        let records: Vec<Record> = records.filter(|r| r.last >= since).collect();
        let current = Rulebook::read(&mut read).await?;
        drop(read);
        let mut next = current.policies.clone();
        next.retain(|p| p.id != id);
        next.push(policy);
        let next = Rulebook {
            policies: next,
            locations: current.locations.clone(),
            strengths: current.strengths.clone(),
            emergency: current.emergency.clone(),
            ..Rulebook::default()
        };
        let mut stopped: Vec<Stopped> =
            records.iter().filter_map(|record| stops(&app, &current, &next, record)).collect();
        stopped.sort_by_key(|s| std::cmp::Reverse(s.requests));
        let requests = records.iter().map(|r| r.requests).sum();
        Ok(web::json(StatusCode::OK, &Backtest { days, requests, stopped }))
    };
    answer(run.await)
}

/// What the next rulebook stops and the current one does not.
fn stops(app: &App, current: &Rulebook, next: &Rulebook, record: &Record) -> Option<Stopped> {
    let rights = app.access.snapshot();
    let with = |book: &Rulebook| {
        let subject = admit::subject(record.kind, record.principal, &rights, book);
        let signals = Signals { subject, ..record.signals.clone() };
        rank(&book.evaluate(&signals, &record.proofs, record.last).verdict)
    };
    let (before, after) = (with(current), with(next));
    if after >= before {
        return None;
    }
    Some(Stopped {
        principal_id: record.principal.to_string(),
        name: record.name.clone(),
        result: if after == 0 { "blocked" } else { "interrupted" },
        client_app_type: word(&record.signals.client),
        platform: record.signals.platform.as_ref().map(word),
        ip_address: record.signals.address.to_string(),
        country: record.signals.country.map(|c| c.to_string()),
        applications: record.signals.applications.iter().map(Uuid::to_string).collect(),
        requests: record.requests,
        first: timestamp(record.first),
        last: timestamp(record.last),
    })
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Blocked(_) => 0,
        Verdict::Demanded(_) => 1,
        Verdict::Granted(_) => 2,
    }
}
