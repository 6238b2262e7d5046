//! The administration socket: a Unix socket in the data directory by which root on the server does what nobody can do
//! from outside, such as making the first set-up link. Its file mode is the access control.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, State};
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use sekisho_arm::registry::Call;
use sekisho_arm::{ApiVersion, ArmError, AuditEntry, Outcome, Scope, SignIn, engine};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::{UnixListener, UnixStream};
use uuid::Uuid;

use crate::app::App;
use crate::conditional_access::emergency;
use crate::keys::rotate::{self, Rotation};
use crate::process::Process;
use crate::{http as web, log, signin};

const SOCKET: &str = "admin.sock";
/// Has the server sign all that is in the activity log.
pub(crate) const SIGN_LOG: &str = "/audit-sign";

/// A command could not reach the server, or the server refused.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nothing answers at the socket.
    #[error(
        "no server answers at {0}: {1}. Is 'sekisho server' running with this data directory, and are you root?"
    )]
    Unreachable(String, std::io::Error),
    /// The conversation broke.
    #[error("the server's answer could not be read: {0}")]
    Broken(String),
    /// The server says no.
    #[error("{0}")]
    Refused(String),
}

/// Asks the running server something.
///
/// # Errors
/// [`AdminError`] with what to do next.
pub async fn ask(data_dir: &Path, path: &str, body: Value) -> Result<Value, AdminError> {
    let socket = data_dir.join(SOCKET);
    let broken = |e: hyper::Error| AdminError::Broken(e.to_string());
    let stream = UnixStream::connect(&socket)
        .await
        .map_err(|e| AdminError::Unreachable(socket.display().to_string(), e))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let request = http::Request::post(path)
        .header(http::header::HOST, "sekisho")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|e| AdminError::Broken(e.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let bytes = response.into_body().collect().await.map_err(broken)?.to_bytes();
    driver.abort();
    let answer: Value = serde_json::from_slice(&bytes).map_err(|e| AdminError::Broken(e.to_string()))?;
    if status.is_success() {
        return Ok(answer);
    }
    let message =
        answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("the server gave no reason");
    Err(AdminError::Refused(message.to_owned()))
}

/// Serves the socket.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) async fn serve(app: Arc<App>) -> std::io::Result<()> {
    let path = app.config.data_dir.join(SOCKET);
    // A socket that an earlier run left behind answers nobody.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let router = Router::new()
        .route("/status", post(status))
        .route("/setup-link", post(setup_link))
        .route("/agent-token", post(agent_token))
        .route("/service-principal", post(service_principal))
        .route("/keys", post(keys))
        .route("/keys/rotate", post(rotate_keys))
        .route("/audit-verify", post(audit_verify))
        .route(SIGN_LOG, post(audit_sign))
        .route("/emergency-account", post(emergency_account))
        .route("/recover", post(recover))
        .with_state(app);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "an administration connection broke");
            }
        });
    }
}

fn answer(result: Result<Value, ArmError>) -> Response {
    match result {
        Ok(body) => web::json(StatusCode::OK, &body),
        Err(error) => web::arm_error(&error),
    }
}

async fn status(State(app): State<Arc<App>>) -> Response {
    answer(Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "url": signin::public_base(&app.config),
        "tenantId": app.tenant,
        "subscriptionId": app.subscription,
        "connectedAgents": app.agents.count(),
        "openFilesAllowed": Process::of_this_moment().most_files,
        "authority": app.keys.get().authorities.bundle(),
    })))
}

async fn setup_link(State(app): State<Arc<App>>) -> Response {
    answer(signin::setup_link(&app).await.map(|link| json!({ "link": link })))
}

async fn service_principal(State(app): State<Arc<App>>, Json(body): Json<Value>) -> Response {
    let name = body["displayName"].as_str().unwrap_or("service principal").to_owned();
    let (role, scope) = (body["role"].as_str(), body["scope"].as_str());
    let certificate = body["certificate"].as_str().map(str::to_owned);
    answer(signin::create_service_principal(&app, name, role, scope, certificate).await)
}

async fn keys(State(app): State<Arc<App>>) -> Response {
    answer(rotate::list(&app).await)
}

