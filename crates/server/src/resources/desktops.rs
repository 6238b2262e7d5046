//! `Sekisho.Bastion/credentials` and `Sekisho.Bastion/desktopCertificates`: for which desktops of machines passwords are kept,
//! which nobody is shown, and by which certificates RDP servers are known. What is done with them are rights of their own.

use async_trait::async_trait;
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, Registry, ScopeAction, Storage};
use sekisho_arm::resource::{instant, shown, typed};
use sekisho_arm::{ArmError, Call, Read, ResourceType, Scope, ScopeKind, TypeSpec, Write};
use sekisho_bastion::desktop::{self, Beside, Credential, Domain, For, Pin, Protocol};
use sekisho_identity::Secret;
use sekisho_link::account::Account;
use sekisho_link::machine::vm_type;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::logged;
use super::recordings::{NAMESPACE, within};
use crate::bastion::credentials::{self, LateKeys};

const VERSIONS: &[&str] = &["2026-11-01"];

/// Adds the types and the actions.
pub(crate) fn register(registry: &mut Registry, keys: &LateKeys) {
    registry.add(Credentials).add(Certificates);
    registry.add_scope_action(Keep { keys: keys.clone() }).add_scope_action(Remove).add_scope_action(Forget);
}

const fn spec(path: &'static str, schema: fn(&mut SchemaGenerator) -> schemars::Schema) -> TypeSpec {
    TypeSpec {
        namespace: NAMESPACE,
        path,
        versions: VERSIONS,
        scopes: &[ScopeKind::Subscription, ScopeKind::ResourceGroup, ScopeKind::Resource],
        storage: Storage::Computed,
        put: PutStyle::Refused,
        location: false,
        shows_etag: false,
        shows_state: false,
        actions: &[],
        schema,
    }
}

static CREDENTIALS: TypeSpec = spec("credentials", |g| g.subschema_for::<CredentialShown>());
static CERTIFICATES: TypeSpec = spec("desktopCertificates", |g| g.subschema_for::<DesktopCertificateShown>());

/// That a password is kept.
#[derive(Serialize, JsonSchema)]
struct CredentialShown {
    /// Its id.
    id: String,
    /// The protocol and the account.
    name: String,
    #[serde(rename = "type")]
    kind: String,
    properties: CredentialProperties,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CredentialProperties {
    /// The machine.
    machine: String,
    /// How its desktop is seen.
    protocol: Protocol,
    /// The account, of RDP.
    account: Option<Account>,
    /// Its domain.
    domain: Option<Domain>,
    /// When the password was changed last, RFC 3339.
    changed_at: String,
    /// By whom.
    changed_by: String,
}

/// By which certificate an RDP server is known.
#[derive(Serialize, JsonSchema)]
struct DesktopCertificateShown {
    /// Its id.
    id: String,
    /// The port.
    name: String,
    #[serde(rename = "type")]
    kind: String,
    properties: DesktopCertificateProperties,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DesktopCertificateProperties {
    /// The machine.
    machine: String,
    /// The port on it.
    port: u16,
    /// The SHA-256 of the certificate, in hexadecimal digits.
    fingerprint: String,
    /// When it was seen first, RFC 3339.
    since: String,
    /// By whom.
    by: String,
}

fn credential_shown(kept: &Credential) -> Result<Value, ArmError> {
    let For { machine, protocol, account } = &kept.of;
    shown(&CredentialShown {
        id: format!("{machine}/providers/{NAMESPACE}/{}/{}", CREDENTIALS.path, kept.of.name()),
        name: kept.of.name(),
        kind: CREDENTIALS.name().to_string(),
        properties: CredentialProperties {
            machine: machine.clone(),
            protocol: *protocol,
            account: account.clone(),
            domain: kept.domain.clone(),
            changed_at: instant(kept.changed),
            changed_by: kept.by.clone(),
        },
    })
}

fn certificate_shown(pin: &Pin) -> Result<Value, ArmError> {
    shown(&DesktopCertificateShown {
        id: format!("{}/providers/{NAMESPACE}/{}/{}", pin.machine, CERTIFICATES.path, pin.port),
        name: pin.port.to_string(),
        kind: CERTIFICATES.name().to_string(),
        properties: DesktopCertificateProperties {
            machine: pin.machine.clone(),
            port: pin.port,
            fingerprint: pin.fingerprint.clone(),
            since: instant(pin.since),
            by: pin.by.clone(),
        },
    })
}

/// What is kept in a scope, or what is called `name` there.
async fn listed<T: Beside>(
    db: &mut dyn Read,
    scope: &Scope,
    name: Option<&str>,
    show: fn(&T) -> Result<Value, ArmError>,
) -> Result<Value, ArmError> {
    let mut all: Vec<T> = desktop::all(db).await?;
    all.retain(|kept| within(kept.machine(), scope));
    let rows = all.iter().map(show).collect::<Result<Vec<Value>, ArmError>>()?;
    let Some(name) = name else { return Ok(json!({ "value": rows })) };
    let found = rows.into_iter().find(|row| row["name"] == name);
    found.ok_or_else(|| ArmError::new(404, "ResourceNotFound", format!("There is no '{name}' here.")))
}

/// For what passwords are kept.
struct Credentials;

#[async_trait]
impl ResourceType for Credentials {
    fn spec(&self) -> &TypeSpec {
        &CREDENTIALS
    }

