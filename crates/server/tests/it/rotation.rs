//! Keys that are replaced while people and machines rely on them: nobody notices, and nobody is let in by an old one for
//! longer than it is trusted.

use std::sync::Arc;

use sekisho_arm::traits::read_documents;
use sekisho_audit::export;
use sekisho_identity::ring::{Key, MOST, Purpose};
use sekisho_link::join::JoinString;
use sekisho_link::message::{ToAgent, ToServer};
use sekisho_link::{pki, tls};
use sekisho_server::{admin, log};
use sekisho_store::Store;
use serde_json::{Value, json};

use crate::agent::{Agent, Link, applied, facts, join};
use crate::keys::shown;
use crate::kit::{Answer, Data, NETWORK, Server, at, dial, until};
use crate::seed::{World, rule};
use crate::signin::{PASSWORD, browser, invite, set_up_password, setup_link, with_password};

/// Those that the machines know, and those that only servers do.
const PINNED: [Purpose; 3] = [Purpose::AgentCa, Purpose::CommandSigning, Purpose::LogSigning];

async fn rotate(server: &Server, purpose: Purpose, how: &[&str]) -> Value {
    let mut body = json!({ "purpose": purpose });
    for word in how {
        body[*word] = true.into();
    }
    server.admin("/keys/rotate", body).await
}

fn states(keys: &Value, purpose: Purpose) -> Vec<&str> {
    shown(keys, purpose.word()).into_iter().map(|(_, state)| state).collect()
}

async fn joined(world: &World) -> Agent {
    join(&world.join_string(1).await, "web").await.ok().unwrap()
}

/// Puts the security group on the machine's interface; the generation that comes of it.
async fn attach(world: &World, agent: &Agent, link: &mut Link) -> u64 {
    let root = world.client("root").await;
    link.say(&ToServer::Facts { facts: facts("web", "10.0.1.7/24") }).await;
    let nic = at(world.network("networkInterfaces/web-eth0"), NETWORK);
    let mut body = until("the interface", async || {
        let nic = root.get(&nic).await;
        (nic.status == 200).then(|| nic.json())
    })
    .await;
    body["properties"]["networkSecurityGroup"] = json!({ "id": world.network("networkSecurityGroups/nsg1") });
    root.put(&nic, body).await.expect(200);
    let (generation, _) = link.desired(agent, 0, |parts| parts["nsg"].to_string().contains("ssh")).await;
    link.say(&applied(generation)).await;
    generation
}

/// Makes a rule that nobody has made before.
async fn add_rule(world: &World, name: &str, priority: u32) {
    let path = at(world.network(&format!("networkSecurityGroups/nsg1/securityRules/{name}")), NETWORK);
    let client = world.client("root").await;
    client.put(&path, json!({ "properties": rule(priority, "22") })).await.expect(201);
}

async fn obeys(world: &World, agent: &Agent, link: &mut Link, generation: u64, name: &str) -> u64 {
    add_rule(world, name, 300 + u32::try_from(generation).unwrap()).await;
    let wanted = format!("{name}\"");
    let (next, _) = link.desired(agent, generation, |parts| parts.to_string().contains(&wanted)).await;
    link.say(&applied(next)).await;
    next
}

