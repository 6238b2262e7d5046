//! Desktops in browsers: how the portal's page begins one, from its beginning to its end, and what its viewers see of it.
//!
//! The machine's agent opens a stream to a port of its own loopback; RDP and VNC are spoken here, so that a password that is
//! kept ([`credentials`]) never leaves the server, and what is seen can be recorded.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use http::HeaderMap;
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::{ArmError, Scope};
use sekisho_bastion::desktop::{Domain, For, Protocol};
use sekisho_bastion::provider;
use sekisho_bastion_desktop::rdp::Keyboard;
use sekisho_bastion_desktop::wire::{self, FromClient, ToClient};
use sekisho_bastion_desktop::{Desktop, Exit, Next, Policy, Pump, Refused, Size, View, rdp, vnc};
use sekisho_bastion_ssh::terminal::wire::Mode;
use sekisho_bastion_ssh::terminal::{self, Broken};
use sekisho_identity::Secret;
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::login::{Login, Stopped};
use super::pins::Known;
use super::sessions::{SessionAnswer, answer, login, upgrade};
use super::shown::{Open, Screen, Viewer};
use super::socket::{self, Told};
use super::{Allowed, Sight, What, caller, credentials, links, machine, may, no_host, tunnels};
use crate::app::App;
use crate::authn::Caller;
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};

const DESKTOPS: &str = "/bastions/{host}/api/desktops";
const DESKTOP: &str = "/bastions/{host}/desktop/{secret}";

pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::post(
                DESKTOPS,
                "Logs somebody in to a machine, and gives them a secret that opens its desktop",
            )
            .takes::<DesktopRequest>()
            .answers::<SessionAnswer>(200),
            ask,
        )
        .on(
            Operation::get(DESKTOP, "Opens a WebSocket that shows a desktop")
                .anybody()
                .ends(101)
                .refuses::<super::Refusal>(),
            enter,
        )
}

/// Who wants to see a desktop, and whose.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DesktopRequest {
    /// The machine's id; without it, a `link` leads to one.
    #[serde(default)]
    machine: Option<String>,
    /// What stands behind the `#` of a link, which says which machine, how, and as which account.
    #[serde(default)]
    link: Option<String>,
    /// `rdp` or `vnc`.
    #[serde(default)]
    protocol: Option<Protocol>,
    /// The port on the machine; without it, the protocol's own: 3389, 5900.
    #[serde(default)]
    port: Option<u16>,
    /// The account on it, of RDP. Without one, the caller's own.
    #[serde(default)]
    account: Option<String>,
    /// Its password. Without one, or with an empty one, the one that is kept for the machine, the protocol and the account.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    password: Option<Secret>,
    /// The domain of the account, of RDP.
    #[serde(default)]
    domain: Option<Domain>,
    /// Pixels in a row that the viewer has.
    width: u32,
    /// Rows that it has.
    height: u32,
    /// What is printed on its keys: a machine is told that, or what is meant by them.
    #[serde(default)]
    keyboard: Keys,
}

/// A keyboard.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DesktopKeyboard")]
enum Keys {
    /// As in the United States.
    #[default]
    American,
    /// As in Japan, with 106 or 109 keys.
    Japanese,
}

impl From<Keys> for Keyboard {
    fn from(keys: Keys) -> Keyboard {
        match keys {
            Keys::American => Keyboard::American,
            Keys::Japanese => Keyboard::Japanese,
        }
    }
}

/// What a viewer has before them.
struct Seat {
    size: Size,
    keyboard: Keyboard,
}

/// What a machine is shown by whoever logs in.
struct Proof {
    password: Option<Secret>,
    domain: Option<Domain>,
}

/// `POST …/api/desktops`.
async fn ask(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(host): Path<String>,
    headers: HeaderMap,
    body: Result<Json<DesktopRequest>, JsonRejection>,
) -> Response {
    let begun = async {
        let caller = caller(&app, &headers, peer).await?;
        // What is wrong with it may be a password.
        let text = "The body is not one that begins a desktop.";
        let Json(wanted) = body.map_err(|_| ArmError::bad("InvalidRequestContent", text))?;
        let host = Uuid::try_parse(&host).map_err(|_| no_host())?;
        let size = Size::new(wanted.width, wanted.height);
        let seat = Seat { size, keyboard: wanted.keyboard.into() };
        let (allowed, proof) = self::wanted(&app, caller, host, wanted).await?;
        let open = begin(&app, allowed, headers.clone(), seat, proof).await?;
        answer(&app, open, Viewer::Owner)
    };
    begun.await.unwrap_or_else(|error| web::arm_error(&error))
}

