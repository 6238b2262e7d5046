//! Links that lend a login (Azure's shareable links). Whoever has one, and is signed in, may log in to one machine as one
//! account through one host, or see its desktop, and needs no right of their own: the link lends what whoever made it may do
//! there, without what they activated for a time, and for no longer than they may. What a link is good for is looked at when
//! it is used and for as long as a session lasts ([`lender`]); taking it back ends its sessions.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{
    ArmError, Call, CallerRef, PrincipalKind, Read, Resource, Scope, StoreError, Write, duration,
};
use sekisho_bastion::desktop::{self, For, Protocol};
use sekisho_bastion::host::{BastionHost, Reference, network, place};
use sekisho_bastion::provider::{self, LOGIN_RIGHTS, Lend, Which};
use sekisho_bastion::shareable_link::{BastionShareableLink, LinkDesktop, LinkSekisho};
use sekisho_identity::{Digest, Secret};
use sekisho_link::account::Account;
use sekisho_rbac::{Asker, Circumstances, PrincipalId, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::sessions::login_as;
use super::{Allowed, Lent, Sight, What, caller, machine};
use crate::access;
use crate::app::App;
use crate::authn::Caller;
use crate::http::{self as web, Peer};
use crate::resources::authorization::{self, LateUniverse};
use crate::resources::logged;
use crate::routes::{Operation, Routes};

/// The kind of the documents.
pub(super) const KIND: &str = "bastionLink";
const INSPECT: &str = "/bastions/links/inspect";
/// How long one is good unless it says otherwise, and at most.
const USUAL: Duration = Duration::days(1);
const LONGEST: Duration = Duration::days(30);
/// The shortest time for which two factors that were proved are taken for new.
const YOUNGEST: Duration = Duration::minutes(5);
/// How long one that is over is shown.
const SHOWN: Duration = Duration::days(7);
/// Most that are made at once, and most of one host.
const AT_ONCE: usize = 100;
const MOST: usize = 1000;
/// Most networks that one names.
const NETWORKS: usize = 100;

/// A link, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    id: Uuid,
    /// Of what stands behind the `#`.
    token: Digest,
    host: String,
    machine: String,
    /// As whom; VNC does not ask.
    account: Option<Account>,
    /// What somebody sees who does not see a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    desktop: Option<LinkDesktop>,
    by: CallerRef,
    #[serde(with = "time::serde::rfc3339")]
    created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
    /// Most sessions that it begins.
    most: Option<u32>,
    /// How many it has begun.
    used: u32,
    /// How long ago two factors may have been proved, in seconds.
    multi_factor_seconds: Option<i64>,
    from: Vec<IpNet>,
}

impl Link {
    fn is_through(&self, host: &Scope) -> bool {
        self.host.eq_ignore_ascii_case(&host.to_string())
    }

    fn is_spent(&self) -> bool {
        self.most.is_some_and(|most| self.used >= most)
    }

    /// What it lends, by what its maker is.
    ///
    /// # Errors
    /// 500 when it says nothing that makes sense.
    fn what(&self, snapshot: &Snapshot, who: &Asker, machine: &Scope) -> Result<What, ArmError> {
        let account = self.account.clone();
        let login = account.map(|account| login_as(snapshot, (who, &self.by.name), machine, account));
        match (self.desktop, login) {
            (None, Some(login)) => Ok(What::Login(login)),
            (None, None) => Err(ArmError::internal()),
            (Some(LinkDesktop { protocol, port }), login) => {
                Ok(What::Desktop(Sight { protocol, port: port.unwrap_or(protocol.port()), login }))
            }
        }
    }

