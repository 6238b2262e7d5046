//! Sessions in a browser: how the portal's page begins one, comes back to it, and looks at it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode, header};
use schemars::JsonSchema;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, AuditEntry, Outcome, Phase, Scope, StoreError};
use sekisho_bastion::provider::{self, LOGIN_RIGHTS};
use sekisho_bastion::session::{self, KIND, Session};
use sekisho_bastion_ssh::terminal::wire::Mode;
use sekisho_bastion_ssh::terminal::{Size, wire};
use sekisho_link::account::Account;
use sekisho_link::ticket::Login;
use sekisho_rbac::{Asker, Snapshot};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use uuid::Uuid;

use super::shown::{Entry, Open, Viewer};
use super::{Allowed, What, caller, links, machine, no_host, refusal, socket, switching, terminals};
use crate::app::App;
use crate::authn::{self, Caller};
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};

const SESSIONS: &str = "/bastions/{host}/api/sessions";
const RESUME: &str = "/bastions/{host}/api/sessions/{session}/resume";
const LOOK: &str = "/bastions/{host}/api/sessions/{session}/watch";
const END: &str = "/bastions/{host}/api/sessions/{session}/end";
const SAY: &str = "/bastions/{host}/api/sessions/{session}/message";
const TERMINAL: &str = "/bastions/{host}/terminal/{secret}";

/// The rights over the sessions of others: to look, to type, and to say something.
pub(super) const WATCH: &str = "Sekisho.Bastion/sessions/watch/action";
pub(super) const JOIN: &str = "Sekisho.Bastion/sessions/join/action";
const MESSAGE: &str = "Sekisho.Bastion/sessions/message/action";
/// All of them.
pub(crate) const RIGHTS: [&str; 3] = [WATCH, JOIN, MESSAGE];
/// The longest message, in characters.
const LONGEST: usize = 500;

pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::post(
                SESSIONS,
                "Logs somebody in to a machine, and gives them a secret that opens a terminal",
            )
            .takes::<SessionRequest>()
            .answers::<SessionAnswer>(200),
            ask,
        )
        .on(
            Operation::post(RESUME, "Gives whoever has a session another secret that opens what it shows")
                .answers::<SessionAnswer>(200),
            resume,
        )
        .on(Operation::post(END, "Ends a session of one's own").ends(204), end)
        .on(
            Operation::post(
                LOOK,
                "Gives whoever may watch sessions a secret that opens what another's shows",
            )
            .takes::<LookRequest>()
            .answers::<SessionAnswer>(200),
            look,
        )
        .on(
            Operation::post(SAY, "Says something to everybody who looks at a session")
                .takes::<SayRequest>()
                .ends(204),
            say,
        )
        .on(
            Operation::get(TERMINAL, "Opens a WebSocket that shows a terminal")
                .anybody()
                .query("have")
                .ends(101)
                .refuses::<super::Refusal>(),
            enter,
        )
}

/// Who wants to log in, and where.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionRequest {
    /// The machine's id; without it, a `link` leads to one.
    #[serde(default)]
    resource_id: Option<String>,
    /// What stands behind the `#` of a link, which says which machine and which account.
    #[serde(default)]
    link: Option<String>,
    /// The account on it. Without one, the caller's own.
    #[serde(default)]
    account: Option<String>,
    /// Columns of the terminal.
    #[serde(default = "columns")]
    columns: u32,
    /// Its rows.
    #[serde(default = "rows")]
    rows: u32,
}

fn columns() -> u32 {
    80
}

fn rows() -> u32 {
    24
}

/// A session that has begun.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionAnswer {
    /// Its id.
    session_id: String,
    /// Opens what it shows, once and within a minute: a terminal at `terminal`, a desktop at `desktop`.
    secret: String,
}

/// Who wants to look at a session.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LookRequest {
    /// `readOnly` or `interactive`.
    mode: LookMode,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum LookMode {
    /// To look.
    ReadOnly,
    /// To type, too.
    Interactive,
}

/// What is to be said.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SayRequest {
    /// At most 500 characters.
    text: String,
}

pub(super) fn answer(app: &App, open: Arc<Open>, viewer: Viewer) -> Result<Response, ArmError> {
    let session_id = open.id.to_string();
    let (secret, _) = app.bastion.shown.secrets.give(Entry { open, viewer })?;
    let secret = secret.expose().to_owned();
    Ok(web::json(StatusCode::OK, &SessionAnswer { session_id, secret }))
}