/// What somebody wants who wants to see a desktop. Whether they may is asked when it begins.
async fn wanted(
    app: &App,
    caller: Caller,
    host: Uuid,
    wanted: DesktopRequest,
) -> Result<(Allowed, Proof), ArmError> {
    let DesktopRequest { machine, link, protocol, port, account, password, domain, .. } = wanted;
    let password = password.filter(|typed| !typed.expose().is_empty());
    if password.as_ref().is_some_and(|typed| !credentials::is_password(typed)) {
        return Err(credentials::no_password());
    }
    if let Some(token) = &link {
        if machine.is_some() || protocol.is_some() || port.is_some() || account.is_some() || domain.is_some()
        {
            let text = "A link says which machine it leads to, how, and which account.";
            return Err(ArmError::bad("InvalidParameter", text).target("link"));
        }
        let allowed = links::wanted(app, caller, host, token).await?;
        if !matches!(allowed.what, What::Desktop(_)) {
            let text = "This link is for a terminal, and not for a desktop.";
            return Err(ArmError::bad("LinkForTerminal", text).target("link"));
        }
        return Ok((allowed, Proof { password, domain }));
    }
    let machine = self::machine(machine.as_deref().unwrap_or_default()).map_err(|e| e.target("machine"))?;
    let none = || ArmError::bad("InvalidParameter", "'protocol' is 'rdp' or 'vnc'.").target("protocol");
    let protocol = protocol.ok_or_else(none)?;
    let port = port.unwrap_or(protocol.port());
    if port == 0 {
        return Err(ArmError::bad("InvalidParameter", "'port' is not a port.").target("port"));
    }
    let login = match protocol {
        Protocol::Rdp => Some(login(app, &caller, &machine, account.as_deref())?),
        Protocol::Vnc if account.is_none() && domain.is_none() => None,
        Protocol::Vnc => {
            let text = "VNC knows of no accounts: 'account' and 'domain' are for RDP.";
            return Err(ArmError::bad("InvalidParameter", text).target("account"));
        }
    };
    let host = provider::at(&mut app.store.read().await?, host).await?.ok_or_else(no_host)?;
    let what = What::Desktop(Sight { protocol, port, login });
    let allowed = Allowed { caller, host: host.id, machine, what, native: false, lent: None };
    Ok((allowed, Proof { password, domain }))
}

/// Begins a session that goes on from now on, whether anybody looks at it or not.
///
/// # Errors
/// Those of who may, and of the machine.
async fn begin(
    app: &Arc<App>,
    allowed: Allowed,
    headers: HeaderMap,
    seat: Seat,
    proof: Proof,
) -> Result<Arc<Open>, ArmError> {
    // What is kept is nobody's business who may not log in.
    let host = may(app, &mut app.store.read().await?, &allowed.caller, &allowed).await?;
    let policy = Policy { copy: host.copies(), paste: host.copies() };
    let What::Desktop(sight) = &allowed.what else { return Err(ArmError::internal()) };
    let proof = proved(app, &allowed.machine, sight, proof).await?;
    let pixels = (u32::from(seat.size.width()), u32::from(seat.size.height()));
    let begun = Login::begin(app, &allowed, pixels, async |_, stream| {
        connect(app, &allowed, sight, stream, (seat, policy), proof).await
    });
    let (login, (desktop, pump)) = begun.await?;
    let open = Open::new(&login, allowed.clone(), Screen::Desktop(desktop), None);
    app.bastion.shown.enter(open.clone());
    tokio::spawn(carry(app.clone(), open.clone(), headers, login, pump));
    Ok(open)
}

fn missing() -> ArmError {
    let text = "The machine wants a password: no password was given, and none is kept for this machine, protocol and account.";
    ArmError::bad("DesktopCredentialsMissing", text)
}

/// What was typed, or else what is kept.
async fn proved(app: &App, machine: &Scope, sight: &Sight, typed: Proof) -> Result<Proof, ArmError> {
    if typed.password.is_some() {
        return Ok(typed);
    }
    let of = For {
        machine: machine.to_string(),
        protocol: sight.protocol,
        account: sight.login.as_ref().map(|login| login.account.clone()),
    };
    match credentials::of(&mut app.store.read().await?, &of, &app.keys.get().sealing).await? {
        Some((password, domain)) => Ok(Proof { password: Some(password), domain: typed.domain.or(domain) }),
        // Some VNC servers let everybody in who comes to them.
        None if sight.protocol == Protocol::Vnc => Ok(typed),
        None => Err(missing()),
    }
}

/// Logs in at the server of a desktop.
async fn connect(
    app: &App,
    allowed: &Allowed,
    sight: &Sight,
    stream: tunnels::Stream,
    (seat, policy): (Seat, Policy),
    proof: Proof,
) -> Result<(Desktop, Pump), ArmError> {
    let password = proof.password.map(|password| Zeroizing::new(password.expose().to_owned()));
    match (sight.protocol, &sight.login, password) {
        (Protocol::Rdp, Some(login), Some(password)) => {
            let known = Known::of(app, &allowed.machine, sight.port).await?;
            let shown = Arc::new(OnceLock::new());
            let trust = {
                let (known, shown) = (known.clone(), shown.clone());
                move |certificate: &[u8]| known.is(shown.get_or_init(|| Known::fingerprint(certificate)))
            };
            let account = rdp::Login {
                account: login.account.to_string(),
                domain: proof.domain.map(String::from),
                password,
                keyboard: seat.keyboard,
            };
            let started = rdp::start(stream, account, seat.size, policy, trust).await;
            let shown = shown.get().map(String::as_str);
            let started = started.map_err(|why| match (why, shown) {
                (Refused::Certificate, Some(shown)) => known.changed(shown),
                (why, _) => refused(&why),
            })?;
            let none = || refused(&Refused::Security("it shows no certificate".to_owned()));
            known.keep(app, &allowed.caller, shown.ok_or_else(none)?).await?;
            Ok(started)
        }
        (Protocol::Vnc, None, password) => {
            let login = vnc::Login { password, keyboard: seat.keyboard };
            vnc::start(stream, login, seat.size, policy).await.map_err(|why| refused(&why))
        }
        _ => Err(ArmError::internal()),
    }
}

