//! The flow map: groups first, machines when one is asked for, and nothing of machines that somebody may not read.

use sekisho_nsg::flow::record::State;
use sekisho_store::to_ms;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::flows::{Teller, batch, flow};
use crate::kit::{FLEET, Http, at};
use crate::seed::{OWNER, World, grant, program, sign_in};

const WEB: &str = "10.0.1.7";
const DB: &str = "10.0.1.8";

/// `web`, of `asg1`, and `db` have told of what came in at `db`: one connection of `web` that went through and one of a
/// stranger that did not. Of the first `web` has told, too.
async fn told(world: &World, root: &Http) -> (Teller, Teller) {
    let mut web = Teller::join(world, root, ("web", "10.0.1.7/24"), Some("asg1")).await;
    let mut db = Teller::join(world, root, ("db", "10.0.1.8/24"), None).await;
    let nsg = world.network("networkSecurityGroups/nsg1");
    let now = to_ms(OffsetDateTime::now_utc()) - 60_000;
    let whole = [State::Begin, State::End].map(|state| flow(now, state, (WEB, 40_000), (DB, 5432)));
    let mut out = whole.to_vec();
    out.iter_mut().for_each(|f| f.direction = sekisho_nsg::policy::Direction::Outbound);
    web.tell(&batch(&nsg, out)).await;
    let denied = flow(now + 1, State::Denied, ("203.0.113.9", 1), (DB, 22));
    db.tell(&batch(&nsg, [whole.to_vec(), vec![denied]].concat())).await;
    (web, db)
}

async fn ask(client: &Http, scope: &str, verb: &str, question: Value) -> Value {
    let path = at(format!("{scope}/providers/Sekisho.Network/{verb}"), FLEET);
    client.post(&path, question).await.expect(200).json()
}

fn edges(map: &Value) -> Vec<(String, String, u64, u64)> {
    let nodes = map["nodes"].as_array().unwrap();
    let shown = |id: &Value| {
        let node = nodes.iter().find(|n| n["id"] == *id).unwrap();
        format!("{} {}", node["kind"].as_str().unwrap(), node["name"].as_str().unwrap())
    };
    let edge = |e: &Value| {
        let count = |field: &str| e[field].as_u64().unwrap();
        (shown(&e["source"]), shown(&e["target"]), count("allowed"), count("denied"))
    };
    map["edges"].as_array().unwrap().iter().map(edge).collect()
}