#[tokio::test]
async fn every_key_is_replaced_while_a_machine_is_connected_and_it_obeys_before_and_after() {
    let world = World::new().await;
    let agent = joined(&world).await;
    let mut link = agent.connect(0).await;
    let mut generation = attach(&world, &agent, &mut link).await;
    for (n, purpose) in Purpose::ALL.into_iter().filter(|p| *p != Purpose::ServerTls).enumerate() {
        // Announced, and then at once.
        let keys = rotate(&world.server, purpose, &[]).await;
        assert_eq!(states(&keys, purpose), ["active", "pending"], "{purpose}");
        generation = obeys(&world, &agent, &mut link, generation, &format!("announced{n}")).await;
        let keys = rotate(&world.server, purpose, &["atOnce"]).await;
        assert_eq!(states(&keys, purpose), ["retiring", "active", "destroyed"], "{purpose}");
        generation = obeys(&world, &agent, &mut link, generation, &format!("used{n}")).await;
    }
    // The one that it knew is followed to the newest.
    let (command, _) = world.server.data.key(Purpose::CommandSigning).await;
    let (log, _) = world.server.data.key(Purpose::LogSigning).await;
    assert_eq!((link.command.to_string(), link.log.key.to_string()), (command, log));
    // Whoever was off all the time walks from the keys that it joined with, and takes the server by the old authority.
    drop(link);
    let mut again = agent.connect(generation).await;
    generation = obeys(&world, &agent, &mut again, generation, "again").await;
    assert_ne!(again.command, agent.command_key);
    // It gets another certificate, by the new authority, and with it all authorities.
    let renewed = agent.renew().await.unwrap();
    assert_eq!(pki::certificates(&renewed.ca).unwrap().len(), 2);
    let mut link = renewed.connect(generation).await;
    obeys(&world, &renewed, &mut link, generation, "renewed").await;
    // All of it is in the log, with what took the place of what.
    let entries = rotations(&world.server.data).await;
    assert_eq!(entries.len(), 16);
    for purpose in PINNED {
        let own: Vec<&Value> = entries.iter().filter(|e| e["purpose"] == purpose.word()).collect();
        assert_eq!(own[1]["follows"], own[0]["keyId"], "{purpose}");
        assert!(own.iter().all(|e| !e["publicKey"].as_str().unwrap().is_empty()), "{purpose}");
    }
    // Nothing of it needed a start, and a start changes nothing.
    let before = world.server.data.ring().await;
    let server = Server::on(world.server.stop().await).await;
    assert_eq!(server.data.ring().await, before);
}

/// What the log says of keys that were replaced, the oldest first.
async fn rotations(data: &Data) -> Vec<Value> {
    let store = Store::open(&data.url()).await.unwrap();
    let mut all = store.audit_page(i64::MAX, 1000).await.unwrap();
    all.reverse();
    let own = all.into_iter().map(|entry| entry.leaf.entry).filter(|e| e.operation.contains("keys/rotate"));
    own.filter_map(|e| e.properties).collect()
}

#[tokio::test]
async fn a_machine_that_was_off_over_several_rotations_comes_back_and_the_old_keys_are_worth_nothing() {
    let world = World::new().await;
    let agent = joined(&world).await;
    let mut link = agent.connect(0).await;
    let generation = attach(&world, &agent, &mut link).await;
    let old_command = world.server.data.key(Purpose::CommandSigning).await.1;
    drop(link);
    for purpose in [Purpose::CommandSigning, Purpose::LogSigning] {
        rotate(&world.server, purpose, &["atOnce"]).await;
        let keys = rotate(&world.server, purpose, &["atOnce", "destroyOld", "cutOff"]).await;
        assert_eq!(states(&keys, purpose), ["destroyed", "destroyed", "active"]);
    }
    add_rule(&world, "later", 400).await;
    let mut back = agent.connect(generation).await;
    let (later, _) = back.desired(&agent, generation, |parts| parts.to_string().contains("later")).await;
    assert!(later > generation);
    // It has left the old key: what a thief signs with it is refused.
    let thief = sekisho_link::SigningKey::from_pkcs8(&old_command).unwrap();
    let text = json!({"machine": agent.machine, "generation": later + 1, "parts": {}}).to_string();
    let forged = thief.sign(text);
    assert!(agent.command_key.open(&forged, &agent.machine, later).is_ok(), "this is what it was good for");
    assert!(back.command.open(&forged, &agent.machine, later).is_err());
}

/// As if the machine had been off for long.
async fn forget(data: &Data, machine: String) {
    let store = Store::open(&data.url()).await.unwrap();
    let forget = store.write::<_, sekisho_arm::StoreError, _>(move |tx| {
        Box::pin(async move {
            let mut kept = tx.document("machine", &machine).await?.unwrap().body()?;
            kept["lastReportAt"] = "2026-01-01T00:00:00Z".into();
            tx.put_document("machine", &machine, kept).await
        })
    });
    forget.await.unwrap();
}

