//! The log: what the server shows of it, whom it believes, and what it proves to whom.

use sekisho_arm::{Scope, StoreError};
use sekisho_audit::note::{Signer, Use};
use sekisho_audit::tree::{leaf_hash, proves_inclusion};
use sekisho_audit::witness::{Memory, WitnessError};
use sekisho_audit::{Checkpoint, Hash};
use sekisho_link::command::OPERATION;
use sekisho_link::message::{Remembered, Report, ReportOutcome, ToAgent, ToServer};
use sekisho_link::{machine, witnesses};
use sekisho_store::Store;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::agent::{Agent, Link, applied, facts, hello, join};
use crate::kit::{FLEET, Http, NETWORK, at, until};
use crate::seed::{World, rule};

const ACTIVITY: &str = "2015-04-01";

/// The log as a scope shows it.
async fn log(client: &Http, scope: &str) -> Value {
    let path = at(format!("{scope}/providers/Sekisho.Audit/logs/activity"), FLEET);
    client.get(&path).await.expect(200).json()["properties"].clone()
}

/// The events of one operation, the newest first.
async fn events(client: &Http, sub: &str, operation: &str) -> Vec<Value> {
    let path = at(format!("{sub}/providers/Microsoft.Insights/eventtypes/management/values"), ACTIVITY);
    let all = client.get(&path).await.expect(200).json()["value"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|e| e["operationName"]["value"] == operation).collect()
}

/// Lets a machine in.
async fn joined(world: &World, name: &str) -> Agent {
    join(&world.join_string(1).await, name).await.ok().unwrap()
}

/// Its key as a witness.
fn witness(agent: &Agent, of: Use) -> Signer {
    Signer::new(&witnesses::key_name(&agent.id), of, &Signer::generate().unwrap()).unwrap()
}

/// Says that it has seen the log as it is remembered.
async fn cosign(link: &mut Link, key: &Signer) {
    let line = key.line(&link.log.text().unwrap(), 1_800_000_000);
    link.say(&ToServer::Witnessed { key: key.verifier(), size: link.log.size, line }).await;
}

/// Makes a security group with a rule and attaches it to a machine's interface.
async fn attach(world: &World, agent: &Agent, link: &mut Link) {
    let root = world.client("root").await;
    let name = agent.machine.rsplit('/').next().unwrap();
    link.say(&ToServer::Facts { facts: facts(name, "10.0.1.7/24") }).await;
    let nic = at(world.network(&format!("networkInterfaces/{name}-eth0")), NETWORK);
    let mut body = until("the interface", async || {
        let nic = root.get(&nic).await;
        (nic.status == 200).then(|| nic.json())
    })
    .await;
    body["properties"]["networkSecurityGroup"] = json!({ "id": world.network("networkSecurityGroups/nsg1") });
    root.put(&nic, body).await.expect(200);
}

async fn change(world: &World, name: &str) {
    let path = at(world.network(&format!("networkSecurityGroups/nsg1/securityRules/{name}")), NETWORK);
    let client = world.client("root").await;
    let answer =
        client.put(&path, json!({ "properties": rule(u32::from(name.len() as u8) + 200, "22") })).await;
    assert!(answer.status < 300, "{answer:?}");
}

#[tokio::test]
async fn an_entry_is_proved_to_whoever_may_read_it_and_to_nobody_else() {
    let world = World::new().await;
    let (root, sub) = (world.client("root").await, world.server.sub.clone());
    change(&world, "ssh").await;
    let written = events(&root, &sub, "Microsoft.Network/networkSecurityGroups/securityRules/write").await;
    let (sequence, hash) = (&written[0]["properties"]["sequence"], &written[0]["properties"]["hash"]);
    let sequence: u64 = sequence.as_str().unwrap().parse().unwrap();
    let path = |scope: &str, name: &str| {
        at(format!("{scope}/providers/Sekisho.Audit/logs/activity/proofs/{name}"), FLEET)
    };
    let proof = root.get(&path(&sub, &sequence.to_string())).await.expect(200).json();
    let proof = &proof["properties"];
    assert_eq!(&proof["leafHash"], hash);
    let log = log(&root, &sub).await;
    let key = log["key"].as_str().unwrap().parse().unwrap();
    let signed = Checkpoint::open(proof["checkpoint"].as_str().unwrap(), &key).unwrap();
    assert_eq!(signed.size, proof["size"].as_u64().unwrap());
    let leaf = leaf_hash(proof["leaf"].as_str().unwrap().as_bytes());
    assert_eq!(leaf.to_string(), hash.as_str().unwrap());
    let hashes: Vec<Hash> = serde_json::from_value(proof["path"].clone()).unwrap();
    assert!(proves_inclusion(&leaf, sequence - 1, (signed.size, &signed.root), &hashes));

    // At the root it is the same; in another subscription, and for whoever may not read the log, it is not there.
    assert_eq!(
        root.get(&path("", &sequence.to_string())).await.expect(200).json()["properties"]["leafHash"],
        *hash
    );
    for name in ["0", "-1", "x", "999999"] {
        root.get(&path(&sub, name)).await.refused(404, "ResourceNotFound");
    }
    let other = format!("/subscriptions/{}", uuid::Uuid::new_v4());
    assert_eq!(root.get(&path(&other, &sequence.to_string())).await.status, 404);
    assert!(world.client("stranger").await.get(&path(&sub, &sequence.to_string())).await.status >= 403);
    world.client("reader").await.get(&path(&sub, &sequence.to_string())).await.expect(200);
}

