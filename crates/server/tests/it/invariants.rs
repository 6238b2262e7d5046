//! What must always be so about a network, held against every write that could change it; and what the log keeps of a
//! write that changes it.

use serde_json::{Value, json};

use crate::kit::{COMPUTE, FLEET, GROUPS, Http, NETWORK, at, until};
use crate::seed::{OWNER, World, grant, rule, sign_in};

fn never(port: &str, machines: Value) -> Value {
    json!({"properties": {
        "must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
        "destinationMachineTags": machines, "destinationPortRange": port,
    }})
}

fn invariant(scope: &str, name: &str) -> String {
    at(format!("{scope}/providers/Sekisho.Network/invariants/{name}"), FLEET)
}

async fn check(client: &Http, scope: &str, name: &str) -> Value {
    let path = at(format!("{scope}/providers/Sekisho.Network/invariants/{name}/check"), FLEET);
    client.post(&path, json!({})).await.expect(200).json()
}

async fn tag(world: &World, client: &Http, tags: Value) -> crate::kit::Answer {
    let machine = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1");
    let path = at(format!("{machine}/providers/Microsoft.Resources/tags/default"), GROUPS);
    client.put(&path, json!({"properties": {"tags": tags}})).await
}

#[tokio::test]
async fn a_rule_that_would_break_an_invariant_is_refused_with_a_packet_and_the_rule_that_lets_it_through() {
    let world = World::new().await;
    let root = world.client("root").await;
    let sub = world.server.sub.clone();
    let nsg = world.network("networkSecurityGroups/nsg1");
    let made = root.put(&invariant(&sub, "rdp"), never("3389", json!({}))).await.expect(201).json();
    assert_eq!(made["properties"]["enforcement"], "enforce");
    let holds = check(&root, &sub, "rdp").await;
    assert_eq!((&holds["state"], &holds["interfaces"]), (&json!("holds"), &json!(1)));
    let path = at(format!("{nsg}/securityRules/wide"), NETWORK);
    for path in [path.clone(), format!("{path}&whatIf=true")] {
        let refused = root.put(&path, json!({"properties": rule(200, "3000-4000")})).await;
        let refused = refused.refused(409, "InvariantViolated");
        let info = refused.json()["error"]["additionalInfo"][0]["info"].clone();
        let example = &info["counterExample"];
        assert_eq!(example["packet"]["destinationPort"], 3389);
        assert_eq!(example["packet"]["destinationAddress"], "10.0.1.4");
        assert_eq!(example["decidedBy"][0]["rule"], "wide");
        assert_eq!(info["interfaces"], json!([world.network("networkInterfaces/vm1-eth0")]));
        assert!(refused.message().contains("let through on the way in by the rule wide of nsg1"));
    }
    root.get(&at(format!("{nsg}/securityRules/wide"), NETWORK)).await.expect(404);
    root.put(&path, json!({"properties": rule(200, "4000")})).await.expect(201);
    // Whoever may not know of the machine is told that there is one, and no more.
    let body = json!({"location": "home", "properties": {"securityRules": [
        {"name": "all", "properties": rule(100, "*")}]}});
    root.put(&at(&nsg, NETWORK), body).await.refused(409, "InvariantViolated");
    let program = world.program("stranger");
    grant(&root, &nsg, OWNER, &program.object_id, "ServicePrincipal").await;
    let owner = sign_in(&world.server, program).await;
    let refused = owner.put(&path, json!({"properties": rule(200, "3389")})).await;
    let refused = refused.refused(409, "InvariantViolated");
    assert!(refused.message().ends_with("of a machine that you may not know of."), "{}", refused.message());
    assert!(!refused.json().to_string().contains("10.0.1.4"));
}