    /// As it is shown, without what makes it good.
    fn shown(&self) -> BastionShareableLink {
        let from: Vec<String> = self.from.iter().map(ToString::to_string).collect();
        BastionShareableLink {
            vm: Reference { id: self.machine.clone() },
            created_at: Some(instant(self.created)),
            sekisho: Some(LinkSekisho {
                id: Some(self.id.to_string()),
                account: self.account.as_ref().map(ToString::to_string),
                desktop: self.desktop,
                created_by: Some(self.by.name.clone()),
                duration: None,
                expiry_time: Some(instant(self.expires)),
                maximum_uses: self.most,
                uses: Some(self.used),
                multi_factor_max_age: self
                    .multi_factor_seconds
                    .map(|s| duration::write(Duration::seconds(s))),
                allowed_source_address_prefixes: Some(from),
            }),
            ..BastionShareableLink::default()
        }
    }
}

/// Whoever lends, as what they are without anything activated, at the moment and place at which it is used.
fn standing(id: &str, at: OffsetDateTime, address: Option<IpAddr>) -> Asker {
    Asker {
        principals: vec![PrincipalId(Uuid::try_parse(id).unwrap_or_default())],
        circumstances: Circumstances { now: Some(at), address },
    }
}

fn not_good() -> ArmError {
    ArmError::new(410, "LinkNotGood", "This link is not good, or not any more.")
}