    async fn computed(
        &self,
        db: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        listed(db, scope, name, credential_shown).await
    }
}

/// By which certificates RDP servers are known.
struct Certificates;

#[async_trait]
impl ResourceType for Certificates {
    fn spec(&self) -> &TypeSpec {
        &CERTIFICATES
    }

    async fn computed(
        &self,
        db: &mut dyn Read,
        _: &Call,
        scope: &Scope,
        name: Option<&str>,
    ) -> Result<Value, ArmError> {
        listed(db, scope, name, certificate_shown).await
    }
}

/// A password that is to be kept, in the place of the one that was.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeepCredentialRequest {
    /// How the desktop is seen.
    protocol: Protocol,
    /// The account, of RDP.
    #[serde(default)]
    account: Option<Account>,
    /// Its domain.
    #[serde(default)]
    domain: Option<Domain>,
    /// The password. Nobody is shown it again.
    #[schemars(with = "String")]
    password: Secret,
}

/// A password that is not to be kept any more.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RemoveCredentialRequest {
    /// How the desktop is seen.
    protocol: Protocol,
    /// The account, of RDP.
    #[serde(default)]
    account: Option<Account>,
}

/// A certificate that is to be forgotten.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ForgetDesktopCertificateRequest {
    /// The port of the RDP server.
    port: u16,
}