/// `POST …/api/sessions`.
async fn ask(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Result<Json<SessionRequest>, JsonRejection>,
) -> Response {
    let begun = async {
        let caller = caller(&app, &headers, peer).await?;
        let Json(wanted) = body.map_err(|e| ArmError::bad("InvalidRequestContent", e.body_text()))?;
        let host = Uuid::try_parse(&host).map_err(|_| no_host())?;
        let size = Size::new(wanted.columns, wanted.rows);
        let allowed = self::wanted(&app, caller, host, wanted).await?;
        let open = terminals::begin(&app, allowed, headers.clone(), size).await?;
        answer(&app, open, Viewer::Owner)
    };
    begun.await.unwrap_or_else(|error| web::arm_error(&error))
}

/// What somebody wants who wants to log in. Whether they may is asked when it begins.
async fn wanted(app: &App, caller: Caller, host: Uuid, wanted: SessionRequest) -> Result<Allowed, ArmError> {
    if let Some(token) = &wanted.link {
        if wanted.resource_id.is_some() || wanted.account.is_some() {
            let text = "A link says which machine it leads to, and which account.";
            return Err(ArmError::bad("InvalidParameter", text).target("link"));
        }
        let allowed = links::wanted(app, caller, host, token).await?;
        if !matches!(allowed.what, What::Login(_)) {
            let text = "This link is for a desktop, and not for a terminal.";
            return Err(ArmError::bad("LinkForDesktop", text).target("link"));
        }
        return Ok(allowed);
    }
    let machine = machine(wanted.resource_id.as_deref().unwrap_or_default())?;
    let login = login(app, &caller, &machine, wanted.account.as_deref())?;
    let host = provider::at(&mut app.store.read().await?, host).await?.ok_or_else(no_host)?;
    Ok(Allowed { caller, host: host.id, machine, what: What::Login(login), native: false, lent: None })
}

/// As whom somebody logs in who names an account, or none.
pub(super) fn login(
    app: &App,
    caller: &Caller,
    machine: &Scope,
    account: Option<&str>,
) -> Result<Login, ArmError> {
    let account = match account {
        Some(text) => text.parse::<Account>().map_err(|error| {
            ArmError::bad("InvalidParameter", format!("'account': {error}.")).target("account")
        })?,
        None => Account::of_person(&caller.name).map_err(|_| {
            let text = "Your name says nothing of an account: name one in 'account'.";
            ArmError::bad("InvalidParameter", text).target("account")
        })?,
    };
    let who = app.access.acting(caller);
    Ok(login_as(&app.access.snapshot(), (&who, &caller.name), machine, account))
}

/// As whom somebody logs in who may: an account that may be an administrator's needs the right of one.
pub(super) fn login_as(
    snapshot: &Snapshot,
    (who, name): (&Asker, &str),
    machine: &Scope,
    account: Account,
) -> Login {
    let administrator = snapshot.decide(who, LOGIN_RIGHTS[1], machine).is_allowed();
    let is_own = Account::of_person(name).is_ok_and(|own| own == account);
    // Whoever may log in as an administrator does, also with an account of their own, which may be one.
    Login { administrator: administrator || !is_own, account }
}

/// A session of one's own.
pub(super) fn own(app: &App, caller: &Caller, session: &str) -> Result<Arc<Open>, ArmError> {
    let id = Uuid::try_parse(session).ok();
    id.and_then(|id| app.bastion.shown.of(id, caller.principal))
        .ok_or_else(|| ArmError::new(410, "SessionOver", "The session is over, or it is not one of yours."))
}

/// `POST …/api/sessions/{session}/resume`.
async fn resume(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let resumed = async {
        let caller = caller(&app, &headers, peer).await?;
        let open = own(&app, &caller, &session)?;
        answer(&app, open, Viewer::Owner)
    };
    resumed.await.unwrap_or_else(|error| web::arm_error(&error))
}

/// `POST …/api/sessions/{session}/end`.
async fn end(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let ended = async {
        let caller = authn::caller(&app, &Method::POST, &headers, peer).await?;
        let open = own(&app, &caller, &session)?;
        let written = app.store.write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                let (host, id) = (&open.allowed.host, open.id.to_string());
                session::end(tx, host, &id, &caller.name).await.map(drop)
            })
        });
        written.await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    ended.await.unwrap_or_else(|error: ArmError| web::arm_error(&error))
}

