//! What a group's rules say about themselves, and what a change of them does to packets.

use sekisho_link::hits::RuleHits;
use sekisho_link::message::ToServer;
use serde_json::{Value, json};

use crate::kit::{FLEET, NETWORK, at, until};
use crate::seed::{World, rule};

fn deny(priority: u32, port: &str) -> Value {
    let mut properties = rule(priority, port);
    properties["access"] = "Deny".into();
    properties
}

#[tokio::test]
async fn a_group_names_its_rules_that_never_decide_with_a_packet_for_each() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    for (name, properties) in
        [("late", deny(200, "22")), ("wide", deny(300, "20-30")), ("same", rule(400, "443"))]
    {
        let path = at(format!("{nsg}/securityRules/{name}"), NETWORK);
        root.put(&path, json!({"properties": properties})).await.expect(201);
    }
    let found = root.post(&at(format!("{nsg}/sekisho.analyse"), NETWORK), json!({})).await.expect(200).json();
    assert_eq!((&found["views"][0]["interfaces"], found["views"].as_array().unwrap().len()), (&json!(1), 1));
    let of = |name: &str| {
        let rules = found["views"][0]["inbound"].as_array().unwrap();
        rules.iter().find(|r| r["rule"] == name).unwrap().clone()
    };
    assert_eq!((&of("ssh")["state"], &of("same")["state"]), (&json!("effective"), &json!("effective")));
    let late = of("late");
    assert_eq!((&late["state"], &late["by"]), (&json!("shadowed"), &json!(["ssh"])));
    assert_eq!(late["conflicts"][0]["with"], "ssh");
    assert_eq!(late["witness"]["destinationPort"], 22);
    assert_eq!(of("wide")["state"], "partlyShadowed");
    world
        .client("stranger")
        .await
        .post(&at(format!("{nsg}/sekisho.analyse"), NETWORK), json!({}))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_preview_says_exactly_which_packets_pass_and_which_do_not_any_more() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let preview = async |name: &str, properties: Value| {
        let path = at(format!("{nsg}/securityRules/{name}?whatIf=true"), NETWORK);
        let said = root.put(&path, json!({"properties": properties})).await.expect(200).json();
        said["machines"][0]["traffic"].clone()
    };
    let open = preview("web", rule(200, "8080")).await;
    let difference = &open[0]["difference"];
    assert_eq!((&open[0]["direction"], open.as_array().unwrap().len()), (&json!("Inbound"), 1));
    assert_eq!(difference["newlyDenied"]["boxes"], json!([]));
    let allowed = difference["newlyAllowed"]["boxes"].as_array().unwrap();
    assert!(allowed.iter().all(|b| b["packets"]["destinationPorts"] == json!(["8080"])), "{allowed:?}");
    assert!(allowed.iter().all(|b| b["packets"]["protocols"] == json!(["Tcp"])), "{allowed:?}");
    assert_eq!(allowed[0]["ruleBefore"], "DenyAllInBound");
    assert_eq!(allowed[0]["ruleAfter"], "web");
    // A rule behind the one that decides already changes no packet.
    let late = preview("late", deny(200, "22")).await;
    let nothing = json!({"boxes": [], "isAll": true});
    assert_eq!(late[0]["difference"], json!({"newlyAllowed": nothing, "newlyDenied": nothing}));
}

#[tokio::test]
async fn a_packet_is_tried_at_an_interface_and_every_group_on_its_way_says_what_it_does() {
    let world = World::new().await;
    let root = world.client("root").await;
    let path = at(format!("{}/sekisho.simulate", world.network("networkInterfaces/vm1-eth0")), NETWORK);
    let packet = |protocol: &str, source: &str, port: Value| {
        json!({"direction": "Inbound", "protocol": protocol, "sourceAddress": source, "sourcePort": 50000,
            "destinationAddress": "10.0.1.4", "destinationPort": port})
    };
    let said = root.post(&path, packet("Tcp", "203.0.113.7", json!(22))).await.expect(200).json();
    assert_eq!((&said["access"], &said["reason"]), (&json!("Allow"), &json!("rules")));
    assert_eq!((&said["groups"][0]["rule"], &said["groups"][0]["priority"]), (&json!("ssh"), &json!(100)));
    let said = root.post(&path, packet("Tcp", "203.0.113.7", json!(23))).await.expect(200).json();
    assert_eq!((&said["access"], &said["groups"][0]["rule"]), (&json!("Deny"), &json!("DenyAllInBound")));
    for protocol in ["Icmp", "Esp", "47"] {
        let said = root.post(&path, packet(protocol, "10.0.1.9", Value::Null)).await.expect(200).json();
        assert_eq!(said["groups"][0]["rule"], "AllowVnetInBound", "{protocol}");
    }
    root.post(&path, packet("Udp", "10.0.1.9", Value::Null)).await.refused(400, "InvalidParameter");
    root.post(&path, packet("Tcp", "2001:db8::1", json!(22))).await.refused(400, "InvalidParameter");
    let lease = json!({"direction": "Inbound", "protocol": "Udp", "sourceAddress": "10.0.1.1", "sourcePort": 67,
        "destinationAddress": "10.0.1.4", "destinationPort": 68});
    let said = root.post(&path, lease).await.expect(200).json();
    assert_eq!((&said["access"], &said["reason"]), (&json!("Allow"), &json!("keepsAlive")));
    world.client("stranger").await.post(&path, packet("Tcp", "203.0.113.7", json!(22))).await.expect(404);
}

