//! The bastion's end of the network: ways to machines, for whoever may log in to them, until they may not.
//!
//! A native client, such as `az network bastion tunnel`, shows its access token and names a machine and a port ([`ask`]); it
//! gets a secret that opens one WebSocket ([`enter`]). The portal's page names an account ([`sessions`]) and gets a terminal
//! ([`terminals`]), with the machine's files beside it ([`files`]), or a desktop ([`desktops`]; its passwords are in
//! [`credentials`], and by which certificates its server is known in [`pins`]). Both are [`shown`] and looked at through
//! WebSockets ([`socket`]). SSH
//! clients as everybody has them come in through the [`gate`], with keys that people said are theirs ([`keys`]); what they do
//! with files is allowed and told by the [`warden`], and what they have for a terminal can be looked at, too ([`native`]).
//! Both are a [`login`], which is recorded ([`recorder`]; [`archive`] says where, [`retention`] for how long). A link lends
//! somebody else a login ([`links`]); hosts near a machine are reached by their addresses ([`near`]). For all it is asked who
//! may ([`may`]), the machine is asked for a stream ([`tunnels`]), and the session lasts for as long as everything holds that
//! let it begin ([`live`]), within its [`limits`]. What machines trust of all this is in [`trust`].

mod archive;
pub(crate) mod credentials;
mod desktops;
mod files;
mod gate;
mod keys;
mod limits;
mod links;
mod live;
mod login;
mod native;
mod near;
pub(crate) mod pins;
mod recorder;
pub(crate) mod retention;
mod sessions;
mod shown;
mod socket;
mod terminals;
mod tokens;
mod trust;
mod tunnels;
mod warden;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use schemars::JsonSchema;
use sekisho_arm::{ArmError, Read, Scope};
use sekisho_bastion::desktop::Protocol;
use sekisho_bastion::host::{BastionHost, LONGEST_MINUTES, Recording};
use sekisho_bastion::machine as servers;
use sekisho_bastion::provider::{self, LOGIN_RIGHTS};
use sekisho_bastion_recording::container::Key;
use sekisho_identity::conditional_access::application;
use sekisho_jit::provider::logins::{self, Admission};
use sekisho_link::account::Account;
use sekisho_link::machine::vm_type;
use sekisho_link::ticket::{Login, Target};
use sekisho_rbac::Asker;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use uuid::Uuid;

use crate::app::App;
use crate::authn::{self, Caller};
use crate::conditional_access::{self, Ask};
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};

pub use archive::Archive;
pub(crate) use archive::{Unread, keep as keep_archive};
pub(crate) use gate::{Gate, serve as serve_gate};
pub(crate) use keys::ended as ended_keys;
pub(crate) use links::Links;
pub(crate) use live::keep;
#[cfg(test)]
pub(crate) use recorder::tests::kept;
pub(crate) use recorder::{KIND as RECORDING, Kept, State as RecordingState};
pub(crate) use retention::{Hold, Order, keep as keep_recordings};
pub(crate) use sessions::RIGHTS as SESSION_RIGHTS;
pub(crate) use trust::{Compiler as Trust, keep as keep_trust};
pub(crate) use tunnels::Wish;

use shown::Shown;
use tokens::Tokens;
use tunnels::Tunnels;

/// What of the bastion is in this process.
#[derive(Default)]
pub(crate) struct Bastion {
    pub(crate) tunnels: Tunnels,
    tokens: Tokens<Allowed>,
    shown: Shown,
    live: live::Live,
    pub(crate) gate: Gate,
}

impl Bastion {
    /// Whether this process carries a session.
    fn carries(&self, session: Uuid) -> bool {
        self.live.get(session).is_some()
    }
}

/// What was allowed.
#[derive(Debug, Clone)]
struct Allowed {
    /// To whom.
    caller: Caller,
    /// Through which host.
    host: Scope,
    /// To which machine.
    machine: Scope,
    what: What,
    /// Whether with a client of their own, and not in the portal.
    native: bool,
    /// By what they may, if not by a right of their own.
    lent: Option<Lent>,
}