/// The machine that is meant.
async fn machine(db: &mut (dyn Read + '_), scope: &Scope) -> Result<String, ArmError> {
    let is_machine = scope.type_name() == vm_type() && db.get(scope).await?.is_some();
    let text = "There is no such machine: what is kept for a desktop is kept beside one.";
    is_machine.then(|| scope.to_string()).ok_or_else(|| ArmError::new(404, "ResourceNotFound", text))
}

fn of(machine: String, protocol: Protocol, account: Option<Account>) -> Result<For, ArmError> {
    let text = match (protocol, &account) {
        (Protocol::Rdp, None) => "RDP logs in to an account: name it in 'account'.",
        (Protocol::Vnc, Some(_)) => "VNC knows of no accounts: 'account' is for RDP.",
        (Protocol::Rdp, Some(_)) | (Protocol::Vnc, None) => return Ok(For { machine, protocol, account }),
    };
    Err(ArmError::bad("InvalidParameter", text).target("account"))
}

/// Tells the log what an action did, which its own entry does not say.
async fn told(
    tx: &mut (dyn Write + '_),
    call: &Call,
    (verb, machine): (&str, &str),
    about: Value,
) -> Result<(), ArmError> {
    let operation = format!("{NAMESPACE}/{verb}/action");
    let who = (call.caller.clone(), call.correlation_id.clone());
    logged(tx, who, (&operation, machine), json!({ "desktop": about })).await
}

/// Keeps a password.
struct Keep {
    keys: LateKeys,
}

#[async_trait]
impl ScopeAction for Keep {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    fn action(&self) -> Action {
        Action {
            verb: "keepCredential",
            style: ActionStyle::Sync,
            reads: false,
            title: "Keeps a password by which people who may log in see a desktop",
            takes: |g| g.subschema_for::<KeepCredentialRequest>(),
            answers: |g| g.subschema_for::<CredentialShown>(),
        }
    }

    async fn change(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        // What is wrong with it may be the password.
        if !body["password"].is_string() {
            return Err(credentials::no_password());
        }
        let asked: KeepCredentialRequest = typed(&body, "")?;
        let machine = machine(tx.as_read(), scope).await?;
        if !credentials::is_password(&asked.password) {
            return Err(credentials::no_password());
        }
        let of = of(machine, asked.protocol, asked.account)?;
        if of.protocol == Protocol::Vnc && asked.domain.is_some() {
            let text = "VNC knows of no accounts: 'domain' is for RDP.";
            return Err(ArmError::bad("InvalidParameter", text).target("domain"));
        }
        let (keys, by) = (self.keys.get()?, (call.caller.name.as_str(), call.at));
        let kept = credentials::keep(tx, (of, asked.domain), &asked.password, &keys.sealing, by).await?;
        let about =
            json!({ "protocol": kept.of.protocol, "account": kept.of.account, "domain": kept.domain });
        told(tx, call, ("keepCredential", &kept.of.machine), about).await?;
        credential_shown(&kept)
    }
}

/// Removes a password.
struct Remove;

#[async_trait]
impl ScopeAction for Remove {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    fn action(&self) -> Action {
        Action {
            verb: "removeCredential",
            style: ActionStyle::Sync,
            reads: false,
            title: "Removes a password that is kept for a desktop",
            takes: |g| g.subschema_for::<RemoveCredentialRequest>(),
            answers: |g| g.subschema_for::<Map<String, Value>>(),
        }
    }

    async fn change(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let asked: RemoveCredentialRequest = typed(&body, "")?;
        let of = of(machine(tx.as_read(), scope).await?, asked.protocol, asked.account)?;
        if !desktop::remove_credential(tx, &of).await? {
            return Err(ArmError::new(404, "ResourceNotFound", "No password is kept for that."));
        }
        let about = json!({ "protocol": of.protocol, "account": of.account });
        told(tx, call, ("removeCredential", &of.machine), about).await?;
        Ok(json!({}))
    }
}

/// Forgets a certificate.
struct Forget;

#[async_trait]
impl ScopeAction for Forget {
    fn namespace(&self) -> &'static str {
        NAMESPACE
    }

    fn action(&self) -> Action {
        Action {
            verb: "forgetDesktopCertificate",
            style: ActionStyle::Sync,
            reads: false,
            title: "Has the next certificate of an RDP server be taken for its own",
            takes: |g| g.subschema_for::<ForgetDesktopCertificateRequest>(),
            answers: |g| g.subschema_for::<Map<String, Value>>(),
        }
    }

    async fn change(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        scope: &Scope,
        body: Value,
    ) -> Result<Value, ArmError> {
        let ForgetDesktopCertificateRequest { port } = typed(&body, "")?;
        let machine = machine(tx.as_read(), scope).await?;
        let pin = desktop::pin(tx.as_read(), scope, port).await?;
        let pin =
            pin.ok_or_else(|| ArmError::new(404, "ResourceNotFound", "No certificate is known there."))?;
        desktop::forget_pin(tx, scope, port).await?;
        let about = json!({ "port": port, "fingerprint": pin.fingerprint });
        told(tx, call, ("forgetDesktopCertificate", &machine), about).await?;
        Ok(json!({}))
    }
}