#[tokio::test]
async fn machines_are_cut_off_only_by_who_says_so() {
    let world = World::new().await;
    let agent = joined(&world).await;
    let link = agent.connect(0).await;
    let vm1 = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1").to_lowercase();
    forget(&world.server.data, vm1).await;
    let before = world.server.data.ring().await;
    for purpose in PINNED {
        let body = json!({"purpose": purpose, "atOnce": true, "destroyOld": true});
        let refused =
            admin::ask(world.server.data.path(), "/keys/rotate", body).await.unwrap_err().to_string();
        // vm1 is off; the other one is connected, and has a certificate of the authority.
        let left = if purpose == Purpose::AgentCa { 2 } else { 1 };
        assert!(refused.starts_with(&format!("{left} machines")), "{refused}");
    }
    assert_eq!(world.server.data.ring().await, before);
    drop(link);
    // The authority: not even TLS any more, and no join string of before.
    let join_string = world.join_string(1).await;
    let keys = rotate(&world.server, Purpose::AgentCa, &["atOnce", "destroyOld", "cutOff"]).await;
    assert_eq!(states(&keys, Purpose::AgentCa), ["destroyed", "active"]);
    assert_eq!(agent.open().await.err(), Some(0));
    let point = JoinString::parse(&join_string).unwrap();
    let config = Arc::new(tls::joining(point.pin).unwrap());
    assert!(dial(world.server.port, config, tls::link_name()).await.is_err());
}

