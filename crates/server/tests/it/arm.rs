//! The ARM surface: preconditions, previews, races, the activity log, removal of groups, paging.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::Method;
use sekisho_store::Store;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::{Answer, COMPUTE, FLEET, GROUPS, Http, NETWORK, ROLES, Server, at, until};
use crate::seed::{NOBODY, OWNER, READER, World, grant, program, rule, sign_in};

fn group(location: &str) -> Value {
    json!({ "location": location })
}

/// A write with a precondition.
async fn with(client: &Http, header: Option<(&str, &str)>, method: Method, path: &str) -> Answer {
    let client = match header {
        Some((name, value)) => client.with(name, value),
        None => client.clone(),
    };
    let body = match method {
        Method::DELETE => None,
        Method::PATCH => Some(json!({"tags": {"a": "b"}})),
        _ => Some(group("home")),
    };
    client.call(method, path, body).await
}

#[tokio::test]
async fn preconditions_hold_as_the_table_of_the_arm_contract_says() {
    let world = World::new().await;
    let root = world.client("root").await;
    let path = at(world.network("networkSecurityGroups/table"), NETWORK);
    let any = Some(("if-match", "*"));
    let stale = Some(("if-match", "W/\"x\""));
    let none = Some(("if-none-match", "*"));
    // Method, whether the thing exists, then: no condition, If-Match *, its etag, another etag, If-None-Match *.
    let table = [
        (Method::PUT, false, [201, 412, 0, 412, 201]),
        (Method::PUT, true, [200, 200, 200, 412, 412]),
        (Method::PATCH, false, [404, 404, 0, 404, 0]),
        (Method::PATCH, true, [200, 200, 200, 412, 0]),
        (Method::DELETE, false, [204, 204, 0, 204, 0]),
        (Method::DELETE, true, [200, 200, 200, 412, 0]),
    ];
    for (method, exists, expected) in table {
        for (column, status) in expected.into_iter().enumerate().filter(|(_, s)| *s != 0) {
            let etag = if exists {
                let made = root.put(&path, group("home")).await;
                let etag = made.header("etag").unwrap().to_owned();
                assert_eq!(made.json()["etag"], etag.as_str());
                etag
            } else {
                root.delete(&path).await;
                String::new()
            };
            let header = [None, any, Some(("if-match", etag.as_str())), stale, none][column];
            let answer = with(&root, header, method.clone(), &path).await;
            assert_eq!(answer.status, status, "{method}, exists: {exists}, {header:?}: {answer:?}");
            if status == 412 {
                answer.refused(412, "PreconditionFailed");
                let kept = root.get(&path).await;
                assert_eq!(kept.status, if exists { 200 } else { 404 });
                assert!(
                    !exists || kept.header("etag") == Some(&etag),
                    "a refused write changed the resource"
                );
            }
        }
    }
    // A child's change is its parent's.
    let parent = root.put(&path, group("home")).await.header("etag").unwrap().to_owned();
    let child = at(world.network("networkSecurityGroups/table/securityRules/r"), NETWORK);
    root.put(&child, json!({"properties": rule(100, "22")})).await.expect(201);
    with(&root, Some(("if-match", &parent)), Method::PUT, &path).await.refused(412, "PreconditionFailed");
}

/// Everything that is kept: resources with their etags, and how long the audit log is.
async fn everything(world: &World, root: &Http) -> Vec<String> {
    let mut out = Vec::new();
    for (list, version) in [
        (world.network("networkSecurityGroups"), NETWORK),
        (world.network("virtualNetworks"), NETWORK),
        (world.network("networkInterfaces"), NETWORK),
        (world.rg1("/providers/Microsoft.Compute/virtualMachines"), COMPUTE),
        (format!("{}/resourceGroups", world.server.sub), GROUPS),
        ("/providers/Microsoft.Authorization/roleAssignments".to_owned(), ROLES),
    ] {
        out.push(root.get(&at(list, version)).await.expect(200).json().to_string());
    }
    out.push(world.server.admin("/audit-verify", json!({})).await.to_string());
    out
}

/// Every row of every table, as the database has them.
async fn rows(world: &World) -> Vec<String> {
    let store = Store::open(&world.server.data.url()).await.unwrap();
    let (entries, root) = store.read().await.unwrap().log_verify().await.unwrap();
    let mut out = vec![format!("{entries} {root}")];
    let mut read = store.read().await.unwrap();
    let listing = sekisho_arm::Listing::all(&sekisho_arm::Scope::Tenant);
    for r in sekisho_arm::Read::list(&mut read, &listing).await.unwrap() {
        out.push(format!("{} {} {} {}", r.id, r.etag, r.sequence, r.to_json()));
    }
    for kind in ["desired", "facts", "machine", "agent", "join-secret", "servicePrincipal", "person"] {
        for document in sekisho_arm::Read::documents(&mut read, kind).await.unwrap() {
            out.push(format!("{kind} {} {} {}", document.key, document.changed_at, document.text));
        }
    }
    out
}

