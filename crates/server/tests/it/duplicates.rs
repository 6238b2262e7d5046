//! Two machines with one key: noticed, put in quarantine, and told apart again by a person.

use sekisho_link::message::{ToAgent, ToServer};
use sekisho_link::stream::{Batch, Entry, Epoch, Stream};
use serde_json::{Map, Value, json};

use crate::agent::{Agent, facts, join, join_as};
use crate::kit::{COMPUTE, FLEET, Http, NETWORK, at, until};
use crate::seed::{World, rule};

async fn machine(client: &Http, agent: &Agent) -> Value {
    let path = at(format!("{}?$expand=instanceView", agent.machine), COMPUTE);
    client.get(&path).await.expect(200).json()["properties"]["sekisho"].clone()
}

async fn kinds(client: &Http, agent: &Agent) -> Vec<String> {
    let path = at(format!("{}/providers/Sekisho.Fleet/events?$top=1000", agent.machine), FLEET);
    let body = client.get(&path).await.expect(200).json();
    let kind = |e: &Value| e["properties"]["kind"].as_str().unwrap().to_owned();
    body["value"].as_array().unwrap().iter().map(kind).collect()
}

async fn log(world: &World, client: &Http, agent: &Agent) -> Vec<Value> {
    let path = "providers/Microsoft.Insights/eventtypes/management/values?$filter=eventTimestamp ge 2020-01-01T00:00:00";
    let path = at(format!("{}/{}", world.server.sub, path.replace(' ', "%20")), "2015-04-01");
    let body = client.get(&path).await.expect(200).json();
    let of_it = |e: &&Value| e["resourceId"].as_str().is_some_and(|r| r.eq_ignore_ascii_case(&agent.machine));
    body["value"].as_array().unwrap().iter().filter(of_it).cloned().collect()
}

fn welcomed(message: &Option<ToAgent>) -> bool {
    matches!(message, Some(ToAgent::Welcome { .. }))
}

/// A machine, and a copy of it that has said hello while it was connected.
async fn copied(world: &World, root: &Http) -> Agent {
    let agent = join(&world.join_string(1).await, "web").await.ok().unwrap();
    let (mut first, welcome) = agent.greet("web", "one", 1).await;
    assert!(welcomed(&welcome), "{welcome:?}");
    first.say(&ToServer::Facts { facts: facts("web", "10.0.1.7/24") }).await;
    until("what it told of itself", async || {
        (machine(root, &agent).await["facts"]["hostname"] == "web").then_some(())
    })
    .await;
    let (mut second, welcome) = agent.greet("web-copy", "two", 2).await;
    assert!(welcomed(&welcome), "{welcome:?}");
    // Both live: both read, and so both answer.
    let (one, two) = tokio::join!(first.goodbye(), second.goodbye());
    for end in [one, two] {
        let (reason, retry_after) = end.unwrap();
        assert!(reason.contains("Two machines"), "{reason}");
        assert!(retry_after.is_some_and(|s| s >= 60), "they may ask again, later");
    }
    agent
}

#[tokio::test]
async fn two_machines_with_one_key_are_both_kept_out_and_are_told_of() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = copied(&world, &root).await;
    let told = machine(&root, &agent).await;
    assert_eq!(told["status"], "duplicate");
    let sightings = told["duplicate"]["sightings"].as_array().unwrap();
    let names: Vec<&str> = sightings.iter().map(|s| s["hostname"].as_str().unwrap()).collect();
    assert_eq!(names, ["web", "web-copy"]);
    assert!(sightings.iter().all(|s| s["address"] == "127.0.0.1" && s["bootId"] == "boot"), "{told}");
    let list = at(format!("{}/providers/Sekisho.Fleet/machines", world.server.sub), FLEET);
    let list = root.get(&list).await.expect(200).json();
    let row = list["value"].as_array().unwrap().iter().find(|m| m["name"] == "web").unwrap().clone();
    assert_eq!(row["status"], "duplicate");
    assert!(kinds(&root, &agent).await.contains(&"machine.duplicate".to_owned()));
    let entries = log(&world, &root, &agent).await;
    let operations: Vec<&str> = entries.iter().filter_map(|e| e["operationName"]["value"].as_str()).collect();
    assert!(operations.contains(&"Sekisho.Fleet/machines/quarantine/action"), "{operations:?}");

    // Nothing is given to either of them, though there is something to give, and nothing is taken.
    let nsg = world.network("networkSecurityGroups/nsg1");
    let nic = at(world.network("networkInterfaces/web-eth0"), NETWORK);
    let mut body = root.get(&nic).await.expect(200).json();
    body["properties"]["networkSecurityGroup"] = json!({ "id": nsg });
    root.put(&nic, body).await.expect(200);
    let changed = at(format!("{nsg}/securityRules/tls"), NETWORK);
    root.put(&changed, json!({"properties": rule(200, "443")})).await.expect(201);
    until("the desired document", async || {
        (machine(&root, &agent).await["network"]["generation"].as_u64() > Some(0)).then_some(())
    })
    .await;
    let before = kinds(&root, &agent).await.len();
    for (hostname, process) in [("web", "one"), ("web-copy", "two"), ("web-third", "three")] {
        let (mut link, first) = agent.greet(hostname, process, 9).await;
        assert!(matches!(first, Some(ToAgent::Bye { retry_after: Some(_), .. })), "{first:?}");
        assert!(link.hear().await.is_none());
    }
    assert_eq!(agent.renew().await.err(), Some(403));
    assert_eq!(kinds(&root, &agent).await.len(), before);
    let told = machine(&root, &agent).await;
    assert_eq!(told["duplicate"]["sightings"].as_array().unwrap().len(), 3, "{told}");
}