fn refused(why: &Refused) -> ArmError {
    let (status, code) = match why {
        Refused::NoPassword => return missing(),
        Refused::Credentials => (403, "DesktopCredentialsRefused"),
        Refused::Certificate => (409, "DesktopCertificateChanged"),
        Refused::Security(_) | Refused::Protocol(_) => (502, "DesktopProtocolError"),
        Refused::Silent | Refused::Io(_) => (502, "DesktopUnreachable"),
    };
    ArmError::new(status, code, format!("There is no desktop: {why}."))
}

/// Carries a desktop to its end.
async fn carry(app: Arc<App>, open: Arc<Open>, headers: HeaderMap, login: Login, pump: Pump) {
    let shown = async {
        tokio::select! {
            ended = pump.run(open.recorder.clone()) => match ended {
                Ok(Exit::Machine(_) | Exit::Here) => Ok(terminal::Exit::Unknown),
                Err(broken) => {
                    tracing::info!(session = %open.id, why = %broken, "a desktop broke off");
                    Err(Stopped::from(broken))
                }
            },
            () = open.until_alone() => Err(Stopped::from(Broken::Lost)),
        }
    };
    let ended = login.hold(&open.allowed, headers, shown, std::future::ready(())).await;
    app.bastion.shown.leave(open.id);
    let why = login.end(ended).await;
    open.ended.send_replace(Some(why));
}

/// `GET …/desktop/{secret}`.
async fn enter(
    State(app): State<Arc<App>>,
    Path((_, secret)): Path<(String, String)>,
    request: Request,
) -> Response {
    upgrade(app, &secret, request, wire::PROTOCOL)
}

/// One viewer's look at a desktop.
pub(super) struct Look {
    view: View,
    resizes: bool,
}

impl Look {
    pub(super) fn new(desktop: &Desktop, is_owner: bool) -> Look {
        Look { view: desktop.view(is_owner), resizes: desktop.resizes() }
    }
}

fn mode_of(mode: Mode) -> wire::Mode {
    match mode {
        Mode::Own => wire::Mode::Own,
        Mode::ReadOnly => wire::Mode::ReadOnly,
        Mode::Interactive => wire::Mode::Interactive,
    }
}

impl socket::Look for Look {
    fn ready(&self, open: &Open, mode: Mode) -> Vec<u8> {
        let protocol = match &open.allowed.what {
            What::Desktop(sight) => sight.protocol.word(),
            What::Port(_) | What::Near(_) | What::Login(_) => "",
        };
        // The clipboard is its owner's.
        let copies = open.host.copies() && mode == Mode::Own;
        let size = self.view.size();
        wire::control(&ToClient::Ready {
            session_id: open.id.to_string(),
            account: open.account().to_owned(),
            machine: open.allowed.machine.to_string(),
            protocol,
            mode: mode_of(mode),
            width: size.width(),
            height: size.height(),
            copy: copies,
            paste: copies,
            recorded: open.recorded().word(),
            until: instant(open.limits.until()),
            idle_seconds: open.limits.idle().map(|idle| idle.as_secs()),
            resizes: self.resizes,
        })
    }

    async fn next(&mut self) -> Option<Told> {
        let next = self.view.next().await?;
        let is_last = matches!(next, Next::Over(_));
        let frames = match next {
            Next::Frame(frame) => vec![frame],
            Next::Size(size) => {
                vec![wire::control(&ToClient::Size { width: size.width(), height: size.height() })]
            }
            Next::Clipboard(text) => vec![wire::control(&ToClient::Clipboard { text })],
            Next::Pointer(pointer) => vec![wire::control(&ToClient::Pointer((&pointer).into()))],
            Next::Over(_) => Vec::new(),
        };
        Some(Told { frames, is_last })
    }

    async fn hear(&mut self, mode: Mode, frame: &[u8]) -> Option<()> {
        match wire::read(frame).ok()? {
            FromClient::Input(input) if mode != Mode::ReadOnly => self.view.input(input).await,
            FromClient::Size(size) => self.view.resize(size).await,
            FromClient::Acknowledged(frame) => self.view.acknowledge(frame),
            FromClient::Input(_) | FromClient::Unknown => {}
        }
        Some(())
    }
}
