//! The device authorization endpoint, and the portal's side of it: the person types the code, sees who asks, and says yes
//! or no.

use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method as Verb, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Outcome, Read, StoreError};
use sekisho_identity::Secret;
use sekisho_identity::conditional_access::Flow;
use sekisho_identity::grant::Approval;
use sekisho_identity::oauth::device::{self, DeviceCode, UserCode};
use sekisho_identity::oauth::{DeviceAnswer, DeviceForm, OAuthError, OAuthRefusal, Wish, device_request};
use sekisho_identity::secret::Exposed;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Asker, MAX_FORM, approve, client_name, failed, form, refuse};
use crate::app::App;
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};
use crate::signin::{answer, body, ceremony, entry, kind, person_ref, sessions, throttle};

/// The portal's page, short enough to be typed.
pub(super) const PAGE: &str = "/devicelogin";

/// The routes.
pub(super) fn routes() -> Routes {
    let begin_at = |path| {
        Operation::post(path, "Begins a sign-in that a person confirms in another browser")
            .anybody()
            .takes_as::<DeviceForm>("application/x-www-form-urlencoded")
            .answers::<DeviceAnswer>(200)
            .refuses::<OAuthRefusal>()
    };
    Routes::default()
        .on(begin_at("/{tenant}/oauth2/v2.0/devicecode"), begin)
        .on(begin_at("/{tenant}/oauth2/devicecode"), begin)
        .on(
            Operation::post("/auth/device/inspect", "Who waits for the code that was typed")
                .session()
                .takes::<Typed>()
                .answers::<Waiting>(200),
            inspect,
        )
        .on(
            Operation::post("/auth/device", "Lets whoever waits act as oneself, or does not")
                .session()
                .takes::<Decided>()
                .ends(204),
            decide,
        )
}

/// `POST /{tenant}/oauth2/v2.0/devicecode`.
async fn begin(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(tenant): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let run = async {
        let bytes = web::read_body(body, MAX_FORM).await.map_err(|_| OAuthError::malformed("body"))?;
        let base = web::base_url(&parts.headers, &app.config);
        let authority = app.identity.authority(&base);
        let (client, wish) = device_request(&authority, &tenant, &form(&bytes)?)?;
        let (code, typed) = issue(&app, client, wish, Asker::of(peer, &parts.headers)).await?;
        let page = format!("{base}{PAGE}");
        Ok(DeviceAnswer {
            message: format!(
                "To sign in, use a web browser to open the page {page} and enter the code {typed} to authenticate."
            ),
            user_code: typed.to_string(),
            device_code: Exposed(code),
            verification_uri: page,
            expires_in: device::LIFETIME.whole_seconds(),
            interval: device::INTERVAL.whole_seconds(),
        })
    };
    match run.await {
        Ok(body) => web::json(StatusCode::OK, &body),
        Err(error) => refuse(&error, &parts.headers),
    }
}

/// Makes the two codes of a sign-in: the client's and the person's.
pub(super) async fn issue(
    app: &App,
    client: Uuid,
    wish: Wish,
    asker: Asker,
) -> Result<(Secret, UserCode), OAuthError> {
    let made = app.store.write::<_, StoreError, _>(move |tx| {
        Box::pin(async move {
            let now = tx.now();
            let waiting = waiting(tx.as_read(), now).await?;
            let own = waiting.iter().filter(|w| w.ip == asker.address).count();
            if own >= device::MAX_OF_ADDRESS || waiting.len() >= device::MAX {
                return Ok(Err(OAuthError::too_many_waiting()));
            }
            let made = DeviceCode::issue(client, wish, asker.address, &asker.user_agent, now);
            let Ok((kept, code, typed)) = made else { return Ok(Err(OAuthError::server_error())) };
            write_document(tx, kind::DEVICE_CODE, &kept.key(), &kept).await?;
            Ok(Ok((code, typed)))
        })
    });
    made.await.map_err(failed)?
}

