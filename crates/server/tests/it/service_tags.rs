//! Azure's list of service tags: imported by an administrator, seen beforehand, and followed by the rules that name a tag.

use std::time::Instant;

use serde_json::{Value, json};

use crate::kit::{FLEET, Http, NETWORK, at, until};
use crate::seed::{OWNER, World, grant, rule};

const SET: &str = "/providers/Sekisho.Network/serviceTagSets/azure";

fn tag(name: &str, prefixes: Value) -> Value {
    json!({"name": name, "id": name, "properties": {"changeNumber": 7, "region": "", "regionId": 0,
        "platform": "Azure", "systemService": "AzureStorage", "addressPrefixes": prefixes,
        "networkFeatures": ["API", "NSG", "UDR", "FW"]}})
}

/// As Microsoft publishes it: not wrapped into anything.
fn file(version: u64, values: Value) -> Value {
    json!({"changeNumber": version, "cloud": "Public", "values": values})
}

fn from_tag(priority: u32, name: &str) -> Value {
    let mut rule = rule(priority, "443");
    rule["sourceAddressPrefix"] = name.into();
    json!({ "properties": rule })
}

async fn import(client: &Http, body: Value) -> crate::kit::Answer {
    client.put(&at(SET, FLEET), body).await
}

/// Waits until the rules of the machine's interface have, or no longer have, a prefix.
async fn enforced(world: &World, root: &Http, prefix: &str, expected: bool) {
    let nic = world.network("networkInterfaces/vm1-eth0");
    let path = at(format!("{nic}/sekisho.simulate"), NETWORK);
    let body = json!({"direction": "Inbound", "protocol": "Tcp", "sourceAddress": prefix, "sourcePort": 50000,
        "destinationAddress": "10.0.1.4", "destinationPort": 443});
    let said = root.post(&path, body).await.expect(200).json();
    assert_eq!(said["access"] == "Allow", expected, "{said}");
    let store = sekisho_store::Store::open(&world.server.data.url()).await.unwrap();
    let key = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1").to_lowercase();
    until("the machine's document", async || {
        let mut read = store.read().await.unwrap();
        let kept = sekisho_arm::Read::document(&mut read, "desired", &key).await.unwrap()?;
        let has = kept.text.contains(&format!("{prefix}/32"));
        (has == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rules_follow_azures_list_and_what_a_version_changes_is_seen_before_it_is_imported() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let azure = at(format!("{nsg}/securityRules/azure"), NETWORK);
    root.put(&azure, from_tag(200, "Storage.JapanEast"))
        .await
        .refused(400, "SecurityRuleInvalidAddressPrefix");
    let first = file(
        63,
        json!([
            tag("Storage.JapanEast", json!(["203.0.113.7/32", "2603:1040:400::/46"])),
            tag("Sql", json!(["198.51.100.0/24"])),
        ]),
    );
    let made = import(&root, first.clone()).await.expect(200).json()["properties"].clone();
    assert_eq!(
        (&made["changeNumber"], &made["tags"], &made["prefixes"]),
        (&json!("63"), &json!(2), &json!(3))
    );
    assert_eq!(made["change"]["added"], 2);
    root.put(&azure, from_tag(200, "storage.japaneast")).await.expect(201);
    enforced(&world, &root, "203.0.113.7", true).await;

    // As az asks: which tags there are, the subscription's own among them.
    let sub = &world.server.sub;
    let list = at(format!("{sub}/providers/Microsoft.Network/locations/home/serviceTags"), "2022-01-01");
    let listed = root.get(&list).await.expect(200).json();
    assert_eq!((&listed["changeNumber"], &listed["cloud"]), (&json!("63"), &json!("Public")));
    let names: Vec<&str> =
        listed["values"].as_array().unwrap().iter().filter_map(|v| v["name"].as_str()).collect();
    assert_eq!(names, ["Office", "Sql", "Storage.JapanEast"]);
    assert_eq!(listed["values"][2]["properties"]["networkFeatures"], json!(["API", "NSG", "UDR", "FW"]));
    let details = format!("{sub}/providers/Microsoft.Network/locations/home/serviceTagDetails");
    let path = at(format!("{details}?tagName=SQL"), "2024-01-01");
    let one = root.get(&path).await.expect(200).json();
    assert_eq!(one["value"].as_array().unwrap().len(), 1);
    assert_eq!(one["value"][0]["properties"]["addressPrefixes"], json!(["198.51.100.0/24"]));
    let path = at(format!("{details}?noAddressPrefixes=true"), "2024-01-01");
    assert_eq!(
        root.get(&path).await.expect(200).json()["value"][1]["properties"]["addressPrefixes"],
        json!([])
    );

    // The next version, beforehand: tag by tag, for which rule, on which machine, with which packets.
    let second = file(
        64,
        json!([
            tag("Storage.JapanEast", json!(["203.0.113.9/32", "2603:1040:400::/46"])),
            tag("Sql", json!(["198.51.100.0/24"])),
            tag("Sql.JapanWest", json!(["198.51.100.8/29"])),
        ]),
    );
    let preview = root.put(&at(format!("{SET}?whatIf=true"), FLEET), second.clone()).await.expect(200).json();
    let change = &preview["changes"][0]["after"]["properties"]["change"];
    assert_eq!(change["fromChangeNumber"], "63");
    assert_eq!(
        (&change["added"], &change["modified"], &change["removed"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(change["tags"][0]["name"], "Storage.JapanEast", "what a rule names is told first");
    assert_eq!(change["tags"][0]["addedPrefixes"], json!(["203.0.113.9/32"]));
    assert_eq!(change["tags"][0]["removedPrefixes"], json!(["203.0.113.7/32"]));
    let rule = json!({"id": format!("{nsg}/securityRules/azure"), "tag": "storage.japaneast", "machines": 1});
    assert_eq!(change["rules"], json!([rule]));
    assert_eq!(preview["machines"][0]["name"], "vm1");
    let difference = &preview["machines"][0]["traffic"][0]["difference"];
    assert_eq!(difference["newlyAllowed"]["boxes"][0]["packets"]["sourceAddresses"], json!(["203.0.113.9"]));
    assert_eq!(difference["newlyDenied"]["boxes"][0]["packets"]["sourceAddresses"], json!(["203.0.113.7"]));
    enforced(&world, &root, "203.0.113.7", true).await;

    import(&root, second).await.expect(200);
    enforced(&world, &root, "203.0.113.9", true).await;
    enforced(&world, &root, "203.0.113.7", false).await;
    // A tag that a rule names cannot go, and nothing of that version is taken.
    let refused = import(&root, file(65, json!([tag("Sql", json!([]))]))).await;
    let refused = refused.refused(400, "InUseServiceTagCannotBeDeleted");
    assert!(refused.message().contains("nsg1/securityRules/azure"), "{}", refused.message());
    root.delete(&at(SET, FLEET)).await.refused(400, "InUseServiceTagCannotBeDeleted");
    assert_eq!(root.get(&at(SET, FLEET)).await.expect(200).json()["properties"]["changeNumber"], "64");
    root.delete(&azure).await.expect(200);
    import(&root, file(65, json!([tag("Sql", json!([]))]))).await.expect(200);
    root.delete(&at(SET, FLEET)).await.expect(200);
    let listed = root.get(&list).await.expect(200).json();
    assert_eq!(listed["values"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_version_that_would_break_an_invariant_of_any_subscription_is_refused() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    import(&root, file(1, json!([tag("Sql", json!(["10.9.0.0/16"]))]))).await.expect(200);
    root.put(&at(format!("{nsg}/securityRules/sql"), NETWORK), from_tag(200, "Sql")).await.expect(201);
    let never = json!({"properties": {"must": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "198.51.100.0/24",
        "destinationMachineTags": {}, "destinationPortRange": "443"}});
    let sub = &world.server.sub;
    let path = at(format!("{sub}/providers/Sekisho.Network/invariants/https"), FLEET);
    root.put(&path, never).await.expect(201);
    let wider = file(2, json!([tag("Sql", json!(["10.9.0.0/16", "198.51.100.128/25"]))]));
    let refused = import(&root, wider).await.refused(409, "InvariantViolated");
    assert!(refused.message().contains("by the rule sql of nsg1"), "{}", refused.message());
    import(&root, file(2, json!([tag("Sql", json!(["10.9.0.0/17"]))]))).await.expect(200);
}

#[tokio::test]
async fn only_who_may_write_at_the_root_imports_and_nobodys_own_tag_changes_its_meaning() {
    let world = World::new().await;
    let root = world.client("root").await;
    let body =
        file(1, json!([tag("Office", json!(["198.51.100.0/24"])), tag("Sql", json!(["203.0.113.0/24"]))]));
    world.client("reader").await.put(&at(SET, FLEET), body.clone()).await.refused(403, "AuthorizationFailed");
    let program = world.program("stranger");
    grant(&root, &world.server.sub, OWNER, &program.object_id, "ServicePrincipal").await;
    world.client("stranger").await.put(&at(SET, FLEET), body.clone()).await.expect(404);
    import(&root, body).await.expect(200);
    let path = format!("{}/providers/Microsoft.Network/locations/home/serviceTags", world.server.sub);
    let listed = root.get(&at(path, "2022-01-01")).await.expect(200).json();
    assert_eq!(listed["values"][0]["properties"]["addressPrefixes"], json!(["192.0.2.0/24"]));
    // Whoever may define tags in one group does not get to say what Azure's mean in all others.
    let own = at(world.rg1("/providers/Sekisho.Network/serviceTags/SQL"), FLEET);
    let body = json!({"location": "home", "properties": {"addressPrefixes": ["0.0.0.0/0"]}});
    root.put(&own, body).await.refused(409, "ServiceTagExists");
    for body in
        [json!({"changeNumber": 1}), file(1, json!([tag("A", json!(["10.0.0.1/8"]))])), file(1, json!([]))]
    {
        let refused = import(&root, body).await;
        assert_eq!(refused.status, 400, "{}", refused.message());
    }
    let other = at("/providers/Sekisho.Network/serviceTagSets/mine", FLEET);
    root.put(&other, file(1, json!([tag("A", json!([]))]))).await.refused(400, "InvalidResourceName");
}

/// As large as the real file: 3,041 tags, and prefixes that regional tags repeat.
fn real_size(version: u32) -> Value {
    let tags = (0..3_041_u32).map(|t| {
        let prefixes: Vec<String> = (0..33_u32)
            .map(|p| {
                let n = t * 33 + p + u32::from(t % 20 == 0) * version;
                if p % 4 == 3 {
                    format!("2603:{:x}:{:x}::/48", 0x1000 + (n >> 16), n & 0xffff)
                } else {
                    format!("{}.{}.{}.0/24", 20 + (n >> 16), (n >> 8) & 255, n & 255)
                }
            })
            .collect();
        tag(&format!("Service{}.Region{}", t / 60, t % 60), json!(prefixes))
    });
    file(version.into(), tags.collect::<Vec<_>>().into())
}

#[tokio::test]
async fn a_file_of_the_real_size_is_imported_and_followed_within_seconds() {
    let world = World::new().await;
    let root = world.client("root").await;
    let first = serde_json::to_vec_pretty(&real_size(1)).unwrap();
    println!("{} bytes", first.len());
    let start = Instant::now();
    let answer = root.raw(http::Method::PUT, &at(SET, FLEET), first.into()).await.expect(200).json();
    println!("first import: {:?}", start.elapsed());
    assert_eq!(answer["properties"]["prefixes"], 3_041 * 33);
    let nsg = world.network("networkSecurityGroups/nsg1");
    root.put(&at(format!("{nsg}/securityRules/svc"), NETWORK), from_tag(200, "Service0.Region0"))
        .await
        .expect(201);
    let second = real_size(2);
    let start = Instant::now();
    let preview = root.put(&at(format!("{SET}?whatIf=true"), FLEET), second.clone()).await.expect(200).json();
    println!("preview of the next: {:?}", start.elapsed());
    assert_eq!(preview["changes"][0]["after"]["properties"]["change"]["modified"], 153);
    assert_eq!(preview["machines"].as_array().unwrap().len(), 1);
    let start = Instant::now();
    import(&root, second).await.expect(200);
    println!("import of the next: {:?}", start.elapsed());
    let start = Instant::now();
    let path = format!("{}/providers/Microsoft.Network/locations/home/serviceTags", world.server.sub);
    let listed = root.get(&at(path, "2022-01-01")).await.expect(200).json();
    println!("list: {:?}", start.elapsed());
    assert_eq!(listed["values"].as_array().unwrap().len(), 3_042);
}
