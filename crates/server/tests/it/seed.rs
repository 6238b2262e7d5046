//! A world to test in: people, programs and resources, made once by the server itself through its public surface and
//! copied for every test.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sekisho_arm::registry::{PutStyle, Registry, Storage};
use sekisho_arm::{ScopeKind, TypeSpec};
use sekisho_audit::note::{Signer, Use};
use sekisho_lake::{Lake, Place};
use sekisho_link::message::ToServer;
use sekisho_link::pki::Authority;
use sekisho_link::provider::JoinPoint;
use sekisho_link::served::Served;
use sekisho_server::log::{Log, LogKeys};
use sekisho_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::agent;
use crate::device::Passkey;
use crate::kit::{COMPUTE, Data, FLEET, GROUPS, Http, NETWORK, ROLES, Server, at, until};

pub(crate) const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub(crate) const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
pub(crate) const ADMIN_LOGIN: &str = "1c0163c0-47e6-4577-8991-ea5c82e286e4";
pub(crate) const USER_LOGIN: &str = "fb879df8-f326-4884-b1cf-06f3ad86be52";
/// A principal that nobody can sign in as: its assignments change nobody's rights.
pub(crate) const NOBODY: &str = "dddddddd-dddd-4ddd-8ddd-dddddddddddd";

/// A program with a secret.
#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) app_id: String,
    pub(crate) object_id: String,
    pub(crate) application: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
}

struct Seed {
    files: Vec<(PathBuf, Vec<u8>)>,
    programs: BTreeMap<&'static str, Program>,
    cookies: String,
    passkey: Passkey,
    person: String,
    group: String,
}

/// A server with a world in it.
///
/// In `rg1`: the network security group `nsg1` with the rule `ssh`, the network `net1` with the subnet `s1`, the
/// application security group `asg1`, the service tag `Office`, the enrolment token `tok1`, and the machine `vm1` with
/// the interface `vm1-eth0`. `rg2` is empty. Role things are at every kind of scope. The programs: `root` is Owner of
/// everything, `reader` Reader of everything, `elsewhere` Owner of `rg2`, `stranger` has no role.
pub(crate) struct World {
    pub(crate) server: Server,
    seed: &'static Seed,
}

impl World {
    pub(crate) async fn new() -> World {
        static SEED: OnceLock<Seed> = OnceLock::new();
        // In a thread with a runtime of its own, so that nothing of the first server outlives its making.
        let seed = tokio::task::spawn_blocking(|| {
            SEED.get_or_init(|| tokio::runtime::Runtime::new().unwrap().block_on(make()))
        });
        let seed = seed.await.unwrap();
        let data = Data::new();
        for (path, bytes) in &seed.files {
            let path = data.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let server = Server::on(data.moved().await).await;
        server.confirms(&seed.cookies, &seed.passkey);
        World { server, seed }
    }

    /// The same, served by the program itself; its process.
    pub(crate) async fn in_a_process(self, said: &Path, variables: &[(&str, &str)]) -> (World, u32) {
        let World { server, seed } = self;
        let (server, pid) = Server::program(server.stop().await, said, variables).await;
        server.confirms(&seed.cookies, &seed.passkey);
        (World { server, seed }, pid)
    }

    /// One of the programs.
    pub(crate) fn program(&self, name: &str) -> &'static Program {
        &self.seed.programs[name]
    }

    /// A client of one of the programs.
    pub(crate) async fn client(&self, name: &str) -> Http {
        sign_in(&self.server, self.program(name)).await
    }

    /// The page of the person who set the server up and is Owner of everything.
    pub(crate) fn page(&self) -> Http {
        self.server.http().page(&self.seed.cookies)
    }

    /// That person's passkey, at this server.
    pub(crate) fn passkey(&self) -> Passkey {
        let mut passkey = self.seed.passkey.clone();
        passkey.moved(&self.server.base());
        passkey
    }

    /// That person's object id.
    pub(crate) fn person(&self) -> &str {
        &self.seed.person
    }

    /// The object id of a group without members.
    pub(crate) fn group(&self) -> &str {
        &self.seed.group
    }

    /// An id in `rg1`.
    pub(crate) fn rg1(&self, rest: &str) -> String {
        format!("{}/resourceGroups/rg1{rest}", self.server.sub)
    }

    /// The id of something of `Microsoft.Network` in `rg1`.
    pub(crate) fn network(&self, rest: &str) -> String {
        self.rg1(&format!("/providers/Microsoft.Network/{rest}"))
    }

