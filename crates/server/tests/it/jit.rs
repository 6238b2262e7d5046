//! Ports that are open to somebody for a time: Azure's policies and requests, who decides on them, and how they end.

use http::Method;
use sekisho_link::message::ToServer;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::agent;
use crate::kit::{Answer, COMPUTE, GROUPS, Http, at, until};
use crate::pim::{eligible, forever};
use crate::seed::{OWNER, READER, World, grant};
use crate::signin::person;

pub(crate) const JIT: &str = "2020-01-01";

pub(crate) fn path(world: &World, rest: &str) -> String {
    at(
        world.rg1(&format!("/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/{rest}")),
        JIT,
    )
}

pub(crate) fn machine(world: &World) -> String {
    world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1")
}

pub(crate) fn port(number: u16, allowed: &str) -> Value {
    json!({"number": number, "protocol": "TCP", "allowedSourceAddressPrefix": allowed,
        "maxRequestAccessDuration": "PT3H"})
}

/// A policy that opens nothing for whoever writes it, unless it says so itself.
pub(crate) fn policy(world: &World, ports: Value, mut sekisho: Value) -> Value {
    sekisho.as_object_mut().unwrap().entry("onlyWay").or_insert_with(|| "close".into());
    json!({"kind": "Basic", "properties": {"virtualMachines": [{"id": machine(world), "ports": ports}],
        "sekisho": sekisho}})
}

pub(crate) fn asked(world: &World, number: u16, source: Option<&str>, duration: &str) -> Value {
    let mut port = json!({"number": number, "duration": duration});
    if let Some(source) = source {
        port["allowedSourceAddressPrefix"] = source.into();
    }
    json!({"virtualMachines": [{"id": machine(world), "ports": [port]}], "justification": "The disk is full"})
}

pub(crate) async fn initiate(world: &World, client: &Http, body: Value) -> Answer {
    client.post(&path(world, "default/initiate"), body).await
}

pub(crate) async fn act(world: &World, client: &Http, verb: &str, request: &Value, more: Value) -> Answer {
    let mut body = more;
    body["requestId"] = request["sekisho"]["id"].clone();
    client.post(&path(world, &format!("default/{verb}")), body).await
}

/// The requests of the policy, newest first.
pub(crate) async fn requests(world: &World, client: &Http) -> Vec<Value> {
    let shown = client.get(&path(world, "default")).await.expect(200).json();
    shown["properties"]["requests"].as_array().unwrap().clone()
}

pub(crate) fn state(request: &Value) -> &str {
    request["virtualMachines"][0]["ports"][0]["state"].as_str().unwrap()
}

fn words(request: &Value) -> (&str, &str) {
    let port = &request["virtualMachines"][0]["ports"][0];
    (port["status"].as_str().unwrap(), port["statusReason"].as_str().unwrap())
}

/// The part `jit` that the machine is to have.
pub(crate) async fn wanted(world: &World) -> Value {
    wanted_of(world, &machine(world)).await
}

