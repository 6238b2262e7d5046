//! The gate's keeper: who SSH clients are, where they may go, and what is kept of it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use sekisho_arm::{ArmError, Listing, Read, Scope, StoreError};
use sekisho_bastion::host::{LONGEST_MINUTES, place};
use sekisho_bastion::machine::names;
use sekisho_bastion::provider::host_type;
use sekisho_bastion_ssh::certificate::CertificateError;
use sekisho_bastion_ssh::gate::{self, Client, Door, HostKey, Keeper};
use sekisho_bastion_ssh::terminal::Size;
use sekisho_identity::conditional_access::application;
use sekisho_link::account::Account;
use sekisho_link::machine::vm_type;
use sekisho_link::ticket::Login;
use sekisho_store::News;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use uuid::Uuid;

use super::login::Login as LoggedIn;
use super::{Allowed, Started, What, keys, live, may, native, sessions};
use crate::app::App;
use crate::authn::{self, Caller, Standing};
use crate::conditional_access::{self, Ask};
use crate::http::{self as web, Peer};
use crate::signin::kind;
use crate::signin::visit::{self, Invitation};

/// The gate's own name. Clients that are told it by `HostKeyAlias` need not know any other.
const NAME: &str = "gate.sekisho";
/// What a machine's name ends with, for clients.
const DOMAIN: &str = ".sekisho";
/// What a machine's right to be read is, for whoever is told that it exists.
const READ_MACHINE: &str = "Microsoft.Compute/virtualMachines/read";
/// Clients that have not shown who they are: of one address, and of all.
const STRANGERS: (usize, usize) = (16, 512);
/// Those of them that wait for somebody to sign in.
const INVITED: (usize, usize) = (4, 64);
/// How long somebody who has signed in for a visit may stay.
const VISIT: time::Duration = time::Duration::minutes(LONGEST_MINUTES as i64);
/// What is recorded of a session before its client has said what it shows it on.
const SIZE: (u32, u32) = (80, 24);

/// The clients that have not shown who they are, and those of them that are invited to sign in.
#[derive(Default)]
pub(crate) struct Gate {
    strangers: Places,
    invited: Places,
}

/// Places for clients, by their address.
#[derive(Default)]
struct Places(Mutex<HashMap<IpAddr, usize>>);

/// One of them, until it is dropped.
struct Taken {
    app: Arc<App>,
    of: fn(&Gate) -> &Places,
    address: IpAddr,
}

impl Taken {
    /// Takes a place where one address may have `own`, and all together `all`.
    fn new(
        app: &Arc<App>,
        of: fn(&Gate) -> &Places,
        address: IpAddr,
        (own, all): (usize, usize),
    ) -> Option<Taken> {
        let mut taken = of(&app.bastion.gate).0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= all || taken.get(&address).is_some_and(|n| *n >= own) {
            return None;
        }
        *taken.entry(address).or_default() += 1;
        drop(taken);
        Some(Taken { app: app.clone(), of, address })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = (self.of)(&self.app.bastion.gate).0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// Serves an SSH client.
pub(crate) async fn serve(app: Arc<App>, stream: TcpStream, peer: SocketAddr) {
    let Some(stranger) = Taken::new(&app, |gate| &gate.strangers, peer.ip(), STRANGERS) else {
        tracing::debug!(client = %peer, "too many SSH clients that do not say who they are");
        return;
    };
    let visit = Arc::new(Visit { app: app.clone(), peer: Peer(peer), shown: watch::Sender::new(None) });
    let (keeper, shown) = (visit.clone(), visit.shown.subscribe());
    tokio::select! {
        () = gate::serve(keeper, stream, || drop(stranger)) => {}
        () = until_taken_back(&app, shown) => {}
    }
    let entered = visit.shown.borrow().clone();
    if let Some(Known::Guest { person, grant, .. }) = entered {
        visit::leave(&app, Peer(peer), person, grant).await;
    }
}

/// Until what a client has come in with is good no more.
async fn until_taken_back(app: &App, mut shown: watch::Receiver<Option<Known>>) {
    let mut feed = app.store.changes();
    loop {
        let doubtful = tokio::select! {
            news = feed.next() => match news {
                Some(News::Changes(changes)) => {
                    let own = shown.borrow().clone();
                    own.is_some_and(|own| changes.iter().any(|c| own.stands_in(&c.kind, &c.key)))
                }
                Some(News::Missed) => true,
                None => return,
            },
            Ok(()) = shown.changed() => true,
        };
        let known = shown.borrow_and_update().clone().filter(|_| doubtful);
        let kept = async {
            let mut read = app.store.read().await?;
            match &known {
                Some(Known::Key(key)) => Ok(keys::of(&mut read, key).await?.is_some()),
                Some(Known::Guest { grant, .. }) => {
                    Ok(read.document(kind::GRANT, &grant.to_string()).await?.is_some())
                }
                None => Ok::<_, StoreError>(true),
            }
        };
        if matches!(kept.await, Ok(false)) {
            return;
        }
    }
}

/// What a client has to know: a line of `known_hosts`, and lines of `config`.
pub(super) fn settings(app: &App, headers: &HeaderMap) -> keys::Settings {
    let base = web::base_url(headers, &app.config);
    let address = base.strip_prefix("https://").unwrap_or(&base);
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "443"));
    let host = host.trim_matches(['[', ']']);
    let known_hosts = format!("@cert-authority *{DOMAIN} {}", app.keys.get().ssh_hosts.line());
    let config = format!(
        "Host {NAME}\n  HostName {host}\n  Port {port}\n  HostKeyAlias {NAME}\nHost *{DOMAIN} !{NAME}\n  ProxyJump {NAME}\n"
    );
    keys::Settings { known_hosts, config }
}