#[tokio::test]
async fn what_rules_have_matched_is_told_by_machines_and_added_up() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let agent = crate::agent::join(&world.join_string(1).await, "web").await.ok().unwrap();
    let mut link = agent.connect(0).await;
    link.say(&ToServer::Facts { facts: crate::agent::facts("web", "10.0.1.7/24") }).await;
    let row = |rule: &str, audit: bool, packets: u64| RuleHits {
        interface: "eth0".into(),
        direction: "Inbound".into(),
        group: nsg.to_uppercase(),
        rule: rule.into(),
        audit,
        packets,
        bytes: packets * 60,
    };
    let mut strange = row("ssh", false, 1);
    strange.rule = "x".repeat(2000);
    let rules = vec![row("ssh", false, 7), row("DenyAllInBound", true, 3), row("ssh", true, 2), strange];
    link.say(&ToServer::Hits { rules }).await;
    let path = at(format!("{nsg}/sekisho.hits"), NETWORK);
    let said = until("the hits", async || {
        let said = root.post(&path, json!({})).await.expect(200).json();
        (said["machines"] == 1).then_some(said)
    })
    .await;
    assert_eq!(said["wouldBeDenied"], 3);
    let rows = said["rules"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["rule"], &rows[0]["packets"], &rows[0]["bytes"]),
        (&json!("ssh"), &json!(7), &json!(420))
    );
    assert!(said["oldest"].is_string());
}

#[tokio::test]
async fn a_group_that_only_counts_is_previewed_as_what_it_lets_through_and_breaks_invariants() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let mut body = root.get(&at(&nsg, NETWORK)).await.expect(200).json();
    body["properties"]["sekisho"] = json!({"mode": "audit", "existingFlows": "reevaluate"});
    let said = root.put(&at(format!("{nsg}?whatIf=true"), NETWORK), body.clone()).await.expect(200).json();
    let machine = &said["machines"][0];
    assert!(
        machine["changes"].as_array().unwrap().iter().any(|c| c["rule"]["auditOnly"] == true),
        "{machine}"
    );
    let allowed = &machine["traffic"][0]["difference"]["newlyAllowed"]["boxes"];
    assert!(!allowed.as_array().unwrap().is_empty(), "{machine}");
    let rdp = at(format!("{}/providers/Sekisho.Network/invariants/rdp", world.server.sub), FLEET);
    let never = json!({"properties": {"must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
        "destinationMachineTags": {}, "destinationPortRange": "3389"}});
    root.put(&rdp, never).await.expect(201);
    root.put(&at(&nsg, NETWORK), body.clone()).await.refused(409, "InvariantViolated");
    root.delete(&rdp).await.expect(200);
    let kept = root.put(&at(&nsg, NETWORK), body.clone()).await.expect(200).json();
    assert_eq!(kept["properties"]["sekisho"]["mode"], "audit");
    for (field, word, code) in
        [("mode", "off", "InvalidMode"), ("existingFlows", "kill", "InvalidExistingFlows")]
    {
        let mut wrong = body.clone();
        wrong["properties"]["sekisho"][field] = word.into();
        root.put(&at(&nsg, NETWORK), wrong).await.refused(400, code);
    }
    body["properties"]["flushConnection"] = true.into();
    body["properties"]["sekisho"]["existingFlows"] = "keep".into();
    root.put(&at(&nsg, NETWORK), body).await.refused(400, "InvalidExistingFlows");
}