/// The part `jit` that a machine is to have.
pub(crate) async fn wanted_of(world: &World, machine: &str) -> Value {
    use sekisho_arm::traits::read_document;
    use sekisho_link::machine::{Desired, kind};
    let store = sekisho_store::Store::open(&world.server.data.url()).await.unwrap();
    let key = machine.to_lowercase();
    let kept: Option<Desired> =
        read_document(&mut store.read().await.unwrap(), kind::DESIRED, &key).await.unwrap();
    let document = kept.map(|d| serde_json::from_str::<Value>(&d.text.document).unwrap());
    document.map(|d| d["parts"]["jit"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn every_example_of_azure_is_answered_in_azures_words() {
    let world = World::new().await;
    let root = world.client("root").await;
    let example = |name: &str| -> Value {
        let text = match name {
            "CreateOrUpdate" => include_str!("../data/jit/JitNetworkAccessPolicies_CreateOrUpdate.json"),
            "Get" => include_str!("../data/jit/JitNetworkAccessPolicies_Get.json"),
            "List" => include_str!("../data/jit/JitNetworkAccessPolicies_List.json"),
            "Region" => {
                include_str!("../data/jit/JitNetworkAccessPolicies_ListByResourceGroupAndRegion.json")
            }
            "Initiate" => include_str!("../data/jit/JitNetworkAccessPolicies_Initiate.json"),
            _ => include_str!("../data/jit/JitNetworkAccessPolicies_Delete.json"),
        };
        // The example's subscription is ours, its group and its machine exist.
        let subscription = world.server.sub.rsplit_once('/').unwrap().1;
        let text = text.replace("20ff7fc3-e762-44dd-bd96-b71116dcdc23", subscription);
        let text = text.replace("3eeab341-f466-499c-a8be-85427e154baf", subscription);
        // What is closed to nobody yet is not opened for whoever writes the policy.
        let text = if name == "Initiate" { text } else { text.replace("/vm1", "/vm0") };
        serde_json::from_str(&text.replace("myRg1", "rg1")).unwrap()
    };
    let list = "/providers/Microsoft.Security/jitNetworkAccessPolicies";
    let region = "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies";
    let item = at(world.rg1(&format!("{region}/default")), JIT);
    let seeded = world.rg1("/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/x1");
    root.delete(&at(seeded, JIT)).await.expect(200);

    let create = example("CreateOrUpdate");
    let made = root.put(&item, create["parameters"]["body"].clone()).await.expect(200).json();
    assert_eq!(made, create["responses"]["200"]["body"]);
    assert_eq!(root.get(&item).await.expect(200).json(), made);
    // The other examples' policy says why, too.
    let get = example("Get")["responses"]["200"]["body"].clone();
    root.put(&item, get.clone()).await.expect(200);
    assert_eq!(root.get(&item).await.expect(200).json(), get);
    for (path, name) in [(format!("{}{list}", world.server.sub), "List"), (world.rg1(region), "Region")] {
        let all = root.get(&at(&path, JIT)).await.expect(200).json();
        assert_eq!(all, example(name)["responses"]["200"]["body"], "{path}");
    }
    for path in [world.rg1(list), format!("{}{region}", world.server.sub)] {
        let all = root.get(&at(&path, JIT)).await.expect(200).json();
        assert_eq!(all["value"], json!([get]), "{path}");
    }
    let none = region.replace("westeurope", "elsewhere");
    for path in [world.rg1(&none), format!("{}{none}", world.server.sub)] {
        assert_eq!(root.get(&at(&path, JIT)).await.expect(200).json()["value"], json!([]), "{path}");
    }

    // vm1 of the example is ours.
    let mut ours = get.clone();
    ours["properties"]["virtualMachines"][0]["id"] = machine(&world).into();
    ours["properties"]["sekisho"] = json!({"onlyWay": "close"});
    root.put(&item, ours).await.expect(200);
    let initiate = example("Initiate");
    let path = at(world.rg1(&format!("{region}/default/initiate")), JIT);
    let answer = root.post(&path, initiate["parameters"]["body"].clone()).await.expect(202).json();
    let expected = &initiate["responses"]["202"]["body"];
    assert_eq!(answer["justification"], expected["justification"]);
    let (port, wanted) =
        (&answer["virtualMachines"][0]["ports"][0], &expected["virtualMachines"][0]["ports"][0]);
    for field in ["number", "allowedSourceAddressPrefix", "statusReason"] {
        assert_eq!(port[field], wanted[field], "{field}");
    }
    assert_eq!(port["status"], "Initiated");
    let instant = |text: &Value| OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap();
    let length = instant(&port["endTimeUtc"]) - instant(&answer["startTimeUtc"]);
    assert_eq!(length, Duration::hours(1));
    let shown = root.get(&item).await.expect(200).json();
    assert_eq!(shown["properties"]["requests"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(shown["properties"]["requests"][1], get["properties"]["requests"][0]);

    root.delete(&item).await.expect(200);
    root.delete(&item).await.expect(204);
}

#[tokio::test]
async fn a_policy_is_written_by_whoever_may_change_the_machines_and_keeps_what_nobody_here_knows() {
    let world = World::new().await;
    let root = world.client("root").await;
    let mut body = policy(&world, json!([port(22, "*")]), json!({"later": {"x": 1}}));
    body["future"] = json!({"y": [2]});
    body["properties"]["virtualMachines"][0]["ports"][0]["hint"] = "z".into();
    let made = root.put(&path(&world, "default"), body).await.expect(200).json();
    assert_eq!((&made["future"], &made["location"]), (&json!({"y": [2]}), &json!("home")));
    assert_eq!(made["properties"]["sekisho"]["later"], json!({"x": 1}));
    assert_eq!(made["properties"]["virtualMachines"][0]["ports"][0]["hint"], "z");
    for (field, wrong) in [
        ("kind", json!({"kind": "Advanced", "properties": {"virtualMachines": []}})),
        (
            "properties.virtualMachines[0].ports[0].number",
            policy(
                &world,
                json!([{"number": 65536,
            "protocol": "*", "allowedSourceAddressPrefix": "*", "maxRequestAccessDuration": "PT3H"}]),
                json!({}),
            ),
        ),
        (
            "properties.sekisho.ticketPattern",
            policy(&world, json!([port(22, "*")]), json!({"ticketPattern": "("})),
        ),
        (
            "properties.sekisho.approval.group",
            policy(
                &world,
                json!([port(22, "*")]),
                json!({"approval": {"group": "dddddddd-dddd-4ddd-8ddd-dddddddddddd"}}),
            ),
        ),
    ] {
        let refused = root.put(&path(&world, "other"), wrong).await.refused(400, "InvalidRequestContent");
        assert_eq!(refused.json()["error"]["target"], field);
    }
    // The Owner of another group guards nothing of this one.
    let elsewhere = world.client("elsewhere").await;
    let theirs = format!(
        "{}/resourceGroups/rg2/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/p",
        world.server.sub
    );
    let body = policy(&world, json!([port(22, "*")]), json!({}));
    elsewhere.put(&at(&theirs, JIT), body).await.refused(403, "LinkedAuthorizationFailed");
    let empty = json!({"properties": {"virtualMachines": []}});
    elsewhere.put(&at(&theirs, JIT), empty).await.expect(200);
    // Of the lists of a subscription they see theirs.
    let list = format!("{}/providers/Microsoft.Security/jitNetworkAccessPolicies", world.server.sub);
    let region =
        format!("{}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies", world.server.sub);
    for list in [list, region] {
        let seen = elsewhere.get(&at(&list, JIT)).await.expect(200).json();
        let names: Vec<&str> =
            seen["value"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(names, ["p"], "{list}");
    }
    // What would be guarded is shown before.
    let body = policy(&world, json!([port(22, "*"), port(2222, "*")]), json!({}));
    let tried = root.put(&format!("{}&whatIf=true", path(&world, "default")), body).await.expect(200).json();
    let row = json!({"kind": "guarded", "interface": "eth0", "protocol": "tcp", "port": 2222});
    assert_eq!(tried["machines"][0]["access"], json!([row]), "{tried}");
}

#[tokio::test]
async fn a_request_is_open_from_where_it_came_or_from_a_part_of_what_is_allowed_for_as_long_as_is_allowed() {
    let world = World::new().await;
    let root = world.client("root").await;
    let ports = json!([port(22, "127.0.0.0/8"), port(80, "192.0.2.0/24")]);
    root.put(&path(&world, "default"), policy(&world, ports, json!({}))).await.expect(200);
    until("the guard", async || (wanted(&world).await["nics"][0]["ports"] == json!([
        {"protocol": "tcp", "port": 22, "existing": "cut"}, {"protocol": "tcp", "port": 80, "existing": "cut"},
    ])).then_some(())).await;

    // Without a source it is the caller's address.
    let own = initiate(&world, &root, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    assert_eq!(own["virtualMachines"][0]["ports"][0]["allowedSourceAddressPrefix"], "127.0.0.1");
    let refused = initiate(&world, &root, asked(&world, 80, None, "PT1H")).await;
    assert!(refused.refused(400, "JitSourceNotAllowed").message().contains("192.0.2.0/24"));
    // Any part of what is allowed, and nothing beyond.
    for (source, allowed) in
        [("192.0.2.7", true), ("192.0.2.128/25", true), ("192.0.0.0/16", false), ("*", false), ("::1", false)]
    {
        let answer = initiate(&world, &root, asked(&world, 80, Some(source), "PT1M")).await;
        assert_eq!(answer.status, if allowed { 202 } else { 400 }, "{source}: {answer:?}");
    }
    initiate(&world, &root, asked(&world, 80, Some("192.0.2.7"), "PT3H1S"))
        .await
        .refused(400, "JitAccessPolicyValidationFailed");
    initiate(&world, &root, asked(&world, 443, None, "PT1H")).await.refused(400, "JitPortNotInPolicy");
    let mut both = asked(&world, 22, None, "PT1H");
    both["virtualMachines"][0]["ports"][0]["endTimeUtc"] = "2099-01-01T00:00:00Z".into();
    initiate(&world, &root, both).await.refused(400, "InvalidRequestContent");
    let mut until_then = asked(&world, 22, None, "PT1H");
    let asked_port = &mut until_then["virtualMachines"][0]["ports"][0];
    asked_port.as_object_mut().unwrap().remove("duration");
    let at_ten = (OffsetDateTime::now_utc() + Duration::minutes(10)).format(&Rfc3339).unwrap();
    asked_port["endTimeUtc"] = at_ten.as_str().into();
    let made = initiate(&world, &root, until_then).await.expect(202).json();
    assert_eq!(made["virtualMachines"][0]["ports"][0]["endTimeUtc"], at_ten.as_str());

    // The newer one of the same person for the same took the older one's place; the machine is told of what is open.
    let all = requests(&world, &root).await;
    let first = all.iter().find(|r| r["sekisho"]["id"] == own["sekisho"]["id"]).unwrap();
    assert_eq!(words(first), ("Revoked", "NewerRequestInitiated"));
    let part = until("the grants", async || {
        let part = wanted(&world).await;
        // Until the first one was replaced there were three, too.
        (part["grants"].as_array().is_some_and(|g| g.len() == 3 && g[0]["mark"] != 1)).then_some(part)
    })
    .await;
    let sources: Vec<&Value> = part["grants"].as_array().unwrap().iter().map(|g| &g["sources"][0]).collect();
    assert_eq!(sources, ["127.0.0.1/32", "192.0.2.7/32", "192.0.2.128/25"]);

    // A write of the policy loses none of them, and what the client sends of them opens nothing.
    let mut back = root.get(&path(&world, "default")).await.expect(200).json();
    back["tags"] = json!({"a": "b"});
    let forged = json!({"virtualMachines": [{"id": machine(&world), "ports": [{"number": 80,
        "allowedSourceAddressPrefix": "192.0.2.9", "endTimeUtc": "2099-01-01T00:00:00Z", "status": "Initiated",
        "statusReason": "UserRequested"}]}], "startTimeUtc": "2026-01-01T00:00:00Z", "requestor": "x"});
    back["properties"]["requests"].as_array_mut().unwrap().push(forged.clone());
    root.put(&path(&world, "default"), back).await.expect(200);
    let after = requests(&world, &root).await;
    assert_eq!((after.len(), after.last()), (all.len() + 1, Some(&forged)));
    assert_eq!(after[..all.len()], all[..]);
    assert_eq!(wanted(&world).await["grants"], part["grants"]);
    // A port that is no longer in it, or a source that is no longer allowed, takes its grants along; the rest stays.
    let narrower = policy(&world, json!([port(80, "192.0.2.0/25")]), json!({}));
    root.put(&path(&world, "default"), narrower).await.expect(200);
    let part = until("the end of two grants", async || {
        let part = wanted(&world).await;
        (part["grants"].as_array().is_some_and(|g| g.len() == 1)).then_some(part)
    })
    .await;
    assert_eq!(part["grants"][0]["sources"], json!(["192.0.2.7/32"]));
    root.delete(&path(&world, "default")).await.expect(200);
    until("the end of all", async || wanted(&world).await.is_null().then_some(())).await;
}

#[tokio::test]
async fn a_request_waits_for_as_many_of_the_group_as_the_policy_says_and_the_requester_is_none_of_them() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let mut people = Vec::new();
    for name in ["jun", "ken", "mei", "ann"] {
        let (id, _, cookies) = person(&world, &format!("{name}@contoso.test")).await;
        grant(&page, &group, OWNER, &id, "User").await;
        if name != "ann" {
            let member = json!({"@odata.id": format!("https://localhost/v1.0/directoryObjects/{id}")});
            page.post(&format!("/v1.0/groups/{}/members/$ref", world.group()), member).await.expect(204);
        }
        people.push(world.server.http().page(&cookies));
    }
    let [jun, ken, mei, ann] = &people[..] else { panic!() };
    let approval = json!({"approval": {"required": 2, "group": world.group()}});
    page.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), approval)).await.expect(200);
    let asked_for = initiate(&world, jun, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    assert_eq!((state(&asked_for), words(&asked_for).0), ("pending", "Pending"));
    assert_eq!(asked_for["sekisho"]["approvalsRequired"], 2);
    assert!(asked_for["virtualMachines"][0]["ports"][0].get("endTimeUtc").is_none(), "it does not count yet");

    act(&world, jun, "approve", &asked_for, json!({})).await.refused(403, "ApproverRequired");
    act(&world, ann, "approve", &asked_for, json!({})).await.refused(403, "ApproverRequired");
    let program = world.client("root").await;
    act(&world, &program, "approve", &asked_for, json!({})).await.refused(403, "ApproverRequired");
    act(&world, ken, "approve", &asked_for, json!({"justification": "Go on"})).await.expect(200);
    let once = act(&world, ken, "approve", &asked_for, json!({})).await.expect(200).json();
    assert_eq!((state(&once), once["sekisho"]["reviews"].as_array().unwrap().len()), ("pending", 1));
    assert_eq!(wanted(&world).await["grants"], json!([]));
    let twice = act(&world, mei, "approve", &asked_for, json!({})).await.expect(200).json();
    assert_eq!((state(&twice), words(&twice)), ("approved", ("Initiated", "UserRequested")));
    act(&world, mei, "deny", &asked_for, json!({})).await.refused(409, "JitRequestStateConflict");
    until("the grant", async || {
        (wanted(&world).await["grants"].as_array().is_some_and(|g| g.len() == 1)).then_some(())
    })
    .await;
    act(&world, jun, "revoke", &asked_for, json!({})).await.expect(200);
    act(&world, jun, "revoke", &asked_for, json!({})).await.refused(404, "JitRequestNotFound");

    let second = initiate(&world, jun, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    let denied = act(&world, ken, "deny", &second, json!({"justification": "No"})).await.expect(200).json();
    assert_eq!((state(&denied), words(&denied).0), ("denied", "Revoked"));
    let third = initiate(&world, jun, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    act(&world, ken, "cancel", &third, json!({})).await.refused(403, "RequesterRequired");
    assert_eq!(state(&act(&world, jun, "cancel", &third, json!({})).await.expect(200).json()), "cancelled");
    act(&world, ken, "approve", &third, json!({})).await.refused(404, "JitRequestNotFound");

    // In the hours in which nobody needs to, nobody is asked.
    let always = json!({"approval": {"required": 2, "group": world.group(),
        "automatic": [{"from": "00:00", "until": "00:00"}]}});
    page.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), always)).await.expect(200);
    let open = initiate(&world, jun, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    assert_eq!(state(&open), "approved");
    let longer = act(&world, jun, "extend", &open, json!({"duration": "PT2H"})).await.expect(200).json();
    let end = |r: &Value| r["virtualMachines"][0]["ports"][0]["endTimeUtc"].as_str().unwrap().to_owned();
    assert!(end(&longer) > end(&open));
    act(&world, jun, "extend", &open, json!({"duration": "PT4H"}))
        .await
        .refused(400, "JitAccessPolicyValidationFailed");
}

#[tokio::test]
async fn a_reason_a_ticket_and_a_fresh_second_factor_are_asked_for_where_the_policy_says_so() {
    let world = World::new().await;
    let (page, root) = (world.page(), world.client("root").await);
    let settings = json!({"justificationRequired": true, "ticketPattern": "INC-[0-9]+", "mfaMaxAge": "PT30M",
        "maxConcurrent": 1});
    page.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), settings)).await.expect(200);
    let with = |reason: &str, ticket: &str| {
        let mut body = asked(&world, 22, None, "PT1H");
        body["justification"] = reason.into();
        body["sekisho"] = json!({"ticketNumber": ticket});
        body
    };
    let failed = "JitAccessPolicyValidationFailed";
    let refused = initiate(&world, &page, with(" ", "INC-1")).await.refused(400, failed);
    assert!(refused.message().contains("JustificationRule"));
    for ticket in ["", "CHG-1", "xINC-1"] {
        let refused = initiate(&world, &page, with("Why", ticket)).await.refused(400, failed);
        assert!(refused.message().contains("TicketingRule"), "{ticket}");
    }
    // A program proves nothing, whatever its rights.
    initiate(&world, &root, with("Why", "INC-1")).await.refused(401, "StepUpRequired");
    let open = initiate(&world, &page, with("Why", "INC-1")).await.expect(202).json();
    assert_eq!(open["sekisho"]["ticketNumber"], "INC-1");
    initiate(&world, &page, with("Why", "INC-2")).await.refused(409, "JitAccessPolicyBusy");
    act(&world, &page, "revoke", &open, json!({})).await.expect(200);
    initiate(&world, &page, with("Why", "INC-2")).await.expect(202);
}

#[tokio::test]
async fn every_action_needs_its_own_right_and_is_in_the_log_with_its_reason() {
    let world = World::new().await;
    let page = world.page();
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies);
    page.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), json!({}))).await.expect(200);
    initiate(&world, &jun_page, asked(&world, 22, None, "PT1H")).await.expect(404);
    grant(&page, &world.rg1(""), READER, &jun, "User").await;
    initiate(&world, &jun_page, asked(&world, 22, None, "PT1H")).await.refused(403, "AuthorizationFailed");
    let custom = uuid::Uuid::new_v4().to_string();
    let definition = json!({"properties": {"roleName": "JIT requester", "type": "CustomRole",
        "assignableScopes": [world.rg1("")], "permissions": [{"actions":
        ["Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action"]}]}});
    let role = world.rg1(&format!("/providers/Microsoft.Authorization/roleDefinitions/{custom}"));
    page.put(&at(role, crate::kit::ROLES), definition).await.expect(201);
    grant(&page, &world.rg1(""), &custom, &jun, "User").await;
    let open = initiate(&world, &jun_page, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    act(&world, &jun_page, "revoke", &open, json!({})).await.refused(403, "AuthorizationFailed");
    act(&world, &page, "revoke", &open, json!({})).await.expect(200);
    let log =
        format!("{}/providers/Microsoft.Insights/eventtypes/management/values?$top=50", world.server.sub);
    let log = page.get(&at(log, "2015-04-01")).await.expect(200).json();
    let lines: Vec<&Value> = log["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| {
            e["operationName"]["value"].as_str().is_some_and(|o| o.contains("jitNetworkAccessPolicies"))
        })
        .collect();
    let told = lines.iter().filter(|e| e.to_string().contains("The disk is full"));
    let verbs: Vec<&str> =
        told.filter_map(|e| e["operationName"]["value"].as_str()?.split('/').nth(3)).collect();
    assert_eq!(verbs, ["revoke", "initiate"], "{lines:#?}");
    // Whoever may take a role that has the right is told so, as everywhere.
    let (ken, _, cookies) = person(&world, "ken@contoso.test").await;
    eligible(&page, &world.rg1(""), OWNER, &ken, forever()).await.expect(201);
    let ken_page = world.server.http().page(&cookies);
    let refused = initiate(&world, &ken_page, asked(&world, 22, None, "PT1H")).await;
    assert!(refused.refused(403, "AuthorizationFailed").message().contains("eligible"));
}

