//! Named locations and strengths of authentication at Microsoft Graph's paths: what policies refer to.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read};
use sekisho_identity::conditional_access::strength::{BUILT_IN, MULTIFACTOR};
use sekisho_identity::conditional_access::{Combination, Policy, Strengths, location::MAX_LOCATIONS};
use sekisho_identity::oauth::timestamp;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::change::{Subject, change, require};
use super::graph::{DELETE, READ, WRITE, answer, bad, json_of, no_content, not_found, previewed};
use super::records::{LocationRecord, PolicyRecord, StrengthRecord, kind};
use crate::app::App;
use crate::authn::Caller;
use crate::http as web;
use crate::routes::{List, Operation, Routes};

const LOCATIONS: &str = "/v1.0/identity/conditionalAccess/namedLocations";
const LOCATION: &str = "/v1.0/identity/conditionalAccess/namedLocations/{id}";
const STRENGTHS: &str = "/v1.0/policies/authenticationStrengthPolicies";
const STRENGTH: &str = "/v1.0/policies/authenticationStrengthPolicies/{id}";

/// All routes.
pub(super) fn routes() -> Routes {
    Routes::default()
        .on(Operation::get(LOCATIONS, "All named locations").answers::<List<LocationRecord>>(200), locations)
        .on(
            previewed(
                Operation::post(LOCATIONS, "Adds a named location")
                    .takes::<LocationRecord>()
                    .answers::<LocationRecord>(201),
            ),
            add_location,
        )
        .on(Operation::get(LOCATION, "A named location").answers::<LocationRecord>(200), location)
        .on(
            previewed(
                Operation::patch(LOCATION, "Changes a named location").takes::<LocationRecord>().ends(204),
            ),
            edit_location,
        )
        .on(
            previewed(Operation::delete(LOCATION, "Removes a named location that no policy needs").ends(204)),
            remove_location,
        )
        .on(
            Operation::get(STRENGTHS, "All strengths of authentication").answers::<List<StrengthRecord>>(200),
            strengths,
        )
        .on(
            previewed(
                Operation::post(STRENGTHS, "Adds a strength of authentication")
                    .takes::<StrengthRecord>()
                    .answers::<StrengthRecord>(201),
            ),
            add_strength,
        )
        .on(Operation::get(STRENGTH, "A strength of authentication").answers::<StrengthRecord>(200), strength)
        .on(
            Operation::delete(STRENGTH, "Removes a strength of authentication that no policy needs")
                .ends(204),
            remove_strength,
        )
}

/// The names of the policies that refer to something.
async fn users_of(
    read: &mut (dyn Read + '_),
    refers: impl Fn(&Policy) -> bool,
) -> Result<Vec<String>, ArmError> {
    let all: Vec<(String, PolicyRecord)> = read_documents(read, kind::POLICY).await?;
    let mut names = Vec::new();
    for (_, record) in &all {
        // What it would go back to counts, too.
        let before = record.pending.as_ref().and_then(|p| p.before.as_ref());
        for body in [Some(&record.body), before].into_iter().flatten() {
            if Policy::compile(record.id, body).is_ok_and(|p| refers(&p)) {
                names.push(body.display_name.clone());
                break;
            }
        }
    }
    Ok(names)
}

fn in_use(names: &[String]) -> ArmError {
    let text = format!("It is needed by {}.", names.join(", "));
    ArmError::new(409, "InUse", text)
}

async fn locations(State(app): State<Arc<App>>, caller: Caller) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        let all: Vec<(String, LocationRecord)> =
            read_documents(&mut app.store.read().await?, kind::LOCATION).await?;
        let mut value: Vec<LocationRecord> = all.into_iter().map(|(_, l)| l).collect();
        value.sort_by(|a, b| a.display_name.cmp(&b.display_name));
        Ok(web::json(StatusCode::OK, &List::of(value)))
    };
    answer(run.await)
}

async fn location(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        let found: Option<LocationRecord> =
            read_document(&mut app.store.read().await?, kind::LOCATION, &id.to_ascii_lowercase()).await?;
        Ok(web::json(StatusCode::OK, &found.ok_or_else(|| not_found("named location", &id))?))
    };
    answer(run.await)
}

async fn add_location(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    let run = async {
        let uri = request.uri().clone();
        let mut record: LocationRecord = sekisho_arm::resource::typed(&json_of(request).await?, "")?;
        let id = Uuid::new_v4().to_string();
        let now = timestamp(OffsetDateTime::now_utc());
        record.id.clone_from(&id);
        (record.created_date_time, record.modified_date_time) = (Some(now.clone()), Some(now));
        record.compile().map_err(bad)?;
        let subject = Subject::of(kind::LOCATION, &id);
        let made = change(&app, &caller, WRITE, (subject, &uri), move |tx| {
            Box::pin(async move {
                if tx.as_read().documents(kind::LOCATION).await?.len() >= MAX_LOCATIONS {
                    return Err(bad(format!("There are {MAX_LOCATIONS} named locations already.")));
                }
                write_document(tx, kind::LOCATION, &id, &record).await?;
                Ok(record)
            })
        })
        .await?;
        Ok(made.answer(|shown| web::json(StatusCode::CREATED, &shown)))
    };
    answer(run.await)
}

