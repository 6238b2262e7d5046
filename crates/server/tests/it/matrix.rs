//! The golden matrix: every route × who asks → status and error code, kept in `tests/golden/authz-matrix.txt`.
//!
//! The ARM routes come from the registry, so a new type appears by itself; the others are listed here, and all are
//! compared with the server's OpenAPI document, so that neither forgets one. `UPDATE_GOLDEN=1` writes the file anew: then read
//! the diff, cell by cell.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use http::Method;
use sekisho_arm::ScopeKind;
use serde_json::{Value, json};

use crate::kit::{Answer, FLEET, GROUPS, Http, at};
use crate::seed::{World, catalogue, scope, scope_actions};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/authz-matrix.txt");
const WHO: [&str; 5] = ["nobody", "stranger", "elsewhere", "reader", "root"];

/// Answered with success to everybody. Nothing else may be.
const ANONYMOUS: &[&str] = &[
    "GET /",
    "GET /openapi.json",
    "GET /metadata/endpoints",
    "GET /adfsm/metadata/endpoints",
    "GET /aliases.json",
    "GET /{tenant}/v2.0/.well-known/openid-configuration",
    "GET /{tenant}/.well-known/openid-configuration",
    "GET /{tenant}/discovery/v2.0/keys",
    "GET /link/install",
    "GET /auth/state",
    "POST /auth/passkey/begin",
    "POST /auth/signout",
];

/// Answered with success to whoever has a token, without any role: the containers, empty of what may not be seen, and
/// facts about the product.
const WITHOUT_ROLE: &[&str] = &[
    "GET /tenants",
    "GET /subscriptions",
    "GET /providers",
    "GET /providers/Microsoft.Network",
    "GET /providers/Microsoft.Network/operations",
    "GET /providers/Microsoft.Insights/eventcategories",
    "HEAD /providers/Microsoft.Insights/eventcategories/Administrative",
    "GET /providers/Microsoft.Insights/eventcategories/Administrative",
    "GET /providers/Microsoft.Authorization/providerOperations",
    "GET /providers/Microsoft.Authorization/providerOperations/Microsoft.Network",
    "HEAD /providers/Microsoft.Authorization/providerOperations/Microsoft.Network",
    // About oneself.
    "POST /providers/Microsoft.Management/getEntities",
    "POST /providers/Sekisho.Authorization/effective",
    "POST /providers/Sekisho.Authorization/explain",
];

