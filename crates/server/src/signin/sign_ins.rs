//! The log of people's sign-ins in the portal (Graph's `auditLogs/signIns`), and what is remembered of each person's to
//! see when one is strange. What a client was let in with stands in the list of grants.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use sekisho_arm::filter::{Filter, lookup};
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Document, Read, StoreError, Write};
use sekisho_identity::Person;
use sekisho_identity::conditional_access::risk::{Attempt, Earlier, judge};
use sekisho_identity::conditional_access::{
    Combination, Country, Outcome, Platform, Reason, Risk, RiskLevel, application,
};
use sekisho_identity::oauth::timestamp;
use sekisho_identity::session::Method;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::kind;
use crate::app::App;
use crate::authn::Caller;
use crate::conditional_access::{self, Judged};
use crate::http as web;
use crate::routes::{List, Operation, Routes};

/// How long entries are kept.
const DAYS: i64 = 30;
/// How many sign-ins of a person are remembered.
const REMEMBERED: usize = 50;
/// Most entries of an answer.
const MOST: usize = 1000;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default().on(
        Operation::get(
            "/v1.0/auditLogs/signIns",
            "Who signed in, from where, with what, and what policies said",
        )
        .query("$filter")
        .query("$top")
        .answers::<List<SignIn>>(200),
        list,
    )
}

/// An attempt to sign in.
pub(super) struct Signing<'a> {
    pub(super) person: &'a Person,
    pub(super) methods: &'a [Method],
    pub(super) address: IpAddr,
    pub(super) agent: &'a str,
    pub(super) risk: Risk,
}

/// A sign-in, as Graph shows it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SignIn {
    id: String,
    created_date_time: String,
    user_id: String,
    user_display_name: String,
    user_principal_name: String,
    app_id: String,
    app_display_name: String,
    ip_address: String,
    client_app_used: String,
    user_agent: String,
    is_interactive: bool,
    /// `success`, `failure` or `notApplied`.
    conditional_access_status: String,
    risk_level_during_sign_in: RiskLevel,
    #[serde(rename = "riskEventTypes_v2")]
    risk_event_types: Vec<Reason>,
    status: Status,
    location: Location,
    device_detail: Device,
    authentication_methods_used: Vec<String>,
    applied_conditional_access_policies: Vec<Applied>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SignInStatus")]