#[tokio::test]
async fn the_log_is_witnessed_up_to_where_enough_machines_have_seen_it() {
    let world = World::new().await;
    let (root, sub) = (world.client("root").await, world.server.sub.clone());
    let (one, two) = (joined(&world, "one").await, joined(&world, "two").await);
    let (mut first, mut second) = (one.connect(0).await, two.connect(0).await);
    let keys = (witness(&one, Use::Cosignature), witness(&two, Use::Cosignature));
    let before = log(&root, &sub).await;
    assert_eq!((&before["machines"], &before["quorum"]), (&json!(3), &json!(3)), "vm1, one and two");
    assert_eq!((&before["finalSize"], &before["witnessedBy"]), (&json!(0), &json!(0)));
    let vm1 = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1");
    root.delete(&at(&vm1, crate::kit::COMPUTE)).await.expect(200);

    // A sign of life brings what is new of the log.
    for link in [&mut first, &mut second] {
        root.get(&at(format!("{sub}/providers/Sekisho.Audit/logs"), FLEET)).await.expect(200);
        change(&world, "ssh").await;
        let path = format!("{sub}/providers/Sekisho.Audit/logs/activity/proofs/1");
        root.get(&at(path, FLEET)).await.expect(200);
        link.say(&ToServer::Alive).await;
        let Some(ToAgent::Checkpoint(offered)) = link.hear_all().await else { panic!("no checkpoint") };
        link.log = link.log.advance(&offered).unwrap();
    }
    cosign(&mut first, &keys.0).await;
    until("one witness", async || {
        let shown = log(&root, &sub).await;
        let rows = shown["witnesses"].as_array().unwrap();
        (rows.len() == 1 && rows[0]["machineId"] == one.machine).then_some(())
    })
    .await;
    assert_eq!(log(&root, &sub).await["finalSize"], 0, "one of two is not enough");
    cosign(&mut second, &keys.1).await;
    let seen = first.log.size.min(second.log.size);
    let shown = until("two witnesses", async || {
        let shown = log(&root, &sub).await;
        (shown["finalSize"] == seen).then_some(shown)
    })
    .await;
    assert_eq!(
        (&shown["witnessedBy"], &shown["machines"], &shown["quorum"]),
        (&json!(2), &json!(2), &json!(2))
    );
    assert!(shown["size"].as_u64().unwrap() >= seen);

    // A signature of something else, under another name, or of another kind ends the connection and counts nothing.
    let text = Checkpoint { origin: "sekisho/x".to_owned(), size: 1, root: Hash([0; 32]) }.text();
    let foreign = ToServer::Witnessed { key: keys.0.verifier(), size: 1, line: keys.0.line(&text, 1) };
    first.say(&foreign).await;
    assert_eq!(first.goodbye().await, None);
    let mut first = one.connect(0).await;
    let plain = witness(&one, Use::Note);
    until("something of the log", async || {
        first.say(&ToServer::Alive).await;
        if let Some(ToAgent::Checkpoint(offered)) = first.hear_all().await {
            first.log = first.log.advance(&offered).unwrap();
        }
        (first.log.size > 0).then_some(())
    })
    .await;
    let line = plain.line(&first.log.text().unwrap(), 1);
    first.say(&ToServer::Witnessed { key: plain.verifier(), size: first.log.size, line }).await;
    assert_eq!(first.goodbye().await, None);
    assert_eq!(log(&root, &sub).await["finalSize"], seen);

    // One that does not believe it is shown, and said to be so by the figures and the doctor, too.
    let mut first = one.connect(0).await;
    first.say(&ToServer::Distrusts { reason: "the log had 9 entries and has 8".to_owned() }).await;
    until("the doubt", async || {
        let shown = log(&root, &sub).await;
        let doubt = &shown["witnesses"][0]["distrusts"];
        (shown["distrustedBy"] == 1 && doubt == "the log had 9 entries and has 8").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_decided_for_a_machine_is_an_intent_in_the_log_and_its_end_a_result() {
    let world = World::new().await;
    let (root, sub) = (world.client("root").await, world.server.sub.clone());
    let agent = joined(&world, "web").await;
    let mut link = agent.connect(0).await;
    attach(&world, &agent, &mut link).await;
    let (generation, _) = link.desired(&agent, 0, |parts| parts["nsg"].to_string().contains("ssh")).await;
    let own = async || {
        let all = events(&root, &sub, OPERATION).await;
        all.into_iter().filter(|e| e["resourceId"] == agent.machine.as_str()).collect::<Vec<_>>()
    };
    let begun = own().await[0].clone();
    assert_eq!(
        (&begun["status"]["value"], &begun["eventName"]["value"]),
        (&json!("Started"), &json!("BeginRequest"))
    );
    assert_eq!(begun["properties"]["generation"], generation.to_string());
    link.say(&applied(generation)).await;
    let ended = until("the result", async || {
        let newest = own().await[0].clone();
        (newest["eventName"]["value"] == "EndRequest").then_some(newest)
    })
    .await;
    assert_eq!(
        (&ended["status"]["value"], &ended["subStatus"]["value"]),
        (&json!("Succeeded"), &json!("Applied"))
    );
    assert_eq!(
        (&ended["correlationId"], &ended["properties"]["generation"]),
        (&begun["correlationId"], &json!(generation.to_string()))
    );
    // The same again is no other end.
    link.say(&applied(generation)).await;

    change(&world, "tls").await;
    let (second, _) = link.desired(&agent, generation, |parts| parts.to_string().contains("tls")).await;
    change(&world, "third").await;
    let (third, _) = link.desired(&agent, second, |parts| parts.to_string().contains("third")).await;
    let message = "cut off".to_owned();
    link.say(&ToServer::Report(Report { generation: third, outcome: ReportOutcome::Reverted, message }))
        .await;
    let all = until("the other ends", async || {
        let all = own().await;
        (all[0]["subStatus"]["value"] == "Reverted").then_some(all)
    })
    .await;
    let told: Vec<(&str, u64)> = all
        .iter()
        .filter(|e| e["eventName"]["value"] == "EndRequest")
        .map(|e| {
            (
                e["subStatus"]["value"].as_str().unwrap(),
                e["properties"]["generation"].as_str().unwrap().parse().unwrap(),
            )
        })
        .collect();
    assert_eq!(told[0], ("Reverted", third));
    assert_eq!(told.iter().filter(|(what, _)| *what == "Applied").count(), 1);
    assert!(told[1..].iter().all(|(what, of)| *what == "Superseded" || *of == generation), "{told:?}");

    // One of whose end nobody hears is given up.
    change(&world, "fourth").await;
    let (fourth, _) = link.desired(&agent, third, |parts| parts.to_string().contains("fourth")).await;
    let url = world.server.data.url();
    let _data = world.server.stop().await;
    let store = Store::open(&url).await.unwrap();
    let id = Scope::parse(&agent.machine).unwrap();
    for (before, gone) in [(-Duration::HOUR, false), (Duration::HOUR, true), (Duration::HOUR, false)] {
        let (id, before) = (id.clone(), OffsetDateTime::now_utc() + before);
        let given_up = store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move { machine::give_up(tx, &id, before).await })
            })
            .await
            .unwrap();
        assert_eq!(given_up, gone);
    }
    let last = store.audit_page(i64::MAX, 1).await.unwrap().remove(0).leaf.entry;
    assert_eq!(
        (last.detail.as_str(), last.properties.unwrap()["generation"].as_u64()),
        ("Timeout", Some(fourth))
    );
}