/// Waits until the desired document of `vm1` is what its groups say.
async fn settled(world: &World, root: &Http, generation: u64) {
    let path = at(world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1"), COMPUTE);
    until("the desired document", async || {
        let network = root.get(&path).await.json()["properties"]["sekisho"]["network"].clone();
        (network["generation"].as_u64() >= Some(generation)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_preview_shows_what_machines_would_do_and_keeps_nothing() {
    let world = World::new().await;
    let root = world.client("root").await;
    settled(&world, &root, 1).await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let new = format!("{nsg}/securityRules/web");
    let what_if = |id: &str| at(format!("{id}?whatIf=true"), NETWORK);
    // Signing in is recorded, so it comes before.
    let reader = world.client("reader").await;
    let (kept, shown) = (rows(&world).await, everything(&world, &root).await);

    let body = json!({"properties": rule(200, "443")});
    let seen = root.put(&what_if(&new), body.clone()).await.expect(200).json();
    assert_eq!(seen["changes"][0]["changeType"], "Create");
    assert_eq!(seen["changes"][0]["resourceId"], new.as_str());
    assert_eq!(seen["changes"][0]["before"], Value::Null);
    assert_eq!(seen["changes"][0]["after"]["properties"]["destinationPortRange"], "443");
    let machine = &seen["machines"][0];
    assert_eq!(machine["name"], "vm1");
    let change = &machine["changes"][0];
    assert_eq!((&change["kind"], &change["interface"]), (&json!("added"), &json!("eth0")));
    assert_eq!(change["rule"]["name"].as_str().unwrap().rsplit('/').next(), Some("web"));
    assert_eq!(change["rule"]["destinationPorts"], json!(["443"]));

    let seen = root.delete(&what_if(&format!("{nsg}/securityRules/ssh"))).await.expect(200).json();
    assert_eq!(seen["changes"][0]["changeType"], "Delete");
    assert_eq!(seen["machines"][0]["changes"][0]["kind"], "removed");
    let seen =
        root.put(&what_if(&format!("{nsg}/securityRules/ssh")), json!({"properties": rule(100, "22")})).await;
    let seen = seen.expect(200).json();
    assert_eq!((&seen["changes"][0]["changeType"], &seen["machines"]), (&json!("NoChange"), &json!([])));
    // What would be refused is refused, and not recorded: nothing was tried.
    root.put(&what_if(&new), json!({"properties": rule(100, "443")}))
        .await
        .refused(400, "SecurityRuleConflict");
    root.delete(&what_if(&nsg)).await.refused(400, "InUseNetworkSecurityGroupCannotBeDeleted");
    // A preview needs the right to do it.
    let before = everything(&world, &root).await;
    assert_eq!(before, shown);
    assert_eq!(rows(&world).await, kept, "a preview left something in the database");
    reader.put(&what_if(&new), body.clone()).await.refused(403, "AuthorizationFailed");

    root.put(&at(&new, NETWORK), body).await.expect(201);
    assert_ne!(rows(&world).await, kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_rules_with_one_priority_exactly_one_wins() {
    let world = World::new().await;
    let root = world.client("root").await;
    // What is decided for machines meanwhile is in the log, too.
    let logged = async || {
        let all = log(&world, &root).await;
        all.iter().filter(|(line, _)| line.contains("securityRules/write")).count()
    };
    let before = logged().await;
    let puts = (0..50).map(|n| {
        let client = root.with("x-test", "own connection");
        let path = at(world.network(&format!("networkSecurityGroups/nsg1/securityRules/r{n}")), NETWORK);
        async move { client.put(&path, json!({"properties": rule(777, "8080")})).await }
    });
    let answers = join_all(puts).await;
    let won = answers.iter().filter(|a| a.status == 201).count();
    let lost = answers.iter().filter(|a| a.status == 400 && a.code() == "SecurityRuleConflict").count();
    assert_eq!((won, lost), (1, 49), "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    let rules =
        root.get(&at(world.network("networkSecurityGroups/nsg1/securityRules"), NETWORK)).await.json();
    let with =
        rules["value"].as_array().unwrap().iter().filter(|r| r["properties"]["priority"] == 777).count();
    assert_eq!(with, 1);
    assert_eq!(logged().await, before + 50);
    world.server.admin("/audit-verify", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_with_one_etag_exactly_one_wins() {
    let world = World::new().await;
    let root = world.client("root").await;
    let path = at(world.network("networkSecurityGroups/nsg1"), NETWORK);
    let etag = root.get(&path).await.header("etag").unwrap().to_owned();
    let writers = (0..20).map(|n| {
        let client = root.with("if-match", &etag);
        let path = &path;
        async move { client.patch(path, json!({"tags": {"winner": n.to_string()}})).await.status }
    });
    let answers = join_all(writers).await;
    assert_eq!(answers.iter().filter(|s| **s == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|s| [200, 412].contains(s)), "{answers:?}");
}

/// All entries of the activity log, newest first, as `operation status subStatus`, with their correlation ids.
async fn log(world: &World, client: &Http) -> Vec<(String, String)> {
    let path = format!("{}/providers/Microsoft.Insights/eventtypes/management/values", world.server.sub);
    let mut next = at(format!("{path}?$top=50"), "2015-04-01");
    let mut out = Vec::new();
    loop {
        let page = client.get(&next).await.expect(200).json();
        for event in page["value"].as_array().unwrap() {
            let text = |at: &str| event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            let line = format!(
                "{} {} {}",
                text("/operationName/value"),
                text("/status/value"),
                text("/subStatus/value")
            );
            out.push((line, text("/correlationId")));
        }
        match page["nextLink"].as_str() {
            Some(link) => next = link.strip_prefix(&world.server.base()).unwrap().to_owned(),
            None => return out,
        }
    }
}

#[tokio::test]
async fn every_write_and_every_refusal_is_in_the_activity_log_exactly_once() {
    let world = World::new().await;
    let (root, reader) = (world.client("root").await, world.client("reader").await);
    let (stranger, elsewhere) = (world.client("stranger").await, world.client("elsewhere").await);
    let nsg = at(world.network("networkSecurityGroups/logged"), NETWORK);
    let nic = at(world.network("networkInterfaces/vm1-eth0/effectiveRouteTable"), NETWORK);
    let rule_path = at(world.network("networkSecurityGroups/nsg1/securityRules/twin"), NETWORK);
    let before = log(&world, &root).await;
    let tags =
        at(world.network("networkSecurityGroups/logged/providers/Microsoft.Resources/tags/default"), GROUPS);
    let stale = root.with("if-match", "\"old\"");
    let answers = [
        (
            root.put(&nsg, group("home")).await.expect(201),
            "Microsoft.Network/networkSecurityGroups/write Succeeded Created",
        ),
        (
            root.put(&nsg, group("home")).await.expect(200),
            "Microsoft.Network/networkSecurityGroups/write Succeeded OK",
        ),
        (
            root.patch(&nsg, json!({"tags": {"a": "b"}})).await.expect(200),
            "Microsoft.Network/networkSecurityGroups/write Succeeded OK",
        ),
        (
            root.put(&tags, json!({"properties": {"tags": {"c": "d"}}})).await.expect(200),
            "Microsoft.Resources/tags/write Succeeded OK",
        ),
        (
            stale.put(&nsg, group("home")).await.expect(412),
            "Microsoft.Network/networkSecurityGroups/write Failed PreconditionFailed",
        ),
        (
            root.put(&rule_path, json!({"properties": rule(100, "22")})).await.expect(400),
            "Microsoft.Network/networkSecurityGroups/securityRules/write Failed SecurityRuleConflict",
        ),
        (
            reader.put(&nsg, group("home")).await.expect(403),
            "Microsoft.Network/networkSecurityGroups/write Failed AuthorizationFailed",
        ),
        (
            stranger.delete(&nsg).await.expect(404),
            "Microsoft.Network/networkSecurityGroups/delete Failed AuthorizationFailed",
        ),
        (
            elsewhere.get(&nsg).await.expect(404),
            "Microsoft.Network/networkSecurityGroups/read Failed AuthorizationFailed",
        ),
        (
            reader.post(&nic, json!({})).await.expect(403),
            "Microsoft.Network/networkInterfaces/effectiveRouteTable/action Failed AuthorizationFailed",
        ),
        (
            root.post(&nic, json!({})).await.expect(202),
            "Microsoft.Network/networkInterfaces/effectiveRouteTable/action Succeeded Accepted",
        ),
        (
            reader.post("/v1.0/groups", json!({"displayName": "x"})).await.expect(403),
            "Microsoft.Authorization/principals/write Failed AuthorizationFailed",
        ),
        (
            root.post("/v1.0/groups", json!({"displayName": "x"})).await.expect(201),
            "Microsoft.Authorization/principals/write Succeeded OK",
        ),
        (root.delete(&nsg).await.expect(200), "Microsoft.Network/networkSecurityGroups/delete Succeeded OK"),
        (
            root.delete(&nsg).await.expect(204),
            "Microsoft.Network/networkSecurityGroups/delete Succeeded NoContent",
        ),
    ];
    // Reading what one may read leaves no trace.
    root.get(&at(world.rg1(""), GROUPS)).await.expect(200);
    reader.get(&at(world.network("networkSecurityGroups"), NETWORK)).await.expect(200);

    let after = log(&world, &root).await;
    let new: Vec<&String> = after[..after.len() - before.len()].iter().rev().map(|(line, _)| line).collect();
    let expected: Vec<&str> = answers.iter().map(|(_, line)| *line).collect();
    assert_eq!(new, expected);
    assert_eq!(after[after.len() - before.len()..], before[..], "old entries stay as they were");
    for (answer, line) in answers.iter().filter(|(_, l)| !l.contains("principals")) {
        let id = answer.header("x-ms-correlation-request-id").unwrap();
        let entries: Vec<_> = after.iter().filter(|(_, correlation)| correlation == id).collect();
        assert_eq!(entries.len(), 1, "{line}: {entries:?}");
    }
    let verified = world.server.admin("/audit-verify", json!({})).await;
    assert!(verified["entries"].as_u64().unwrap() >= after.len() as u64);
}

#[tokio::test]
async fn a_removed_group_takes_everything_in_it_along() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (group, nsg) = (world.rg1(""), world.network("networkSecurityGroups/nsg1"));
    let made = program(&world.page(), "temporary").await;
    for scope in [&group, &nsg] {
        grant(&root, scope, OWNER, &made.object_id, "ServicePrincipal").await;
    }
    let client = sign_in(&world.server, &made).await;
    client.get(&at(&group, GROUPS)).await.expect(200);
    world.server.admin("/agent-token", json!({"resourceGroup": "rg1"})).await;

    let removed = root.delete(&at(&group, GROUPS)).await;
    assert!(matches!(removed.status, 200 | 202), "{removed:?}");
    until("the end of the group", async || (root.get(&at(&group, GROUPS)).await.status == 404).then_some(()))
        .await;
    root.get(&at(&nsg, NETWORK)).await.refused(404, "ResourceGroupNotFound");
    for list in ["Microsoft.Authorization/roleAssignments", "Microsoft.Authorization/denyAssignments"] {
        let all = root.get(&at(format!("/providers/{list}"), ROLES)).await.expect(200).json();
        let all = all["value"].as_array().unwrap();
        let inside: Vec<&Value> = all.iter().filter(|a| a["id"].as_str().unwrap().contains("/rg1")).collect();
        assert!(inside.is_empty(), "{inside:?}");
    }
    let resources = root.get(&at(format!("{}/resources", world.server.sub), GROUPS)).await.expect(200).json();
    assert_eq!(resources["value"], json!([]));
    client.get(&at("/subscriptions", GROUPS)).await.expect(200);

    // Made again under the old name, nobody has rights in it from before.
    root.put(&at(&group, GROUPS), json!({"location": "home"})).await.expect(201);
    root.put(&at(&nsg, NETWORK), json!({"location": "home"})).await.expect(201);
    client.get(&at(&group, GROUPS)).await.expect(404);
    client.get(&at(&nsg, NETWORK)).await.expect(404);
    let left = rows(&world).await;
    let left: Vec<&String> =
        left.iter().filter(|r| r.contains("vm1")).filter(|r| !r.starts_with("agent ")).collect();
    assert!(left.is_empty(), "{left:#?}");
    // The other group stays.
    root.get(&at(format!("{}/resourceGroups/rg2", world.server.sub), GROUPS)).await.expect(200);
}

#[tokio::test]
async fn a_removed_resource_takes_the_rights_at_it_along() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/short-lived");
    root.put(&at(&nsg, NETWORK), group("home")).await.expect(201);
    let made = program(&world.page(), "temporary").await;
    let given = grant(&root, &nsg, OWNER, &made.object_id, "ServicePrincipal").await;
    let client = sign_in(&world.server, &made).await;
    client.get(&at(&nsg, NETWORK)).await.expect(200);
    root.delete(&at(&nsg, NETWORK)).await.expect(200);
    root.put(&at(&nsg, NETWORK), group("home")).await.expect(201);
    client.get(&at(&nsg, NETWORK)).await.expect(404);
    root.get(&at(&given, ROLES)).await.expect(404);
}

#[tokio::test]
async fn pages_hold_each_item_once_whatever_is_written_between_them() {
    let world = World::new().await;
    let root = world.client("root").await;
    let asgs = world.network("applicationSecurityGroups");
    for n in 0..7 {
        root.put(&at(format!("{asgs}/p{n}"), NETWORK), group("home")).await.expect(201);
    }
    let mut next = at(format!("{asgs}?$top=3"), NETWORK);
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = root.get(&next).await.expect(200).json();
        let names = page["value"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap().to_owned());
        let names: Vec<String> = names.collect();
        sizes.push(names.len());
        seen.extend(names);
        let Some(link) = page["nextLink"].as_str() else { break };
        // az re-encodes the link and keeps its api-version.
        assert!(link.contains("api-version="), "{link}");
        next = link.strip_prefix(&world.server.base()).unwrap().to_owned();
        root.put(&at(format!("{asgs}/a-new-{}", seen.len()), NETWORK), group("home")).await.expect(201);
        root.put(&at(format!("{asgs}/p1"), NETWORK), group("home")).await.expect(200);
    }
    assert_eq!(seen, ["asg1", "p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    assert_eq!(sizes, [3, 3, 2]);
    for bad in ["0", "-1", "x"] {
        root.get(&at(format!("{asgs}?$top={bad}"), NETWORK)).await.refused(400, "InvalidParameter");
    }
    root.get(&at(format!("{asgs}?$skiptoken=%21"), NETWORK)).await.refused(400, "InvalidSkipToken");
}

#[tokio::test]
async fn lists_come_in_the_order_and_with_the_fields_that_were_asked_for() {
    let world = World::new().await;
    let root = world.client("root").await;
    let asgs = world.network("applicationSecurityGroups");
    for name in ["p1", "P3", "p2"] {
        root.put(&at(format!("{asgs}/{name}"), NETWORK), group("home")).await.expect(201);
    }
    let rg1 = world.rg1("/resources?$filter=startswith(name,'p')&");
    let names = |page: &Value| -> Vec<String> {
        let rows = page["value"].as_array().unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    for (list, version) in [(format!("{asgs}?"), NETWORK), (rg1.clone(), "2021-04-01")] {
        let first = root.get(&at(format!("{list}$orderby=name%20desc&$top=2"), version)).await;
        let first = first.expect(200).json();
        assert_eq!(names(&first), ["P3", "p2"]);
        let next = first["nextLink"].as_str().unwrap().strip_prefix(&world.server.base()).unwrap().to_owned();
        let second = root.get(&next).await.expect(200).json();
        assert_eq!(names(&second)[0], "p1");
        root.get(&at(format!("{list}$orderby=name%20up"), version))
            .await
            .refused(400, "InvalidOrderByInQueryString");
        root.get(&at(format!("{list}$orderby=name&$skiptoken=eA"), version))
            .await
            .refused(400, "InvalidSkipToken");
    }
    let some = root.get(&at(format!("{rg1}$orderby=name&$select=NAME"), "2021-04-01")).await;
    assert_eq!(some.expect(200).json()["value"][0], json!({"name": "p1"}));
    root.get(&at(format!("{rg1}$select=name,"), "2021-04-01"))
        .await
        .refused(400, "InvalidSelectInQueryString");
    let log = format!("{}/providers/Microsoft.Insights/eventtypes/management/values", world.server.sub);
    let log =
        root.get(&at(format!("{log}?$top=1&$select=caller,status"), "2015-04-01")).await.expect(200).json();
    let fields: Vec<&String> = log["value"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["caller", "status"]);
    let newest = log["nextLink"].as_str().unwrap().strip_prefix(&world.server.base()).unwrap();
    root.get(&format!("{newest}&$orderby=caller")).await.refused(400, "InvalidOrderByInQueryString");
}

#[tokio::test]
async fn pages_do_not_tell_of_what_may_not_be_read() {
    let world = World::new().await;
    let root = world.client("root").await;
    let list = |group: &str, name: &str| {
        let sub = &world.server.sub;
        format!("{sub}/resourceGroups/{group}/providers/Microsoft.Network/applicationSecurityGroups{name}")
    };
    for n in 0..4 {
        root.put(&at(list("rg1", &format!("/hidden{n}")), NETWORK), group("home")).await.expect(201);
        root.put(&at(list("rg2", &format!("/own{n}")), NETWORK), group("home")).await.expect(201);
    }
    let elsewhere = world.client("elsewhere").await;
    let sub = &world.server.sub;
    let all = format!("{sub}/providers/Microsoft.Network/applicationSecurityGroups?$top=2");
    let mut next = at(all, NETWORK);
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let page = elsewhere.get(&next).await.expect(200).json();
        let names = page["value"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap().to_owned());
        let before = seen.len();
        seen.extend(names);
        sizes.push(seen.len() - before);
        let Some(link) = page["nextLink"].as_str() else { break };
        next = link.strip_prefix(&world.server.base()).unwrap().to_owned();
    }
    assert_eq!(seen, ["own0", "own1", "own2", "own3"]);
    assert_eq!(sizes, [2, 2]);
    // The machines of other groups are left out of the grid.
    let machines =
        elsewhere.get(&at(format!("{sub}/providers/Sekisho.Fleet/machines"), FLEET)).await.expect(200);
    assert_eq!(machines.json()["value"], json!([]));
    let machines = root.get(&at(format!("{sub}/providers/Sekisho.Fleet/machines"), FLEET)).await.json();
    assert_eq!(machines["value"][0]["name"], "vm1");
}

#[tokio::test]
async fn work_that_takes_time_is_polled_by_who_started_it_and_by_who_may_read() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nic = world.network("networkInterfaces/vm1-eth0/effectiveNetworkSecurityGroups");
    let started = root.post(&at(nic, NETWORK), json!({})).await.expect(202);
    assert_eq!(started.header("retry-after"), Some("1"));
    let link = |name: &str| {
        let url = started.header(name).unwrap();
        url.strip_prefix(&world.server.base()).unwrap().to_owned()
    };
    let (operation, result) = (link("azure-asyncoperation"), link("location"));
    assert_eq!(root.get(&operation).await.expect(200).json()["status"], "Succeeded");
    let rules = root.get(&result).await.expect(200).json();
    assert_eq!(rules["value"][0]["networkSecurityGroup"]["id"], world.network("networkSecurityGroups/nsg1"));
    world.client("reader").await.get(&result).await.expect(200);
    for name in ["elsewhere", "stranger"] {
        let client = world.client(name).await;
        assert_eq!(client.get(&operation).await.status, 404, "{name}");
        assert_eq!(client.get(&result).await.status, 404, "{name}");
    }
    world.server.http().get(&operation).await.expect(401);
}

#[tokio::test]
async fn requests_are_refused_in_azures_words() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    root.get(&nsg).await.refused(400, "MissingApiVersionParameter");
    root.get(&at(&nsg, "1999-01-01")).await.refused(400, "NoRegisteredProviderFound");
    root.get(&at(&nsg, "yesterday")).await.refused(400, "InvalidApiVersionParameter");
    root.get(&at(world.rg1("/providers/Microsoft.Nothing/things/x"), NETWORK))
        .await
        .refused(404, "InvalidResourceNamespace");
    root.get(&at(world.network("nothings/x"), NETWORK)).await.refused(404, "InvalidResourceType");
    root.get(&at(world.network("networkSecurityGroups/none"), NETWORK))
        .await
        .refused(404, "ResourceNotFound");
    let gone = format!("{}/resourceGroups/none", world.server.sub);
    root.get(&at(&gone, GROUPS)).await.refused(404, "ResourceGroupNotFound");
    let lost = format!("{gone}/providers/Microsoft.Network/networkSecurityGroups/x");
    root.put(&at(&lost, NETWORK), group("home")).await.refused(404, "ResourceGroupNotFound");
    let child = world.network("networkSecurityGroups/none/securityRules/x");
    let answer = root.put(&at(&child, NETWORK), json!({"properties": rule(100, "1")})).await;
    answer.refused(404, "ParentResourceNotFound");
    let new = world.network("networkSecurityGroups/nowhere");
    root.put(&at(&new, NETWORK), json!({})).await.refused(400, "LocationRequired");
    let sub = "/subscriptions/00000000-0000-0000-0000-000000000001";
    root.get(&at(sub, GROUPS)).await.refused(404, "SubscriptionNotFound");
    let broken = root.raw(Method::PUT, &at(&nsg, NETWORK), "{".into()).await;
    broken.refused(400, "InvalidRequestContent");
    let big = format!("{{\"location\": \"{}\"}}", "a".repeat(5 << 20));
    root.raw(Method::PUT, &at(&nsg, NETWORK), big.into()).await.refused(413, "RequestContentTooLarge");
    // Refusals say who, what and where, in the caller's case.
    let denied =
        world.client("reader").await.delete(&at(&nsg, NETWORK)).await.refused(403, "AuthorizationFailed");
    for part in [&world.program("reader").object_id, "Microsoft.Network/networkSecurityGroups/delete", &nsg] {
        assert!(denied.message().contains(part), "{part}: {}", denied.message());
    }
    // Case does not matter, and doubled slashes are one.
    root.get(&at(nsg.to_lowercase(), NETWORK)).await.expect(200);
    assert_eq!(root.get(&at(nsg.to_uppercase(), NETWORK)).await.expect(200).json()["id"], nsg.as_str());
    root.get(&at(format!("/{nsg}"), NETWORK)).await.expect(200);
}

#[tokio::test]
async fn a_right_is_gone_with_the_answer_that_takes_it() {
    let world = World::new().await;
    let root = world.client("root").await;
    let made = program(&world.page(), "temporary").await;
    let client = sign_in(&world.server, &made).await;
    let group = at(world.rg1(""), GROUPS);
    for _ in 0..20 {
        let given = grant(&root, &world.rg1(""), READER, &made.object_id, "ServicePrincipal").await;
        client.get(&group).await.expect(200);
        root.delete(&at(&given, ROLES)).await.expect(200);
        client.get(&group).await.expect(404);
    }
    // A deny assignment beats every role.
    grant(&root, &world.rg1(""), OWNER, &made.object_id, "ServicePrincipal").await;
    let deny = at(
        world.rg1(&format!("/providers/Microsoft.Authorization/denyAssignments/{}", Uuid::new_v4())),
        ROLES,
    );
    let body = json!({"properties": {
        "denyAssignmentName": "No writes", "principals": [{"id": made.object_id, "type": "ServicePrincipal"}],
        "permissions": [{"actions": ["Microsoft.Network/*"]}],
    }});
    let nsg = at(world.network("networkSecurityGroups/nsg1"), NETWORK);
    client.get(&nsg).await.expect(200);
    root.put(&deny, body).await.expect(201);
    client.get(&nsg).await.expect(404);
    client.get(&group).await.expect(200);
    root.delete(&deny).await.expect(200);
    client.get(&nsg).await.expect(200);
}

fn role(name: &str, scope: &str, actions: &[&str]) -> Value {
    json!({"properties": {
        "roleName": name, "description": "", "assignableScopes": [scope],
        "permissions": [{"actions": actions, "notActions": []}],
    }})
}

#[tokio::test]
async fn who_owns_one_group_cannot_reach_beyond_it_through_a_custom_role() {
    let world = World::new().await;
    let root = world.client("root").await;
    let elsewhere = world.client("elsewhere").await;
    let sub = world.server.sub.clone();
    let rg2 = format!("{sub}/resourceGroups/rg2");
    let name = Uuid::new_v4().to_string();
    let definition =
        |scope: &str| at(format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{name}"), ROLES);
    // A harmless role for the whole subscription, held there by the owner of rg2.
    root.put(&definition(&sub), role("Tag readers", &sub, &["Microsoft.Resources/tags/read"]))
        .await
        .expect(201);
    let who = world.program("elsewhere").object_id.clone();
    grant(&root, &sub, &name, &who, "ServicePrincipal").await;
    let nsg = at(world.network("networkSecurityGroups/nsg1"), NETWORK);
    elsewhere.get(&nsg).await.expect(404);

    // Rewritten through their own group it would give them everything.
    for scopes in [&rg2, &sub] {
        let grab = elsewhere.put(&definition(&rg2), role("Tag readers", scopes, &["*"])).await;
        assert!(matches!(grab.status, 403 | 404), "{grab:?}");
    }
    let grab = elsewhere.patch(&definition(&rg2), role("Tag readers", &rg2, &["*"])).await;
    assert!(matches!(grab.status, 403 | 404), "{grab:?}");
    elsewhere.get(&nsg).await.expect(404);
    let kept = root.get(&definition(&sub)).await.expect(200).json();
    assert_eq!(kept["properties"]["permissions"][0]["actions"], json!(["Microsoft.Resources/tags/read"]));

    // Nor may they remove one that is not theirs.
    let other = Uuid::new_v4();
    let at_scope =
        |scope: &str| at(format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{other}"), ROLES);
    root.put(&at_scope(&sub), role("Unused", &sub, &["Microsoft.Resources/tags/read"])).await.expect(201);
    let gone = elsewhere.delete(&at_scope(&rg2)).await;
    assert!(matches!(gone.status, 403 | 404), "{gone:?}");
    root.get(&at_scope(&sub)).await.expect(200);

    // Their own roles for their own group are theirs to write.
    let own =
        at(format!("{rg2}/providers/Microsoft.Authorization/roleDefinitions/{}", Uuid::new_v4()), ROLES);
    elsewhere.put(&own, role("Own", &rg2, &["Microsoft.Network/*"])).await.expect(201);
    elsewhere.put(&own, role("Own", &rg2, &["Microsoft.Compute/*"])).await.expect(201);
    elsewhere.delete(&own).await.expect(200);
}

#[tokio::test]
async fn the_last_owner_of_everything_stays() {
    let world = World::new().await;
    let root = world.client("root").await;
    let all =
        root.get(&at("/providers/Microsoft.Authorization/roleAssignments", ROLES)).await.expect(200).json();
    let mut owners: Vec<String> = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["properties"]["scope"] == "/")
        .filter(|a| a["properties"]["roleDefinitionId"].as_str().unwrap().ends_with(OWNER))
        .map(|a| a["id"].as_str().unwrap().to_owned())
        .collect();
    // The one who removes goes last.
    let own = world.program("root").object_id.clone();
    let mine = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|a| a["properties"]["principalId"] == own.as_str() && a["properties"]["scope"] == "/");
    let mine = mine.unwrap()["id"].as_str().unwrap().to_owned();
    owners.retain(|id| *id != mine);
    for id in owners {
        root.delete(&at(&id, ROLES)).await.expect(200);
    }
    root.delete(&at(&mine, ROLES)).await.refused(409, "LastOwnerCannotBeRemoved");
}

#[tokio::test]
async fn one_assignment_is_made_once_however_it_is_named() {
    let world = World::new().await;
    let root = world.client("root").await;
    let made = grant(&root, &world.rg1(""), OWNER, NOBODY, "ServicePrincipal").await;
    let twin = at(
        world.rg1(&format!("/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::new_v4())),
        ROLES,
    );
    let body = json!({"properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"),
        "principalId": NOBODY, "principalType": "ServicePrincipal",
    }});
    root.put(&twin, body.clone()).await.refused(409, "RoleAssignmentExists");
    root.put(&at(&made, ROLES), body).await.expect(201);
    let ids: BTreeSet<String> = {
        let list =
            at(world.rg1("/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()"), ROLES);
        let list = root.get(&list).await.expect(200).json();
        list["value"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect()
    };
    assert!(ids.contains(&made), "{ids:?}");
}

#[tokio::test]
async fn what_a_stopped_server_answered_is_there_when_it_starts_again() {
    let world = World::new().await;
    let root = world.client("root").await;
    for n in 0..10 {
        let path = at(world.network(&format!("applicationSecurityGroups/kept{n}")), NETWORK);
        root.put(&path, group("home")).await.expect(201);
    }
    let (program, list) = (world.program("root").clone(), world.network("applicationSecurityGroups"));
    let server = Server::on(world.server.stop().await).await;
    let again = sign_in(&server, &program).await;
    let all = again.get(&at(list, NETWORK)).await.expect(200).json();
    assert_eq!(all["value"].as_array().unwrap().len(), 11);
    server.admin("/audit-verify", json!({})).await;
}

#[tokio::test]
async fn what_one_may_not_attach_to_cannot_be_attached_to_and_is_not_told_of() {
    let world = World::new().await;
    let elsewhere = world.client("elsewhere").await;
    let rg2 = format!("{}/resourceGroups/rg2/providers/Microsoft.Network", world.server.sub);
    let nic = at(format!("{rg2}/networkInterfaces/nic"), NETWORK);
    let body = |group: &str| {
        json!({"location": "home", "properties": {
            "networkSecurityGroup": {"id": group},
            "ipConfigurations": [{"name": "a", "properties": {"privateIPAddress": "10.9.9.9"}}],
        }})
    };
    let exists = elsewhere.put(&nic, body(&world.network("networkSecurityGroups/nsg1"))).await;
    let exists = exists.refused(403, "LinkedAuthorizationFailed");
    let absent = elsewhere.put(&nic, body(&world.network("networkSecurityGroups/none"))).await;
    let absent = absent.refused(403, "LinkedAuthorizationFailed");
    assert_eq!(exists.message().replace("nsg1", "none"), absent.message());
    let rule_path = at(format!("{rg2}/networkSecurityGroups/own/securityRules/r"), NETWORK);
    elsewhere.put(&at(format!("{rg2}/networkSecurityGroups/own"), NETWORK), group("home")).await.expect(201);
    let mut through = rule(100, "22");
    through.as_object_mut().unwrap().remove("sourceAddressPrefix");
    through["sourceApplicationSecurityGroups"] =
        json!([{"id": world.network("applicationSecurityGroups/asg1")}]);
    let denied = elsewhere.put(&rule_path, json!({"properties": through})).await;
    denied.refused(403, "LinkedAuthorizationFailed");
    elsewhere.put(&nic, body(&format!("{rg2}/networkSecurityGroups/own"))).await.expect(201);
}

#[tokio::test]
async fn a_preview_does_not_name_machines_that_one_may_not_read() {
    let world = World::new().await;
    let (root, elsewhere) = (world.client("root").await, world.client("elsewhere").await);
    let own = format!(
        "{}/resourceGroups/rg2/providers/Microsoft.Network/networkSecurityGroups/own",
        world.server.sub
    );
    root.put(&at(&own, NETWORK), group("home")).await.expect(201);
    let nic = at(world.network("networkInterfaces/vm1-eth0"), NETWORK);
    let mut body = root.get(&nic).await.expect(200).json();
    body["properties"]["networkSecurityGroup"]["id"] = own.as_str().into();
    root.put(&nic, body).await.expect(200);
    let path = at(format!("{own}/securityRules/r?whatIf=true"), NETWORK);
    let body = json!({"properties": rule(100, "22")});
    let whole = root.put(&path, body.clone()).await.expect(200).json();
    assert_eq!(whole["machines"][0]["name"], "vm1");
    let part = elsewhere.put(&path, body).await.expect(200).json();
    assert!(!part["machines"].to_string().contains("vm1"), "{part}");
    assert_eq!(part["otherMachines"], 1, "that there are others is said");
}

#[tokio::test]
async fn nobody_can_take_the_last_owner_away_by_way_of_the_directory() {
    const ACCESS: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
    let world = World::new().await;
    let made = program(&world.page(), "access administrator").await;
    grant(&world.page(), "", ACCESS, &made.object_id, "ServicePrincipal").await;
    let admin = sign_in(&world.server, &made).await;
    let root = world.program("root");
    let principal = format!("/v1.0/servicePrincipals/{}", root.object_id);
    admin.patch(&principal, json!({"accountEnabled": false})).await.expect(204);
    // Now the person is the last.
    let person = format!("/v1.0/users/{}", world.person());
    admin.patch(&person, json!({"accountEnabled": false})).await.refused(409, "LastOwnerCannotBeRemoved");
    admin.delete(&person).await.refused(409, "LastOwnerCannotBeRemoved");
    admin.patch(&person, json!({"displayName": "Jo"})).await.expect(204);
    world.page().get("/auth/session").await.expect(200);
    // And the program, when the person is disabled.
    admin.patch(&principal, json!({"accountEnabled": true})).await.expect(204);
    admin.patch(&person, json!({"accountEnabled": false})).await.expect(204);
    admin.delete(&principal).await.refused(409, "LastOwnerCannotBeRemoved");
    let application = format!("/v1.0/applications/{}", root.application);
    admin.delete(&application).await.refused(409, "LastOwnerCannotBeRemoved");
    admin.patch(&principal, json!({"accountEnabled": false})).await.refused(409, "LastOwnerCannotBeRemoved");
}
