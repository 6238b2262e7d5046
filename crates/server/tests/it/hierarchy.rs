//! Management groups: the hierarchy, and the rights that flow down it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::{Answer, GROUPS, Http, NETWORK, ROLES, at};
use crate::seed::{OWNER, READER, World, grant, sign_in};

const VERSION: &str = "2023-04-01";
const UAA: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";

pub(crate) fn group(name: &str) -> String {
    format!("/providers/Microsoft.Management/managementGroups/{name}")
}

pub(crate) async fn make(client: &Http, name: &str, parent: &str) -> Answer {
    let details = json!({"parent": {"id": group(parent)}});
    client.put(&at(group(name), VERSION), json!({"properties": {"details": details}})).await
}

pub(crate) fn place(world: &World, name: &str) -> String {
    at(format!("{}{}", group(name), world.server.sub), VERSION)
}

/// Puts the subscription into a group; clients send no body.
pub(crate) async fn enter(world: &World, client: &Http, name: &str) -> Answer {
    client.raw(http::Method::PUT, &place(world, name), Vec::new().into()).await
}

fn names(answer: Answer) -> Vec<String> {
    let value = answer.expect(200).json()["value"].as_array().unwrap().clone();
    value.iter().map(|v| v["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_root_group_is_there_from_the_start_with_everything_in_it() {
    let server = crate::kit::Server::fresh().await;
    let link = server.admin("/setup-link", json!({})).await["link"].as_str().unwrap().to_owned();
    let mut passkey = crate::device::Passkey::new(&server.base());
    let signed_in = crate::seed::set_up(&server, &link, "jo@contoso.test", &mut passkey).await.expect(200);
    let page = server.http().page(&signed_in.cookies());
    let root = group(&server.tenant);
    let path = format!("{}&$expand=children&$recurse=true", at(&root, VERSION));
    let shown = page.get(&path).await.expect(200).json();
    assert_eq!(shown["properties"]["displayName"], "Tenant Root Group");
    assert_eq!(shown["properties"]["tenantId"], server.tenant.as_str());
    let children = shown["properties"]["children"].as_array().unwrap();
    assert_eq!((children.len(), &children[0]["id"]), (1, &json!(server.sub)));
    assert_eq!(children[0]["type"], "/subscriptions");
    page.delete(&at(&root, VERSION)).await.refused(400, "RootGroupCannotBeDeleted");
    page.delete(&at(format!("{root}{}", server.sub), VERSION)).await.refused(400, "SubscriptionInRootGroup");
    make(&page, &server.tenant, "other").await.refused(400, "RootGroupCannotBeMoved");
    let body = json!({"displayName": "Everything"});
    let renamed = page.patch(&at(&root, VERSION), body).await.expect(200).json();
    assert_eq!(renamed["properties"]["displayName"], "Everything");
}

#[tokio::test]
async fn rights_flow_down_and_a_move_changes_them_with_its_answer() {
    let world = World::new().await;
    let root = world.client("root").await;
    for (name, parent) in [("outer", world.server.tenant.as_str()), ("inner", "outer"), ("other", "outer")] {
        make(&root, name, parent).await.expect(200);
    }
    let stranger = world.program("stranger");
    grant(&root, &group("inner"), READER, &stranger.object_id, "ServicePrincipal").await;
    let client = sign_in(&world.server, stranger).await;
    let nsg = at(world.network("networkSecurityGroups/nsg1"), NETWORK);
    let subscriptions =
        async || client.get(&at("/subscriptions", GROUPS)).await.json()["value"].as_array().unwrap().len();
    client.get(&nsg).await.refused(404, "SubscriptionNotFound");
    assert_eq!(subscriptions().await, 0);

    enter(&world, &root, "inner").await.expect(200);
    client.get(&nsg).await.expect(200);
    assert_eq!(subscriptions().await, 1);
    let list = at(world.network("networkSecurityGroups"), NETWORK);
    assert_eq!(names(client.get(&list).await), ["nsg1"]);
    // What holds from above is listed where it holds.
    let assignments = at(world.rg1("/providers/Microsoft.Authorization/roleAssignments"), ROLES);
    let scopes = client.get(&format!("{assignments}&$filter=atScope()")).await.expect(200).json();
    let inherited = |v: &Value| v["properties"]["scope"] == group("inner").as_str();
    assert!(scopes["value"].as_array().unwrap().iter().any(inherited), "{scopes}");

    enter(&world, &root, "other").await.expect(200);
    client.get(&nsg).await.refused(404, "SubscriptionNotFound");
    root.get(&place(&world, "inner")).await.refused(404, "ResourceNotFound");
    // Moving the group around the subscription is moving it as well.
    make(&root, "other", "inner").await.expect(200);
    client.get(&nsg).await.expect(200);
    let body = json!({"parentGroupId": group("outer")});
    root.patch(&at(group("other"), VERSION), body).await.expect(200);
    client.get(&nsg).await.refused(404, "SubscriptionNotFound");
    // Out of every group is into the root.
    root.delete(&place(&world, "other")).await.expect(200);
    let top = names(root.get(&at(format!("{}/subscriptions", group(&world.server.tenant)), VERSION)).await);
    assert_eq!(top, [world.server.sub.rsplit('/').next().unwrap()]);
}

#[tokio::test]
async fn a_denial_at_a_group_holds_for_the_owner_of_what_is_in_it() {
    let world = World::new().await;
    let root = world.client("root").await;
    make(&root, "denied", &world.server.tenant).await.expect(200);
    let stranger = world.program("stranger");
    grant(&root, &world.server.sub, OWNER, &stranger.object_id, "ServicePrincipal").await;
    let denial = format!(
        "{}/providers/Microsoft.Authorization/denyAssignments/cccccccc-0000-4000-8000-00000000000f",
        group("denied")
    );
    let properties = json!({
        "denyAssignmentName": "No removals", "principals": [{"id": stranger.object_id, "type": "ServicePrincipal"}],
        "permissions": [{"actions": ["*/delete"]}],
    });
    root.put(&at(&denial, ROLES), json!({"properties": properties})).await.expect(201);
    let client = sign_in(&world.server, stranger).await;
    let asg = at(world.network("applicationSecurityGroups/mine"), NETWORK);
    for status in [200, 403] {
        client.put(&asg, json!({"location": "home"})).await;
        assert_eq!(client.delete(&asg).await.status, status);
        enter(&world, &root, "denied").await.expect(200);
    }
    // The Owner of the subscription cannot take it out from under the denial.
    enter(&world, &client, &world.server.tenant).await.refused(404, "ResourceNotFound");
}

#[tokio::test]
async fn a_move_needs_rights_on_the_thing_the_group_it_leaves_and_the_group_it_enters() {
    let world = World::new().await;
    let root = world.client("root").await;
    for name in ["from", "to"] {
        make(&root, name, &world.server.tenant).await.expect(200);
    }
    enter(&world, &root, "from").await.expect(200);
    let (stranger, tenant) = (world.program("stranger"), &world.server.tenant);
    let own = async |scope: &str, role: &str| {
        grant(&root, scope, role, &stranger.object_id, "ServicePrincipal").await
    };
    let client = sign_in(&world.server, stranger).await;
    own(&group("to"), OWNER).await;
    enter(&world, &client, "to").await.refused(403, "AuthorizationFailed");
    let on_subscription = own(&world.server.sub, UAA).await;
    enter(&world, &client, "to").await.refused(403, "AuthorizationFailed");
    own(&group("from"), OWNER).await;
    root.delete(&at(&on_subscription, ROLES)).await.expect(200);
    // The role at the group it is in holds on the subscription.
    enter(&world, &client, "to").await.expect(200);
    // And for groups. A new one comes into the root, unless it says otherwise.
    make(&client, "new", tenant).await.refused(404, "ResourceNotFound");
    client.put(&at(group("new"), VERSION), json!({})).await.refused(404, "ResourceNotFound");
    make(&client, "new", "to").await.expect(200);
    make(&client, "new", "from").await.expect(200);
    make(&client, "new", tenant).await.refused(403, "AuthorizationFailed");
    client.delete(&at(group("new"), VERSION)).await.expect(202);
    client.get(&at(group("new"), VERSION)).await.refused(404, "ResourceNotFound");
}

#[tokio::test]
async fn the_hierarchy_has_no_cycles_and_an_end() {
    let world = World::new().await;
    let root = world.client("root").await;
    let levels = ["l1", "l2", "l3", "l4", "l5", "l6"];
    let mut parent = world.server.tenant.as_str();
    for level in levels {
        make(&root, level, parent).await.expect(200);
        parent = level;
    }
    make(&root, "l7", "l6").await.refused(400, "HierarchyTooDeep");
    for below in ["l1", "l2", "l6"] {
        make(&root, "l1", below).await.refused(400, "CircularHierarchy");
    }
    make(&root, "side", &world.server.tenant).await.expect(200);
    make(&root, "l1", "side").await.refused(400, "HierarchyTooDeep");
    make(&root, "l3", "side").await.expect(200);
    make(&root, "x", "none").await.refused(404, "ResourceNotFound");
    let body = json!({"properties": {"details": {"parent": {"id": world.server.sub}}}});
    root.put(&at(group("x"), VERSION), body).await.refused(400, "InvalidParentGroupId");
    for name in ["ends.", "%E6%9D%B1", &"x".repeat(91)] {
        root.put(&at(group(name), VERSION), json!({})).await.refused(400, "InvalidGroupId");
    }
    let inside = root.delete(&at(group("l3"), VERSION)).await.refused(400, "GroupHasChildren");
    assert!(inside.message().contains(&group("l4")), "{inside:?}");
    let path = at(format!("{}/descendants", group("side")), VERSION);
    assert_eq!(names(root.get(&path).await), ["l3", "l4", "l5", "l6"]);
    let path = format!("{}&$expand=path,ancestors", at(group("l4"), VERSION));
    let details = root.get(&path).await.expect(200).json()["properties"]["details"].clone();
    assert_eq!(details["parent"]["name"], "l3");
    assert_eq!(details["managementGroupAncestors"], json!(["l3", "side", world.server.tenant]));
    let path: Vec<&Value> = details["path"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert_eq!(path, [&world.server.tenant, "side", "l3", "l4"]);
}

#[tokio::test]
async fn the_entities_are_those_that_the_caller_may_see() {
    let world = World::new().await;
    let root = world.client("root").await;
    make(&root, "seen", &world.server.tenant).await.expect(200);
    make(&root, "hidden", &world.server.tenant).await.expect(200);
    enter(&world, &root, "seen").await.expect(200);
    let stranger = world.program("stranger");
    grant(&root, &group("seen"), READER, &stranger.object_id, "ServicePrincipal").await;
    let client = sign_in(&world.server, stranger).await;
    let path = at("/providers/Microsoft.Management/getEntities", VERSION);
    let ask =
        async |who: &Http| who.raw(http::Method::POST, &path, Vec::new().into()).await.expect(200).json();
    let seen = ask(&client).await;
    let shown: Vec<&Value> = seen["value"].as_array().unwrap().iter().map(|v| &v["id"]).collect();
    assert_eq!(shown, [&json!(group("seen")), &json!(world.server.sub)]);
    assert_eq!(seen["value"][1]["properties"]["parentNameChain"], json!(["seen"]));
    assert_eq!(seen["value"][0]["properties"]["permissions"], "view");
    assert_eq!(
        names(client.get(&at("/providers/Microsoft.Management/managementGroups", VERSION)).await),
        ["seen"]
    );
    client.get(&at(group("hidden"), VERSION)).await.refused(404, "ResourceNotFound");
    let all = ask(&root).await;
    assert!(all["value"].as_array().unwrap().len() >= 4);
}

#[tokio::test]
async fn the_entities_come_in_the_order_and_by_the_pages_that_were_asked_for() {
    let world = World::new().await;
    let root = world.client("root").await;
    for name in ["ga", "gb", "gc", "gd"] {
        make(&root, name, &world.server.tenant).await.expect(200);
    }
    enter(&world, &root, "gc").await.expect(200);
    let ask = async |more: &str| {
        let path = format!("{}&{more}", at("/providers/Microsoft.Management/getEntities", VERSION));
        root.raw(http::Method::POST, &path, Vec::new().into()).await
    };
    let groups = "$filter=startswith(name,'g')&$view=GroupsOnly&$orderby=name%20desc&$select=name";
    let first = ask(&format!("{groups}&$skip=1&$top=2")).await.expect(200).json();
    assert_eq!(first["value"], json!([{"name": "gc"}, {"name": "gb"}]));
    assert_eq!(first["count"], 4, "the count is of all of them");
    // Clients follow links by GET, also to the answer of a POST.
    let link = first["nextLink"].as_str().unwrap();
    let rest = root.get(&link[link.find("/providers").unwrap()..]).await.expect(200).json();
    assert_eq!((&rest["value"], &rest["nextLink"]), (&json!([{"name": "ga"}]), &Value::Null));

    let inside = ask("groupName=GC&$select=type").await.expect(200).json();
    let kinds = json!([{"type": "Microsoft.Management/managementGroups"}, {"type": "/subscriptions"}]);
    assert_eq!(inside["value"], kinds);
    let subscriptions = ask("$view=SubscriptionsOnly&$select=id").await.expect(200).json();
    assert_eq!(subscriptions["value"], json!([{"id": world.server.sub}]));
    for bad in ["$view=some", "$skip=-1", "$top=0", "$search=ParentOnly", "$orderby=,", "$select="] {
        ask(bad).await.expect(400);
    }
}

#[tokio::test]
async fn the_settings_of_the_hierarchy_say_who_makes_groups_and_where_subscriptions_come() {
    let world = World::new().await;
    let (page, stranger) = (world.page(), world.client("stranger").await);
    let settings = at(format!("{}/settings/default", group(&world.server.tenant)), VERSION);
    page.get(&settings).await.expect(404);
    stranger.put(&settings, json!({"properties": {}})).await.expect(404);
    stranger.put(&at(group("theirs"), VERSION), json!({})).await.expect(404);

    let set = async |properties: Value| page.put(&settings, json!({ "properties": properties })).await;
    set(json!({"defaultManagementGroup": group("nowhere")}))
        .await
        .refused(400, "InvalidDefaultManagementGroup");
    set(json!({"requireAuthorizationForGroupCreation": "no"})).await.expect(400);
    let elsewhere = at(format!("{}/settings/default", group("mg1")), VERSION);
    page.put(&elsewhere, json!({"properties": {}})).await.refused(400, "InvalidHierarchySettings");
    let body = json!({"defaultManagementGroup": group("MG1"), "requireAuthorizationForGroupCreation": false});
    let shown = set(body).await.expect(200).json();
    assert_eq!(shown["properties"]["defaultManagementGroup"], group("mg1"));
    assert_eq!(shown["properties"]["tenantId"], world.server.tenant.as_str());

    // Whoever makes a group owns it, and nothing else: not what is above it, not a group in somebody else's.
    stranger.put(&at(group("theirs"), VERSION), json!({})).await.expect(200);
    stranger.patch(&at(group("theirs"), VERSION), json!({"displayName": "Theirs"})).await.expect(200);
    make(&stranger, "below", "theirs").await.expect(200);
    make(&stranger, "intruder", "mg1").await.expect(404);
    stranger.patch(&at(group("mg1"), VERSION), json!({"displayName": "Mine"})).await.expect(404);
    stranger.put(&at(group("mg1"), VERSION), json!({})).await.expect(404);
    stranger.get(&at(group(&world.server.tenant), VERSION)).await.expect(404);
    let list = at(format!("{}/settings", group(&world.server.tenant)), VERSION);
    assert_eq!(names(page.get(&list).await), ["default"]);
    page.patch(&settings, json!({"properties": {"requireAuthorizationForGroupCreation": true}}))
        .await
        .expect(200);
    let kept = page.get(&settings).await.expect(200).json();
    assert_eq!(
        kept["properties"]["defaultManagementGroup"],
        group("mg1"),
        "a change of one leaves the other"
    );
    stranger.put(&at(group("another"), VERSION), json!({})).await.expect(404);

    let body = json!({"properties": {"defaultManagementGroup": group("theirs")}});
    page.patch(&settings, body).await.expect(200);
    // A subscription that is in no group, as after a restore of an older database, comes into the chosen one.
    let sub = world.server.sub.clone();
    let root = world.program("root");
    let data = world.server.stop().await;
    take_out(&data.url(), &format!("{}{sub}", group("mg1"))).await;
    let server = crate::kit::Server::on(data).await;
    let root = sign_in(&server, root).await;
    root.get(&at(format!("{}{sub}", group("theirs")), VERSION)).await.expect(200);
}

#[tokio::test]
async fn a_denial_that_cannot_be_read_denies_everything_until_it_is_removed() {
    let world = World::new().await;
    let program = world.program("root");
    let root = sign_in(&world.server, program).await;
    let denial =
        world.rg1("/providers/Microsoft.Authorization/denyAssignments/cccccccc-0000-4000-8000-00000000000f");
    let properties = json!({
        "denyAssignmentName": "No removals", "principals": [{"id": Uuid::new_v4(), "type": "User"}],
        "permissions": [{"actions": ["*/delete"]}],
    });
    root.put(&at(&denial, ROLES), json!({"properties": properties})).await.expect(201);
    let nsg = at(world.network("networkSecurityGroups/nsg1"), NETWORK);
    root.get(&nsg).await.expect(200);

    let data = world.server.stop().await;
    spoil(&data.url(), &denial).await;
    let server = crate::kit::Server::on(data).await;
    let root = sign_in(&server, program).await;
    root.get(&nsg).await.expect(404);
    root.delete(&at(&denial, ROLES)).await.expect(200);
    root.get(&nsg).await.expect(200);
}

#[tokio::test]
async fn a_group_that_cannot_be_read_keeps_no_revocation_from_taking_effect_and_can_be_removed() {
    let world = World::new().await;
    let (program, reading) = (world.program("root"), world.program("reader"));
    let nsg = at(world.network("networkSecurityGroups/nsg1"), NETWORK);
    let root = sign_in(&world.server, program).await;
    let group = root.post("/v1.0/groups", json!({"displayName": "Night"})).await.expect(201);
    let group = group.json()["id"].as_str().unwrap().to_owned();

    let data = world.server.stop().await;
    let store = sekisho_store::Store::open(&data.url()).await.unwrap();
    let key = group.clone();
    let work = store.write::<_, sekisho_arm::StoreError, _>(move |tx| {
        Box::pin(async move {
            sekisho_arm::traits::write_document(tx, "group", &key, &json!({"members": "?"})).await
        })
    });
    work.await.unwrap();
    drop(store);

    let server = crate::kit::Server::on(data).await;
    let root = sign_in(&server, program).await;
    let reader = sign_in(&server, reading).await;
    reader.get(&nsg).await.expect(200);
    let all = root.get(&at("/providers/Microsoft.Authorization/roleAssignments", ROLES)).await;
    let all = all.expect(200).json();
    let of_reader = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|a| a["properties"]["principalId"] == reading.object_id.as_str());
    let id = of_reader.unwrap()["id"].as_str().unwrap();
    root.delete(&at(id, ROLES)).await.expect(200);
    reader.get(&nsg).await.expect(404);

    root.get("/v1.0/groups").await.expect(200);
    root.delete(&format!("/v1.0/groups/{group}")).await.expect(204);
}

/// Takes the principals out of a deny assignment in the database of a stopped server.
async fn spoil(url: &str, id: &str) {
    let store = sekisho_store::Store::open(url).await.unwrap();
    let id = sekisho_arm::Scope::parse(id).unwrap();
    let work = store.write::<_, sekisho_arm::StoreError, _>(move |tx| {
        Box::pin(async move {
            let mut kept = tx.get(&id).await?.unwrap();
            kept.rest["properties"]["principals"] = json!([]);
            tx.put(kept).await?;
            Ok(())
        })
    });
    work.await.unwrap();
}

/// Removes a resource from the database of a stopped server.
async fn take_out(url: &str, id: &str) {
    let store = sekisho_store::Store::open(url).await.unwrap();
    let id = sekisho_arm::Scope::parse(id).unwrap();
    let work = store.write::<_, sekisho_arm::StoreError, _>(move |tx| {
        Box::pin(async move {
            assert!(!tx.remove(&id).await?.is_empty(), "{id}");
            Ok(())
        })
    });
    work.await.unwrap();
}
