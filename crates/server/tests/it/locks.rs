//! Locks: what they stop, for whom, and what they must not stop.

use sekisho_link::message::ToServer;
use serde_json::{Value, json};

use crate::agent;
use crate::kit::{FLEET, GROUPS, Http, NETWORK, ROLES, at, until};
use crate::seed::{OWNER, READER, World, grant, rule, sign_in};

const LOCKS: &str = "2016-09-01";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

fn lock_at(scope: &str) -> String {
    at(format!("{scope}/providers/Microsoft.Authorization/locks/l1"), LOCKS)
}

async fn lock(client: &Http, scope: &str, level: &str) {
    client.put(&lock_at(scope), json!({"properties": {"level": level}})).await.expect(201);
}

/// The words that `az` prints.
fn refusal(target: &str, deed: &str, locked: &str) -> String {
    format!(
        "The scope '{target}' cannot perform {deed} operation because following scope(s) are locked: '{locked}'. Please \
         remove the lock and try again."
    )
}

#[tokio::test]
async fn a_lock_against_removal_holds_for_everything_inside_and_around_it_and_lets_changes_through() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (group, nsg) = (world.rg1(""), world.network("networkSecurityGroups/free"));
    let new = json!({"location": "home"});
    for scope in [world.server.sub.clone(), group.clone(), nsg.clone()] {
        root.put(&at(&nsg, NETWORK), new.clone()).await;
        lock(&root, &scope, "cannotdelete").await;
        let refused = root.delete(&at(&nsg, NETWORK)).await.refused(409, "ScopeLocked");
        assert_eq!(refused.message(), refusal(&nsg, "delete", &scope));
        // The group holds what is locked, or is locked itself.
        let refused = root.delete(&at(&group, GROUPS)).await.refused(409, "ScopeLocked");
        assert_eq!(refused.message(), refusal(&group, "delete", &scope));
        root.put(&at(&nsg, NETWORK), new.clone()).await.expect(200);
        root.patch(&at(&nsg, NETWORK), json!({"tags": {"a": "b"}})).await.expect(200);
        root.delete(&lock_at(&scope)).await.expect(200);
        root.delete(&at(&nsg, NETWORK)).await.expect(200);
    }
}

#[tokio::test]
async fn a_read_only_lock_stops_every_change_and_no_reading() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (group, nsg, nic) = (
        world.rg1(""),
        world.network("networkSecurityGroups/nsg1"),
        world.network("networkInterfaces/vm1-eth0"),
    );
    let rule_id = format!("{nsg}/securityRules/ssh");
    let tags = format!("{nsg}/providers/Microsoft.Resources/tags/default");
    let role = format!(
        "{nsg}/providers/Microsoft.Authorization/roleAssignments/bbbbbbbb-0000-4000-8000-00000000000f"
    );
    let role_body = json!({"properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
        "principalId": crate::seed::NOBODY, "principalType": "ServicePrincipal"}});
    let rotate = world.rg1("/providers/Sekisho.Fleet/enrolmentTokens/tok1");
    lock(&root, &group, "ReadOnly").await;
    let wrote = |target: &str| refusal(target, "write", &group);
    for answer in [
        (root.put(&at(&nsg, NETWORK), json!({"location": "home"})).await, wrote(&nsg)),
        (root.patch(&at(&nsg, NETWORK), json!({"tags": {}})).await, wrote(&nsg)),
        (root.put(&at(&rule_id, NETWORK), json!({"properties": rule(200, "22")})).await, wrote(&rule_id)),
        (root.put(&at(&group, GROUPS), json!({"location": "home"})).await, wrote(&group)),
        (root.put(&at(&tags, GROUPS), json!({"properties": {"tags": {"a": "b"}}})).await, wrote(&nsg)),
        (root.put(&at(&role, ROLES), role_body).await, wrote(&role)),
        (root.delete(&at(&rule_id, NETWORK)).await, refusal(&rule_id, "delete", &group)),
        (root.put(&at(&rotate, FLEET), json!({"location": "home"})).await, wrote(&rotate)),
    ] {
        assert_eq!(answer.0.refused(409, "ScopeLocked").message(), answer.1);
    }
    root.get(&at(&rule_id, NETWORK)).await.expect(200);
    // A POST that only reads.
    let rules = at(format!("{nic}/effectiveNetworkSecurityGroups"), NETWORK);
    root.post(&rules, json!({})).await.expect(202);
    // What a lock forbids is not shown as a preview either.
    let preview = format!("{}&whatIf=true", at(&nsg, NETWORK));
    root.put(&preview, json!({"location": "home"})).await.refused(409, "ScopeLocked");
    root.delete(&lock_at(&group)).await.expect(200);
    root.patch(&at(&nsg, NETWORK), json!({"tags": {}})).await.expect(200);
}