struct Status {
    /// Entra's number; 0 when it succeeded.
    error_code: u32,
    failure_reason: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SignInLocation")]
struct Location {
    country_or_region: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SignInDevice")]
struct Device {
    operating_system: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AppliedConditionalAccessPolicy")]
struct Applied {
    id: String,
    display_name: String,
    /// `success`, `failure`, `notApplied`, `reportOnlySuccess` and so on.
    result: String,
}

/// One of a person's sign-ins, as far as it is remembered.
#[derive(Debug, Serialize, Deserialize)]
struct Past {
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    address: IpAddr,
    country: Option<Country>,
    succeeded: bool,
}

/// How strange a sign-in is, by those before it.
pub(super) async fn risk(
    app: &App,
    person: Uuid,
    address: IpAddr,
    familiar_device: bool,
) -> Result<Risk, StoreError> {
    let mut read = app.store.read().await?;
    let past: Vec<Past> =
        read_document(&mut read, kind::SIGN_IN_HISTORY, &person.to_string()).await?.unwrap_or_default();
    let now = read.now();
    let failures = past.iter().filter(|p| !p.succeeded && now - p.at <= Duration::HOUR).count();
    let attempt = Attempt {
        at: now,
        address,
        country: app.countries.of(address),
        familiar_device,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
    };
    let succeeded = past.into_iter().filter(|p| p.succeeded);
    let earlier: Vec<Earlier> =
        succeeded.map(|p| Earlier { at: p.at, address: p.address, country: p.country }).collect();
    Ok(judge(&attempt, &earlier))
}

/// Keeps a sign-in. `refused` is Entra's number and why; `judged` what the policies said, where they were asked.
pub(super) async fn note(
    tx: &mut (dyn Write + '_),
    country: Option<Country>,
    signing: &Signing<'_>,
    refused: Option<(u32, &str)>,
    judged: Option<&Judged>,
) -> Result<(), StoreError> {
    let (now, person) = (tx.now(), signing.person);
    let key = person.id.to_string();
    let mut past: Vec<Past> =
        read_document(tx.as_read(), kind::SIGN_IN_HISTORY, &key).await?.unwrap_or_default();
    past.push(Past { at: now, address: signing.address, country, succeeded: refused.is_none() });
    let over = past.len().saturating_sub(REMEMBERED);
    past.drain(..over);
    write_document(tx, kind::SIGN_IN_HISTORY, &key, &past).await?;

    let said =
        |outcome: fn(&Outcome) -> bool| judged.is_some_and(|j| j.results().any(|r| outcome(&r.outcome)));
    let status = if judged.is_some_and(Judged::is_refused) {
        "failure"
    } else if said(|o| !matches!(o, Outcome::NotApplied(_))) {
        "success"
    } else {
        "notApplied"
    };
    let id = Uuid::new_v4();
    let (error_code, why) = refused.unwrap_or((0, ""));
    let entry = SignIn {
        id: id.to_string(),
        created_date_time: timestamp(now),
        user_id: key,
        user_display_name: person.display_name.clone(),
        user_principal_name: person.user_principal_name.clone(),
        app_id: application::PORTAL.to_string(),
        app_display_name: "Portal".to_owned(),
        ip_address: signing.address.to_string(),
        client_app_used: "Browser".to_owned(),
        user_agent: signing.agent.chars().filter(|c| !c.is_control()).take(200).collect(),
        is_interactive: true,
        conditional_access_status: status.to_owned(),
        risk_level_during_sign_in: signing.risk.level,
        risk_event_types: signing.risk.reasons.clone(),
        status: Status { error_code, failure_reason: why.to_owned() },
        location: Location { country_or_region: country.map(|c| c.to_string()) },
        device_detail: Device {
            operating_system: Platform::of_agent(signing.agent)
                .and_then(|p| Platform::ALL.iter().find(|(_, known)| *known == p))
                .map(|(word, _)| (*word).to_owned()),
        },
        authentication_methods_used: signing
            .methods
            .iter()
            .map(|m| Combination::of(*m).to_string())
            .collect(),
        applied_conditional_access_policies: judged
            .into_iter()
            .flat_map(|j| j.results().map(|r| (r, j.name(r.policy))))
            .map(|(r, name)| Applied {
                id: r.policy.to_string(),
                display_name: name.to_owned(),
                result: r.word().to_owned(),
            })
            .collect(),
    };
    write_document(tx, kind::SIGN_IN, &format!("{:014}/{id}", millis(now)), &entry).await
}

fn millis(at: OffsetDateTime) -> i128 {
    at.unix_timestamp_nanos() / 1_000_000
}

/// The keys of what is too old.
pub(super) async fn old(read: &mut (dyn Read + '_)) -> Result<Vec<String>, StoreError> {
    let oldest = format!("{:014}", millis(read.now() - Duration::days(DAYS)));
    let all = read.documents_between(kind::SIGN_IN, "", &oldest).await?;
    Ok(all.into_iter().map(|d| d.key).collect())
}

/// The newest first.
async fn list(
    State(app): State<Arc<App>>,
    Query(asked): Query<HashMap<String, String>>,
    caller: Caller,
) -> Response {
    let run = async {
        conditional_access::may_read(&app, &caller).await?;
        let filter =
            asked.get("$filter").filter(|f| !f.trim().is_empty()).map(|f| Filter::parse(f)).transpose()?;
        let all = app.store.read().await?.documents(kind::SIGN_IN).await?;
        let fits = |document: &Document| {
            let Some(filter) = &filter else { return true };
            document.body().is_ok_and(|body| filter.matches(&|path| lookup(&body, path)))
        };
        let top = asked.get("$top").map_or(Ok(100), |text| text.parse::<usize>()).map_err(|_| {
            ArmError::bad("Request_BadRequest", "The value of $top is a number of sign-ins.").target("$top")
        })?;
        let top = top.clamp(1, MOST);
        let value: Vec<SignIn> =
            all.into_iter().rev().filter(fits).filter_map(|d| d.typed().ok()).take(top).collect();
        Ok::<_, ArmError>(web::json(StatusCode::OK, &List::of(value)))
    };
    super::answer(run.await)
}
