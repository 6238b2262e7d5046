//! A machine joins over HTTPS.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use http::StatusCode;
use sekisho_arm::{ArmError, Outcome, StoreError};
use sekisho_link::enrolment;
use sekisho_link::message::{JoinAnswer, JoinRequest, MAX_HELLO_BYTES};
use time::OffsetDateTime;

use crate::app::App;
use crate::http::{self as web, Peer};
use crate::signin::{self, throttle};

/// `POST /link/join`.
pub async fn join(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: axum::extract::Request,
) -> Response {
    match joined(app, peer, request).await {
        Ok(answer) => answer,
        Err(error) => web::arm_error(&error),
    }
}

async fn joined(app: Arc<App>, peer: Peer, request: axum::extract::Request) -> Result<Response, ArmError> {
    let body = web::read_body(request.into_body(), MAX_HELLO_BYTES).await?;
    let value = web::parse_json(&body)?;
    let request: JoinRequest = sekisho_arm::resource::typed(&value, "")?;
    let address = peer.0.ip();
    let keys = app.keys.get();
    let signing = keys.clone();
    let result = app
        .store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let authority = signing.authorities.signing();
                enrolment::join(tx, &request, authority, &address.to_string()).await
            })
        })
        .await;
    let joined = match result {
        Ok(joined) => joined,
        Err(error) => return Err(refuse_join(&app, address, error).await?),
    };
    let answer = JoinAnswer {
        agent_id: joined.agent.to_string(),
        machine: joined.machine.to_string(),
        certificate: joined.certificate,
        ca: keys.authorities.bundle(),
        command_key: keys.command.public().to_string(),
        log_key: Some(app.log.key().to_string()),
    };
    Ok(web::json(StatusCode::CREATED, &answer))
}

/// Counts and records a refused join. From where too many came, further ones are no longer recorded, so that nobody can
/// fill the log; a join string that is good lets in from there too, because it cannot be guessed.
async fn refuse_join(app: &App, address: IpAddr, error: ArmError) -> Result<ArmError, ArmError> {
    let (places, now) = (app.keys.get().throttle.origins("join", address), OffsetDateTime::now_utc());
    if let Err(locked) = throttle::check(&mut app.store.read().await?, &places, now).await? {
        let mut error = ArmError::new(429, "TooManyAttempts", "Too many machines were refused from here.");
        error.retry_after = Some(locked.seconds(now));
        return Ok(error);
    }
    tracing::warn!(code = error.code, client = %address, "a machine was not let in");
    let who = signin::nobody("a machine that is not known");
    let mut record = signin::entry("", who, Outcome::Denied, &error.code, &address.to_string());
    record.operation = "Sekisho.Fleet/machines/join/action".to_owned();
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                throttle::failed(tx, &places, None, now).await?;
                tx.audit(record).await?;
                Ok(())
            })
        })
        .await?;
    Ok(error)
}