/// A client's visit.
struct Visit {
    app: Arc<App>,
    peer: Peer,
    /// What it came in with.
    shown: watch::Sender<Option<Known>>,
}

/// Somebody who came in, by what they came in with: who they are is asked again for everything they do.
#[derive(Clone)]
enum Known {
    /// The fingerprint of a key.
    Key(String),
    /// What somebody gave who signed in for this visit.
    Guest { person: Uuid, grant: Uuid, until: OffsetDateTime },
}

impl Known {
    /// Whether they stand in a document.
    fn stands_in(&self, of: &str, key: &str) -> bool {
        match self {
            Known::Key(own) => of == kind::SSH_KEY && key == own,
            Known::Guest { grant, .. } => of == kind::GRANT && key == grant.to_string(),
        }
    }
}

/// A machine, and the host that leads there.
#[derive(Clone)]
struct Target {
    host: Scope,
    machine: Scope,
}

/// A session's end that its client is told.
struct Ended(String);

impl From<ArmError> for Ended {
    fn from(error: ArmError) -> Ended {
        Ended(error.message)
    }
}

impl Keeper for Visit {
    type Person = Known;
    type Place = Target;

    async fn person(&self, key: &str) -> Option<Known> {
        self.enter(Known::Key(key.to_owned())).await
    }

    type Invitation = (Invitation, String, Taken);

    async fn invite(&self, client: &str) -> Option<(String, Self::Invitation)> {
        let taken = Taken::new(&self.app, |gate| &gate.invited, self.peer.0.ip(), INVITED)?;
        let invitation = visit::invite(&self.app, self.peer, client).await?;
        Some((invitation.text.clone(), (invitation, client.to_owned(), taken)))
    }

    async fn invited(&self, (invitation, client, _taken): Self::Invitation) -> Option<Known> {
        let (person, grant) = visit::answered(&self.app, self.peer, &client, invitation).await?;
        let known = Known::Guest { person, grant, until: OffsetDateTime::now_utc() + VISIT };
        let entered = self.enter(known).await;
        if entered.is_none() {
            visit::leave(&self.app, self.peer, person, grant).await;
        }
        entered
    }

    fn greeting(&self) -> String {
        format!("this is the gate. Go on to a machine with 'ssh ACCOUNT@MACHINE{DOMAIN}'.")
    }

    fn own_key(&self) -> Result<HostKey, CertificateError> {
        let mut names = vec![NAME.to_owned()];
        names.extend(self.app.config.certificate_names());
        HostKey::of(&self.app.keys.get().ssh_hosts, NAME, &names)
    }

    async fn place(&self, person: &Known, name: &str) -> Result<Target, String> {
        self.find(person, name).await.map_err(|error| error.message)
    }

    fn key_of(&self, target: &Target, name: &str) -> Result<HostKey, CertificateError> {
        // The name is one of this machine's, in whatever case.
        let label = place(&target.machine).to_string();
        HostKey::of(&self.app.keys.get().ssh_hosts, &label, &[name.to_lowercase()])
    }

    async fn session(self: Arc<Self>, person: Arc<Known>, target: Target, account: String, client: Client) {
        let end = client.end();
        match self.run(&person, target, &account, client).await {
            Ok(()) => {}
            Err(Ended(why)) => end.fail(&why).await,
        }
    }

    async fn tunnel(self: Arc<Self>, person: Arc<Known>, target: Target, port: u16, door: Door) {
        let begun = async {
            let allowed = self.way(self.caller(&person).await?, &target, port).await?;
            Ok((super::begin(&self.app, &allowed).await?, allowed))
        };
        match begun.await {
            Ok((Started { begun, stream, .. }, allowed)) => {
                let client = door.open().await;
                live::carry_bytes(&self.app, &allowed, (begun, stream), client).await;
            }
            Err(error) => {
                let error: ArmError = error;
                door.refuse(&error.message).await;
            }
        }
    }
}

impl Target {
    fn allows(self, caller: Caller, what: What) -> Allowed {
        Allowed { caller, host: self.host, machine: self.machine, what, native: true, lent: None }
    }
}

