//! What a group's rules say about themselves, and what a change of them does to packets.

use serde_json::{Value, json};

use crate::kit::{NETWORK, at};
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