#[tokio::test]
async fn a_map_shows_groups_and_the_machines_of_one_when_asked_and_what_is_behind_an_edge() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (_web, db) = told(&world, &root).await;
    let (asg, sub) = (world.network("applicationSecurityGroups/asg1"), world.server.sub.clone());
    let map = ask(&root, &sub, "flowMap", json!({})).await;
    let to_db = edges(&map)[0].1.clone();
    let row = |from: &str, to: &str, allowed, denied| (from.to_owned(), to.to_owned(), allowed, denied);
    let asg_row = row("ApplicationSecurityGroup asg1", &to_db, 1, 0);
    let denied_row = row("Internet ", &to_db, 0, 1);
    assert_eq!(edges(&map), [asg_row.clone(), denied_row.clone()]);
    assert_eq!((&map["isAll"], &map["otherEdges"]), (&json!(true), &json!(0)));
    assert_eq!(map["total"], json!({"allowed": 1, "denied": 1, "bytesSent": 767, "bytesReceived": 1580}));
    assert!(!map.to_string().contains("virtualMachines"), "{map:#}");
    let of_group = world.rg1("");
    assert_eq!(edges(&ask(&root, &of_group, "flowMap", json!({})).await), edges(&map));
    let of_nobody = format!("{sub}/resourceGroups/rg2");
    assert!(edges(&ask(&root, &of_nobody, "flowMap", json!({})).await).is_empty());

    let by_group = ask(&root, &sub, "flowMap", json!({"groupBy": "NetworkSecurityGroup"})).await;
    let within = "NetworkSecurityGroup nsg1";
    assert_eq!(edges(&by_group), [row(within, within, 1, 0), row("Internet ", within, 0, 1)]);
    let expanded = ask(&root, &sub, "flowMap", json!({"expand": asg})).await;
    assert_eq!(edges(&expanded), [row("VirtualMachine web", &to_db, 1, 0), denied_row.clone()]);
    assert_eq!(edges(&ask(&root, &sub, "flowMap", json!({"access": "Deny"})).await), [denied_row]);
    assert_eq!(edges(&ask(&root, &sub, "flowMap", json!({"port": 5432})).await), [asg_row]);

    let target = map["edges"][0]["target"].as_str().unwrap();
    let edge = ask(&root, &sub, "flowMapEdge", json!({"source": asg, "target": target})).await;
    assert_eq!((&edge["total"]["allowed"], &edge["total"]["denied"]), (&json!(1), &json!(0)));
    assert_eq!(edge["rules"][0]["rule"]["name"], "ssh");
    assert_eq!(edge["ports"][0]["port"], 5432);
    assert_eq!(edge["processes"][0]["process"]["unit"], "ssh.service");
    let flows = edge["flows"].as_array().unwrap();
    assert!(flows.len() == 4 && flows.iter().all(|f| f["sourceAddress"] == WEB), "{edge:#}");
    assert!(flows.iter().any(|f| f["machine"] == db.machine.to_lowercase()));

    // The end of all time is no fault.
    let last = json!({"from": "9999-12-31T00:00:00Z", "to": "9999-12-31T23:59:59Z"});
    assert!(edges(&ask(&root, &sub, "flowMap", last.clone()).await).is_empty());
    assert_eq!(ask(&root, &sub, "traffic", last).await["flows"], json!([]));
    for (question, code) in [
        (json!({"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}), "InvalidParameter"),
        (json!({"groupBy": "Colour"}), "InvalidRequestContent"),
    ] {
        let path = at(format!("{sub}/providers/Sekisho.Network/flowMap"), FLEET);
        root.post(&path, question).await.refused(400, code);
    }
}

#[tokio::test]
async fn a_map_shows_nobody_what_machines_told_whose_traffic_they_may_not_see_nor_who_they_are() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (_web, db) = told(&world, &root).await;
    let sub = world.server.sub.clone();
    let path = at(format!("{sub}/providers/Sekisho.Network/flowMap"), FLEET);
    world.client("stranger").await.post(&path, json!({})).await.refused(404, "SubscriptionNotFound");
    world.client("reader").await.post(&path, json!({})).await.refused(403, "AuthorizationFailed");
    // Whoever owns another group sees what is there: nothing.
    let elsewhere = world.client("elsewhere").await;
    assert!(edges(&ask(&elsewhere, &sub, "flowMap", json!({})).await).is_empty());
    let there = at(world.rg1("/providers/Sekisho.Network/flowMap"), FLEET);
    elsewhere.post(&there, json!({})).await.refused(404, "ResourceGroupNotFound");

    // Whoever owns one machine sees what it told, and of the others no more than their addresses.
    let own = program(&world.page(), "own").await;
    grant(&world.page(), &db.machine, OWNER, &own.object_id, "ServicePrincipal").await;
    let own = sign_in(&world.server, &own).await;
    let map = ask(&own, &sub, "flowMap", json!({})).await;
    let rg = "ResourceGroup rg1".to_owned();
    let expected = [("PrivateAddresses ".to_owned(), rg.clone(), 1, 0), ("Internet ".to_owned(), rg, 0, 1)];
    assert_eq!(edges(&map), expected);
    let question = json!({"source": "PrivateAddresses", "target": world.rg1("")});
    let edge = ask(&own, &sub, "flowMapEdge", question).await;
    assert_eq!(edge["flows"].as_array().unwrap().len(), 2, "{edge:#}");
    for shown in [map, edge] {
        let text = shown.to_string().to_lowercase();
        assert!(!text.contains("asg1") && !text.contains("/web") && !text.contains("subnets"), "{text}");
    }
}