async fn edit_location(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
    request: Request,
) -> Response {
    let run = async {
        let uri = request.uri().clone();
        let patch = json_of(request).await?;
        let subject = Subject::of(kind::LOCATION, &id);
        let done = change(&app, &caller, WRITE, (subject, &uri), move |tx| {
            Box::pin(async move {
                let key = id.to_ascii_lowercase();
                let found: Option<LocationRecord> = read_document(tx.as_read(), kind::LOCATION, &key).await?;
                let kept = found.ok_or_else(|| not_found("named location", &id))?;
                let mut whole = serde_json::to_value(&kept).map_err(|_| ArmError::internal())?;
                if let (Value::Object(whole), Value::Object(patch)) = (&mut whole, patch) {
                    whole.extend(patch);
                }
                let mut next: LocationRecord = sekisho_arm::resource::typed(&whole, "")?;
                (next.id, next.created_date_time) = (kept.id, kept.created_date_time);
                next.modified_date_time = Some(timestamp(tx.now()));
                next.compile().map_err(bad)?;
                Ok(write_document(tx, kind::LOCATION, &key, &next).await?)
            })
        })
        .await?;
        Ok(done.answer(|()| no_content()))
    };
    answer(run.await)
}

async fn remove_location(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
    uri: Uri,
) -> Response {
    let run = async {
        let subject = Subject::of(kind::LOCATION, &id);
        let done = change(&app, &caller, DELETE, (subject, &uri), move |tx| {
            Box::pin(async move {
                let key = id.to_ascii_lowercase();
                let names =
                    users_of(tx.as_read(), |p| p.rules.locations().any(|l| l.to_string() == key)).await?;
                if !names.is_empty() {
                    return Err(in_use(&names));
                }
                let known = tx.remove_document(kind::LOCATION, &key).await?;
                if known { Ok(()) } else { Err(not_found("named location", &id)) }
            })
        })
        .await?;
        Ok(done.answer(|()| no_content()))
    };
    answer(run.await)
}

fn built_in() -> Vec<StrengthRecord> {
    let shown = |(id, name, modes): &(Uuid, &str, &[&str])| StrengthRecord {
        id: id.to_string(),
        display_name: (*name).to_owned(),
        description: String::new(),
        policy_type: "builtIn".to_owned(),
        requirements_satisfied: "mfa".to_owned(),
        allowed_combinations: modes.iter().map(|m| (*m).to_owned()).collect(),
        created_date_time: None,
        modified_date_time: None,
    };
    BUILT_IN.iter().map(shown).collect()
}

async fn all_strengths(app: &App) -> Result<Vec<StrengthRecord>, ArmError> {
    let custom: Vec<(String, StrengthRecord)> =
        read_documents(&mut app.store.read().await?, kind::STRENGTH).await?;
    Ok(built_in().into_iter().chain(custom.into_iter().map(|(_, s)| s)).collect())
}

async fn strengths(State(app): State<Arc<App>>, caller: Caller) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        Ok(web::json(StatusCode::OK, &List::of(all_strengths(&app).await?)))
    };
    answer(run.await)
}

async fn strength(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Response {
    let run = async {
        require(&app, &caller, READ).await?;
        let found = all_strengths(&app).await?.into_iter().find(|s| s.id.eq_ignore_ascii_case(&id));
        Ok(web::json(StatusCode::OK, &found.ok_or_else(|| not_found("strength of authentication", &id))?))
    };
    answer(run.await)
}

/// Whether everything that is good enough for it is good enough for a second factor.
fn satisfies_mfa(combinations: &[Combination]) -> bool {
    let known = Strengths::default();
    combinations.iter().all(|c| known.combinations(MULTIFACTOR).iter().any(|enough| c.contains(*enough)))
}

async fn add_strength(State(app): State<Arc<App>>, caller: Caller, request: Request) -> Response {
    let run = async {
        let uri = request.uri().clone();
        let mut record: StrengthRecord = sekisho_arm::resource::typed(&json_of(request).await?, "")?;
        let id = Uuid::new_v4().to_string();
        let now = timestamp(OffsetDateTime::now_utc());
        let combinations = record.compile().map_err(bad)?;
        record.id.clone_from(&id);
        "custom".clone_into(&mut record.policy_type);
        let satisfied = if satisfies_mfa(&combinations) { "mfa" } else { "none" };
        satisfied.clone_into(&mut record.requirements_satisfied);
        (record.created_date_time, record.modified_date_time) = (Some(now.clone()), Some(now));
        let subject = Subject::of(kind::STRENGTH, &id);
        let made = change(&app, &caller, WRITE, (subject, &uri), move |tx| {
            Box::pin(async move {
                write_document(tx, kind::STRENGTH, &id, &record).await?;
                Ok(record)
            })
        })
        .await?;
        Ok(made.answer(|shown| web::json(StatusCode::CREATED, &shown)))
    };
    answer(run.await)
}

async fn remove_strength(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    caller: Caller,
    uri: Uri,
) -> Response {
    let run = async {
        let subject = Subject::of(kind::STRENGTH, &id);
        let done = change(&app, &caller, DELETE, (subject, &uri), move |tx| {
            Box::pin(async move {
                let key = id.to_ascii_lowercase();
                if BUILT_IN.iter().any(|(id, ..)| id.to_string() == key) {
                    return Err(bad("What is built in stays."));
                }
                let names =
                    users_of(tx.as_read(), |p| p.rules.strengths().any(|s| s.to_string() == key)).await?;
                if !names.is_empty() {
                    return Err(in_use(&names));
                }
                let known = tx.remove_document(kind::STRENGTH, &key).await?;
                if known { Ok(()) } else { Err(not_found("strength of authentication", &id)) }
            })
        })
        .await?;
        Ok(done.answer(|()| no_content()))
    };
    answer(run.await)
}
