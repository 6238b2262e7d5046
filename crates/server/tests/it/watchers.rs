//! Network watchers: what is answered about a machine's traffic, and to whom.

use serde_json::{Value, json};

use crate::kit::{Answer, Http, NETWORK, at};
use crate::seed::{World, rule};

/// Asks a watcher and waits for the answer.
async fn ask(client: &Http, path: &str, body: Value) -> Answer {
    let started = client.post(&at(path, NETWORK), body).await;
    if started.status != 202 {
        return started;
    }
    let (_, result) = started.header("location").unwrap().split_once("/subscriptions/").unwrap();
    client.get(&format!("/subscriptions/{result}")).await
}

#[tokio::test]
async fn a_watcher_says_whether_a_packet_passes_and_which_rule_decides() {
    let world = World::new().await;
    let root = world.client("root").await;
    let watcher = world.network("networkWatchers/x1");
    let machine = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1");
    let deny = json!({"properties": {
        "priority": 150, "direction": "Outbound", "access": "Deny", "protocol": "Icmp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "*",
        "destinationAddressPrefixes": ["192.0.2.0/24", "2001:db8::/32"],
    }});
    let ping = world.network("networkSecurityGroups/nsg1/securityRules/ping");
    root.put(&at(&ping, NETWORK), deny).await.expect(201);
    let verify = async |direction: &str, protocol: &str, ports: [&str; 2], remote: &str| {
        let body = json!({"targetResourceId": machine, "direction": direction, "protocol": protocol,
            "localPort": ports[0], "remotePort": ports[1], "localIPAddress": "10.0.1.4", "remoteIPAddress": remote});
        let said = ask(&root, &format!("{watcher}/ipFlowVerify"), body).await.expect(200).json();
        let text = |field: &str| said[field].as_str().unwrap().to_owned();
        format!("{} {}", text("access"), text("ruleName"))
    };
    assert_eq!(verify("Inbound", "TCP", ["22", "50000"], "198.51.100.7").await, "Allow UserRule_ssh");
    assert_eq!(
        verify("Inbound", "TCP", ["23", "50000"], "198.51.100.7").await,
        "Deny DefaultRule_DenyAllInBound"
    );
    assert_eq!(
        verify("Inbound", "UDP", ["22", "50000"], "10.0.9.9").await,
        "Allow DefaultRule_AllowVnetInBound"
    );
    assert_eq!(verify("Outbound", "ICMP", ["", ""], "192.0.2.9").await, "Deny UserRule_ping");
    assert_eq!(
        verify("Outbound", "ESP", ["", ""], "192.0.2.9").await,
        "Allow DefaultRule_AllowInternetOutBound"
    );

    let hop = json!({"targetResourceId": machine, "sourceIPAddress": "10.0.1.4", "destinationIPAddress": "203.0.113.9"});
    let hop = ask(&root, &format!("{watcher}/nextHop"), hop).await.expect(200).json();
    assert_eq!(
        hop,
        json!({"nextHopType": "Internet", "nextHopIpAddress": "10.0.1.1", "routeTableId": "System Route"})
    );

    let profile = |source: &str, port: &str| {
        json!({"direction": "Inbound", "protocol": "TCP", "source": source, "destination": "10.0.1.4",
            "destinationPort": port})
    };
    let diagnose = async |profile: Value| {
        let body = json!({"targetResourceId": machine, "profiles": [profile]});
        ask(&root, &format!("{watcher}/networkConfigurationDiagnostic"), body).await
    };
    let said = diagnose(profile("198.51.100.0/24", "23")).await.expect(200).json();
    let result = &said["results"][0]["networkSecurityGroupResult"];
    assert_eq!(result["securityRuleAccessResult"], "Deny");
    let group = &result["evaluatedNetworkSecurityGroups"][0];
    assert_eq!(group["matchedRule"], json!({"ruleName": "DefaultRule_DenyAllInBound", "action": "Deny"}));
    assert_eq!(group["appliedTo"], world.network("networkInterfaces/vm1-eth0"));
    let ssh = &group["rulesEvaluationResult"][0];
    assert_eq!(
        *ssh,
        json!({"name": "UserRule_ssh", "protocolMatched": true, "sourceMatched": true, "sourcePortMatched": true,
            "destinationMatched": true, "destinationPortMatched": false})
    );
    // Of ports 20 to 30 one passes and the others do not: no answer is right for all of them.
    diagnose(profile("198.51.100.0/24", "20-30")).await.refused(400, "TrafficNotUniform");

    let view = json!({"targetResourceId": machine});
    let view = ask(&root, &format!("{watcher}/securityGroupView"), view).await.expect(200).json();
    let rules = &view["networkInterfaces"][0]["securityRuleAssociations"];
    let own = rules["networkInterfaceAssociation"]["securityRules"].as_array().unwrap();
    assert_eq!(own.len(), 2);
    assert_eq!(rules["defaultSecurityRules"].as_array().unwrap().len(), 6);

    let around = json!({"targetResourceGroupName": "rg1"});
    let map = ask(&root, &format!("{watcher}/topology"), around).await.expect(200).json();
    let shown = map["resources"].as_array().unwrap().iter().find(|r| r["id"] == machine.as_str()).unwrap();
    let nic = world.network("networkInterfaces/vm1-eth0");
    let part = json!([{"name": "vm1-eth0", "resourceId": nic, "associationType": "Contains"}]);
    assert_eq!(shown["associations"], part);
}

#[tokio::test]
async fn a_watcher_tells_nobody_of_machines_that_they_may_not_read() {
    let world = World::new().await;
    let elsewhere = world.client("elsewhere").await;
    let own =
        format!("{}/resourceGroups/rg2/providers/Microsoft.Network/networkWatchers/own", world.server.sub);
    elsewhere.put(&at(&own, NETWORK), json!({"location": "home"})).await.expect(201);
    for name in ["vm1", "none"] {
        let machine = world.rg1(&format!("/providers/Microsoft.Compute/virtualMachines/{name}"));
        let asked = [
            (
                "ipFlowVerify",
                json!({"targetResourceId": machine, "direction": "Inbound", "protocol": "TCP",
                "localPort": "22", "remotePort": "9", "localIPAddress": "10.0.1.4", "remoteIPAddress": "10.0.1.5"}),
            ),
            (
                "nextHop",
                json!({"targetResourceId": machine, "sourceIPAddress": "10.0.1.4",
                "destinationIPAddress": "10.0.1.5"}),
            ),
            ("securityGroupView", json!({"targetResourceId": machine})),
            ("networkConfigurationDiagnostic", json!({"targetResourceId": machine, "profiles": []})),
        ];
        for (verb, body) in asked {
            let refused = ask(&elsewhere, &format!("{own}/{verb}"), body).await;
            refused.refused(403, "LinkedAuthorizationFailed");
        }
    }
    let map = ask(&elsewhere, &format!("{own}/topology"), json!({"targetResourceGroupName": "rg1"})).await;
    map.refused(403, "LinkedAuthorizationFailed");
    // A rule is no machine.
    let root = world.client("root").await;
    let rule_id = world.network("networkSecurityGroups/nsg1/securityRules/ssh");
    root.put(&at(&rule_id, NETWORK), json!({"properties": rule(100, "22")})).await.expect(200);
    let body = json!({"targetResourceId": rule_id});
    let refused =
        ask(&root, &format!("{}/securityGroupView", world.network("networkWatchers/x1")), body).await;
    assert!(matches!(refused.status, 400 | 404), "{refused:?}");
}