/// What a session of somebody else's shows, for whoever has a right over it.
async fn of_another(app: &App, caller: &Caller, session: &str, right: &str) -> Result<Arc<Open>, ArmError> {
    let over = || ArmError::new(410, "SessionOver", "There is no such session, or it is over.");
    let id = Uuid::try_parse(session).map_err(|_| over())?;
    let kept = read_document::<Session>(&mut app.store.read().await?, KIND, &id.to_string()).await?;
    let kept = kept.ok_or_else(over)?;
    let machine = Scope::parse(&kept.machine).map_err(|_| over())?;
    let (snapshot, who) = (app.access.snapshot(), app.access.acting(caller));
    if !snapshot.decide(&who, right, &machine).is_allowed() {
        let text = format!(
            "The client '{}' has no right to do that with sessions on '{machine}': it needs the action '{right}'.",
            caller.name
        );
        return Err(ArmError::new(403, "AuthorizationFailed", text));
    }
    app.bastion.shown.get(id).ok_or_else(|| {
        let (code, text) = if kept.shows_desktop() {
            let text = "The session's desktop is not here: it begins or ends at this moment, or another server has it.";
            ("DesktopNotHere", text)
        } else if kept.terminal {
            let text = "The session's terminal is not here: it begins or ends at this moment, or another server has it.";
            ("TerminalNotHere", text)
        } else {
            ("SessionHasNoTerminal", "The session has no terminal: there is nothing to look at, and nobody to tell.")
        };
        ArmError::new(409, code, text)
    })
}

/// Has it in the log, before it is done.
async fn noted(app: &App, caller: &Caller, open: &Open, right: &str) -> Result<(), ArmError> {
    let entry = AuditEntry {
        operation: right.to_owned(),
        resource_id: open.allowed.machine.to_string(),
        caller: caller.reference(),
        outcome: Outcome::Succeeded,
        detail: String::new(),
        correlation_id: open.id.to_string(),
        authorization: None,
        http: None,
        phase: Some(Phase::Result),
        properties: None,
    };
    let written = app
        .store
        .write::<_, StoreError, _>(move |tx| Box::pin(async move { tx.audit(entry).await.map(drop) }));
    Ok(written.await?)
}

/// `POST …/api/sessions/{session}/watch`.
async fn look(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<LookRequest>, JsonRejection>,
) -> Response {
    let looked = async {
        let caller = caller(&app, &headers, peer).await?;
        let Json(wanted) = body.map_err(|e| ArmError::bad("InvalidRequestContent", e.body_text()))?;
        let (mode, right) = match wanted.mode {
            LookMode::ReadOnly => (Mode::ReadOnly, WATCH),
            LookMode::Interactive => (Mode::Interactive, JOIN),
        };
        let open = of_another(&app, &caller, &session, right).await?;
        noted(&app, &caller, &open, right).await?;
        answer(&app, open, Viewer::Other { caller: Box::new(caller), headers: headers.clone(), mode })
    };
    looked.await.unwrap_or_else(|error| web::arm_error(&error))
}

/// `POST …/api/sessions/{session}/message`.
async fn say(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path((_, session)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Json<SayRequest>, JsonRejection>,
) -> Response {
    let said = async {
        let caller = caller(&app, &headers, peer).await?;
        let Json(SayRequest { text }) =
            body.map_err(|e| ArmError::bad("InvalidRequestContent", e.body_text()))?;
        if text.trim().is_empty() || text.chars().count() > LONGEST {
            let why = format!("A message has 1 to {LONGEST} characters.");
            return Err(ArmError::bad("InvalidParameter", why).target("text"));
        }
        let open = of_another(&app, &caller, &session, MESSAGE).await?;
        noted(&app, &caller, &open, MESSAGE).await?;
        // Nobody may be looking.
        let _ = open.said.send((caller.name, text));
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    said.await.unwrap_or_else(|error: ArmError| web::arm_error(&error))
}

/// `GET …/terminal/{secret}`.
async fn enter(
    State(app): State<Arc<App>>,
    Path((_, secret)): Path<(String, String)>,
    request: Request,
) -> Response {
    upgrade(app, &secret, request, wire::PROTOCOL)
}

/// Has a browser's WebSocket show what its secret opens, which has this subprotocol.
pub(super) fn upgrade(app: Arc<App>, secret: &str, mut request: Request, protocol: &'static str) -> Response {
    let headers = request.headers();
    let offered = web::header(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|k| derive_accept_key(k.as_bytes()));
    let Some(key) = key.filter(|_| offered.split(',').any(|p| p.trim() == protocol)) else {
        let text = format!("A WebSocket with the subprotocol '{protocol}' is expected here.");
        return refusal(ArmError::bad("UpgradeRequired", text));
    };
    if authn::sender(headers, &web::base_url(headers, &app.config)) == authn::Sender::Elsewhere {
        return refusal(authn::cross_site());
    }
    let query = request.uri().query().unwrap_or_default();
    let have = query.split('&').find_map(|pair| pair.strip_prefix("have=")?.parse().ok()).unwrap_or(0);
    let entry = app.bastion.shown.secrets.take(secret);
    let Some(entry) = entry.filter(|entry| entry.open.screen.protocol() == protocol) else {
        return refusal(ArmError::new(401, "InvalidToken", "The secret is not good, or not any more."));
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(socket::show(app, entry, have, upgrade));
    switching(&key, Some(protocol))
}