/// The requests whose time is not over.
async fn waiting(read: &mut (dyn Read + '_), now: OffsetDateTime) -> Result<Vec<DeviceCode>, StoreError> {
    let all: Vec<(String, DeviceCode)> = read_documents(read, kind::DEVICE_CODE).await?;
    Ok(all.into_iter().map(|(_, d)| d).filter(|d| !d.stale(now)).collect())
}

/// A code as a person typed it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeviceUserCode")]
struct Typed {
    user_code: String,
}

/// Who waits for it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeviceRequest")]
struct Waiting {
    client_id: String,
    /// What the client says it is; null for one that nobody knows.
    client_name: Option<String>,
    /// Where it asked from.
    ip_address: String,
    /// Whether that is where the person is, too.
    same_address: bool,
    user_agent: String,
    started_at: String,
    /// What it wants to reach.
    resources: Vec<String>,
    /// Whether it wants to go on without asking again.
    offline: bool,
    /// Whether the person must sign in again first.
    needs_fresh_sign_in: bool,
}

fn no_such_code() -> ArmError {
    ArmError::new(
        404,
        "DeviceCodeNotFound",
        "Nobody waits for this code. It may have expired; start the sign-in again.",
    )
}

/// `POST /auth/device/inspect`.
async fn inspect(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let (_, session) = sessions::own(&app, &Verb::POST, &headers, peer).await?;
        let typed: Typed = body(request).await?;
        let found = find(&app, peer, &typed.user_code).await?;
        let now = OffsetDateTime::now_utc();
        let shown = Waiting {
            client_id: found.client.to_string(),
            client_name: client_name(&mut app.store.read().await?, found.client).await?,
            same_address: found.ip == peer.0.ip(),
            ip_address: found.ip.to_string(),
            started_at: instant(found.created),
            resources: found.wish.resources().into_iter().map(str::to_owned).collect(),
            offline: found.wish.offline,
            needs_fresh_sign_in: Approval::by(&session, &found.wish.contexts, now).is_none(),
            user_agent: found.user_agent,
        };
        Ok(web::json(StatusCode::OK, &shown))
    };
    answer(run.await)
}

/// Whoever waits for a code. Wrong ones are counted, so that nobody finds one by trying.
async fn find(app: &Arc<App>, peer: Peer, typed: &str) -> Result<DeviceCode, ArmError> {
    let places = app.keys.get().throttle.origins("deviceLogin", peer.0.ip());
    let now = OffsetDateTime::now_utc();
    let mut read = app.store.read().await?;
    throttle::check(&mut read, &places, now).await?.map_err(|locked| ceremony::too_many(locked, now))?;
    let found = match UserCode::parse(typed) {
        Some(code) => waiting(&mut read, now).await?.into_iter().find(|d| d.waits_for(&code, now)),
        None => None,
    };
    drop(read);
    match found {
        Some(found) => Ok(found),
        None => {
            app.store
                .write::<_, StoreError, _>(move |tx| {
                    Box::pin(async move { throttle::failed(tx, &places, None, now).await })
                })
                .await?;
            Err(no_such_code())
        }
    }
}

/// A person's answer.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeviceDecision")]
struct Decided {
    user_code: String,
    allow: bool,
}

/// `POST /auth/device`.
async fn decide(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let (person, _) = sessions::own(&app, &Verb::POST, &headers, peer).await?;
        let decided: Decided = body(request).await?;
        let found = find(&app, peer, &decided.user_code).await?;
        let approval = match decided.allow {
            true => {
                let client = (found.client, Flow::DeviceCode);
                Some(approve(&app, &headers, peer, &found.wish.contexts, client).await?)
            }
            false => None,
        };
        let code = UserCode::parse(&decided.user_code).ok_or_else(no_such_code)?;
        let (key, address) = (found.key(), peer.0.ip().to_string());
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let kept: Option<DeviceCode> =
                        read_document(tx.as_read(), kind::DEVICE_CODE, &key).await?;
                    let mut kept = kept.filter(|d| d.waits_for(&code, now)).ok_or_else(no_such_code)?;
                    let (outcome, detail) = match approval {
                        Some(_) => (Outcome::Succeeded, "Approved"),
                        None => (Outcome::Denied, "Declined"),
                    };
                    kept.answer(approval);
                    write_document(tx, kind::DEVICE_CODE, &key, &kept).await?;
                    tx.audit(entry(
                        "deviceCodes/answer/action",
                        person_ref(&person),
                        outcome,
                        detail,
                        &address,
                    ))
                    .await?;
                    Ok(())
                })
            })
            .await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(run.await)
}