/// Of whom a link lends what to somebody at this moment.
///
/// # Errors
/// 410 when it is not good any more, 403 when it is not for them.
pub(super) async fn lender(
    read: &mut (dyn Read + '_),
    caller: &Caller,
    lent: &Lent,
) -> Result<Asker, ArmError> {
    let link: Link = read_document(read, KIND, &lent.link.to_string()).await?.ok_or_else(not_good)?;
    fits(&link, caller, read.now())?;
    Ok(standing(&link.by.object_id, read.now(), Some(caller.address)))
}

/// Whether somebody may use a link, whatever it lends.
fn fits(link: &Link, caller: &Caller, now: OffsetDateTime) -> Result<(), ArmError> {
    if link.expires <= now {
        return Err(not_good());
    }
    if caller.kind != PrincipalKind::User {
        return Err(ArmError::new(403, "LinkForPeople", "A link is for people, and not for programs."));
    }
    if !link.from.is_empty() && !link.from.iter().any(|net| net.contains(&caller.address.to_canonical())) {
        return Err(ArmError::new(403, "LinkAddressDenied", "This link may not be used from your address."));
    }
    Ok(())
}

/// Whether somebody has proved two factors as lately as a link wants who begins a session with it.
fn is_fresh(link: &Link, caller: &Caller, now: OffsetDateTime) -> Result<(), ArmError> {
    let Some(seconds) = link.multi_factor_seconds else { return Ok(()) };
    let proved = access::sign_in(caller).multi_factor;
    if proved.is_some_and(|at| now - at <= Duration::seconds(seconds)) {
        return Ok(());
    }
    let text = format!(
        "This link is for whoever has signed in with two factors in the last {} minutes: sign in again.",
        seconds / 60
    );
    Err(ArmError::new(403, "FreshSignInRequired", text))
}

/// The link of a secret.
async fn by_token(read: &mut (dyn Read + '_), token: &str) -> Result<Link, ArmError> {
    let id = token.split_once('.').and_then(|(id, _)| Uuid::try_parse(id).ok()).ok_or_else(not_good)?;
    let link: Option<Link> = read_document(read, KIND, &id.to_string()).await?;
    link.filter(|link| link.token == Secret::new(token).digest()).ok_or_else(not_good)
}

/// What somebody wants who has a secret, through the host of an address.
///
/// # Errors
/// As [`lender`]; 403 when two factors were proved too long ago.
pub(super) async fn wanted(app: &App, caller: Caller, host: Uuid, token: &str) -> Result<Allowed, ArmError> {
    let mut read = app.store.read().await?;
    let link = by_token(&mut read, token).await?;
    let now = read.now();
    fits(&link, &caller, now)?;
    is_fresh(&link, &caller, now)?;
    let (Ok(through), Ok(machine)) = (Scope::parse(&link.host), Scope::parse(&link.machine)) else {
        return Err(ArmError::internal());
    };
    if place(&through) != host {
        return Err(not_good());
    }
    let who = standing(&link.by.object_id, now, Some(caller.address));
    let what = link.what(&app.access.snapshot(), &who, &machine)?;
    let lent = Lent { link: link.id, by: link.by.name, until: link.expires };
    Ok(Allowed { caller, host: through, machine, what, native: false, lent: Some(lent) })
}

/// Takes note that a session begins with a link.
///
/// # Errors
/// 410 when it began as many as it may, or is not good any more.
pub(super) async fn take(tx: &mut (dyn Write + '_), lent: &Lent) -> Result<(), ArmError> {
    let key = lent.link.to_string();
    let mut link: Link = read_document(tx.as_read(), KIND, &key).await?.ok_or_else(not_good)?;
    if link.is_spent() || link.expires <= tx.now() {
        return Err(not_good());
    }
    link.used += 1;
    Ok(write_document(tx, KIND, &key, &link).await?)
}

/// Nothing came of a session that began with a link.
///
/// # Errors
/// Those of the database.
pub(super) async fn give_back(tx: &mut (dyn Write + '_), lent: &Lent) -> Result<(), StoreError> {
    let key = lent.link.to_string();
    let Some(mut link) = read_document::<Link>(tx.as_read(), KIND, &key).await? else { return Ok(()) };
    link.used = link.used.saturating_sub(1);
    write_document(tx, KIND, &key, &link).await
}

/// What is done with links over ARM.
pub(crate) struct Links {
    pub(crate) universe: LateUniverse,
}

#[async_trait]
impl Lend for Links {
    async fn create(
        &self,
        tx: &mut (dyn Write + '_),
        call: &Call,
        host: &Resource,
        asked: Vec<BastionShareableLink>,
    ) -> Result<Vec<BastionShareableLink>, ArmError> {
        let settings = BastionHost::of(host)?;
        if !settings.shares() {
            let text =
                "This bastion host makes no links: set enableShareableLink, with SKU Standard or Premium.";
            return Err(ArmError::bad("BastionShareableLinkDisabled", text));
        }
        if asked.is_empty() || asked.len() > AT_ONCE {
            let text = format!("1 to {AT_ONCE} machines are expected.");
            return Err(ArmError::bad("InvalidParameter", text).target("vms"));
        }
        let now = tx.now();
        let mut kept = Vec::new();
        for link in through(tx.as_read(), &host.id).await? {
            if link.expires + SHOWN <= now {
                tx.remove_document(KIND, &link.id.to_string()).await?;
            } else {
                kept.push(link);
            }
        }
        if kept.len() + asked.len() > MOST {
            let text = format!("A bastion host has at most {MOST} links. Take some back first.");
            return Err(ArmError::new(409, "TooManyLinks", text));
        }
        let snapshot = authorization::snapshot(tx.as_read(), &self.universe).await?;
        let mut made = Vec::new();
        for (index, one) in asked.into_iter().enumerate() {
            let at = |error: ArmError| error.under(&format!("vms[{index}]"));
            let (link, token) = draft(call, &host.id, one, now).map_err(at)?;
            let machine = machine(&link.machine).map_err(at)?;
            let who = standing(&link.by.object_id, now, call.address);
            let what = link.what(&snapshot, &who, &machine)?;
            let needed = LOGIN_RIGHTS[usize::from(what.is_administrators())];
            if !snapshot.decide(&who, needed, &machine).is_allowed() {
                let whose = what.account().map_or("over VNC".to_owned(), |account| format!("as '{account}'"));
                let text = format!(
                    "Nobody lends what they may not do: to log in to '{machine}' {whose} needs the data action '{needed}', \
                     held and not only activated."
                );
                return Err(ArmError::new(403, "AuthorizationFailed", text));
            }
            if tx.get(&machine).await?.is_none()
                || !provider::reaches(tx.as_read(), (&host.id, &settings), &machine).await?
            {
                let text = "This bastion host does not reach the machine.";
                return Err(at(ArmError::bad("BastionTargetNotReachable", text)));
            }
            write_document(tx, KIND, &link.id.to_string(), &link).await?;
            let shown = link.shown();
            let who = (call.caller.clone(), call.correlation_id.clone());
            let operation = format!("{}/createShareableLinks/action", provider::host_type());
            logged(
                tx,
                who,
                (&operation, &link.machine),
                json!({ "link": shown.sekisho, "bastionHost": link.host }),
            )
            .await?;
            let bsl = format!("{}/session/link#{}", call.base_url, token.expose());
            made.push(BastionShareableLink { bsl: Some(bsl), ..shown });
        }
        Ok(made)
    }

    async fn all(
        &self,
        read: &mut (dyn Read + '_),
        host: &Scope,
    ) -> Result<Vec<BastionShareableLink>, ArmError> {
        let mut all = through(read, host).await?;
        let now = read.now();
        all.retain(|link| link.expires + SHOWN > now);
        all.sort_by_key(|link| std::cmp::Reverse(link.created));
        Ok(all.iter().map(Link::shown).collect())
    }

    async fn take_back(
        &self,
        tx: &mut (dyn Write + '_),
        host: &Scope,
        which: &Which,
    ) -> Result<(), ArmError> {
        for link in through(tx.as_read(), host).await? {
            let id = link.id.to_string();
            let is_meant = match which {
                Which::All => true,
                Which::Machines(keys) => keys.contains(&link.machine.to_ascii_lowercase()),
                Which::Tokens(tokens) => {
                    tokens.iter().any(|t| *t == id || link.token == Secret::new(t.as_str()).digest())
                }
            };
            if is_meant {
                tx.remove_document(KIND, &id).await?;
            }
        }
        Ok(())
    }
}

async fn through(read: &mut (dyn Read + '_), host: &Scope) -> Result<Vec<Link>, StoreError> {
    let all: Vec<(String, Link)> = read_documents(read, KIND).await?;
    Ok(all.into_iter().map(|(_, link)| link).filter(|link| link.is_through(host)).collect())
}

/// A link as it is asked for, and its secret.
fn draft(
    call: &Call,
    host: &Scope,
    asked: BastionShareableLink,
    now: OffsetDateTime,
) -> Result<(Link, Secret), ArmError> {
    let bad = |field: &str, text: String| {
        ArmError::bad("InvalidParameter", text).target(format!("sekisho.{field}"))
    };
    let machine = machine(&asked.vm.id)?;
    let wishes = asked.sekisho.unwrap_or_default();
    if wishes.desktop.is_some_and(|desktop| desktop.port == Some(0)) {
        return Err(bad("desktop.port", "'port' is not a port.".to_owned()));
    }
    let is_vnc = wishes.desktop.is_some_and(|desktop| desktop.protocol == Protocol::Vnc);
    let account = match wishes.account.as_deref() {
        Some(_) if is_vnc => {
            return Err(bad("account", "VNC knows of no accounts: 'account' is for RDP.".to_owned()));
        }
        None if is_vnc => None,
        Some(text) => Some(text.parse().map_err(|e| bad("account", format!("'account': {e}.")))?),
        None => Some(
            Account::of_person(&call.caller.name)
                .map_err(|_| bad("account", "Your name says nothing of an account: name one.".to_owned()))?,
        ),
    };
    let lasts = match wishes.duration.as_deref() {
        None => USUAL,
        Some(text) => duration::parse(text)
            .filter(|d| *d >= Duration::MINUTE && *d <= LONGEST)
            .ok_or_else(|| bad("duration", "A link is good for PT1M to P30D.".to_owned()))?,
    };
    let age = wishes.multi_factor_max_age.as_deref().map(|text| {
        let why = || bad("multiFactorMaxAge", "The age of a proof is PT5M to P1D.".to_owned());
        duration::parse(text).filter(|d| *d >= YOUNGEST && *d <= Duration::DAY).ok_or_else(why)
    });
    let age = age.transpose()?;
    if wishes.maximum_uses == Some(0) {
        return Err(bad("maximumUses", "A link is used at least once.".to_owned()));
    }
    let prefixes = wishes.allowed_source_address_prefixes.unwrap_or_default();
    if prefixes.len() > NETWORKS {
        return Err(bad("allowedSourceAddressPrefixes", format!("At most {NETWORKS} are possible.")));
    }
    let from = prefixes.iter().map(|text| {
        let shown: String = text.chars().take(60).collect();
        let why =
            || bad("allowedSourceAddressPrefixes", format!("'{shown}' is neither an address nor a CIDR."));
        network(text).ok_or_else(why)
    });
    let from = from.collect::<Result<Vec<IpNet>, ArmError>>()?;
    let id = Uuid::new_v4();
    let token = Secret::random(&format!("{}.", id.simple())).map_err(|_| ArmError::internal())?;
    let link = Link {
        id,
        token: token.digest(),
        host: host.to_string(),
        machine: machine.to_string(),
        account,
        desktop: wishes.desktop,
        by: call.caller.clone(),
        created: now,
        expires: now + lasts,
        most: wishes.maximum_uses,
        used: 0,
        multi_factor_seconds: age.map(Duration::whole_seconds),
        from,
    };
    Ok((link, token))
}

pub(super) fn routes() -> Routes {
    Routes::default().on(
        Operation::post(INSPECT, "Says what a link lends to whoever asks")
            .takes::<LinkRequest>()
            .answers::<LinkAnswer>(200),
        inspect,
    )
}

/// Who has a link.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LinkRequest {
    /// What stands behind its `#`.
    token: String,
}

/// What a link lends.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LinkAnswer {
    /// What its host is called in addresses.
    place: String,
    /// The host.
    host: String,
    /// The machine.
    machine: String,
    /// The account on it, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// The desktop that it is for; a terminal without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    desktop: Option<LinkDesktop>,
    /// Whether a password is kept for that, so that nobody has to type one.
    password_kept: bool,
    /// Who made it.
    created_by: String,
    /// Whether they have to sign in anew first.
    needs_fresh_sign_in: bool,
    /// Until when it is good, RFC 3339.
    expiry_time: String,
    /// How many more sessions it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses_left: Option<u32>,
}

/// `POST /bastions/links/inspect`.
async fn inspect(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Result<Json<LinkRequest>, JsonRejection>,
) -> Response {
    let inspected = async {
        let caller = caller(&app, &headers, peer).await?;
        let Json(asked) = body.map_err(|e| ArmError::bad("InvalidRequestContent", e.body_text()))?;
        let mut read = app.store.read().await?;
        let link = by_token(&mut read, &asked.token).await?;
        fits(&link, &caller, read.now())?;
        if link.is_spent() {
            return Err(not_good());
        }
        let password_kept = match link.desktop {
            None => false,
            Some(LinkDesktop { protocol, .. }) => {
                let of = For { machine: link.machine.clone(), protocol, account: link.account.clone() };
                desktop::credential(&mut read, &of).await?.is_some()
            }
        };
        let answer = LinkAnswer {
            password_kept,
            desktop: link.desktop,
            place: place(&Scope::parse(&link.host).map_err(|_| ArmError::internal())?).to_string(),
            needs_fresh_sign_in: is_fresh(&link, &caller, read.now()).is_err(),
            uses_left: link.most.map(|most| most.saturating_sub(link.used)),
            host: link.host,
            machine: link.machine,
            account: link.account.map(|account| account.to_string()),
            created_by: link.by.name,
            expiry_time: instant(link.expires),
        };
        Ok(web::json(StatusCode::OK, &answer))
    };
    inspected.await.unwrap_or_else(|error| web::arm_error(&error))
}