impl Visit {
    /// Lets somebody in, if they may.
    async fn enter(&self, known: Known) -> Option<Known> {
        match self.caller(&known).await {
            Ok(_) => {
                self.shown.send_replace(Some(known.clone()));
                Some(known)
            }
            Err(error) => {
                if error.status >= 500 {
                    tracing::error!(code = error.code, "who an SSH client is could not be read");
                }
                None
            }
        }
    }

    /// Who somebody is at this moment, let in as far as policies go.
    async fn caller(&self, known: &Known) -> Result<Caller, ArmError> {
        let standing = match known {
            Known::Key(key) => {
                let kept = keys::of(&mut self.app.store.read().await?, key).await?;
                kept.map(|kept| (kept.principal, kept.standing, kept.until))
            }
            Known::Guest { person, grant, until } => Some((*person, Standing::Grant(*grant), *until)),
        };
        let found = match standing {
            Some((principal, standing, until)) => {
                authn::again(&self.app, (principal, &standing), until, self.peer).await?
            }
            None => None,
        };
        let text = "what you came in with is good no more: sign in again";
        let mut caller = found.ok_or_else(|| ArmError::new(401, "InvalidSshKey", text))?;
        caller.through.applications.push(application::BASTION);
        conditional_access::admit(&self.app, &caller, &HeaderMap::new(), Ask::Anything)?;
        Ok(caller)
    }

    /// The machine of a name that somebody may go to, and a host that leads there. Whoever may not read a machine is told
    /// nothing of it.
    async fn find(&self, person: &Known, name: &str) -> Result<Target, ArmError> {
        let (caller, name) = (&self.caller(person).await?, name.to_lowercase());
        let (snapshot, who) = (self.app.access.snapshot(), self.app.access.acting(caller));
        let mut read = self.app.store.read().await?;
        let machines = read.list(&Listing::of(&Scope::Tenant, &vm_type())).await?;
        let own = name.strip_suffix(DOMAIN).unwrap_or(&name);
        let short = own.split('.').next().unwrap_or_default();
        let alike: Vec<_> =
            machines.into_iter().map(|m| m.id).filter(|id| id.name().eq_ignore_ascii_case(short)).collect();
        let is_only = alike.len() == 1;
        let none =
            || ArmError::new(404, "ResourceNotFound", format!("you may log in to no machine '{name}'"));
        let mut why = none();
        // As which account is not known yet, and is asked again when it is.
        let account = Account::of_person(&caller.name).or_else(|_| "nobody".parse());
        let least = Login { account: account.map_err(|_| ArmError::internal())?, administrator: false };
        for machine in alike.iter().filter(|id| names(id, is_only).contains(&name)) {
            let may_know = snapshot.decide(&who, READ_MACHINE, machine).is_allowed();
            for host in hosts_for(&mut read, machine).await? {
                let target = Target { host, machine: machine.clone() };
                let allowed = target.clone().allows(caller.clone(), What::Login(least.clone()));
                match may(&self.app, &mut read, caller, &allowed).await {
                    Ok(_) => return Ok(target),
                    Err(error) if may_know => why = error,
                    Err(_) => {}
                }
            }
        }
        Err(why)
    }

    /// A way to a port of a machine. A host that leads somebody to its logins may have no tunnels there, as one that records
    /// has none to a desktop: then it is another one that leads there.
    ///
    /// # Errors
    /// Those of the first host, when no other one leads there.
    async fn way(&self, caller: Caller, target: &Target, port: u16) -> Result<Allowed, ArmError> {
        let mut read = self.app.store.read().await?;
        let others = hosts_for(&mut read, &target.machine).await?;
        let mut why = None;
        for host in std::iter::once(target.host.clone()).chain(others) {
            let target = Target { host, machine: target.machine.clone() };
            let allowed = target.allows(caller.clone(), What::Port(port));
            match may(&self.app, &mut read, &caller, &allowed).await {
                Ok(_) => return Ok(allowed),
                Err(error) => _ = why.get_or_insert(error),
            }
        }
        Err(why.unwrap_or_else(ArmError::internal))
    }

    /// Does what a client wants on a machine.
    async fn run(&self, person: &Known, target: Target, account: &str, client: Client) -> Result<(), Ended> {
        let (app, caller) = (&self.app, self.caller(person).await?);
        let login = sessions::login(app, &caller, &target.machine, Some(account))?;
        let allowed = target.allows(caller, What::Login(login));
        let size = Size::new(SIZE.0, SIZE.1);
        let begun = LoggedIn::over_ssh(app, &allowed, size, |machine| std::future::ready(Ok(machine)));
        let (login, machine) = begun.await?;
        native::carry(app, &allowed, login, client, machine).await.map_or(Ok(()), |why| Err(Ended(why)))
    }
}

/// The hosts that could lead to a machine.
async fn hosts_for(read: &mut (dyn Read + '_), machine: &Scope) -> Result<Vec<Scope>, StoreError> {
    let hosts = read.list(&Listing::of(&Scope::Tenant, &host_type())).await?;
    let ids = hosts.into_iter().map(|host| host.id);
    Ok(ids.filter(|host| host.subscription() == machine.subscription()).collect())
}