#[tokio::test]
async fn join_strings_of_an_authority_that_retires_still_let_in_and_new_ones_name_the_new_one() {
    let world = World::new().await;
    let old = world.join_string(2).await;
    let server_certificate =
        || std::fs::read_to_string(world.server.data.path().join("keys/server.pem")).unwrap();
    let before = server_certificate();
    rotate(&world.server, Purpose::AgentCa, &["atOnce"]).await;
    rotate(&world.server, Purpose::AgentCa, &["atOnce"]).await;
    assert_ne!(
        pki::leaf(&server_certificate()),
        pki::leaf(&before),
        "another certificate by the new authority"
    );
    assert_eq!(pki::certificates(&world.server.ca()).unwrap().len(), 3, "all are trusted");
    let new = world.join_string(1).await;
    let pin = |text: &str| JoinString::parse(text).unwrap().pin;
    assert_ne!(pin(&old), pin(&new));
    for text in [&old, &new] {
        let agent = join(text, "web").await.ok().unwrap();
        drop(agent.connect(0).await);
        // One that only ever heard of one authority.
        for ca in agent.ca.split_inclusive("-----END CERTIFICATE-----\n") {
            let port = agent.port;
            let config = Arc::new(tls::agent(ca, &agent.identity).unwrap());
            dial(port, config, tls::link_name()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_sealed_is_sealed_again_and_opens_when_the_old_key_is_gone() {
    let server = Server::fresh().await;
    let link = setup_link(&server).await;
    let (mut codes, made) = set_up_password(&server, &link, "jo@contoso.test").await;
    made.expect(200);
    let kept = async || -> Vec<(String, Value)> {
        let store = Store::open(&server.data.url()).await.unwrap();
        read_documents(&mut store.read().await.unwrap(), "totp").await.unwrap()
    };
    let before = kept().await;
    assert!(before[0].1["secret"].is_string(), "it is sealed: {before:?}");
    let keys = rotate(&server, Purpose::Sealing, &["atOnce", "destroyOld"]).await;
    assert_eq!(states(&keys, Purpose::Sealing), ["destroyed", "active"]);
    assert_ne!(kept().await[0].1["secret"], before[0].1["secret"]);
    with_password(&browser(&server), "jo@contoso.test", PASSWORD, &codes.fresh()).await.expect(200);
}

#[tokio::test]
async fn an_authenticator_that_was_kept_bare_is_sealed_by_the_next_start() {
    let server = Server::fresh().await;
    let link = setup_link(&server).await;
    let (mut codes, made) = set_up_password(&server, &link, "jo@contoso.test").await;
    made.expect(200);
    let sealing = server.data.key(Purpose::Sealing).await.1;
    let data = server.stop().await;
    let store = Store::open(&data.url()).await.unwrap();
    let kept: Vec<(String, Value)> = read_documents(&mut store.read().await.unwrap(), "totp").await.unwrap();
    let (person, mut kept) = kept[0].clone();
    let key = sekisho_identity::seal::SealingKey::new(sealing.as_slice().try_into().unwrap()).unwrap();
    let secret = key.open(&format!("totp|{person}"), kept["secret"].as_str().unwrap()).unwrap();
    kept["secret"] = json!(secret.to_vec());
    store
        .write::<_, sekisho_arm::StoreError, _>(move |tx| {
            Box::pin(async move { tx.put_document("totp", &person, kept).await })
        })
        .await
        .unwrap();
    let server = Server::on(data).await;
    until("the seal", async || {
        let kept: Vec<(String, Value)> =
            read_documents(&mut store.read().await.unwrap(), "totp").await.unwrap();
        kept[0].1["secret"].is_string().then_some(())
    })
    .await;
    with_password(&browser(&server), "jo@contoso.test", PASSWORD, &codes.fresh()).await.expect(200);
}

#[tokio::test]
async fn failures_that_were_counted_under_the_old_key_still_count() {
    let world = World::new().await;
    let (_, link) = invite(&world, "eve@contoso.test").await;
    set_up_password(&world.server, &link, "eve@contoso.test").await.1.expect(200);
    let page = browser(&world.server);
    let guess = async |n: u32| -> Answer {
        with_password(&page, "eve@contoso.test", &format!("guess number {n}"), "123456").await
    };
    for n in 0..9 {
        guess(n).await.refused(401, "InvalidCredentials");
    }
    rotate(&world.server, Purpose::Throttle, &["atOnce"]).await;
    guess(9).await.refused(401, "InvalidCredentials");
    guess(10).await.refused(429, "TooManyAttempts");
    rotate(&world.server, Purpose::Throttle, &["atOnce"]).await;
    guess(11).await.refused(429, "TooManyAttempts");
}

#[tokio::test]
async fn exports_from_before_and_after_a_rotation_verify_with_either_key() {
    let world = World::new().await;
    let export = async || {
        let mut out = Vec::new();
        log::export(&world.server.data.config(443), 1, None, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    };
    let verify = |text: &str, key: &str| export::verify(text.lines(), Some(&key.parse().unwrap())).unwrap();
    let first = world.server.data.key(Purpose::LogSigning).await.0;
    let before = export().await;
    rotate(&world.server, Purpose::LogSigning, &["atOnce"]).await;
    let during = export().await;
    rotate(&world.server, Purpose::LogSigning, &["atOnce", "destroyOld", "cutOff"]).await;
    let after = export().await;
    let newest = world.server.data.key(Purpose::LogSigning).await.0;
    for (text, key) in [(&before, &first), (&during, &first), (&after, &first), (&after, &newest)] {
        let report = verify(text, key);
        assert!(report.holds(), "{report}");
    }
    assert_eq!(verify(&after, &first).key.to_string(), newest);
    assert!(!verify(&before, &newest).holds(), "nobody knew of it");
    // What stands in the database is still what was signed, by the doctor's word without the root key, too.
    let server = Server::on(world.server.stop().await).await;
    let data = server.stop().await;
    std::fs::remove_file(data.path().join("keys/root.key")).unwrap();
    let mut out = Vec::new();
    log::export(&data.config(443), 1, None, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(verify(&text, &newest).holds() && verify(&text, &first).holds());
}

#[tokio::test]
async fn as_many_keys_may_live_as_machines_can_cope_with_and_no_more() {
    let world = World::new().await;
    let agent = joined(&world).await;
    for purpose in PINNED {
        for _ in 1..MOST {
            rotate(&world.server, purpose, &["atOnce"]).await;
        }
        let body = json!({"purpose": purpose, "atOnce": true});
        let refused =
            admin::ask(world.server.data.path(), "/keys/rotate", body).await.unwrap_err().to_string();
        assert!(refused.contains("live already"), "{refused}");
    }
    let mut link = agent.connect(0).await;
    let generation = attach(&world, &agent, &mut link).await;
    let renewed = agent.renew().await.unwrap();
    let mut link = renewed.connect(generation).await;
    obeys(&world, &renewed, &mut link, generation, "crowded").await;
    for purpose in PINNED {
        let keys = rotate(&world.server, purpose, &["atOnce", "destroyOld", "cutOff"]).await;
        assert_eq!(states(&keys, purpose).iter().filter(|state| **state != "destroyed").count(), 1);
    }
}

#[tokio::test]
async fn a_key_that_was_announced_comes_into_use_when_its_time_comes() {
    let world = World::new().await;
    let (_, link) = invite(&world, "eve@contoso.test").await;
    set_up_password(&world.server, &link, "eve@contoso.test").await.1.expect(200);
    let mut waiting = Vec::new();
    for purpose in [Purpose::CommandSigning, Purpose::Sealing, Purpose::AgentCa] {
        rotate(&world.server, purpose, &[]).await;
        let before = world.server.data.ring().await;
        waiting.push(before.into_iter().rfind(|k| k.purpose == purpose && k.active > k.created).unwrap());
    }
    let join_string = world.join_string(1000).await;
    let data = world.server.stop().await;
    let store = Store::open(&data.url()).await.unwrap();
    // Long enough for the server to have started before.
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(3);
    let rows: Vec<Value> = waiting
        .iter()
        .map(|key| serde_json::to_value(Key { active: soon, ..key.clone() }).unwrap())
        .collect();
    store
        .write::<_, sekisho_arm::StoreError, _>(move |tx| {
            Box::pin(async move {
                for row in rows {
                    let id = row["id"].as_str().unwrap().to_owned();
                    tx.put_document("keyring", &id, row).await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
    let server = Server::on(data).await;
    let point = JoinString::parse(&join_string).unwrap();
    let joins = async || {
        let here = JoinString {
            address: format!("localhost:{}", server.port),
            pin: point.pin,
            secret: point.secret.clone(),
        };
        join(&here.to_text(), "web").await.ok().unwrap()
    };
    assert_ne!(joins().await.command_key.to_string(), waiting[0].public, "not yet");
    until("the new command key", async || {
        (joins().await.command_key.to_string() == waiting[0].public).then_some(())
    })
    .await;
    let sealing = waiting[1].open(&[server.data.root()]).unwrap();
    let key = sekisho_identity::seal::SealingKey::new(sealing.as_slice().try_into().unwrap()).unwrap();
    until("everything is sealed with the new key", async || {
        let kept: Vec<(String, Value)> =
            read_documents(&mut store.read().await.unwrap(), "totp").await.unwrap();
        let (person, kept) = &kept[0];
        key.open(&format!("totp|{person}"), kept["secret"].as_str().unwrap()).ok().map(drop)
    })
    .await;
    let shown = std::fs::read_to_string(server.data.path().join("keys/server.pem")).unwrap();
    let chain = pki::certificates(&shown).unwrap();
    let new = pki::certificates(&waiting[2].public).unwrap();
    assert!(
        chain.contains(&new[0]) && chain.contains(&new[1]),
        "both certificates of the new authority follow"
    );
}

#[tokio::test]
async fn two_servers_on_one_database_change_over_together() {
    let world = World::new().await;
    let Some(data) = world.server.data.beside() else { return };
    let other = Server::on(data).await;
    let mut agent = joined(&world).await;
    let mut link = agent.connect(0).await;
    let generation = attach(&world, &agent, &mut link).await;
    drop(link);
    agent.port = other.port;
    let mut link = agent.connect(generation).await;
    for purpose in [Purpose::CommandSigning, Purpose::LogSigning, Purpose::AgentCa, Purpose::Throttle] {
        rotate(&world.server, purpose, &["atOnce"]).await;
    }
    // The other one tells its machines without being asked.
    let (command, _) = other.data.key(Purpose::CommandSigning).await;
    let (log, _) = other.data.key(Purpose::LogSigning).await;
    while (link.command.to_string(), link.log.key.to_string()) != (command.clone(), log.clone()) {
        match link.hear_all().await {
            Some(ToAgent::Successions(_) | ToAgent::Checkpoint(_)) => {}
            // What was decided of the machine in the meantime.
            Some(ToAgent::Desired(command)) => {
                link.log = link.log.advance(&command.proof.unwrap().advance).unwrap();
            }
            other => panic!("keys were expected, not {other:?}"),
        }
    }
    until("the same authorities", async || (other.ca() == world.server.ca()).then_some(())).await;
    obeys(&world, &agent, &mut link, generation, "both").await;
    agent.port = world.server.port;
    let mut renewed = agent.renew().await.unwrap();
    drop(link);
    renewed.port = other.port;
    drop(renewed.connect(generation).await);
}