    /// Makes an enrolment token; its join string.
    pub(crate) async fn join_string(&self, uses: u32) -> String {
        let body = json!({"resourceGroup": "rg1", "maxUses": uses});
        self.server.admin("/agent-token", body).await["joinString"].as_str().unwrap().to_owned()
    }
}

/// Asks for a token as `az login --service-principal` does.
pub(crate) async fn token(server: &Server, program: &Program) -> crate::kit::Answer {
    let path = format!("/{}/oauth2/v2.0/token", server.tenant);
    let scope = format!("{}//.default", server.base());
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &program.app_id),
        ("client_secret", &program.secret),
        ("scope", &scope),
    ];
    server.http().form(&path, &fields).await
}

pub(crate) async fn sign_in(server: &Server, program: &Program) -> Http {
    let answer = token(server, program).await.expect(200).json();
    server.http().bearer(answer["access_token"].as_str().unwrap())
}

/// Opens a set-up link with a new passkey; the answer, which signs in.
pub(crate) async fn set_up(
    server: &Server,
    link: &str,
    name: &str,
    passkey: &mut Passkey,
) -> crate::kit::Answer {
    let token = link.rsplit_once("token=").unwrap().1;
    let page = server.http().with("sec-fetch-site", "same-origin");
    let body = json!({"token": token, "userPrincipalName": name, "displayName": "Somebody"});
    let begun = page.post("/auth/setup/passkey/begin", body).await.expect(200).json();
    let credential = passkey.create(&begun);
    let body = json!({"ceremony": begun["ceremony"], "credential": credential});
    let answer = page.post("/auth/setup/passkey/finish", body).await;
    server.confirms(&answer.cookies(), passkey);
    answer
}

/// Registers an application with a service principal and a secret, as `az ad sp create-for-rbac` does.
pub(crate) async fn program(directory: &Http, name: &str) -> Program {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let application =
        directory.post("/v1.0/applications", json!({"displayName": name})).await.expect(201).json();
    let body = json!({"appId": application["appId"]});
    let principal = directory.post("/v1.0/servicePrincipals", body).await.expect(201).json();
    let path = format!("/v1.0/applications/{}/addPassword", text(&application["id"]));
    let secret = directory.post(&path, json!({"passwordCredential": {"displayName": "test"}})).await;
    let secret = secret.expect(200).json();
    Program {
        app_id: text(&application["appId"]),
        object_id: text(&principal["id"]),
        application: text(&application["id"]),
        key_id: text(&secret["keyId"]),
        secret: text(&secret["secretText"]),
    }
}

/// Assigns a role.
pub(crate) async fn grant(client: &Http, scope: &str, role: &str, principal: &str, kind: &str) -> String {
    let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::new_v4());
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let properties = json!({"roleDefinitionId": role, "principalId": principal, "principalType": kind});
    client.put(&at(&id, ROLES), json!({ "properties": properties })).await.expect(201);
    id
}

async fn make() -> Seed {
    let server = Server::on(Data::sqlite()).await;
    let link = server.admin("/setup-link", json!({})).await["link"].as_str().unwrap().to_owned();
    let mut passkey = Passkey::new(&server.base());
    let signed_in = set_up(&server, &link, "jo@contoso.test", &mut passkey).await.expect(200);
    let page = server.http().page(&signed_in.cookies());
    let person = signed_in.json()["session"]["person"]["id"].as_str().unwrap().to_owned();
    for group in ["rg1", "rg2"] {
        let id = format!("{}/resourceGroups/{group}", server.sub);
        page.put(&at(&id, GROUPS), json!({"location": "home"})).await.expect(201);
    }
    let mut programs = BTreeMap::new();
    let rg2 = format!("{}/resourceGroups/rg2", server.sub);
    let roles = [
        ("root", Some(("", OWNER))),
        ("reader", Some(("", READER))),
        ("elsewhere", Some((rg2.as_str(), OWNER))),
        ("stranger", None),
    ];
    for (name, role) in roles {
        let made = program(&page, name).await;
        if let Some((scope, role)) = role {
            grant(&page, scope, role, &made.object_id, "ServicePrincipal").await;
        }
        programs.insert(name, made);
    }
    let group = page.post("/v1.0/groups", json!({"displayName": "Operators"})).await.expect(201).json();
    let group = group["id"].as_str().unwrap().to_owned();
    machine(&server, &page).await;
    // Twice: what hangs on something of a later type is made in the second round.
    // Without locks, which would be in everybody's way.
    for route in catalogue().iter().chain(catalogue()).filter(|k| k.path != "locks") {
        for scope in route.scopes {
            let id = route.item(&server.sub, *scope);
            let answer = page.put(&at(&id, route.version()), route.body(&server.sub, *scope)).await;
            // What cannot be made is no part of the world; what is part of it is checked where it is used.
            assert!(answer.status < 500, "{id}: {answer:?}");
        }
    }
    let data = server.stop().await;
    let mut files = Vec::new();
    collect(data.path(), data.path(), &mut files);
    Seed { files, programs, cookies: signed_in.cookies(), passkey, person, group }
}