#[tokio::test]
async fn a_locked_child_survives_a_write_of_its_parent_without_it() {
    let world = World::new().await;
    let root = world.client("root").await;
    let network = world.network("virtualNetworks/locked");
    let body = |prefixes: &[&str]| {
        let subnets: Vec<Value> = prefixes
            .iter()
            .enumerate()
            .map(|(i, p)| json!({"name": format!("s{i}"), "properties": {"addressPrefix": p}}))
            .collect();
        json!({"location": "home", "properties": {"addressSpace": {"addressPrefixes": ["10.7.0.0/16"]}, "subnets": subnets}})
    };
    root.put(&at(&network, NETWORK), body(&["10.7.0.0/24", "10.7.1.0/24"])).await.expect(201);
    let subnet = format!("{network}/subnets/s1");
    lock(&root, &subnet, "CanNotDelete").await;
    let refused = root.put(&at(&network, NETWORK), body(&["10.7.0.0/24"])).await.refused(409, "ScopeLocked");
    assert_eq!(refused.message(), refusal(&network, "write", &subnet));
    root.get(&at(&subnet, NETWORK)).await.expect(200);
    // Its neighbour may change, and it itself as well.
    root.put(&at(&network, NETWORK), body(&["10.7.9.0/24", "10.7.8.0/24"])).await.expect(200);
    root.delete(&lock_at(&subnet)).await.expect(200);
    lock(&root, &subnet, "ReadOnly").await;
    root.put(&at(&network, NETWORK), body(&["10.7.0.0/24", "10.7.8.0/24"])).await.expect(200);
    root.put(&at(&network, NETWORK), body(&["10.7.0.0/24", "10.7.1.0/24"])).await.refused(409, "ScopeLocked");
}

#[tokio::test]
async fn locks_are_put_on_and_taken_off_by_owners_and_not_by_contributors() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (stranger, nsg) = (world.program("stranger"), world.network("networkSecurityGroups/nsg1"));
    let role = grant(&root, &world.rg1(""), CONTRIBUTOR, &stranger.object_id, "ServicePrincipal").await;
    let client = sign_in(&world.server, stranger).await;
    let body = json!({"properties": {"level": "ReadOnly"}});
    client.put(&lock_at(&nsg), body.clone()).await.refused(403, "AuthorizationFailed");
    lock(&root, &nsg, "ReadOnly").await;
    client.get(&lock_at(&nsg)).await.expect(200);
    client.delete(&lock_at(&nsg)).await.refused(403, "AuthorizationFailed");
    client.put(&at(&nsg, NETWORK), json!({"location": "home"})).await.refused(409, "ScopeLocked");
    root.delete(&at(&role, ROLES)).await.expect(200);
    grant(&root, &world.rg1(""), OWNER, &stranger.object_id, "ServicePrincipal").await;
    client.delete(&lock_at(&nsg)).await.expect(200);
    client.put(&lock_at(&nsg), body).await.expect(201);
}

#[tokio::test]
async fn a_lock_is_listed_where_it_holds_and_above() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (sub, group, nsg) =
        (world.server.sub.clone(), world.rg1(""), world.network("networkSecurityGroups/nsg1"));
    for scope in [&sub, &group, &nsg] {
        root.put(
            &at(format!("{scope}/providers/Microsoft.Authorization/locks/here"), LOCKS),
            json!({"properties": {"level": "CanNotDelete", "notes": "Keep it."}}),
        )
        .await
        .expect(201);
    }
    let listed = async |scope: &str, filter: &str| {
        let path =
            format!("{}{filter}", at(format!("{scope}/providers/Microsoft.Authorization/locks"), LOCKS));
        root.get(&path).await.expect(200).json()["value"].as_array().unwrap().len()
    };
    assert_eq!(listed(&sub, "").await, 3);
    assert_eq!(listed(&group, "").await, 3);
    assert_eq!(listed(&group, "&$filter=atScope()").await, 2);
    assert_eq!(listed(&nsg, "&$filter=atScope()").await, 3);
    assert_eq!(listed(&world.network("virtualNetworks/net1"), "").await, 2);
    for (body, target) in [
        (json!({"properties": {}}), "properties"),
        (json!({"properties": {"level": "Never"}}), "properties.level"),
        (json!({"properties": {"level": "ReadOnly", "notes": "x".repeat(513)}}), "properties.notes"),
    ] {
        let answer = root.put(&lock_at(&group), body).await.refused(400, "InvalidRequestContent");
        assert_eq!(answer.json()["error"]["target"], target);
    }
    let gone = world.network("networkSecurityGroups/none");
    root.put(&lock_at(&gone), json!({"properties": {"level": "ReadOnly"}}))
        .await
        .refused(404, "ResourceNotFound");
}

#[tokio::test]
async fn a_locked_machine_goes_on_reporting() {
    let world = World::new().await;
    let root = world.client("root").await;
    let join = world.join_string(1).await;
    let agent = agent::join(&join, "vm9").await.ok().unwrap();
    lock(&root, &world.server.sub, "ReadOnly").await;
    let mut link = agent.connect(0).await;
    link.say(&ToServer::Facts { facts: agent::facts("vm9", "10.0.1.9/24") }).await;
    let nic = at(world.network("networkInterfaces/vm9-eth0"), NETWORK);
    until("the interface", async || (root.get(&nic).await.status == 200).then_some(())).await;
}
