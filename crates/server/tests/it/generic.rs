//! What holds for every type alike: the eight cases of the ARM contract, generated from the registry, and the rules of
//! removal.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::{Answer, COMPUTE, GROUPS, Http, NETWORK, ROLES, at};
use crate::seed::{Kind, NOBODY, READER, World, catalogue, grant};

/// A thing of one type in one scope.
struct Thing {
    kind: &'static Kind,
    path: String,
    body: Value,
    /// What a well-formed GET answers.
    usual: Answer,
}

impl Thing {
    fn at(&self, path: &str) -> String {
        at(path, self.kind.version())
    }

    /// An id of the same type that names nothing.
    fn missing(&self) -> String {
        let (head, name) = self.path.rsplit_once('/').unwrap();
        let other =
            if Uuid::try_parse(name).is_ok() { Uuid::new_v4().to_string() } else { "missing".to_owned() };
        format!("{head}/{other}")
    }

    /// Whether clients may write such things.
    fn is_written(&self) -> bool {
        self.kind.kept && self.kind.path != "subscriptions"
    }

    fn same(&self, answer: &Answer, what: &str) {
        assert_eq!(
            (answer.status, answer.code()),
            (self.usual.status, self.usual.code()),
            "{what}: {answer:?}"
        );
        // The log grows with what the tests do.
        let grows = self.kind.path == "eventtypes/values" || self.kind.namespace == "Sekisho.Audit";
        if self.usual.status == 200 && !grows {
            assert_eq!(answer.json(), self.usual.json(), "{what}");
        }
    }
}