/// Lets `vm1` join `rg1` and tell of its interface.
async fn machine(server: &Server, page: &Http) {
    let token = server.admin("/agent-token", json!({"resourceGroup": "rg1"})).await;
    let agent = agent::join(token["joinString"].as_str().unwrap(), "vm1").await.ok().unwrap();
    let mut link = agent.connect(0).await;
    link.say(&ToServer::Facts { facts: agent::facts("vm1", "10.0.1.4/24") }).await;
    let nic =
        format!("{}/resourceGroups/rg1/providers/Microsoft.Network/networkInterfaces/vm1-eth0", server.sub);
    until("the interface", async || (page.get(&at(&nic, NETWORK)).await.status == 200).then_some(())).await;
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(root, &entry.path(), files);
        } else if kind.is_file() {
            let path = entry.path().strip_prefix(root).unwrap().to_owned();
            files.push((path, std::fs::read(entry.path()).unwrap()));
        }
    }
}

/// What the registry says of a type, and how the world calls its one resource.
pub(crate) struct Kind {
    pub(crate) namespace: &'static str,
    pub(crate) path: &'static str,
    pub(crate) scopes: &'static [ScopeKind],
    pub(crate) actions: Vec<&'static str>,
    /// Whether clients may remove one.
    pub(crate) removable: bool,
    /// Whether its resources are kept, rather than computed or given.
    pub(crate) kept: bool,
    versions: &'static [&'static str],
}

/// Every registered type, in the order of registration.
pub(crate) fn catalogue() -> &'static [Kind] {
    static ALL: OnceLock<(Vec<Kind>, Vec<String>)> = OnceLock::new();
    &ALL.get_or_init(registered).0
}

/// Every scope action, `Namespace/verb`.
pub(crate) fn scope_actions() -> &'static [String] {
    static ALL: OnceLock<Vec<String>> = OnceLock::new();
    ALL.get_or_init(|| registered().1)
}

fn registered() -> (Vec<Kind>, Vec<String>) {
    // The registry wants a store for the activity log; nothing is read from it here.
    let made = std::thread::spawn(|| {
        let dir = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("sqlite://{}/db", dir.path().display());
        let store = runtime.block_on(Store::open(&url)).unwrap();
        let now = OffsetDateTime::now_utc();
        let authority = Authority::load(&Authority::generate("none", now).unwrap()).unwrap();
        let served = Served::new(&authority.server(&[], now).unwrap()).unwrap();
        let point = JoinPoint {
            address: "localhost:1".to_owned(),
            pin: Arc::new(sekisho_link::Current::new([0; 32])),
            served: Arc::new(served),
        };
        let place = Place::Directory(dir.path().join("lake"));
        let lake = Lake::on(store.clone(), place.open(Uuid::nil(), &BTreeMap::new()).unwrap());
        let log = Signer::new("sekisho/none", Use::Note, &Signer::generate().unwrap()).unwrap();
        let log = Arc::new(Log::new(Uuid::nil(), LogKeys::new(log, Vec::new())));
        let recordings = sekisho_server::Archive::of(dir.path(), None, "");
        let registry: Registry =
            sekisho_server::registry(Uuid::nil(), (&store, &log), (&lake, &recordings), point).0;
        let kind = |spec: &TypeSpec, removable| Kind {
            removable,
            namespace: spec.namespace,
            path: spec.path,
            scopes: spec.scopes,
            versions: spec.versions,
            actions: spec.actions.iter().map(|a| a.verb).collect(),
            kept: spec.storage != Storage::Computed && spec.put != PutStyle::Refused,
        };
        let kinds = registry.types().map(|k| kind(k.spec(), k.is_removable())).collect();
        let actions = registry.scope_actions();
        let actions = actions.map(|a| format!("{}/{}", a.namespace(), a.action().verb)).collect();
        (kinds, actions)
    });
    made.join().unwrap()
}

