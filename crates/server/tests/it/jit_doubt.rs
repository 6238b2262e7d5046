//! A policy or a request that cannot be read back: it opens nothing, and nobody else is concerned.

use sekisho_arm::{Scope, StoreError};
use sekisho_jit::provider::{requests, unreadable};
use sekisho_link::message::ToServer;
use serde_json::{Value, json};

use crate::agent;
use crate::jit::{asked, initiate, machine, path, policy, port, wanted, wanted_of};
use crate::kit::{COMPUTE, at, until};
use crate::seed::World;

/// Makes something else of a policy in the database.
async fn spoil(world: &World, field: &'static str, value: Value) {
    let store = sekisho_store::Store::open(&world.server.data.url()).await.unwrap();
    let id = Scope::parse(path(world, "default").split('?').next().unwrap()).unwrap();
    let work = store.write::<_, StoreError, _>(move |tx| {
        Box::pin(async move {
            let mut kept = tx.get(&id).await?.unwrap();
            kept.rest["properties"][field] = value;
            tx.put(kept).await.map(drop)
        })
    });
    work.await.unwrap();
}

async fn cannot_be_read(world: &World) -> Vec<String> {
    let store = sekisho_store::Store::open(&world.server.data.url()).await.unwrap();
    unreadable(&mut store.read().await.unwrap()).await.unwrap()
}

fn grants(part: &Value) -> usize {
    part["grants"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_opens_nothing_and_guards_what_it_did_and_other_machines_go_on() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = agent::join(&world.join_string(1).await, "vm2").await.ok().unwrap();
    let mut link = agent.connect(0).await;
    link.say(&ToServer::Facts { facts: agent::facts("vm2", "10.0.1.5/24") }).await;
    let vm2 = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm2");
    until("the machine", async || (root.get(&at(&vm2, COMPUTE)).await.status == 200).then_some(())).await;
    let whole = policy(&world, json!([port(22, "*"), port(80, "*")]), json!({}));
    root.put(&path(&world, "default"), whole.clone()).await.expect(200);
    initiate(&world, &root, asked(&world, 22, None, "PT1H")).await.expect(202);
    let guards = |part: &Value| part["nics"][0]["ports"].as_array().map_or(0, Vec::len);
    until("what is open", async || (grants(&wanted(&world).await) == 1).then_some(())).await;

    let mut other = whole.clone();
    other["properties"]["virtualMachines"][0]["id"] = vm2.as_str().into();
    let mut ask = asked(&world, 80, Some("192.0.2.7"), "PT1H");
    ask["virtualMachines"][0]["id"] = vm2.as_str().into();
    for (round, (field, value)) in [
        ("sekisho", json!({"existingConnections": 7})),
        ("virtualMachines", json!([{"id": machine(&world), "ports": [{"number": "22"}]}])),
        ("virtualMachines", json!("gone")),
    ]
    .into_iter()
    .enumerate()
    {
        spoil(&world, field, value).await;
        // Whoever writes another policy is not refused, and is given nothing: it may be guarded already.
        other["properties"]["sekisho"] = json!({"onlyWay": "openForWriter"});
        root.put(&path(&world, "other"), other.clone()).await.expect(200);
        root.post(&path(&world, "other/initiate"), ask.clone()).await.expect(202);
        let part = until("the other machine", async || {
            let part = wanted_of(&world, &vm2).await;
            (grants(&part) == 1).then_some(part)
        })
        .await;
        assert_eq!(guards(&part), 2);
        let part = until("the end of what was open", async || {
            let part = wanted(&world).await;
            (grants(&part) == 0).then_some(part)
        })
        .await;
        assert_eq!(guards(&part), 2, "{field}: {part}");
        assert_eq!(cannot_be_read(&world).await.len(), 1, "{field}");
        // Written again, it says the same as before.
        root.put(&path(&world, "default"), whole.clone()).await.expect(200);
        until("what is open", async || (grants(&wanted(&world).await) == 1).then_some(())).await;
        assert_eq!(cannot_be_read(&world).await, Vec::<String>::new());
        root.delete(&path(&world, "other")).await.expect(200);
        until(&format!("the end of round {round}"), async || {
            wanted_of(&world, &vm2).await.is_null().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_opens_nothing_and_goes_with_its_policy() {
    let world = World::new().await;
    let root = world.client("root").await;
    let body = policy(&world, json!([port(22, "*"), port(80, "*")]), json!({}));
    root.put(&path(&world, "default"), body).await.expect(200);
    for number in [22, 80] {
        initiate(&world, &root, asked(&world, number, None, "PT1H")).await.expect(202);
    }
    until("what is open", async || (grants(&wanted(&world).await) == 2).then_some(())).await;
    let store = sekisho_store::Store::open(&world.server.data.url()).await.unwrap();
    let spoilt = store.write::<_, StoreError, _>(|tx| {
        Box::pin(async move {
            let all = tx.as_read().documents(requests::LIVE).await?;
            tx.put_document(requests::LIVE, &all[0].key, json!({"grants": "all"})).await
        })
    });
    spoilt.await.unwrap();
    initiate(&world, &root, asked(&world, 80, Some("192.0.2.7"), "PT1H")).await.expect(202);
    until("the others", async || {
        let part = wanted(&world).await;
        let ports: Vec<_> = part["grants"].as_array()?.iter().map(|g| g["port"].as_u64()).collect();
        (ports == [Some(80), Some(80)]).then_some(())
    })
    .await;
    assert_eq!(cannot_be_read(&world).await.len(), 1);
    root.get(&path(&world, "default")).await.expect(200);
    root.delete(&path(&world, "default")).await.expect(200);
    assert_eq!(cannot_be_read(&world).await, Vec::<String>::new());
}