impl Allowed {
    /// How long a session may last that would otherwise last so long.
    fn lasts(&self, otherwise: Duration) -> Duration {
        let Some(lent) = &self.lent else { return otherwise };
        otherwise.min((lent.until - OffsetDateTime::now_utc()).try_into().unwrap_or_default())
    }
}

/// A link with which somebody came.
#[derive(Debug, Clone)]
struct Lent {
    /// Its id.
    link: Uuid,
    /// Who made it.
    by: String,
    /// Until when it is good.
    until: OffsetDateTime,
}

/// What somebody wants on a machine.
#[derive(Debug, Clone)]
enum What {
    /// A port.
    Port(u16),
    /// A host near it.
    Near(SocketAddr),
    /// To log in.
    Login(Login),
    /// To see its desktop.
    Desktop(Sight),
}

/// A desktop that somebody wants to see.
#[derive(Debug, Clone)]
struct Sight {
    protocol: Protocol,
    port: u16,
    /// As whom; VNC does not ask, and may show anybody's screen.
    login: Option<Login>,
}

impl What {
    /// As whom somebody logs in, where that is known.
    fn login(&self) -> Option<&Login> {
        match self {
            What::Login(login) => Some(login),
            What::Desktop(sight) => sight.login.as_ref(),
            What::Port(_) | What::Near(_) => None,
        }
    }

    /// The account on the machine, where it is known.
    fn account(&self) -> Option<&Account> {
        self.login().map(|login| &login.account)
    }

    /// Whether it may do everything on the machine.
    fn is_administrators(&self) -> bool {
        match self {
            What::Login(login) => login.administrator,
            What::Desktop(sight) => sight.login.as_ref().is_none_or(|login| login.administrator),
            What::Port(_) | What::Near(_) => false,
        }
    }

    /// A port that the host must have tunnels to.
    fn tunnelled(&self) -> Option<u16> {
        match self {
            What::Port(port) => Some(*port),
            What::Near(to) => Some(to.port()),
            What::Desktop(sight) => Some(sight.port).filter(|port| *port != sight.protocol.port()),
            What::Login(_) => None,
        }
    }
}

const TOKENS: &str = "/bastions/{host}/api/tokens";
const TOKEN: &str = "/bastions/{host}/api/tokens/{token}";
const TUNNEL: &str = "/bastions/{host}/webtunnelv2/{token}";
/// The only thing that a client of ours asks for here.
const PROTOCOL: &str = "tcptunnel";

/// What the bastion serves.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::post(
                TOKENS,
                "Gives whoever may log in to a machine a secret that opens a tunnel to it",
            )
            .anybody()
            .takes_as::<TokenForm>("application/x-www-form-urlencoded")
            .answers::<TokenAnswer>(200)
            .refuses::<Refusal>(),
            ask,
        )
        .on(
            Operation::delete(TOKEN, "Takes a secret back that was not used").anybody().ends(204).ends(404),
            give_up,
        )
        .on(
            Operation::get(TUNNEL, "Opens a WebSocket that carries a tunnel's bytes")
                .anybody()
                .ends(101)
                .refuses::<Refusal>(),
            enter,
        )
        .merge(sessions::routes())
        .merge(desktops::routes())
        .merge(keys::routes())
        .merge(links::routes())
        .merge(files::routes())
}

/// What `az` asks with.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenForm {
    /// The machine's id.
    resource_id: String,
    /// `tcptunnel`.
    protocol: String,
    /// The port on the machine.
    workload_host_port: String,
    /// An access token for ARM.
    aztoken: String,
}

/// What `az` is answered.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenAnswer {
    /// Takes the secret back.
    auth_token: String,
    /// Which server has it.
    node_id: String,
    /// The secret.
    websocket_token: String,
    /// Azure's; nothing here.
    username: String,
    /// Azure's; nothing here.
    data_source: String,
    /// Azure's; nothing here.
    available_data_sources: Vec<String>,
}

/// Why not, where `az` looks for it, and where everybody else does.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Refusal {
    /// For a person.
    message: String,
    /// ARM's code and message.
    error: RefusalError,
}

/// ARM's code and message.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RefusalError {
    /// The code.
    code: String,
    /// For a person.
    message: String,
}

