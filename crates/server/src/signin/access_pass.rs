//! `POST /auth/accesspass`: a temporary access pass for a one-time link, which admits to registering a credential and to
//! nothing else. Guessing is slowed down as for passwords, and every mistake gets the same answer.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{ArmError, Outcome};
use sekisho_identity::Secret;
use sekisho_identity::access_pass::AccessPass;
use sekisho_identity::conditional_access::RiskLevel;
use sekisho_identity::link::{Link, LinkKind};
use sekisho_identity::secret::Exposed;
use sekisho_identity::session::Method;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::ceremony::too_many;
use super::notices::{self, What};
use super::{answer, body, entry, kind, nobody, people, person_ref, prove, throttle};
use crate::app::App;
use crate::authn::Caller;
use crate::conditional_access::{self, Ask};
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};

const AUDITED: &str = "people/accessPass/action";

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default().on(
        Operation::post(
            "/auth/accesspass",
            "Exchanges a temporary access pass for a one-time link to enrol with",
        )
        .anybody()
        .takes::<Given>()
        .answers::<Opened>(200),
        open,
    )
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AccessPassSignIn")]
struct Given {
    user_principal_name: String,
    #[schemars(with = "String")]
    access_pass: Secret,
}

/// The way to a credential of one's own.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AccessPassOpened")]
struct Opened {
    /// For the requests under `/auth/setup`.
    token: Exposed,
    expires_at: String,
}

fn invalid() -> ArmError {
    ArmError::new(401, "InvalidCredentials", "The name or the temporary access pass is not right.")
}

async fn open(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let run = async {
        let given: Given = body(request).await?;
        let name = given.user_principal_name;
        let address = peer.0.ip();
        let now = OffsetDateTime::now_utc();
        let mut read = app.store.read().await?;
        let person = people::by_name(&mut read, &name).await?.filter(|p| p.enabled);
        let familiar = match &person {
            Some(person) => prove::is_familiar(&mut read, &headers, person.id).await?,
            None => false,
        };
        let places = app.keys.get().throttle.places(&name, familiar, address);
        throttle::check(&mut read, &places, now).await?.map_err(|locked| too_many(locked, now))?;
        let pass: Option<AccessPass> = match &person {
            Some(person) => read_document(&mut read, kind::ACCESS_PASS, &person.id.to_string()).await?,
            None => None,
        };
        drop(read);
        let wrong = app.keys.get().throttle.password(&name, &given.access_pass);
        let permit = app.identity.hashing.acquire().await.map_err(|_| ArmError::internal())?;
        let verifying = move || {
            let right = AccessPass::verify(pass.as_ref(), given.access_pass.expose());
            pass.filter(|_| right)
        };
        let verified = tokio::task::spawn_blocking(verifying).await.map_err(|_| ArmError::internal())?;
        drop(permit);
        if let (Some(person), Some(_)) = (&person, &verified) {
            // What a policy keeps from registering here must not spend the pass. What it wants proved, the pass is.
            let asking = Caller::signing_in(person, &[Method::Link], address, RiskLevel::None);
            let judged = conditional_access::admit(&app, &asking, &headers, Ask::SecurityInfo);
            judged.or_else(|e| if e.code == "ConditionalAccessBlocked" { Err(e) } else { Ok(()) })?;
        }
        let outcome: Result<(Secret, OffsetDateTime), ArmError> = app
            .store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let address = address.to_string();
                    let mut opened = false;
                    if let (Some(person), Some(verified)) = (&person, &verified) {
                        let key = person.id.to_string();
                        let kept: Option<AccessPass> =
                            read_document(tx.as_read(), kind::ACCESS_PASS, &key).await?;
                        // It may have been used or replaced while the hash was computed.
                        if let Some(mut kept) = kept.filter(|k| k.id == verified.id) {
                            opened = kept.spend(now);
                            write_document(tx, kind::ACCESS_PASS, &key, &kept).await?;
                        }
                    }
                    let Some(person) = person.filter(|_| opened) else {
                        throttle::failed(tx, &places, Some(wrong), now).await?;
                        let who = nobody("access pass");
                        tx.audit(entry(AUDITED, who, Outcome::Denied, "InvalidCredentials", &address))
                            .await?;
                        return Ok(Err(invalid()));
                    };
                    throttle::succeeded(tx, &places).await?;
                    let life = LinkKind::Recovery.lifetime();
                    let (link, token) = Link::issue(LinkKind::Recovery, Some(person.id), life, now)
                        .map_err(|_| ArmError::internal())?;
                    write_document(tx, kind::LINK, &link.token.key(), &link).await?;
                    notices::tell(tx, What::AccessPassUsed, &person, &address).await?;
                    tx.audit(entry(AUDITED, person_ref(&person), Outcome::Succeeded, "OK", &address)).await?;
                    Ok(Ok((token, link.expires)))
                })
            })
            .await?;
        let (token, expires) = outcome?;
        Ok(web::json(StatusCode::OK, &Opened { token: Exposed(token), expires_at: instant(expires) }))
    };
    answer(run.await)
}