/// Every registered type in every scope it lives in, as `root` sees it.
async fn things(world: &World, root: &Http, with_locks: bool) -> Vec<Thing> {
    let mut out = Vec::new();
    // The settings of the hierarchy are in the root group alone, whose name differs from run to run: `hierarchy` asks them.
    // Approvals come and go with requests: `pim` makes some. Of eligible children there is a list only.
    let elsewhere = [
        "managementGroups/settings",
        "roleAssignmentApprovals",
        "roleAssignmentApprovals/stages",
        "eligibleChildResources",
    ];
    for kind in catalogue().iter().filter(|k| !elsewhere.contains(&k.path)) {
        for place in kind.scopes {
            let (path, body) = (kind.item(&world.server.sub, *place), kind.body(&world.server.sub, *place));
            if kind.path == "locks" && with_locks {
                root.put(&at(&path, kind.version()), body.clone()).await.expect(201);
            }
            let usual = root.get(&at(&path, kind.version())).await;
            out.push(Thing { kind, path, body, usual });
        }
    }
    let there = out.iter().filter(|t| t.usual.status == 200).count();
    assert!(there * 5 > out.len() * 4, "only {there} of {} can be read", out.len());
    out
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_removing_it_is_no_error() {
    let world = World::new().await;
    let root = world.client("root").await;
    for thing in things(&world, &root, false).await {
        // It answers as a whole, whatever the name.
        if thing.kind.path == "virtualMachines/instanceView" {
            continue;
        }
        let missing = thing.missing();
        let answer = root.get(&thing.at(&missing)).await;
        assert_eq!(answer.status, 404, "{missing}: {answer:?}");
        assert!(answer.code().ends_with("NotFound"), "{missing}: {answer:?}");
        if thing.is_written() {
            let answer = root.delete(&thing.at(&missing)).await;
            assert_eq!(answer.status, if thing.kind.removable { 204 } else { 405 }, "{missing}: {answer:?}");
            let answer = root.patch(&thing.at(&missing), json!({"tags": {}})).await;
            assert_eq!(answer.status, 404, "{missing}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_changes_nothing() {
    let world = World::new().await;
    let root = world.client("root").await;
    let mut seen = 0;
    for thing in
        things(&world, &root, true).await.into_iter().filter(|t| t.is_written() && t.usual.status == 200)
    {
        let stale = root.with("if-match", "W/\"x\"");
        let body = Some(thing.body.clone());
        for (client, method, body) in [
            (&stale, Method::PUT, body.clone()),
            (&root.with("if-none-match", "*"), Method::PUT, body),
            (&stale, Method::PATCH, Some(json!({"tags": {"a": "b"}}))),
            (&stale, Method::DELETE, None),
        ] {
            if method == Method::DELETE && !thing.kind.removable {
                continue;
            }
            let answer = client.call(method.clone(), &thing.at(&thing.path), body).await;
            let locked = thing.path.starts_with(&world.server.sub) && method == Method::DELETE;
            if !(locked && answer.code() == "ScopeLocked") {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (412, "PreconditionFailed"),
                    "{method} {}",
                    thing.path
                );
            }
        }
        thing.same(&root.get(&thing.at(&thing.path)).await, &thing.path);
        seen += 1;
    }
    assert!(seen > 25, "{seen}");
}

#[tokio::test]
async fn api_versions_that_are_not_served_are_refused_and_those_that_are_named() {
    let world = World::new().await;
    let root = world.client("root").await;
    for thing in things(&world, &root, true).await {
        let core = thing.kind.namespace == "Microsoft.Resources";
        let code = if core { "InvalidApiVersionParameter" } else { "NoRegisteredProviderFound" };
        for version in ["1999-01-01", "2099-01-01"] {
            let refused = root.get(&at(&thing.path, version)).await.refused(400, code);
            assert!(refused.message().contains(thing.kind.version()), "{refused:?}");
        }
        for version in ["latest", "2024-05-01-x", "2024-13-45x"] {
            root.get(&at(&thing.path, version)).await.refused(400, "InvalidApiVersionParameter");
        }
    }
}

#[tokio::test]
async fn every_method_of_every_type_needs_an_api_version() {
    let world = World::new().await;
    let root = world.client("root").await;
    for thing in things(&world, &root, true).await {
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
            let body = (method != Method::GET && method != Method::DELETE).then(|| thing.body.clone());
            root.call(method, &thing.path, body).await.refused(400, "MissingApiVersionParameter");
        }
        thing.same(&root.get(&thing.at(&thing.path)).await, &thing.path);
    }
}

#[tokio::test]
async fn types_and_namespaces_that_do_not_exist_are_not_found() {
    let world = World::new().await;
    let root = world.client("root").await;
    for thing in things(&world, &root, true).await {
        let version = thing.kind.version();
        let unknown = world.rg1(&format!("/providers/{}/noSuchType/x", thing.kind.namespace));
        let refused = root.get(&at(&unknown, version)).await.refused(404, "InvalidResourceType");
        assert_eq!(
            refused.message(),
            format!(
                "The resource type 'noSuchType' could not be found in the namespace '{}' for api version '{version}'.",
                thing.kind.namespace
            )
        );
        let refused = root.get(&at(world.rg1("/providers/No.Such/x/y"), version)).await;
        let refused = refused.refused(404, "InvalidResourceNamespace");
        assert_eq!(refused.message(), "The resource namespace 'No.Such' is invalid.");
    }
}

#[tokio::test]
async fn a_path_in_another_case_or_with_more_slashes_names_the_same_thing() {
    let world = World::new().await;
    let root = world.client("root").await;
    for thing in things(&world, &root, true).await {
        let flipped: String = thing
            .path
            .chars()
            .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect();
        let middle = thing.path.rfind('/').unwrap();
        let inside = format!("{}/{}", &thing.path[..middle], &thing.path[middle..]);
        for path in [flipped, thing.path.replacen('/', "//", 1), inside, format!("{}/", thing.path)] {
            thing.same(&root.get(&thing.at(&path)).await, &path);
        }
    }
}

#[tokio::test]
async fn what_something_holds_on_to_is_not_removed_and_says_what_holds_it() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (net, asg) = (world.network("virtualNetworks/held"), world.network("applicationSecurityGroups/held"));
    let nsg = world.network("networkSecurityGroups/held");
    let nic = format!(
        "{}/resourceGroups/rg2/providers/Microsoft.Network/networkInterfaces/holder",
        world.server.sub
    );
    root.put(&at(&nsg, NETWORK), json!({"location": "home"})).await.expect(201);
    root.put(&at(&asg, NETWORK), json!({"location": "home"})).await.expect(201);
    let subnets = json!([{"name": "a", "properties": {"addressPrefix": "10.6.0.0/24"}}]);
    let properties = json!({"addressSpace": {"addressPrefixes": ["10.6.0.0/16"]}, "subnets": subnets});
    root.put(&at(&net, NETWORK), json!({"location": "home", "properties": properties})).await.expect(201);
    let configuration = json!({"name": "c", "properties": {
        "subnet": {"id": format!("{net}/subnets/a")}, "applicationSecurityGroups": [{"id": asg}]}});
    let properties = json!({"networkSecurityGroup": {"id": nsg}, "ipConfigurations": [configuration]});
    root.put(&at(&nic, NETWORK), json!({"location": "home", "properties": properties})).await.expect(201);
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{}", Uuid::new_v4());
    let properties = json!({"roleName": "Held", "assignableScopes": [world.server.sub], "permissions": [{"actions": ["*/read"]}]});
    root.put(&at(&role, ROLES), json!({ "properties": properties })).await.expect(201);
    let given = world.rg1(&format!("/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::new_v4()));
    let properties =
        json!({"roleDefinitionId": role, "principalId": NOBODY, "principalType": "ServicePrincipal"});
    root.put(&at(&given, ROLES), json!({ "properties": properties })).await.expect(201);

    let held = [
        (&format!("{net}/subnets/a"), NETWORK, "InUseSubnetCannotBeDeleted", "rg2"),
        (&net, NETWORK, "InUseSubnetCannotBeDeleted", "rg2"),
        (&nsg, NETWORK, "InUseNetworkSecurityGroupCannotBeDeleted", nic.as_str()),
        (&asg, NETWORK, "InUseApplicationSecurityGroupCannotBeDeleted", nic.as_str()),
        (&world.network("networkInterfaces/vm1-eth0"), NETWORK, "NicInUse", "/virtualMachines/vm1"),
        (&role, ROLES, "RoleDefinitionHasAssignments", "assignments"),
    ];
    for (path, version, code, holder) in held {
        let refused = root.delete(&at(path, version)).await.refused(400, code);
        assert!(refused.message().contains(holder), "{refused:?}");
        root.get(&at(path, version)).await.expect(200);
    }
    // The group as a whole does not get round it.
    let refused = root.delete(&at(world.rg1(""), GROUPS)).await.refused(409, "ResourceGroupDeletionBlocked");
    let details = refused.json()["error"]["details"].to_string();
    for code in ["InUseSubnetCannotBeDeleted", "InUseNetworkSecurityGroupCannotBeDeleted"] {
        assert!(details.contains(code), "{details}");
    }
    root.get(&at(world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1"), COMPUTE)).await.expect(200);
    root.delete(&at(&nic, NETWORK)).await.expect(200);
    root.delete(&at(&given, ROLES)).await.expect(200);
    for (path, version) in [(&nsg, NETWORK), (&asg, NETWORK), (&net, NETWORK), (&role, ROLES)] {
        root.delete(&at(path, version)).await.expect(200);
    }
    root.delete(&at(world.rg1(""), GROUPS)).await.expect(202);
}

#[tokio::test]
async fn rights_on_a_part_of_something_end_with_the_part() {
    let world = World::new().await;
    let root = world.client("root").await;
    let net = world.network("virtualNetworks/parts");
    let subnet = format!("{net}/subnets/s");
    let body = |subnets: Value| json!({"location": "home", "properties": {"addressSpace": {"addressPrefixes": ["10.6.0.0/16"]}, "subnets": subnets}});
    let with = body(json!([{"name": "s", "properties": {"addressPrefix": "10.6.0.0/24"}}]));
    for way in ["by itself", "by its parent"] {
        root.put(&at(&net, NETWORK), with.clone()).await;
        let given = grant(&root, &subnet, READER, NOBODY, "ServicePrincipal").await;
        root.get(&at(&given, ROLES)).await.expect(200);
        match way {
            "by itself" => root.delete(&at(&subnet, NETWORK)).await.expect(200),
            _ => root.put(&at(&net, NETWORK), body(json!([]))).await.expect(200),
        };
        root.put(&at(&net, NETWORK), with.clone()).await.expect(200);
        root.get(&at(&subnet, NETWORK)).await.expect(200);
        let left = root.get(&at(&given, ROLES)).await;
        assert_eq!(left.status, 404, "{way}: {left:?}");
    }
}