fn refusal(error: ArmError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let refused = Refusal {
        message: error.message.clone(),
        error: RefusalError { code: error.code, message: error.message },
    };
    web::json(status, &refused)
}

/// `POST …/api/tokens`.
async fn ask(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(host): Path<String>,
    headers: HeaderMap,
    form: Result<Form<TokenForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return refusal(ArmError::bad("InvalidRequestContent", "The form is not what 'az' sends."));
    };
    let Ok(host) = Uuid::try_parse(&host) else { return refusal(no_host()) };
    match allowed(&app, peer, host, headers, form).await.and_then(|allowed| app.bastion.tokens.give(allowed))
    {
        Ok((secret, handle)) => {
            let answer = TokenAnswer {
                auth_token: handle.to_string(),
                node_id: app.tenant.to_string(),
                websocket_token: secret.expose().to_owned(),
                username: String::new(),
                data_source: String::new(),
                available_data_sources: Vec::new(),
            };
            web::json(StatusCode::OK, &answer)
        }
        Err(error) => refusal(error),
    }
}

async fn allowed(
    app: &Arc<App>,
    peer: Peer,
    host: Uuid,
    mut headers: HeaderMap,
    form: TokenForm,
) -> Result<Allowed, ArmError> {
    headers.remove(header::COOKIE);
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", form.aztoken))
        .map_err(|_| ArmError::new(401, "InvalidAuthenticationToken", "The access token cannot be read."))?;
    bearer.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, bearer);
    let caller = caller(app, &headers, peer).await?;
    let port = form.workload_host_port.parse().ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| ArmError::bad("InvalidParameter", "'workloadHostPort' is not a port."))?;
    if form.protocol != PROTOCOL {
        return Err(ArmError::bad("InvalidParameter", "The protocol must be 'tcptunnel'."));
    }
    let mut read = app.store.read().await?;
    let kept = provider::at(&mut read, host).await?.ok_or_else(no_host)?;
    let (machine, what) = match near::address(&form.resource_id) {
        Some(address) => {
            let to = SocketAddr::new(address, port);
            (near::machine(app, &mut read, &caller, &kept, to).await?, What::Near(to))
        }
        None => (machine(&form.resource_id)?, What::Port(port)),
    };
    let allowed = Allowed { caller, host: kept.id, machine, what, native: true, lent: None };
    may(app, &mut read, &allowed.caller, &allowed).await?;
    drop(read);
    Ok(allowed)
}

/// Who asks, let in as far as policies go.
async fn caller(app: &Arc<App>, headers: &HeaderMap, peer: Peer) -> Result<Caller, ArmError> {
    let mut caller = authn::caller(app, &Method::POST, headers, peer).await?;
    caller.through.applications.push(application::BASTION);
    conditional_access::admit(app, &caller, headers, Ask::Anything)?;
    Ok(caller)
}

fn machine(id: &str) -> Result<Scope, ArmError> {
    let machine = Scope::parse(id).ok().filter(|id| id.type_name() == vm_type());
    machine.ok_or_else(|| {
        ArmError::bad("InvalidParameter", "'resourceId' is not the id of a virtual machine.")
            .target("resourceId")
    })
}

fn no_host() -> ArmError {
    ArmError::new(404, "ResourceNotFound", "There is no such bastion host, or it is not for you.")
}