#[tokio::test]
async fn a_request_is_active_when_its_machine_says_so_and_over_with_its_time_its_machine_and_its_policy() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = agent::join(&world.join_string(1).await, "vm2").await.ok().unwrap();
    let mut link = agent.connect(0).await;
    link.say(&ToServer::Facts { facts: agent::facts("vm2", "10.0.1.5/24") }).await;
    let vm = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm2");
    until("the machine", async || (root.get(&at(&vm, COMPUTE)).await.status == 200).then_some(())).await;
    let body = json!({"properties": {"virtualMachines": [{"id": vm, "ports": [port(22, "*")]}],
        "sekisho": {"onlyWay": "close"}}});
    root.put(&path(&world, "default"), body).await.expect(200);
    let ask = |duration: &str| json!({"virtualMachines": [{"id": vm, "ports": [{"number": 22, "duration": duration}]}]});
    let open = initiate(&world, &root, ask("PT4S")).await.expect(202).json();
    assert_eq!(state(&open), "approved");
    let granted = |parts: &Value| parts["jit"]["grants"].as_array().is_some_and(|g| !g.is_empty());
    let (generation, _) = link.desired(&agent, 0, granted).await;
    link.say(&agent::applied(generation)).await;
    until("the state", async || (state(&requests(&world, &root).await[0]) == "active").then_some(())).await;
    let over = until("the end", async || {
        let request = requests(&world, &root).await.remove(0);
        (state(&request) == "expired").then_some(request)
    })
    .await;
    assert_eq!(words(&over), ("Revoked", "Expired"));
    let history: Vec<&str> =
        over["sekisho"]["history"].as_array().unwrap().iter().map(|m| m["event"].as_str().unwrap()).collect();
    assert_eq!(history, ["approve", "expire"]);

    initiate(&world, &root, ask("PT1H")).await.expect(202);
    root.delete(&at(&vm, COMPUTE)).await.expect(200);
    until("the end with the machine", async || {
        (state(&requests(&world, &root).await[0]) == "revoked").then_some(())
    })
    .await;
    initiate(&world, &root, ask("PT1H")).await.expect(404);
    // With its group a policy goes, and everything that it knew.
    let group = at(world.rg1(""), GROUPS);
    root.call(Method::DELETE, &group, None).await.expect(202);
    until("the end of the group", async || (root.get(&group).await.status == 404).then_some(())).await;
    root.put(&group, json!({"location": "home"})).await.expect(201);
    let empty = json!({"properties": {"virtualMachines": []}});
    root.put(&path(&world, "default"), empty).await.expect(200);
    assert_eq!(requests(&world, &root).await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_was_not_guarded_before_is_open_to_its_writer_for_ten_minutes_and_no_more_than_once() {
    let world = World::new().await;
    let root = world.client("root").await;
    let body = |ports: Value| policy(&world, ports, json!({"onlyWay": "openForWriter"}));
    let ports = json!([port(22, "*"), port(80, "192.0.2.0/24")]);
    let tried = root
        .put(&format!("{}&whatIf=true", path(&world, "default")), body(ports.clone()))
        .await
        .expect(200)
        .json();
    let rows = tried["machines"][0]["access"].as_array().unwrap();
    assert!(rows.iter().any(|r| r["kind"] == "opened" && r["sources"] == json!(["127.0.0.1/32"])), "{tried}");
    let made = root.put(&path(&world, "default"), body(ports.clone())).await.expect(200).json();
    let request = &made["properties"]["requests"][0];
    // Not from where the policy lets nobody ask.
    assert_eq!(request["virtualMachines"][0]["ports"].as_array().unwrap().len(), 1);
    let opened = &request["virtualMachines"][0]["ports"][0];
    assert_eq!((&opened["number"], &opened["allowedSourceAddressPrefix"]), (&json!(22), &json!("127.0.0.1")));
    let instant = |text: &Value| OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(instant(&opened["endTimeUtc"]) - instant(&request["startTimeUtc"]), Duration::minutes(10));
    // What is guarded already gives nobody another ten minutes, in whatever policy it is written again.
    act(&world, &root, "revoke", request, json!({})).await.expect(200);
    root.put(&path(&world, "default"), body(ports.clone())).await.expect(200);
    root.put(&path(&world, "another"), body(ports)).await.expect(200);
    assert_eq!(state(&requests(&world, &root).await[0]), "revoked");
    assert_eq!(requests(&world, &root).await.len(), 1);
    let another = root.get(&path(&world, "another")).await.expect(200).json();
    assert_eq!(another["properties"]["requests"], json!([]));
}
