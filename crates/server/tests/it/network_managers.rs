//! Security-admin rules of network managers: in force once committed, above the groups of every network that they govern.

use serde_json::{Value, json};

use crate::hierarchy::{enter, group, make, place};
use crate::kit::{FLEET, Http, NETWORK, at};
use crate::seed::{OWNER, World, grant, rule};

struct Governed<'a> {
    world: &'a World,
    root: Http,
    manager: String,
    configuration: String,
}

impl<'a> Governed<'a> {
    /// As `az network manager` makes it: a manager, a network group with the network of `vm1`, and a configuration with a
    /// rule collection that applies to the group.
    async fn new(world: &'a World) -> Governed<'a> {
        let root = world.client("root").await;
        let manager = world.network("networkManagers/central");
        let scopes = json!({"subscriptions": [world.server.sub], "managementGroups": []});
        let body = json!({"location": "home", "properties": {"networkManagerScopes": scopes,
            "networkManagerScopeAccesses": ["SecurityAdmin"]}});
        root.put(&at(&manager, NETWORK), body).await.expect(201);
        let group = format!("{manager}/networkGroups/all");
        root.put(&at(&group, NETWORK), json!({"properties": {}})).await.expect(201);
        let member = json!({"properties": {"resourceId": world.network("virtualNetworks/net1")}});
        let made = root.put(&at(format!("{group}/staticMembers/net1"), NETWORK), member).await.expect(201);
        assert_eq!(made.json()["properties"]["region"], "home");
        let configuration = format!("{manager}/securityAdminConfigurations/baseline");
        root.put(&at(&configuration, NETWORK), json!({"properties": {"description": "for all"}}))
            .await
            .expect(201);
        let collection = json!({"properties": {"appliesToGroups": [{"networkGroupId": group}]}});
        let path = format!("{configuration}/ruleCollections/base");
        root.put(&at(path, NETWORK), collection).await.expect(201);
        let governed = Governed { world, root, manager, configuration };
        // The machine's interface is in the network by its address.
        let nic =
            governed.root.get(&at(world.network("networkInterfaces/vm1-eth0"), NETWORK)).await.expect(200);
        assert!(nic.json()["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].is_string());
        governed
    }

    fn rule(&self, name: &str) -> String {
        at(format!("{}/ruleCollections/base/rules/{name}", self.configuration), NETWORK)
    }

    async fn add(&self, name: &str, priority: u32, access: &str, port: &str) {
        self.root.put(&self.rule(name), admin_rule(priority, access, port)).await.expect(201);
    }

    async fn commit(&self, configurations: Value, query: &str) -> crate::kit::Answer {
        let body = json!({"targetLocations": ["home"], "configurationIds": configurations, "commitType": "SecurityAdmin"});
        self.root.post(&at(format!("{}/commit{query}", self.manager), NETWORK), body).await
    }

    async fn verdict(&self, port: u16) -> (String, String) {
        let nic = self.world.network("networkInterfaces/vm1-eth0");
        let body = json!({"direction": "Inbound", "protocol": "Tcp", "sourceAddress": "203.0.113.9",
            "sourcePort": 50000, "destinationAddress": "10.0.1.4", "destinationPort": port});
        let said =
            self.root.post(&at(format!("{nic}/sekisho.simulate"), NETWORK), body).await.expect(200).json();
        let last = said["groups"].as_array().unwrap().last().cloned().unwrap_or_default();
        (said["access"].as_str().unwrap().to_owned(), last["rule"].as_str().unwrap_or_default().to_owned())
    }
}

fn admin_rule(priority: u32, access: &str, port: &str) -> Value {
    json!({"kind": "Custom", "properties": {
        "description": "", "protocol": "Tcp", "access": access, "priority": priority, "direction": "Inbound",
        "sources": [{"addressPrefix": "*", "addressPrefixType": "IPPrefix"}],
        "destinations": [{"addressPrefix": "*", "addressPrefixType": "IPPrefix"}],
        "sourcePortRanges": ["0-65535"], "destinationPortRanges": [port]}})
}

fn says(access: &str, rule: &str) -> (String, String) {
    (access.to_owned(), rule.to_owned())
}

#[tokio::test]
async fn admin_rules_are_in_force_once_committed_and_decide_before_the_groups() {
    let world = World::new().await;
    let governed = Governed::new(&world).await;
    governed.add("never-ssh", 1, "Deny", "22").await;
    governed.add("always-agent", 2, "AlwaysAllow", "9000").await;
    governed.add("may-web", 3, "Allow", "443").await;
    assert_eq!(governed.verdict(22).await, says("Allow", "ssh"), "what is not committed is not in force");
    let all = json!([governed.configuration]);
    let preview = governed.commit(all.clone(), "?whatIf=true").await.expect(200).json();
    assert_eq!(preview["machines"][0]["name"], "vm1");
    let change = &preview["machines"][0]["changes"][0];
    assert_eq!((&change["stage"], &change["kind"]), (&json!("manager"), &json!("added")));
    let difference = &preview["machines"][0]["traffic"][0]["difference"];
    assert_eq!(difference["newlyDenied"]["boxes"][0]["ruleAfter"], "never-ssh");
    assert_eq!(difference["newlyAllowed"]["boxes"][0]["ruleAfter"], "always-agent");
    let committed = governed.commit(all, "").await.expect(200).json();
    assert!(committed["commitId"].is_string());
    assert_eq!(governed.verdict(22).await, says("Deny", "never-ssh"), "the group would let it in");
    assert_eq!(governed.verdict(9000).await, says("Allow", "always-agent"), "the group would not");
    assert_eq!(governed.verdict(443).await, says("Deny", "DenyAllInBound"), "it goes on to the group");

    // What is in force stays until the next commit, whatever becomes of the rule.
    governed.root.delete(&governed.rule("never-ssh")).await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Deny");
    let manager = &governed.manager;
    let active = at(format!("{manager}/listActiveSecurityAdminRules"), NETWORK);
    let active = governed.root.post(&active, json!({"regions": ["home"]})).await.expect(200).json();
    assert_eq!(active["value"].as_array().unwrap().len(), 3);
    let status = at(format!("{manager}/listDeploymentStatus"), NETWORK);
    let status = governed.root.post(&status, json!({})).await.expect(200).json();
    assert_eq!(status["value"][0]["deploymentStatus"], "Deployed");
    governed
        .root
        .delete(&at(&governed.configuration, NETWORK))
        .await
        .refused(400, "InUseConfigurationCannotBeDeleted");
    governed.root.delete(&at(manager, NETWORK)).await.refused(400, "InUseConfigurationCannotBeDeleted");

    // Every question about the machine is answered by the same rules.
    let nic = world.network("networkInterfaces/vm1-eth0");
    let path = at(format!("{nic}/effectiveNetworkSecurityGroups"), NETWORK);
    let accepted = governed.root.post(&path, json!({})).await.expect(202);
    let location = accepted.header("location").unwrap().to_owned();
    let location = location.split_once("/subscriptions").unwrap().1.to_owned();
    let effective = governed.root.get(&format!("/subscriptions{location}")).await.expect(200).json();
    assert_eq!(effective["value"][0]["association"]["networkManager"]["id"], *manager);
    assert_eq!(effective["value"][0]["effectiveSecurityRules"][0]["name"], "securityAdminRules/never-ssh");

    governed.commit(json!([]), "").await.expect(200);
    assert_eq!(governed.verdict(22).await, says("Allow", "ssh"));
    governed.root.delete(&at(manager, NETWORK)).await.expect(200);
}

#[tokio::test]
async fn who_is_governed_is_who_is_a_member_now_in_the_managers_subscriptions_and_the_commits_location() {
    let world = World::new().await;
    let governed = Governed::new(&world).await;
    governed.add("never-ssh", 1, "Deny", "22").await;
    let elsewhere = json!({"targetLocations": ["mars"], "configurationIds": [governed.configuration],
        "commitType": "SecurityAdmin"});
    let path = at(format!("{}/commit", governed.manager), NETWORK);
    governed.root.post(&path, elsewhere).await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Allow");
    governed.commit(json!([governed.configuration]), "").await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Deny");
    let member = at(format!("{}/networkGroups/all/staticMembers/net1", governed.manager), NETWORK);
    governed.root.delete(&member).await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Allow");
    // A subnet is governed alone.
    let group = at(format!("{}/networkGroups/subnets", governed.manager), NETWORK);
    governed.root.put(&group, json!({"properties": {"memberType": "Subnet"}})).await.expect(201);
    let member = at(format!("{}/networkGroups/subnets/staticMembers/s1", governed.manager), NETWORK);
    let network = world.network("virtualNetworks/net1");
    let wrong = json!({"properties": {"resourceId": network}});
    governed.root.put(&member, wrong).await.refused(400, "LinkedInvalidPropertyId");
    let missing = json!({"properties": {"resourceId": format!("{network}/subnets/none")}});
    governed.root.put(&member, missing).await.refused(400, "InvalidResourceReference");
    let right = json!({"properties": {"resourceId": format!("{network}/subnets/s1")}});
    governed.root.put(&member, right).await.expect(201);
    let both = json!({"properties": {"appliesToGroups": [
        {"networkGroupId": format!("{}/networkGroups/subnets", governed.manager)}]}});
    let collection = at(format!("{}/ruleCollections/base", governed.configuration), NETWORK);
    governed.root.put(&collection, both).await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Allow");
    governed.commit(json!([governed.configuration]), "").await.expect(200);
    assert_eq!(governed.verdict(22).await, says("Deny", "never-ssh"));
    // What is in force goes with its manager.
    governed.root.delete(&at(format!("{}?force=true", governed.manager), NETWORK)).await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Allow");
}

#[tokio::test]
async fn a_commit_is_held_against_invariants_and_a_manager_needs_a_right_in_what_it_governs() {
    let world = World::new().await;
    let governed = Governed::new(&world).await;
    let sub = &world.server.sub;
    let never = json!({"properties": {"must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
        "destinationMachineTags": {}, "destinationPortRange": "3389"}});
    let path = at(format!("{sub}/providers/Sekisho.Network/invariants/rdp"), FLEET);
    governed.root.put(&path, never).await.expect(201);
    governed.add("rdp", 1, "AlwaysAllow", "3389").await;
    let all = json!([governed.configuration]);
    let refused = governed.commit(all.clone(), "").await.refused(409, "InvariantViolated");
    assert!(refused.message().contains("by the rule rdp of central"), "{}", refused.message());
    governed.root.put(&governed.rule("rdp"), admin_rule(1, "Deny", "3389")).await.expect(200);
    governed.commit(all, "").await.expect(200);
    // Then no group can break it.
    let nsg = world.network("networkSecurityGroups/nsg1");
    let wide = at(format!("{nsg}/securityRules/rdp"), NETWORK);
    governed.root.put(&wide, json!({"properties": rule(200, "3389")})).await.expect(201);

    let program = world.program("stranger");
    grant(&governed.root, &world.rg1(""), OWNER, &program.object_id, "ServicePrincipal").await;
    let stranger = world.client("stranger").await;
    let body = json!({"location": "home", "properties": {"networkManagerScopes": {"subscriptions": [sub]}}});
    let own = at(world.network("networkManagers/own"), NETWORK);
    stranger.put(&own, body).await.refused(403, "LinkedAuthorizationFailed");
    for (body, code) in [
        (json!({"subscriptions": ["/subscriptions/x"]}), "InvalidNetworkManagerScope"),
        (
            json!({"managementGroups": ["/providers/Microsoft.Management/managementGroups/none"]}),
            "InvalidResourceReference",
        ),
        (json!({"managementGroups": [sub]}), "InvalidNetworkManagerScope"),
    ] {
        let body = json!({"location": "home", "properties": {"networkManagerScopes": body}});
        governed.root.put(&own, body).await.refused(400, code);
    }
    let mut tagged = admin_rule(7, "Deny", "1");
    tagged["properties"]["sources"] = json!([{"addressPrefix": "Office", "addressPrefixType": "ServiceTag"}]);
    governed.root.put(&governed.rule("tag"), tagged).await.refused(400, "UnknownServiceTag");
    governed
        .root
        .put(&governed.rule("twin"), admin_rule(1, "Deny", "1"))
        .await
        .refused(400, "SecurityAdminRuleConflict");
}

#[tokio::test]
async fn a_manager_of_a_management_group_governs_what_is_in_it_however_deep_and_nothing_that_has_left() {
    let world = World::new().await;
    let governed = Governed::new(&world).await;
    let root = &governed.root;
    make(root, "top", &world.server.tenant).await;
    make(root, "inner", "top").await;
    governed.add("never-ssh", 1, "Deny", "22").await;
    governed.commit(json!([governed.configuration]), "").await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Deny");

    // It governs the group, and the subscription is not in it.
    let scopes = json!({"networkManagerScopes": {"managementGroups": [group("top")]}});
    let body = json!({"location": "home", "properties": scopes});
    root.put(&at(&governed.manager, NETWORK), body.clone()).await.expect(200);
    assert_eq!(governed.verdict(22).await.0, "Allow");
    let member = json!({"properties": {"resourceId": world.network("virtualNetworks/net1")}});
    let again = at(format!("{}/networkGroups/all/staticMembers/net1", governed.manager), NETWORK);
    root.put(&again, member.clone()).await.refused(400, "InvalidStaticMember");

    enter(&world, root, "inner").await;
    assert_eq!(governed.verdict(22).await, says("Deny", "never-ssh"), "two groups below");
    root.put(&again, member).await.expect(200);
    root.delete(&place(&world, "inner")).await;
    assert_eq!(governed.verdict(22).await.0, "Allow");

    // Whoever makes one needs the right in the group.
    let program = world.program("stranger");
    grant(root, &world.server.sub, OWNER, &program.object_id, "ServicePrincipal").await;
    let stranger = world.client("stranger").await;
    stranger
        .put(&at(world.network("networkManagers/own"), NETWORK), body)
        .await
        .refused(403, "LinkedAuthorizationFailed");
}