async fn rotate_keys(State(app): State<Arc<App>>, Json(body): Json<Value>) -> Response {
    let is = |field: &str| body[field] == true;
    // Without the old ones there is nothing else to use until the new one is.
    let asked = Rotation {
        at_once: is("atOnce") || is("destroyOld"),
        destroy_old: is("destroyOld"),
        cut_off: is("cutOff"),
    };
    answer(rotate::rotate(&app, body["purpose"].as_str().unwrap_or_default(), asked).await)
}

async fn emergency_account(State(app): State<Arc<App>>, Json(body): Json<Value>) -> Response {
    let change = async |name: &Value, add| {
        let name = name.as_str().unwrap_or_default();
        emergency::change(&app, name, add, signin::local_root()).await
    };
    answer(match (&body["add"], &body["remove"]) {
        (Value::Null, Value::Null) => emergency::list(&app).await,
        (name, Value::Null) => change(name, true).await,
        (_, name) => change(name, false).await,
    })
}

async fn recover(State(app): State<Arc<App>>, Json(body): Json<Value>) -> Response {
    answer(signin::recovery_link(&app, body["name"].as_str().unwrap_or_default()).await)
}

async fn audit_verify(State(app): State<Arc<App>>) -> Response {
    let checked = async { app.store.read().await?.log_verify().await };
    answer(match checked.await {
        Ok((entries, root)) => Ok(json!({"entries": entries, "root": root.to_string()})),
        Err(error) => Err(ArmError::new(500, "AuditBroken", format!("{error}."))),
    })
}

async fn audit_sign(State(app): State<Arc<App>>) -> Response {
    let signed = log::sign(&app).await;
    answer(signed.map(|size| json!({ "size": size })).map_err(ArmError::from))
}

async fn agent_token(State(app): State<Arc<App>>, Json(body): Json<Value>) -> Response {
    answer(make_token(&app, body).await)
}

/// Makes a token through the same engine that serves ARM, so that limits and audit are the same.
async fn make_token(app: &Arc<App>, body: Value) -> Result<Value, ArmError> {
    let group_name = body["resourceGroup"].as_str().unwrap_or("machines");
    let group = Scope::parse(&format!("/subscriptions/{}/resourceGroups/{group_name}", app.subscription))
        .map_err(|e| ArmError::bad("InvalidResourceGroup", format!("{e}.")))?;
    let token = group
        .resource_in("Sekisho.Fleet", "enrolmentTokens", &format!("cli-{}", Uuid::new_v4()))
        .map_err(|_| ArmError::internal())?;
    let caller = signin::local_root();
    let version = ApiVersion::parse("2026-11-01").ok_or_else(ArmError::internal)?;
    let call = Call {
        caller: caller.clone(),
        api_version: version,
        base_url: signin::public_base(&app.config),
        query: std::collections::HashMap::new(),
        correlation_id: Uuid::new_v4().to_string(),
        sign_in: SignIn::default(),
        address: None,
        at: OffsetDateTime::now_utc(),
    };
    let owner = app.clone();
    let properties = json!({"ttlSeconds": body["ttlSeconds"], "maxUses": body["maxUses"]});
    let answer = app
        .store
        .write::<_, ArmError, _>(move |tx| {
            Box::pin(async move {
                let location = owner.config.location.clone();
                let pre = engine::Preconditions::default();
                if tx.get(&group).await?.is_none() {
                    engine::put(&owner.registry, tx, &call, &group, json!({ "location": location }), &pre)
                        .await?;
                }
                let body = json!({"location": location, "properties": properties});
                let answer = engine::put(&owner.registry, tx, &call, &token, body, &pre).await?;
                tx.audit(AuditEntry {
                    operation: "Sekisho.Fleet/enrolmentTokens/write".to_owned(),
                    resource_id: token.to_string(),
                    caller,
                    outcome: Outcome::Succeeded,
                    detail: "Created".to_owned(),
                    correlation_id: call.correlation_id.clone(),
                    authorization: None,
                    http: None,
                    phase: None,
                    properties: None,
                })
                .await?;
                Ok(answer)
            })
        })
        .await?;
    let properties = answer.body.map(|b| b["properties"].clone()).unwrap_or_default();
    Ok(json!({
        "joinString": properties["joinString"],
        "installCommand": properties["installCommand"],
        "expiresAt": properties["expiresAt"],
    }))
}