#[tokio::test]
async fn a_machine_that_is_ahead_of_a_restored_server_is_shown_the_shorter_log_and_given_a_later_generation()
{
    let world = World::new().await;
    let agent = joined(&world, "web").await;
    let mut link = agent.connect(0).await;
    attach(&world, &agent, &mut link).await;
    let (generation, parts) = link.desired(&agent, 0, |parts| parts["nsg"].to_string().contains("ssh")).await;
    // It has seen the log to be longer, and later generations than there are now.
    let ahead = generation + 5;
    let mut link = agent.open().await.unwrap();
    let ToServer::Hello { version, boot_id, facts_hash, lineage, .. } = hello(0) else { unreachable!() };
    let report = Some(Report { generation: ahead, outcome: ReportOutcome::Applied, message: String::new() });
    let log = Remembered { size: 1_000_000, distrusts: None };
    link.say(&ToServer::Hello { version, boot_id, generation: ahead, report, facts_hash, lineage, log })
        .await;
    assert!(matches!(link.hear_all().await, Some(ToAgent::Welcome { .. })));
    let Some(ToAgent::Checkpoint(offered)) = link.hear_all().await else { panic!("it is not shown") };
    let seen = Memory { key: agent.log_key.clone(), size: 1_000_000, root: Some(Hash([7; 32])) };
    let offered_size = Checkpoint::open(&offered.note, &agent.log_key).unwrap().size;
    let cut = WitnessError::Cut { known: 1_000_000, offered: offered_size };
    assert_eq!(seen.advance(&offered), Err(cut));
    // A person trusts the log again.
    link.log = link.log.advance(&offered).unwrap();
    let (later, again) = link.desired(&agent, ahead, |_| true).await;
    assert_eq!((later, again), (ahead + 1, parts));
}