#[tokio::test]
async fn a_person_says_which_one_it_is_and_that_one_goes_on_as_before() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = copied(&world, &root).await;
    let path = at(format!("{}/rekey", agent.machine), COMPUTE);
    world.client("reader").await.post(&path, json!({})).await.refused(403, "AuthorizationFailed");
    let given = async || {
        let body = root.post(&path, json!({})).await.expect(200).json();
        body["joinString"].as_str().unwrap().to_owned()
    };
    let (lost, good) = (given().await, given().await);
    assert_eq!(agent.open().await.err(), Some(403), "its key is worth nothing any more");
    assert_eq!(machine(&root, &agent).await["status"], "duplicate", "nobody has come back yet");

    assert_eq!(
        join_as(&lost, "web", Some(&agent.machine)).await.err().unwrap().0,
        401,
        "only the newest counts"
    );
    let other = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1");
    let refused = join_as(&good, "vm1", Some(&other)).await.err().unwrap();
    assert_eq!((refused.0, &refused.1["error"]["code"]), (409, &json!("OtherMachine")));
    let chosen = join_as(&good, "web", Some(&agent.machine)).await.ok().unwrap();
    assert_eq!((&chosen.machine, &chosen.id), (&agent.machine, &agent.id));
    assert_eq!(join_as(&good, "web", Some(&agent.machine)).await.err().unwrap().0, 401, "once");

    let (mut link, welcome) = chosen.greet("web", "one", 10).await;
    assert!(welcomed(&welcome), "{welcome:?}");
    let told = machine(&root, &agent).await;
    assert_eq!((&told["status"], &told["duplicate"]), (&json!("online"), &Value::Null));
    assert_eq!(told["facts"]["hostname"], "web", "what was known of it stays");
    let history = kinds(&root, &agent).await;
    for kind in ["machine.joined", "machine.duplicate", "machine.rekeyed", "machine.rejoined"] {
        assert!(history.contains(&kind.to_owned()), "{kind}: {history:?}");
    }
    // What it has to tell is taken again; the copy stays out and changes nothing.
    let data = Map::from_iter([("n".to_owned(), json!(1))]);
    let entries = vec![Entry::Event { at: 0, kind: "test".into(), data }];
    let batch = Batch { stream: Stream::Security, epoch: Epoch(1), first: 1, entries };
    link.say(&ToServer::Events(batch)).await;
    while !matches!(link.hear().await, Some(ToAgent::Acknowledged { upto: 1, .. })) {}
    for _ in 0..3 {
        assert_eq!(agent.open().await.err(), Some(403));
    }
    assert_eq!(machine(&root, &agent).await["status"], "online");
    let shown = kinds(&root, &agent).await.into_iter().filter(|k| k == "machine.formerKey").count();
    assert_eq!(shown, 1, "that the copy still knocks is told once an hour");
}

#[tokio::test]
async fn a_machine_that_is_put_back_is_told_of_and_stays_in_and_two_that_take_turns_do_not() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = join(&world.join_string(1).await, "web").await.ok().unwrap();
    let says = async |process: &str, connections: u64| {
        let (link, first) = agent.greet("web", process, connections).await;
        drop(link);
        welcomed(&first)
    };
    for (process, connections) in [("a", 1), ("a", 2), ("b", 3), ("b", 4)] {
        assert!(says(process, connections).await);
    }
    assert!(!kinds(&root, &agent).await.contains(&"machine.rolledBack".to_owned()));
    // Its disk is put back to what it was before "b".
    assert!(says("c", 3).await);
    assert!(kinds(&root, &agent).await.contains(&"machine.rolledBack".to_owned()));
    // Never both at once, and both go on from where they were.
    assert!(says("d", 4).await);
    assert!(says("c", 5).await);
    assert!(!says("d", 6).await);
    assert_eq!(machine(&root, &agent).await["status"], "duplicate");
}

#[tokio::test]
async fn a_machine_that_has_joined_does_not_become_another_one_by_mistake() {
    let world = World::new().await;
    let join_string = world.join_string(1).await;
    let known = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1");
    let refused = join_as(&join_string, "vm1", Some(&known)).await.err().unwrap();
    assert_eq!((refused.0, &refused.1["error"]["code"]), (409, &json!("AlreadyJoined")));
    // It cost no use.
    join(&join_string, "new").await.ok().unwrap();
    // A machine that was set up anew takes the place of the one that it was.
    let root = world.client("root").await;
    let old = join(&world.join_string(1).await, "old").await.ok().unwrap();
    let path = at(format!("{}/rekey", old.machine), COMPUTE);
    let body = root.post(&path, json!({})).await.expect(200).json();
    let anew = join(body["joinString"].as_str().unwrap(), "old").await.ok().unwrap();
    assert_eq!(anew.machine, old.machine);
    anew.connect(0).await;
    // A retired machine's string is worth nothing.
    let body = root.post(&path, json!({})).await.expect(200).json();
    root.delete(&at(&old.machine, COMPUTE)).await.expect(200);
    assert_eq!(join(body["joinString"].as_str().unwrap(), "old").await.err().unwrap().0, 401);
}