/// Whether somebody may have what they want at this moment. Returns the host as it is at this moment. `caller` is who they
/// are by now.
///
/// # Errors
/// 403 and 404, as everywhere; 400 when the host does not do it.
async fn may(
    app: &App,
    read: &mut (dyn Read + '_),
    caller: &Caller,
    Allowed { host, machine, what, native, lent, .. }: &Allowed,
) -> Result<BastionHost, ArmError> {
    let snapshot = app.access.snapshot();
    let who = match lent {
        None => app.access.acting(caller),
        Some(lent) => links::lender(read, caller, lent).await?,
    };
    if !snapshot.decide(&who, provider::READ, host).is_allowed() {
        return Err(no_host());
    }
    let kept = read.get(host).await?.ok_or_else(no_host)?;
    let settings = BastionHost::of(&kept)?;
    if lent.is_some() && !settings.shares() {
        let text = "This bastion host lets nobody in by links any more (enableShareableLink).";
        return Err(ArmError::new(403, "BastionShareableLinkDisabled", text));
    }
    if !LOGIN_RIGHTS.iter().any(|right| snapshot.decide(&who, right, machine).is_allowed()) {
        return Err(ArmError::new(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{}' may not log in to '{machine}': it needs the data action '{}', as in the role 'Virtual \
                 Machine User Login'.",
                caller.name, LOGIN_RIGHTS[0]
            ),
        ));
    }
    asked_for(read, &who, machine, what).await?;
    if let Some(port) = what.tunnelled().filter(|port| !settings.tunnels_to(*port)) {
        let text = format!("This bastion host has no tunnels to port {port} (sekisho.tunnelPorts).");
        return Err(ArmError::new(403, "BastionPortDenied", text));
    }
    let administrator = snapshot.decide(&who, LOGIN_RIGHTS[1], machine).is_allowed();
    match what {
        What::Login(_) | What::Desktop(_) => {
            if what.is_administrators() && !administrator {
                return Err(not_administrator(caller, machine, what.account()));
            }
        }
        What::Near(to) => {
            near::may(read, &settings, (caller, administrator), (machine, *to)).await?;
        }
        What::Port(port) => {
            let is_ssh = servers::of(read, machine).await?.is_some_and(|server| server.port == *port);
            let is_desktop = Protocol::ALL.iter().any(|protocol| protocol.port() == *port);
            if (is_ssh || is_desktop) && settings.recording(true) != Recording::Off {
                let text = format!(
                    "The bastion host '{}' records, and what passes through a tunnel it cannot read: log in through its \
                     gate for SSH clients, or in the portal.",
                    host.name()
                );
                return Err(ArmError::new(403, "BastionRecordingRequired", text));
            }
        }
    }
    if *native && !settings.tunnels() {
        let text = "This bastion host does not serve native clients: set enableTunneling, with SKU Standard or Premium.";
        return Err(ArmError::bad("BastionTunnelingDisabled", text));
    }
    if !settings.admits(caller.address) {
        let text = "This bastion host does not serve your address (networkAcls).";
        return Err(ArmError::new(403, "BastionAddressDenied", text));
    }
    if read.get(machine).await?.is_none() || !provider::reaches(read, (host, &settings), machine).await? {
        let text = "This bastion host does not reach the machine: it must be of the same subscription, and in the \
                    host's virtual network or in none.";
        return Err(ArmError::bad("BastionTargetNotReachable", text));
    }
    Ok(settings)
}

/// Refuses whoever has not asked where logins to a machine must be asked for just in time.
async fn asked_for(
    read: &mut (dyn Read + '_),
    who: &Asker,
    machine: &Scope,
    what: &What,
) -> Result<(), ArmError> {
    let account = what.account().map(|account| account.as_str());
    let person = who.principals.first().map(|p| p.0.to_string()).unwrap_or_default();
    match logins::admission(read, machine, &person, account).await? {
        Admission::Free | Admission::Open => Ok(()),
        Admission::Needed(policy) => {
            let text = format!(
                "Logins to this machine are just in time: ask for one of the policy {policy} first (initiate, with \
                 'sekisho.login')."
            );
            Err(ArmError::new(403, "JitLoginRequired", text))
        }
    }
}

fn not_administrator(caller: &Caller, machine: &Scope, account: Option<&Account>) -> ArmError {
    let own = Account::of_person(&caller.name).map(|own| format!(" as '{own}'")).unwrap_or_default();
    let what = account.map_or("a desktop over VNC, which may be anybody's,".to_owned(), |a| format!("'{a}'"));
    let text = format!(
        "The client '{}' may log in to '{machine}'{own} only: {what} needs the data action '{}', as in the role \
         'Virtual Machine Administrator Login'.",
        caller.name, LOGIN_RIGHTS[1]
    );
    ArmError::new(403, "AuthorizationFailed", text)
}

/// `DELETE …/api/tokens/{token}`: what `az` does at its end. A session that uses it ends with its connection.
async fn give_up(State(app): State<Arc<App>>, Path((_, token)): Path<(String, String)>) -> Response {
    if Uuid::try_parse(&token).is_ok_and(|handle| app.bastion.tokens.forget(handle)) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        refusal(ArmError::new(404, "ResourceNotFound", "There is no such token, or it was used."))
    }
}