#[tokio::test]
async fn everything_that_decides_what_a_machine_lets_through_is_held_against_invariants() {
    let world = World::new().await;
    let root = world.client("root").await;
    let group = world.rg1("");
    let nsg = world.network("networkSecurityGroups/nsg1");
    let nic = world.network("networkInterfaces/vm1-eth0");
    // Of the machines with a tag, which is none yet.
    root.put(&invariant(&group, "prod"), never("22", json!({"env": "prod"}))).await.expect(201);
    assert_eq!(check(&root, &group, "prod").await["interfaces"], 0);
    tag(&world, &root, json!({"ENV": "prod"})).await.refused(409, "InvariantViolated");
    tag(&world, &root, json!({"env": "test"})).await.expect(200);
    // Its rules may be changed as long as it has another one.
    let ssh = at(format!("{nsg}/securityRules/ssh"), NETWORK);
    root.delete(&ssh).await.expect(200);
    tag(&world, &root, json!({"env": "prod"})).await.expect(200);
    root.put(&ssh, json!({"properties": rule(100, "22")})).await.refused(409, "InvariantViolated");
    // The association of the interface, by which the rules go.
    let mut body = root.get(&at(&nic, NETWORK)).await.expect(200).json();
    body["properties"]["networkSecurityGroup"] = Value::Null;
    let refused = root.put(&at(&nic, NETWORK), body).await.refused(409, "InvariantViolated");
    assert!(refused.message().contains("where no group filters"), "{}", refused.message());
    // Membership of an application security group, and the group of a subnet.
    let asg = world.network("applicationSecurityGroups/asg1");
    let mut members = rule(100, "22");
    members["destinationAddressPrefix"] = Value::Null;
    members["destinationApplicationSecurityGroups"] = json!([{ "id": asg }]);
    root.put(&ssh, json!({ "properties": members })).await.expect(201);
    let mut body = root.get(&at(&nic, NETWORK)).await.expect(200).json();
    body["properties"]["ipConfigurations"][0]["properties"]["applicationSecurityGroups"] =
        json!([{ "id": asg }]);
    root.put(&at(&nic, NETWORK), body).await.refused(409, "InvariantViolated");
    // A tag that the rules name.
    let tag_path = at(world.rg1("/providers/Sekisho.Network/serviceTags/Office"), FLEET);
    let mut office = rule(101, "22");
    office["sourceAddressPrefix"] = "Office".into();
    root.put(&tag_path, json!({"location": "home", "properties": {"addressPrefixes": ["10.0.1.9"]}}))
        .await
        .expect(200);
    root.put(&at(format!("{nsg}/securityRules/office"), NETWORK), json!({ "properties": office }))
        .await
        .expect(201);
    let refused =
        root.put(&tag_path, json!({"location": "home", "properties": {"addressPrefixes": ["192.0.2.0/24"]}}));
    refused.await.refused(409, "InvariantViolated");
    // The machine itself may go.
    root.delete(&at(world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1"), COMPUTE)).await;
    until("the interface is gone", async || (root.get(&at(&nic, NETWORK)).await.status == 404).then_some(()))
        .await;
    assert_eq!(check(&root, &group, "prod").await["interfaces"], 0);
}

#[tokio::test]
async fn an_invariant_that_does_not_hold_is_made_only_to_be_reported() {
    let world = World::new().await;
    let root = world.client("root").await;
    let sub = world.server.sub.clone();
    let path = invariant(&sub, "ssh");
    let body = never("22", json!({}));
    let refused = root.put(&path, body.clone()).await.refused(409, "InvariantViolated");
    assert!(refused.message().contains("by the rule ssh of nsg1"), "{}", refused.message());
    let mut report = body.clone();
    report["properties"]["enforcement"] = "report".into();
    root.put(&path, report).await.expect(201);
    let said = check(&root, &sub, "ssh").await;
    assert_eq!(said["state"], "broken");
    assert_eq!(said["violation"]["counterExample"]["decidedBy"][0]["rule"], "ssh");
    // It stands in no write's way, and cannot be made to before it holds.
    let nsg = world.network("networkSecurityGroups/nsg1");
    let all = at(format!("{nsg}/securityRules/all"), NETWORK);
    root.put(&all, json!({"properties": rule(200, "*")})).await.expect(201);
    root.put(&path, body.clone()).await.refused(409, "InvariantViolated");
    root.delete(&all).await.expect(200);
    root.delete(&at(format!("{nsg}/securityRules/ssh"), NETWORK)).await.expect(200);
    root.put(&path, body).await.expect(200);
    assert_eq!(check(&root, &sub, "ssh").await["state"], "holds");
    // What nobody may write is no way around it.
    world.client("reader").await.delete(&path).await.refused(403, "AuthorizationFailed");
    // What it names cannot be taken away under it.
    let mut named = never("25", json!({}));
    named["properties"]["sourceAddressPrefix"] = "Office".into();
    root.put(&invariant(&sub, "mail"), named.clone()).await.expect(201);
    let tag = at(world.rg1("/providers/Sekisho.Network/serviceTags/Office"), FLEET);
    root.delete(&tag).await.refused(400, "InUseServiceTagCannotBeDeleted");
    named["properties"]["sourceAddressPrefix"] = "Nowhere".into();
    root.put(&invariant(&sub, "none"), named).await.refused(400, "UnknownServiceTag");
}

/// What the log keeps of the last write of something.
async fn logged(world: &World, root: &Http, resource: &str) -> Value {
    let since = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
    let since = since.format(&time::format_description::well_known::Rfc3339).unwrap();
    let filter = format!("eventTimestamp ge '{since}' and resourceUri eq '{resource}'");
    let filter = percent_encoding::utf8_percent_encode(&filter, percent_encoding::NON_ALPHANUMERIC);
    let sub = &world.server.sub;
    let path = format!(
        "{sub}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter={filter}"
    );
    let events = root.get(&path).await.expect(200).json();
    let kept = events["value"][0]["properties"]["packetFilter"].as_str().map(str::to_owned);
    kept.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn the_log_keeps_which_packets_a_write_let_through_and_which_it_did_not_any_more() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let web = format!("{nsg}/securityRules/web");
    root.put(&at(&web, NETWORK), json!({"properties": rule(200, "8080")})).await.expect(201);
    let kept = logged(&world, &root, &web).await;
    let change = &kept["traffic"][0];
    assert_eq!((&change["interfaces"], &change["direction"]), (&json!(1), &json!("Inbound")));
    let allowed = &change["difference"]["newlyAllowed"]["boxes"];
    assert_eq!(allowed[0]["packets"]["destinationPorts"], json!(["8080"]));
    assert_eq!(allowed[0]["ruleAfter"], "web");
    root.delete(&at(&web, NETWORK)).await.expect(200);
    let kept = logged(&world, &root, &web).await;
    assert_eq!(kept["traffic"][0]["difference"]["newlyDenied"]["boxes"][0]["ruleBefore"], "web");
    // A write that changes nothing for any packet leaves nothing there.
    let mut late = rule(300, "22");
    late["access"] = "Deny".into();
    let late_id = format!("{nsg}/securityRules/late");
    root.put(&at(&late_id, NETWORK), json!({ "properties": late })).await.expect(201);
    assert_eq!(logged(&world, &root, &late_id).await, Value::Null);
}