/// The id of the scope of a kind in the world; empty for the tenant.
pub(crate) fn scope(sub: &str, kind: ScopeKind) -> String {
    match kind {
        ScopeKind::Tenant => String::new(),
        ScopeKind::ManagementGroup => "/providers/Microsoft.Management/managementGroups/mg1".to_owned(),
        ScopeKind::Subscription => sub.to_owned(),
        ScopeKind::ResourceGroup => format!("{sub}/resourceGroups/rg1"),
        ScopeKind::Resource => {
            format!("{sub}/resourceGroups/rg1/providers/Microsoft.Network/networkSecurityGroups/nsg1")
        }
    }
}

impl Kind {
    /// The newest api-version.
    pub(crate) fn version(&self) -> &'static str {
        self.versions[0]
    }

    /// The path of the collection in a scope.
    pub(crate) fn list(&self, sub: &str, at: ScopeKind) -> String {
        let words: Vec<&str> = self.path.split('/').collect();
        let mut out = match (self.namespace, self.path) {
            ("Microsoft.Resources", "subscriptions") => return "/subscriptions".to_owned(),
            ("Microsoft.Resources", "resourceGroups") => return format!("{sub}/resourceGroups"),
            _ => format!("{}/providers/{}", scope(sub, at), self.namespace),
        };
        for (index, word) in words.iter().enumerate() {
            out.push_str(&format!("/{word}"));
            if index + 1 < words.len() {
                let parent = words[..=index].join("/");
                out.push_str(&format!("/{}", name(&format!("{}/{parent}", self.namespace), at)));
            }
        }
        out
    }

    /// The path of the world's resource of this type in a scope.
    pub(crate) fn item(&self, sub: &str, at: ScopeKind) -> String {
        if (self.namespace, self.path) == ("Microsoft.Resources", "subscriptions") {
            return sub.to_owned();
        }
        if self.path == "managementGroups/subscriptions" {
            return format!("{}{}", self.list(sub, at), sub.trim_start_matches("/subscriptions"));
        }
        let own = name(&format!("{}/{}", self.namespace, self.path), at);
        format!("{}/{own}", self.list(sub, at))
    }

    /// A body that makes it.
    pub(crate) fn body(&self, sub: &str, at: ScopeKind) -> Value {
        let here = scope(sub, at);
        // Custom roles are not assignable at the root.
        let here = if here.is_empty() { sub } else { &here };
        let properties = match self.path {
            "networkSecurityGroups/securityRules" => rule(100, "22"),
            "virtualNetworks" => json!({"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}),
            "virtualNetworks/subnets" => json!({"addressPrefix": "10.0.1.0/24"}),
            "networkInterfaces" => {
                json!({"networkSecurityGroup": {"id": scope(sub, ScopeKind::Resource)}, "ipConfigurations": []})
            }
            "serviceTags" => json!({"addressPrefixes": ["192.0.2.0/24"]}),
            "serviceTagSets" => json!({"changeNumber": 1, "cloud": "Public", "values": [
                {"name": "Storage", "id": "Storage", "properties": {"addressPrefixes": ["198.51.100.0/24"]}}]}),
            "invariants" => json!({
                "must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
                "destinationMachineTags": {}, "destinationPortRange": "3389", "enforcement": "report",
            }),
            "networkManagers" => json!({"networkManagerScopes": {"subscriptions": [sub]}}),
            "networkManagers/networkGroups/staticMembers" => {
                json!({"resourceId": format!("{sub}/resourceGroups/rg1/providers/Microsoft.Network/virtualNetworks/net1")})
            }
            "networkManagers/securityAdminConfigurations/ruleCollections" => json!({"appliesToGroups": [
                {"networkGroupId": format!("{sub}/resourceGroups/rg1/providers/Microsoft.Network/networkManagers/x1/networkGroups/x1")}]}),
            "networkManagers/securityAdminConfigurations/ruleCollections/rules" => {
                json!({"protocol": "Tcp", "access": "Deny", "priority": 1, "direction": "Outbound",
                    "destinationPortRanges": ["25"]})
            }
            "roleDefinitions" => json!({
                "roleName": format!("World {at:?}"), "description": "", "assignableScopes": [here],
                "permissions": [{"actions": ["*/read"], "notActions": []}],
            }),
            "roleAssignments" => json!({
                "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
                "principalId": NOBODY, "principalType": "ServicePrincipal",
            }),
            "roleEligibilityScheduleRequests" | "roleAssignmentScheduleRequests" => json!({
                "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
                "principalId": NOBODY, "requestType": "AdminAssign", "justification": "The world has some",
            }),
            "locks" => json!({"level": "CanNotDelete"}),
            "locations/jitNetworkAccessPolicies" => json!({"virtualMachines": []}),
            "denyAssignments" => json!({
                "denyAssignmentName": format!("World {at:?}"), "principals": [{"id": NOBODY, "type": "ServicePrincipal"}],
                "permissions": [{"actions": ["Microsoft.Network/*/delete"]}],
            }),
            _ => json!({}),
        };
        let mut body = json!({"location": "home", "properties": properties});
        if self.path.ends_with("ruleCollections/rules") {
            body["kind"] = "Custom".into();
        }
        body
    }
}

/// The name of the world's resource of a type. GUIDs end in a digit for the kind of scope.
fn name(kind: &str, at: ScopeKind) -> String {
    let known = match kind {
        "Microsoft.Resources/resourceGroups" => "rg1",
        "Microsoft.Management/managementGroups" => "mg1",
        "Microsoft.Network/networkSecurityGroups" => "nsg1",
        "Microsoft.Network/networkSecurityGroups/securityRules" => "ssh",
        "Microsoft.Network/networkSecurityGroups/defaultSecurityRules" => "DenyAllInBound",
        "Microsoft.Network/applicationSecurityGroups" => "asg1",
        "Microsoft.Network/virtualNetworks" => "net1",
        "Microsoft.Network/virtualNetworks/subnets" => "s1",
        "Microsoft.Network/networkInterfaces" => "vm1-eth0",
        "Microsoft.Compute/virtualMachines" | "Sekisho.Fleet/machines" => "vm1",
        "Sekisho.Fleet/enrolmentTokens" => "tok1",
        "Sekisho.Network/serviceTags" => "Office",
        "Sekisho.Network/serviceTagSets" => "azure",
        "Microsoft.Network/locations/serviceTagDetails" => "Office",
        "Sekisho.Network/invariants" => "NoRdp",
        "Microsoft.Insights/eventtypes" => "management",
        "Microsoft.Security/locations" => "home",
        "Microsoft.Insights/eventcategories" => "Administrative",
        "Sekisho.Audit/logs" => "activity",
        // The first entry: the first run, outside of every subscription.
        "Sekisho.Audit/logs/proofs" => "1",
        "Microsoft.Authorization/providerOperations" => "Microsoft.Network",
        "Microsoft.Authorization/roleDefinitions" => {
            return format!("aaaaaaaa-0000-4000-8000-00000000000{}", at as u8);
        }
        "Microsoft.Authorization/roleAssignments" => {
            return format!("bbbbbbbb-0000-4000-8000-00000000000{}", at as u8);
        }
        "Microsoft.Authorization/denyAssignments" => {
            return format!("cccccccc-0000-4000-8000-00000000000{}", at as u8);
        }
        "Microsoft.Authorization/roleEligibilityScheduleRequests"
        | "Microsoft.Authorization/roleEligibilitySchedules"
        | "Microsoft.Authorization/roleEligibilityScheduleInstances" => {
            return format!("eeeeeeee-0000-4000-8000-00000000000{}", at as u8);
        }
        "Microsoft.Authorization/roleAssignmentScheduleRequests"
        | "Microsoft.Authorization/roleAssignmentSchedules"
        | "Microsoft.Authorization/roleAssignmentScheduleInstances" => {
            return format!("ffffffff-0000-4000-8000-00000000000{}", at as u8);
        }
        "Microsoft.Authorization/roleManagementPolicies" => READER,
        "Microsoft.Authorization/roleManagementPolicyAssignments" => return format!("{READER}_{READER}"),
        _ => "x1",
    };
    known.to_owned()
}

/// The properties of an inbound rule that lets TCP in.
pub(crate) fn rule(priority: u32, port: &str) -> Value {
    json!({
        "priority": priority, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": port,
    })
}

#[tokio::test]
async fn the_world_is_as_described() {
    let world = World::new().await;
    let root = world.client("root").await;
    for (id, version) in [
        (world.network("networkSecurityGroups/nsg1/securityRules/ssh"), NETWORK),
        (world.network("virtualNetworks/net1/subnets/s1"), NETWORK),
        (world.network("applicationSecurityGroups/asg1"), NETWORK),
        (world.network("networkInterfaces/vm1-eth0"), NETWORK),
        (world.rg1("/providers/Sekisho.Network/serviceTags/Office"), FLEET),
        (world.rg1("/providers/Sekisho.Fleet/enrolmentTokens/tok1"), FLEET),
        (world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1"), COMPUTE),
    ] {
        root.get(&at(&id, version)).await.expect(200);
    }
}