/// The routes beside ARM and Graph, as the routers spell them, with a body where one is read.
const OTHER: &[(Method, &str, &str)] = &[
    (Method::GET, "/", ""),
    (Method::GET, "/openapi.json", ""),
    (Method::GET, "/metadata/endpoints", ""),
    (Method::GET, "/adfsm/metadata/endpoints", ""),
    (Method::GET, "/aliases.json", ""),
    (Method::GET, "/{tenant}/v2.0/.well-known/openid-configuration", ""),
    (Method::GET, "/{tenant}/.well-known/openid-configuration", ""),
    (Method::GET, "/{tenant}/discovery/v2.0/keys", ""),
    (Method::POST, "/{tenant}/oauth2/v2.0/token", "grant_type=client_credentials"),
    (Method::POST, "/{tenant}/oauth2/token", "grant_type=client_credentials"),
    (Method::POST, "/{tenant}/oauth2/v2.0/devicecode", "client_id=x"),
    (Method::POST, "/{tenant}/oauth2/devicecode", "client_id=x"),
    (Method::GET, "/{tenant}/oauth2/v2.0/authorize", ""),
    (Method::GET, "/{tenant}/oauth2/authorize", ""),
    (Method::POST, "/link/join", r#"{"secret": "AAAA", "csr": "", "hostname": "m"}"#),
    (Method::GET, "/link/install", ""),
    (Method::GET, "/link/agent/{file}", ""),
    (
        Method::POST,
        "/bastions/{id}/api/tokens",
        "resourceId=x&protocol=tcptunnel&workloadHostPort=22&aztoken=x",
    ),
    (Method::DELETE, "/bastions/{id}/api/tokens/{token}", ""),
    (Method::GET, "/bastions/{id}/webtunnelv2/{token}", ""),
    (Method::POST, "/bastions/links/inspect", r#"{"token": "x"}"#),
    (Method::POST, "/bastions/{id}/api/sessions", r#"{"resourceId": "x", "account": "root"}"#),
    (Method::POST, "/bastions/{id}/api/sessions/{id}/resume", "{}"),
    (Method::POST, "/bastions/{id}/api/sessions/{id}/end", "{}"),
    (Method::POST, "/bastions/{id}/api/sessions/{id}/watch", r#"{"mode": "readOnly"}"#),
    (Method::POST, "/bastions/{id}/api/sessions/{id}/message", r#"{"text": "x"}"#),
    (Method::GET, "/bastions/{id}/api/sessions/{id}/files", ""),
    (Method::POST, "/bastions/{id}/api/sessions/{id}/files", r#"{"op": "mkdir", "path": "/x"}"#),
    (Method::HEAD, "/bastions/{id}/api/sessions/{id}/content?path=/x", ""),
    (Method::GET, "/bastions/{id}/api/sessions/{id}/content?path=/x", ""),
    (Method::PUT, "/bastions/{id}/api/sessions/{id}/content?path=/x&offset=0&total=0", ""),
    (Method::GET, "/bastions/{id}/terminal/{token}", ""),
    (
        Method::POST,
        "/bastions/{id}/api/desktops",
        r#"{"machine": "x", "protocol": "rdp", "width": 800, "height": 600}"#,
    ),
    (Method::GET, "/bastions/{id}/desktop/{token}", ""),
    (Method::GET, "/ssh/keys", ""),
    (Method::POST, "/ssh/keys", r#"{"publicKey": "x"}"#),
    (Method::DELETE, "/ssh/keys/{id}", ""),
    (Method::GET, "/metrics", ""),
    (Method::GET, "/api/events", ""),
    (Method::GET, "/auth/state", ""),
    (Method::GET, "/auth/session", ""),
    (Method::GET, "/auth/sessions", ""),
    (Method::GET, "/auth/credentials", ""),
    (Method::GET, "/auth/grants", ""),
    (Method::POST, "/auth/authorize/inspect", r#"{"query": "client_id=x"}"#),
    (Method::POST, "/auth/authorize", r#"{"query": "client_id=x", "allow": true}"#),
    (Method::POST, "/auth/device/inspect", r#"{"userCode": "BCDF-GHJK"}"#),
    (Method::POST, "/auth/device", r#"{"userCode": "BCDF-GHJK", "allow": true}"#),
    (Method::DELETE, "/auth/grants/{id}", ""),
    (Method::POST, "/auth/setup/inspect", r#"{"token": "x"}"#),
    (
        Method::POST,
        "/auth/setup/passkey/begin",
        r#"{"token": "x", "userPrincipalName": "a@b.test", "displayName": "A"}"#,
    ),
    (Method::POST, "/auth/setup/passkey/finish", r#"{"ceremony": "x"}"#),
    (
        Method::POST,
        "/auth/setup/password/begin",
        r#"{"token": "x", "userPrincipalName": "a@b.test", "displayName": "A", "password": "x"}"#,
    ),
    (Method::POST, "/auth/setup/password/finish", r#"{"ceremony": "x", "code": "000000"}"#),
    (Method::POST, "/auth/passkey/begin", "{}"),
    (Method::POST, "/auth/passkey/finish", r#"{"ceremony": "x", "credential": {}}"#),
    (Method::POST, "/auth/password", r#"{"userPrincipalName": "a@b.test", "code": "0", "password": "x"}"#),
    (Method::POST, "/auth/accesspass", r#"{"userPrincipalName": "a@b.test", "accessPass": "x"}"#),
    (Method::GET, "/auth/notices", ""),
    (Method::DELETE, "/auth/notices/{id}", ""),
    (Method::POST, "/auth/stepup", r#"{"ceremony": "x"}"#),
    (Method::POST, "/auth/credentials/passkey/begin", "{}"),
    (Method::POST, "/auth/credentials/passkey/finish", r#"{"ceremony": "x"}"#),
    (
        Method::POST,
        "/auth/credentials/password",
        r#"{"currentPassword": "x", "code": "000000", "newPassword": "y"}"#,
    ),
    (Method::DELETE, "/auth/credentials/{id}", ""),
    (Method::POST, "/auth/sessions/revokeOthers", "{}"),
    (Method::DELETE, "/auth/sessions/{id}", ""),
    (Method::POST, "/auth/signout", "{}"),
];

/// A policy that holds for nobody.
const POLICY: &str = r#"{"displayName": "New", "state": "disabled", "conditions": {"users": {"includeUsers": ["None"]},
    "applications": {"includeApplications": ["All"]}}, "grantControls": {"builtInControls": ["mfa"]}}"#;
const LOCATION: &str = r##"{"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "New",
    "ipRanges": [{"cidrAddress": "192.0.2.0/24"}]}"##;

/// The part of Microsoft Graph, reading first and removing last.
const GRAPH: &[(Method, &str, &str)] = &[
    (Method::GET, "/me", ""),
    (Method::GET, "/users", ""),
    (Method::GET, "/users/{person}", ""),
    (Method::GET, "/groups", ""),
    (Method::GET, "/groups/{group}", ""),
    (Method::GET, "/groups/{group}/members", ""),
    (Method::GET, "/servicePrincipals", ""),
    (Method::GET, "/servicePrincipals/{sp}", ""),
    (Method::GET, "/applications", ""),
    (Method::GET, "/applications/{app}", ""),
    (Method::GET, "/directoryObjects/{sp}", ""),
    (Method::POST, "/directoryObjects/getByIds", r#"{"ids": []}"#),
    (Method::POST, "/groups/{sp}/checkMemberGroups", r#"{"groupIds": []}"#),
    (Method::POST, "/users/{sp}/checkMemberGroups", r#"{"groupIds": []}"#),
    (Method::POST, "/directoryObjects/{sp}/checkMemberGroups", r#"{"groupIds": []}"#),
    (Method::POST, "/servicePrincipals/{sp}/checkMemberGroups", r#"{"groupIds": []}"#),
    (Method::POST, "/groups/{group}/getMemberGroups", "{}"),
    (Method::POST, "/users/{person}/getMemberGroups", "{}"),
    (Method::POST, "/servicePrincipals/{sp}/getMemberGroups", "{}"),
    (Method::GET, "/applications/{app}/federatedIdentityCredentials", ""),
    (
        Method::POST,
        "/applications/{app}/federatedIdentityCredentials",
        r#"{"name": "ci-main", "issuer": "https://idp.test", "subject": "s", "audiences": ["a"]}"#,
    ),
    (Method::GET, "/applications/{app}/federatedIdentityCredentials/ci-main", ""),
    (Method::PATCH, "/applications/{app}/federatedIdentityCredentials/ci-main", r#"{"subject": "t"}"#),
    (Method::DELETE, "/applications/{app}/federatedIdentityCredentials/ci-main", ""),
    (Method::GET, "/identity/conditionalAccess/policies", ""),
    (Method::POST, "/identity/conditionalAccess/policies", POLICY),
    (Method::GET, "/identity/conditionalAccess/policies/{id}", ""),
    (Method::PATCH, "/identity/conditionalAccess/policies/{id}", r#"{"state": "disabled"}"#),
    (Method::POST, "/identity/conditionalAccess/policies/{id}/sekisho.confirm", "{}"),
    (Method::DELETE, "/identity/conditionalAccess/policies/{id}", ""),
    (Method::POST, "/identity/conditionalAccess/policies/sekisho.backtest", r#"{"policy": {}}"#),
    (Method::POST, "/identity/conditionalAccess/evaluate", r#"{"signInIdentity": {"userId": "{person}"}}"#),
    (Method::GET, "/identity/conditionalAccess/namedLocations", ""),
    (Method::POST, "/identity/conditionalAccess/namedLocations", LOCATION),
    (Method::GET, "/identity/conditionalAccess/namedLocations/{id}", ""),
    (Method::PATCH, "/identity/conditionalAccess/namedLocations/{id}", r#"{"isTrusted": false}"#),
    (Method::DELETE, "/identity/conditionalAccess/namedLocations/{id}", ""),
    (Method::GET, "/auditLogs/signIns", ""),
    (Method::GET, "/policies/authenticationStrengthPolicies", ""),
    (
        Method::POST,
        "/policies/authenticationStrengthPolicies",
        r#"{"displayName": "Keys", "allowedCombinations": ["fido2"]}"#,
    ),
    (Method::GET, "/policies/authenticationStrengthPolicies/{id}", ""),
    (Method::DELETE, "/policies/authenticationStrengthPolicies/{id}", ""),
    (Method::POST, "/users", r#"{"userPrincipalName": "new@contoso.test", "displayName": "New"}"#),
    (Method::POST, "/users/{person}/sekisho.invite", "{}"),
    (Method::GET, "/users/{person}/authentication/temporaryAccessPassMethods", ""),
    (Method::POST, "/users/{person}/authentication/temporaryAccessPassMethods", "{}"),
    (Method::DELETE, "/users/{person}/authentication/temporaryAccessPassMethods/{id}", ""),
    (Method::POST, "/users/{id}/revokeSignInSessions", "{}"),
    (Method::GET, "/sekisho.sessions", ""),
    (Method::DELETE, "/sekisho.sessions/{id}", ""),
    (Method::GET, "/identityProtection/riskyUsers", ""),
    (Method::POST, "/identityProtection/riskyUsers/dismiss", r#"{"userIds": ["{person}"]}"#),
    (Method::POST, "/identityProtection/riskyUsers/confirmCompromised", r#"{"userIds": ["{person}"]}"#),
    (Method::PATCH, "/users/{person}", r#"{"displayName": "Renamed"}"#),
    (Method::POST, "/groups", r#"{"displayName": "New"}"#),
    (
        Method::POST,
        "/groups/{group}/members/$ref",
        r#"{"@odata.id": "https://localhost/v1.0/directoryObjects/{sp}"}"#,
    ),
    (Method::DELETE, "/groups/{group}/members/{sp}/$ref", ""),
    (Method::POST, "/applications", r#"{"displayName": "New"}"#),
    (Method::POST, "/servicePrincipals", r#"{"appId": "00000000-0000-4000-8000-000000000000"}"#),
    (Method::POST, "/applications/{app}/addPassword", "{}"),
    (
        Method::POST,
        "/applications/{app}/removePassword",
        r#"{"keyId": "00000000-0000-4000-8000-000000000000"}"#,
    ),
    (Method::PATCH, "/applications/{app}", r#"{"displayName": "Renamed"}"#),
    (Method::POST, "/servicePrincipals/{sp}/addPassword", "{}"),
    (
        Method::POST,
        "/servicePrincipals/{sp}/removePassword",
        r#"{"keyId": "00000000-0000-4000-8000-000000000000"}"#,
    ),
    (Method::PATCH, "/servicePrincipals/{sp}", r#"{"accountEnabled": true}"#),
    (Method::DELETE, "/groups/{group}", ""),
    (Method::DELETE, "/servicePrincipals/{sp}", ""),
    (Method::DELETE, "/applications/{app}", ""),
    (Method::DELETE, "/users/{person}", ""),
];

/// How the file writes what is long.
const SHORT: [(&str, &str); 3] = [
    ("RG", "/subscriptions/{sub}/resourceGroups/rg1"),
    ("S", "/subscriptions/{sub}"),
    ("MG", "/providers/Microsoft.Management/managementGroups/mg1"),
];

/// One row: what is asked and how it is written down.
struct Case {
    section: &'static str,
    method: Method,
    path: String,
    body: String,
}

impl Case {
    fn new(section: &'static str, method: Method, path: impl Into<String>, body: &Value) -> Case {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Case { section, method, path: path.into(), body }
    }
}

/// All rows of a world, in the order in which they are asked: reading, then acting, then writing, then removing, so
/// that no row takes away what a later one needs.
fn cases(world: &World) -> Vec<Case> {
    const EVERY: [ScopeKind; 5] = [
        ScopeKind::Tenant,
        ScopeKind::ManagementGroup,
        ScopeKind::Subscription,
        ScopeKind::ResourceGroup,
        ScopeKind::Resource,
    ];
    let sub = &world.server.sub;
    let none = Value::Null;
    let mut out = Vec::new();
    for bare in ["/tenants", "/subscriptions", "/providers"] {
        out.push(Case::new("Containers", Method::GET, at(bare, GROUPS), &none));
    }
    for bare in ["/providers/Microsoft.Network", "/providers/Microsoft.Network/operations"] {
        out.push(Case::new("Containers", Method::GET, at(bare, GROUPS), &none));
    }
    for word in ["providers", "locations", "tagNames", "resources", "operationresults/none"] {
        out.push(Case::new("Containers", Method::GET, at(format!("{sub}/{word}"), GROUPS), &none));
    }
    out.push(Case::new("Containers", Method::GET, at(world.rg1("/resources"), GROUPS), &none));
    out.push(Case::new("Containers", Method::HEAD, at(world.rg1(""), GROUPS), &none));
    let namespaces: BTreeSet<&str> = catalogue().iter().map(|k| k.namespace).collect();
    for namespace in namespaces {
        let path = at(format!("{sub}/providers/{namespace}"), GROUPS);
        out.push(Case::new("Containers", Method::GET, path, &none));
    }
    for word in ["operations", "operationResults"] {
        let path = at(format!("{sub}/providers/Microsoft.Network/locations/home/{word}/none"), GROUPS);
        out.push(Case::new("Containers", Method::GET, path, &none));
    }
    for word in ["register", "unregister"] {
        let path = at(format!("{sub}/providers/Microsoft.Network/{word}"), GROUPS);
        out.push(Case::new("Containers", Method::POST, path, &json!({})));
    }

    let tags = |scope: &str| at(format!("{scope}/providers/Microsoft.Resources/tags/default"), GROUPS);
    let tagged = [sub.clone(), world.rg1(""), scope(sub, ScopeKind::Resource)];
    for kind in catalogue() {
        for place in kind.scopes {
            out.push(Case::new("Lists", Method::GET, at(kind.list(sub, *place), kind.version()), &none));
        }
        // What lives in groups is listed for the whole subscription, too.
        if !kind.path.contains('/') && kind.scopes == [ScopeKind::ResourceGroup] {
            let list = kind.list(sub, ScopeKind::Subscription);
            out.push(Case::new("Lists", Method::GET, at(list, kind.version()), &none));
        }
    }
    // What lives in locations is listed in all of them, too, and for the whole subscription.
    for kind in catalogue() {
        let Some(last) = kind.path.strip_prefix("locations/") else { continue };
        let list = kind.list(sub, ScopeKind::Subscription);
        out.push(Case::new("Lists", Method::GET, at(list, kind.version()), &none));
        for place in [ScopeKind::Subscription, ScopeKind::ResourceGroup] {
            let list = format!("{}/providers/{}/{last}", scope(sub, place), kind.namespace);
            out.push(Case::new("Lists", Method::GET, at(list, kind.version()), &none));
        }
    }
    // The catalogue's example of a resource is a group; events are those of machines.
    let events = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1/providers/Sekisho.Fleet/events");
    out.push(Case::new("Lists", Method::GET, at(events, FLEET), &none));
    for kind in catalogue() {
        for place in kind.scopes {
            let path = at(kind.item(sub, *place), kind.version());
            out.push(Case::new("Items", Method::HEAD, path.clone(), &none));
            out.push(Case::new("Items", Method::GET, path, &none));
        }
    }
    for scope in &tagged {
        out.push(Case::new("Items", Method::GET, tags(scope), &none));
    }
    for action in scope_actions() {
        for place in EVERY {
            let path = at(format!("{}/providers/{action}", scope(sub, place)), "2026-11-01");
            let body = json!({"action": "Microsoft.Compute/virtualMachines/read"});
            out.push(Case::new("Actions", Method::POST, path, &body));
        }
    }
    for kind in catalogue() {
        for (verb, place) in kind.actions.iter().flat_map(|a| kind.scopes.iter().map(move |s| (a, s))) {
            let path = at(format!("{}/{verb}", kind.item(sub, *place)), kind.version());
            out.push(Case::new("Actions", Method::POST, path, &json!({})));
        }
    }
    for (method, path, body) in GRAPH.iter().filter(|(m, ..)| *m == Method::GET) {
        let path = format!("/v1.0{path}");
        out.push(Case { section: "Directory", method: method.clone(), path, body: (*body).to_owned() });
    }
    for kind in catalogue() {
        for place in kind.scopes {
            let path = at(kind.item(sub, *place), kind.version());
            out.push(Case::new("Writes", Method::PUT, path.clone(), &kind.body(sub, *place)));
            out.push(Case::new("Writes", Method::PATCH, path.clone(), &json!({"tags": {"a": "b"}})));
            // At once, since it is in the way of what follows.
            if kind.path == "locks" {
                out.push(Case::new("Writes", Method::DELETE, path, &none));
            }
        }
    }
    for scope in &tagged {
        for method in [Method::PUT, Method::PATCH] {
            out.push(Case::new("Writes", method, tags(scope), &json!({"properties": {"tags": {"a": "b"}}})));
        }
        out.push(Case::new("Writes", Method::DELETE, tags(scope), &none));
    }
    for (method, rest) in [
        (Method::PUT, "/x1"),
        (Method::PUT, "/x1/tagValues/v1"),
        (Method::DELETE, "/x1/tagValues/v1"),
        (Method::DELETE, "/x1"),
    ] {
        out.push(Case::new("Writes", method, at(format!("{sub}/tagNames{rest}"), GROUPS), &none));
    }
    out.push(Case::new("Writes", Method::POST, at(world.rg1("/moveResources"), GROUPS), &json!({})));
    // From the leaves to the containers, the subscription last of all.
    for kind in catalogue().iter().rev().filter(|k| k.path != "locks") {
        for place in kind.scopes.iter().rev() {
            out.push(Case::new(
                "Removals",
                Method::DELETE,
                at(kind.item(sub, *place), kind.version()),
                &none,
            ));
        }
    }
    for (method, path, body) in GRAPH.iter().filter(|(m, ..)| *m != Method::GET) {
        // The person is needed for signing out.
        if *path != "/users/{person}" || *method != Method::DELETE {
            let path = format!("/v1.0{path}");
            out.push(Case { section: "Directory", method: method.clone(), path, body: (*body).to_owned() });
        }
    }
    for (method, path, body) in OTHER {
        let section = if path.starts_with("/auth") { "Signing in" } else { "Others" };
        out.push(Case {
            section,
            method: method.clone(),
            path: (*path).to_owned(),
            body: (*body).to_owned(),
        });
    }
    out.push(Case::new("Directory", Method::DELETE, "/v1.0/users/{person}", &none));
    out
}

/// The ids that differ from run to run, with the names they are shown by.
fn names(world: &World) -> Vec<(&'static str, String)> {
    let stranger = world.program("stranger");
    vec![
        ("{sub}", world.server.sub.rsplit_once('/').unwrap().1.to_owned()),
        ("{tenant}", world.server.tenant.clone()),
        ("{person}", world.person().to_owned()),
        ("{group}", world.group().to_owned()),
        ("{app}", stranger.application.clone()),
        ("{sp}", stranger.object_id.clone()),
        ("{id}", "00000000-0000-4000-8000-000000000000".to_owned()),
    ]
}

/// The client for a row. Pages about one's own sessions are asked as the person who is signed in.
async fn clients(world: &World, who: &str) -> (Http, Http) {
    match who {
        "nobody" => (world.server.http(), world.server.http()),
        "root" => (world.client(who).await, world.page()),
        _ => (world.client(who).await, world.client(who).await),
    }
}

fn cell(answer: &Answer) -> String {
    let code = answer.code();
    if code.is_empty() { answer.status.to_string() } else { format!("{} {code}", answer.status) }
}

/// All answers to one of the askers, on a world of its own: label, section and cell of every row.
async fn column(who: &'static str) -> Vec<(String, &'static str, String)> {
    let world = World::new().await;
    let names = names(&world);
    let (client, page) = clients(&world, who).await;
    let mut out = Vec::new();
    for case in cases(&world) {
        let fill = |text: &str| names.iter().fold(text.to_owned(), |t, (name, id)| t.replace(name, id));
        let (path, body) = (fill(&case.path), fill(&case.body));
        let asker = if case.path.starts_with("/auth") { &page } else { &client };
        let cell = if case.path == "/api/events" {
            // It does not end, so it has a connection of its own.
            let (status, _) = asker.with("accept", "text/event-stream").stream(&path).await;
            status.to_string()
        } else {
            cell(&asker.raw(case.method.clone(), &path, body.into()).await)
        };
        let shown = path.split("?api-version").next().unwrap();
        let label = names.iter().fold(shown.to_owned(), |t, (name, id)| t.replace(id.as_str(), name));
        let label = SHORT.iter().fold(label, |t, (short, long)| t.replace(long, short));
        out.push((format!("{} {label}", case.method), case.section, cell));
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_answers_every_asker_as_the_golden_matrix_says() {
    let columns = futures_util::future::join_all(WHO.map(column)).await;
    let mut wrong = Vec::new();
    let mut text = String::from(
        "# Every route × who asks. Made by tests/it/matrix.rs; UPDATE_GOLDEN=1 writes it anew.\n\
         # nobody: no token. stranger: no role. elsewhere: Owner of rg2. reader: Reader of everything.\n\
         # root: Owner of everything, under /auth the person at their own page.\n\
         # S: /subscriptions/{sub}. RG: S/resourceGroups/rg1. MG: /providers/Microsoft.Management/managementGroups/mg1.\n",
    );
    let width = columns[0].iter().map(|(label, ..)| label.len()).max().unwrap();
    let mut section = "";
    for (row, (label, part, nobody)) in columns[0].iter().enumerate() {
        if *part != section {
            section = part;
            writeln!(text, "\n## {section}\n{:width$}  {}", "", padded(WHO.map(str::to_owned))).unwrap();
        }
        let cells: [String; 5] = std::array::from_fn(|who| columns[who][row].2.clone());
        assert!(columns.iter().all(|c| c[row].0 == *label), "{label}");
        if nobody.starts_with('2') && !ANONYMOUS.contains(&label.as_str()) {
            wrong.push(format!("{label}: answered to everybody: {nobody}"));
        }
        let arm = ["/subscriptions", "/providers", "/tenants", " S", " RG"].iter().any(|p| label.contains(p));
        if arm && cells[1].starts_with('2') && !WITHOUT_ROLE.contains(&label.as_str()) {
            wrong.push(format!("{label}: answered to somebody without any role: {}", cells[1]));
        }
        if arm && cells[1].starts_with("403") {
            wrong.push(format!("{label}: tells somebody without any role that it exists: {}", cells[1]));
        }
        for (who, cell) in WHO.iter().zip(&cells).filter(|(_, c)| c.starts_with('5')) {
            wrong.push(format!("{label}: broke for {who}: {cell}"));
        }
        writeln!(text, "{label:width$}  {}", padded(cells)).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let kept = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    // Without the padding: a longer route must not make every line another.
    let squeezed = |text: &str| -> Vec<String> {
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let (was, is) = (squeezed(&kept), squeezed(&text));
    wrong.extend(was.iter().filter(|l| !is.contains(l)).map(|l| format!("- {l}")));
    wrong.extend(is.iter().filter(|l| !was.contains(l)).map(|l| format!("+ {l}")));
    assert!(
        wrong.is_empty(),
        "the matrix is not as it was; if that is meant, UPDATE_GOLDEN=1 and read the diff:\n{}",
        wrong.join("\n")
    );
}

fn padded(cells: [String; 5]) -> String {
    let all: Vec<String> = cells.iter().map(|c| format!("{c:31}")).collect();
    all.join("| ").trim_end().to_owned()
}

/// A body with one value replaced by something of another kind, for every value in it.
fn distorted(body: &Value) -> Vec<Value> {
    let strange = [
        json!(null),
        json!([]),
        json!({}),
        json!([{}, null]),
        json!(-1),
        json!(1.5),
        json!(true),
        json!("é\u{0}/../%2f"),
        json!("x".repeat(2000)),
    ];
    fn pointers(at: &str, value: &Value, out: &mut Vec<String>) {
        out.push(at.to_owned());
        let name = |n: &str| n.replace('~', "~0").replace('/', "~1");
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(k, v)| pointers(&format!("{at}/{}", name(k)), v, out))
            }
            Value::Array(all) => {
                all.iter().enumerate().for_each(|(i, v)| pointers(&format!("{at}/{i}"), v, out))
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    pointers("", body, &mut places);
    let mut out = Vec::new();
    for place in places {
        for value in &strange {
            let mut copy = body.clone();
            if let Some(slot) = copy.pointer_mut(&place) {
                *slot = value.clone();
            }
            out.push(copy);
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_breaks_the_server() {
    let world = World::new().await;
    let names = names(&world);
    let (client, page) = clients(&world, "root").await;
    let fill = |text: &str| names.iter().fold(text.to_owned(), |t, (name, id)| t.replace(name, id));
    let lists = || cases(&world).into_iter().filter(|c| c.method == Method::GET && c.section == "Lists");
    let mut before = Vec::new();
    for case in lists() {
        before.push(client.get(&fill(&case.path)).await.status);
    }
    let mut sent = 0;
    for case in cases(&world) {
        // The program that asks and the person whose page it is must stay; signing out is not about bodies.
        let keeps =
            !matches!(case.path.as_str(), "/auth/signout" | "/auth/password" | "/v1.0/users/{person}");
        let Ok(body) = serde_json::from_str::<Value>(&fill(&case.body)) else { continue };
        if matches!(case.method, Method::GET | Method::HEAD | Method::DELETE) || !keeps {
            continue;
        }
        let asker = if case.path.starts_with("/auth") { &page } else { &client };
        let path = fill(&case.path);
        for body in distorted(&body) {
            let answer = asker.call(case.method.clone(), &path, Some(body.clone())).await;
            assert!(answer.status < 500, "{} {path} with {body}: {answer:?}", case.method);
            sent += 1;
        }
    }
    assert!(sent > 1000, "{sent}");
    world.server.admin("/audit-verify", json!({})).await;
    // What was taken did not make anything unreadable.
    for (case, before) in lists().zip(before) {
        client.get(&fill(&case.path)).await.expect(before);
    }
}

/// Whether a path is one that a template of the document stands for. `{resourceId}` stands for any number of segments,
/// as in Azure's own documents.
fn stands_for(template: &[&str], path: &[&str]) -> bool {
    match (template.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"{resourceId}", rest)), Some(_)) => (1..=path.len()).any(|n| stands_for(rest, &path[n..])),
        (Some((word, rest)), Some((given, further))) => {
            (word.starts_with('{') || word.eq_ignore_ascii_case(given)) && stands_for(rest, further)
        }
        _ => false,
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.split('?').next().unwrap().split('/').filter(|s| !s.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_describes_what_the_matrix_asks_for_and_nothing_else() {
    let world = World::new().await;
    let document = world.server.http().get("/openapi.json").await.json();
    let mut described: Vec<(String, &String)> = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        described.extend(operations.as_object().unwrap().keys().map(|m| (m.to_uppercase(), path)));
    }
    let owner = world.client("root").await;
    let mut asked = BTreeSet::new();
    let mut missing = BTreeSet::new();
    for case in cases(&world).iter().filter(|c| c.path != "/") {
        let path = segments(&case.path);
        let fits = described
            .iter()
            .filter(|(m, template)| *m == case.method.as_str() && stands_for(&segments(template), &path));
        // The same path may be a literal of one template and a name of another: the literal is what is served.
        let vague = |template: &str| -> usize {
            let weight = |word: &str| match word {
                "{resourceId}" => 100,
                word => usize::from(word.starts_with('{')),
            };
            segments(template).into_iter().map(weight).sum()
        };
        match fits.min_by_key(|(_, template)| vague(template)) {
            Some(found) => _ = asked.insert(found.clone()),
            None => {
                // What even an Owner of everything is told not to exist is no operation.
                let body = case.body.clone().into();
                let answer = owner.raw(case.method.clone(), &case.path, body).await;
                if answer.status != 405 {
                    missing.insert(format!("{} {}: {}", case.method, case.path, cell(&answer)));
                }
            }
        }
    }
    let unasked: Vec<_> = described.iter().filter(|d| !asked.contains(*d)).collect();
    assert!(missing.is_empty() && unasked.is_empty(), "not described: {missing:#?}\nnot asked: {unasked:#?}");
}

#[test]
fn no_route_is_made_beside_the_list_that_is_described() {
    let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut folders = vec![dir.to_path_buf()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let list = path.ends_with("src/routes.rs");
            // The socket of whoever is root on the server is no part of the API, nor is the address of the figures.
            let own = path.ends_with("src/admin.rs") || path.ends_with("src/metrics.rs");
            assert!(list || own || !source.contains(".route("), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} files");
}