/// `GET …/webtunnelv2/{token}`.
async fn enter(
    State(app): State<Arc<App>>,
    Path((_, token)): Path<(String, String)>,
    mut request: Request,
) -> Response {
    let key = request.headers().get("sec-websocket-key").map(|k| derive_accept_key(k.as_bytes()));
    let Some(key) = key else {
        return refusal(ArmError::bad("UpgradeRequired", "A WebSocket is expected here."));
    };
    let Some(allowed) = app.bastion.tokens.take(&token) else {
        return refusal(ArmError::new(401, "InvalidToken", "The token is not good, or not any more."));
    };
    let (headers, upgrade) = (request.headers().clone(), hyper::upgrade::on(&mut request));
    let begun = async {
        conditional_access::admit(&app, &allowed.caller, &headers, Ask::Anything)?;
        begin(&app, &allowed).await
    };
    match begun.await {
        Ok(started) => {
            tokio::spawn(live::carry(app, allowed, headers, (started.begun, started.stream), upgrade));
            switching(&key, None)
        }
        Err(error) => refusal(error),
    }
}

/// The answer by which a connection becomes a WebSocket.
fn switching(key: &str, protocol: Option<&'static str>) -> Response {
    let mut answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, key);
    if let Some(protocol) = protocol {
        answer = answer.header(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    answer.body(Body::empty()).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// A session that has begun, with the stream that its machine has opened.
struct Started {
    begun: live::Begun,
    stream: tunnels::Stream,
    /// The host as it was then.
    host: BastionHost,
    /// Seals the recording, if there is to be one.
    key: Option<Key>,
}

/// Everything that must hold is looked at again, the session is kept, and then the machine is asked. The key that a
/// recording will be sealed with is in the log before there is anything to record.
async fn begin(app: &Arc<App>, allowed: &Allowed) -> Result<Started, ArmError> {
    let Allowed { caller, host: id, machine, what, .. } = allowed;
    let host = may(app, &mut app.store.read().await?, caller, allowed).await?;
    let mut about = json!({ "bastionHost": id, "address": caller.address });
    if let Some(lent) = &allowed.lent {
        about["link"] = json!({ "id": lent.link, "createdBy": lent.by });
    }
    let target = match what {
        What::Near(to) => {
            about["near"] = json!(to);
            Target::Near(*to)
        }
        What::Port(port) => {
            about["port"] = json!(port);
            Target::Port(*port)
        }
        What::Login(login) => Target::Ssh(login.clone()),
        What::Desktop(Sight { protocol, port, .. }) => {
            (about["protocol"], about["port"]) = (json!(protocol), json!(port));
            Target::Port(*port)
        }
    };
    let (recording, minutes, most) = match what {
        What::Near(_) | What::Port(_) => (Recording::Off, LONGEST_MINUTES, None),
        What::Login(_) | What::Desktop(_) => {
            let recording = host.recording(what.is_administrators());
            if let Some(account) = what.account() {
                about["account"] = json!(account);
            }
            about["recording"] = json!(recording);
            (recording, host.longest(), host.limits().sessions_per_person)
        }
    };
    let is_recorded = recording != Recording::Off;
    let key = is_recorded.then(Key::generate).transpose().map_err(|_| ArmError::internal())?;
    if let Some(key) = &key {
        about["recordingKey"] = json!(key.public());
    }
    let begun = live::Begun::keep(app, allowed, recording, most).await?;
    let wish = Wish {
        id: begun.id(),
        machine: machine.clone(),
        target,
        seconds: minutes * 60,
        caller: caller.reference(),
        about,
    };
    match app.bastion.tunnels.open(&app.agents, wish).await {
        Ok(stream) => Ok(Started { begun, stream, host, key }),
        Err(error) => {
            begun.give_up(app, &error.code).await?;
            Err(error)
        }
    }
}
