//! The link without a kernel: machines join, hold a connection, are told what they should be, and are sent away.

use http::Method;
use sekisho_identity::ring::Purpose;
use sekisho_link::facts::facts_hash;
use sekisho_link::join::JoinString;
use sekisho_link::message::{ToAgent, ToServer};
use sekisho_link::pki;
use sekisho_store::Store;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::agent::{self, Agent, Link, applied, facts, hello, join};
use crate::kit::{COMPUTE, FLEET, Http, NETWORK, Server, at, soon, until};
use crate::seed::{World, rule};

/// Lets a machine in.
async fn joined(world: &World, name: &str) -> Agent {
    join(&world.join_string(1).await, name).await.ok().unwrap()
}

fn machine_path(id: &str) -> String {
    at(format!("{id}?$expand=instanceView"), COMPUTE)
}

/// Tells the server the facts and waits until it has them.
async fn report(world: &World, link: &mut Link, agent: &Agent, facts: Value) {
    let root = world.client("root").await;
    link.say(&ToServer::Facts { facts: facts.clone() }).await;
    until("the facts", async || {
        let body = root.get(&machine_path(&agent.machine)).await.json();
        (body["properties"]["sekisho"]["facts"] == facts).then_some(())
    })
    .await;
}

async fn connected(world: &World) -> u64 {
    world.server.admin("/status", json!({})).await["connectedAgents"].as_u64().unwrap()
}

#[tokio::test]
async fn a_machine_joins_tells_of_itself_and_is_placed() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = joined(&world, "web.example").await;
    assert_eq!(agent.machine, world.rg1("/providers/Microsoft.Compute/virtualMachines/web.example"));
    let mut link = agent.connect(0).await;
    let said = facts("web.example", "10.0.1.7/24");
    report(&world, &mut link, &agent, said.clone()).await;

    let machine = root.get(&machine_path(&agent.machine)).await.expect(200).json();
    let properties = &machine["properties"];
    assert_eq!(properties["vmId"], agent.id.as_str());
    assert_eq!(properties["osProfile"]["computerName"], "web.example");
    assert_eq!(properties["sekisho"]["status"], "online");
    assert_eq!(properties["instanceView"]["vmAgent"]["vmAgentVersion"], "1.2.3");
    let nic = world.network("networkInterfaces/web.example-eth0");
    assert_eq!(properties["networkProfile"]["networkInterfaces"][0]["id"], nic.as_str());

    let nic = root.get(&at(&nic, NETWORK)).await.expect(200).json();
    let configuration = &nic["properties"]["ipConfigurations"][0]["properties"];
    assert_eq!(configuration["privateIPAddress"], "10.0.1.7");
    assert_eq!(configuration["subnet"]["id"], world.network("virtualNetworks/net1/subnets/s1"));
    assert_eq!(nic["properties"]["macAddress"], "52-54-00-00-00-01");

    let list = at(format!("{}/providers/Sekisho.Fleet/machines", world.server.sub), FLEET);
    let list = root.get(&list).await.expect(200).json();
    let row = list["value"].as_array().unwrap().iter().find(|m| m["name"] == "web.example").unwrap();
    assert_eq!((&row["addresses"], &row["nics"]), (&json!(["10.0.1.7"]), &json!(1)));
    assert_eq!((&row["status"], &row["cpus"]), (&json!("online"), &json!(2)));

    // A second machine of the name gets another one; nobody takes over a machine by joining again.
    let twin = joined(&world, "web.example").await;
    assert_ne!(twin.machine, agent.machine);
    assert_ne!(twin.id, agent.id);
}

#[tokio::test]
async fn a_machine_has_all_its_interfaces_and_none_of_a_machine_with_a_longer_name() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (one, two) = (joined(&world, "web").await, joined(&world, "web-2").await);
    let (mut first, mut second) = (one.connect(0).await, two.connect(0).await);
    let many = |count: u8| {
        let mut said = facts("web", "10.0.1.7/24");
        let nic = |i: u8| json!({"name": format!("eth{i}"), "mac": format!("52:54:00:00:00:{i:02x}"), "mtu": 1500, "up": true, "addresses": [format!("10.0.2.{i}/24")]});
        said["nics"] = (1..=count).map(nic).collect();
        said
    };
    let names = async || {
        let body = root.get(&at(world.network("networkInterfaces"), NETWORK)).await.expect(200).json();
        let names = body["value"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap().to_owned());
        names.filter(|n| n.starts_with("web")).collect::<Vec<_>>()
    };
    report(&world, &mut second, &two, facts("web-2", "10.0.1.8/24")).await;
    report(&world, &mut first, &one, many(40)).await;
    assert_eq!(names().await.len(), 41);
    // A list reads the interfaces of all machines at once, and says the same as each machine; what is wanted of them
    // may change between the two.
    for (agent, interfaces) in [(&one, 40), (&two, 1)] {
        let row = until("a list that says what the machine says", async || {
            let path = at(world.rg1("/providers/Microsoft.Compute/virtualMachines"), COMPUTE);
            let listed = root.get(&path).await.expect(200).json();
            let alone = root.get(&at(&agent.machine, COMPUTE)).await.expect(200).json();
            let rows = listed["value"].as_array().unwrap();
            rows.iter().find(|row| **row == alone).cloned()
        })
        .await;
        let own = &row["properties"]["networkProfile"]["networkInterfaces"];
        assert_eq!(own.as_array().unwrap().len(), interfaces);
    }
    report(&world, &mut first, &one, many(1)).await;
    assert_eq!(names().await, ["web-2-eth0", "web-eth1"]);
}

#[tokio::test]
async fn the_list_of_machines_tells_the_same_of_a_database_from_before_it_was_kept_in_short() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nic = at(world.network("networkInterfaces/vm1-eth0"), NETWORK);
    let mut body = root.get(&nic).await.expect(200).json();
    let nsg = world.network("networkSecurityGroups/nsg1");
    body["properties"]["networkSecurityGroup"] = json!({ "id": nsg });
    root.put(&nic, body).await.expect(200);
    let list = at(world.rg1("/providers/Sekisho.Fleet/machines"), FLEET);
    let told = until("the desired document", async || {
        let list = root.get(&list).await.expect(200).json();
        (list["value"][0]["network"]["state"] == "pending").then_some(list)
    })
    .await;
    let row = &told["value"][0];
    assert_eq!((&row["nics"], &row["nsgs"]), (&json!(1), &json!([nsg])));
    assert_eq!((&row["addresses"], &row["cpus"]), (&json!(["10.0.1.4"]), &json!(2)));

    let program = world.program("root");
    let data = world.server.stop().await;
    forget_outlines(&data.url()).await;
    let server = Server::on(data).await;
    let again = crate::seed::sign_in(&server, program).await.get(&list).await.expect(200).json();
    assert_eq!(again, told);
}

/// Takes out of a stopped server's database what an older version did not write.
async fn forget_outlines(url: &str) {
    use sekisho_link::machine::kind::MACHINE;
    let store = Store::open(url).await.unwrap();
    let forget = store.write::<_, sekisho_arm::StoreError, _>(|tx| {
        Box::pin(async move {
            for kept in tx.documents(MACHINE).await? {
                let mut body = kept.body()?;
                for field in ["outline", "wanted", "attachments"] {
                    let state = body.as_object_mut().unwrap();
                    assert!(state.remove(field).is_some(), "{field}");
                }
                tx.put_document(MACHINE, &kept.key, body).await?;
            }
            Ok(())
        })
    });
    forget.await.unwrap();
}

#[tokio::test]
async fn a_machine_is_told_what_it_should_be_when_a_group_changes() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = joined(&world, "web").await;
    let mut link = agent.connect(0).await;
    report(&world, &mut link, &agent, facts("web", "10.0.1.7/24")).await;
    let nic = at(world.network("networkInterfaces/web-eth0"), NETWORK);
    let nsg = world.network("networkSecurityGroups/nsg1");
    let mut body = root.get(&nic).await.expect(200).json();
    body["properties"]["networkSecurityGroup"] = json!({"id": nsg});
    root.put(&nic, body).await.expect(200);
    let has = |text: &'static str| move |parts: &Value| parts.to_string().contains(text);
    let (first, parts) = link.desired(&agent, 0, has("ssh")).await;
    assert!(!parts.to_string().contains("tls"), "{parts}");

    root.put(&at(format!("{nsg}/securityRules/tls"), NETWORK), json!({"properties": rule(200, "443")}))
        .await
        .expect(201);
    let (second, _) = link.desired(&agent, first, has("tls")).await;
    assert!(second > first);
    let network = async || {
        let body = root.get(&machine_path(&agent.machine)).await.json();
        body["properties"]["sekisho"]["network"].clone()
    };
    assert_eq!(network().await["state"], "pending");
    link.say(&applied(second)).await;
    until("the report", async || (network().await["state"] == "applied").then_some(())).await;
    assert_eq!(network().await["applied"], second);

    // Only what is new is sent: a reconnect that knows all of it hears nothing, one that knows nothing hears it again.
    drop(link);
    let mut knows = agent.connect(second).await;
    root.put(&at(format!("{nsg}/securityRules/tls"), NETWORK), json!({"properties": rule(201, "443")}))
        .await
        .expect(200);
    let (third, _) = knows.desired(&agent, second, has("201")).await;
    assert_eq!(third, second + 1);
    drop(knows);
    let mut forgot = agent.connect(0).await;
    let (again, _) = forgot.desired(&agent, 0, |_| true).await;
    assert_eq!(again, third);
}

#[tokio::test]
async fn join_strings_that_are_not_good_are_refused_with_one_text() {
    let world = World::new().await;
    let root = world.client("root").await;
    let good = world.join_string(2).await;
    join(&good, "one").await.ok().unwrap();
    join(&good, "two").await.ok().unwrap();
    let used_up = join(&good, "three").await.err().unwrap();

    let unknown = {
        let mut parsed = JoinString::parse(&good).unwrap();
        parsed.secret[0] ^= 1;
        join(&parsed.to_text(), "x").await.err().unwrap()
    };
    let token = world.rg1("/providers/Sekisho.Fleet/enrolmentTokens/short");
    let body = json!({"location": "home", "properties": {"ttlSeconds": 60, "maxUses": 1}});
    let made = root.put(&at(&token, FLEET), body).await.expect(201).json();
    let revoked = made["properties"]["joinString"].as_str().unwrap().to_owned();
    // It is shown once.
    let later = root.get(&at(&token, FLEET)).await.expect(200).json();
    assert!(
        !later.to_string().contains("skj1.") && later["properties"].get("secretHash").is_none(),
        "{later}"
    );
    root.delete(&at(&token, FLEET)).await.expect(200);
    let revoked = join(&revoked, "x").await.err().unwrap();
    assert_eq!(used_up.0, 401);
    assert_eq!(used_up.1["error"]["code"], "InvalidJoinToken");
    for (what, other) in [("unknown", unknown), ("revoked", revoked)] {
        assert_eq!(other, used_up, "{what}");
    }
    let list = root.get(&at(world.rg1("/providers/Microsoft.Compute/virtualMachines"), COMPUTE)).await.json();
    assert_eq!(list["value"].as_array().unwrap().len(), 3, "vm1, one and two");

    let mut late = JoinString::parse(&world.join_string(1).await).unwrap();
    let group = world.rg1("");
    let data = world.server.stop().await;
    expire_tokens(&data.url(), &group).await;
    let server = Server::on(data).await;
    late.address = format!("localhost:{}", server.port);
    assert_eq!(join(&late.to_text(), "x").await.err().unwrap(), used_up, "expired");
}

/// Sets back the clock of every enrolment token of a server that is stopped: a minute is the shortest life it gives.
async fn expire_tokens(url: &str, group: &str) {
    let store = Store::open(url).await.unwrap();
    let group = sekisho_arm::Scope::parse(group).unwrap();
    let kind = sekisho_arm::TypeName::new("Sekisho.Fleet", "enrolmentTokens");
    let mut read = store.read().await.unwrap();
    let listing = sekisho_arm::Listing::of(&group, &kind);
    let tokens = sekisho_arm::Read::list(&mut read, &listing).await.unwrap();
    drop(read);
    for mut token in tokens {
        token.properties_mut().insert("expiresAt".into(), "2026-01-01T00:00:00Z".into());
        store
            .write::<_, sekisho_arm::StoreError, _>(move |tx| {
                Box::pin(async move { tx.put(token).await.map(|_| ()) })
            })
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_string_for_one_machine_lets_one_of_many_in() {
    let world = World::new().await;
    let join_string = world.join_string(1).await;
    let names: Vec<String> = (0..12).map(|n| format!("racer{n}")).collect();
    let tries = names.iter().map(|name| join(&join_string, name));
    let results = futures_util::future::join_all(tries).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    assert!(results.iter().filter_map(|r| r.as_ref().err()).all(|(status, _)| *status == 401));
}

#[tokio::test]
async fn nonsense_at_the_door_is_refused_and_costs_no_use() {
    let world = World::new().await;
    let join_string = world.join_string(1).await;
    let secret = join_string.rsplit_once('.').unwrap().1;
    let nobody = world.server.http();
    let send = async |body: Value| nobody.post("/link/join", body).await;
    let csr = pki::request().unwrap().1;
    send(json!({"secret": secret, "csr": "nonsense", "hostname": "m"}))
        .await
        .refused(400, "InvalidCertificateRequest");
    assert_eq!(send(json!({"secret": secret, "hostname": "m"})).await.status, 400);
    assert_eq!(send(json!({"secret": secret, "csr": csr, "hostname": "m", "more": 1})).await.status, 400);
    let big = json!({"secret": secret, "csr": "x".repeat(100_000), "hostname": "m"});
    send(big).await.refused(413, "RequestContentTooLarge");
    send(json!({"secret": "!", "csr": csr, "hostname": "m"})).await.refused(401, "InvalidJoinToken");
    nobody.raw(Method::GET, "/link/join", Default::default()).await.expect(405);
    let named = join(&join_string, "../../../etc/пасс wd").await.ok().unwrap();
    assert!(named.machine.starts_with(&world.rg1("/providers/Microsoft.Compute/virtualMachines/")));
    let name = named.machine.rsplit('/').next().unwrap();
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)), "{name}");
}

#[tokio::test]
async fn only_this_authoritys_certificates_get_through_tls() {
    let world = World::new().await;
    let agent = joined(&world, "web").await;
    // An authority of the same name signs the right agent's right key: only the signature is wrong. TLS says no, so
    // that there is no HTTP status.
    let now = time::OffsetDateTime::now_utc();
    let foreign = pki::Authority::load(&pki::Authority::generate("Contoso", now).unwrap()).unwrap();
    assert_eq!(agent.signed_by(&foreign).open().await.err(), Some(0));
    // The server's own certificate is none of an agent, though the same authority signed it.
    let shown = world.server.data.identity(Purpose::ServerTls).await;
    let server = agent.renewed(shown.certificate, shown.key);
    assert_eq!(server.open().await.err(), Some(0));
    // One of this authority for an agent that does not exist gets through TLS and no further.
    let own = pki::Authority::load(&world.server.data.identity(Purpose::AgentCa).await).unwrap();
    let (key, csr) = pki::request().unwrap();
    let nobody = own.agent(&csr, uuid::Uuid::new_v4(), now).unwrap();
    assert_eq!(agent.renewed(nobody.certificate, key).open().await.err(), Some(403));
    // Nor does a key that the agent was not given.
    let (key, csr) = pki::request().unwrap();
    let other = own.agent(&csr, uuid::Uuid::parse_str(&agent.id).unwrap(), now).unwrap();
    assert_eq!(agent.renewed(other.certificate, key).open().await.err(), Some(403));
    assert!(agent.signed_by(&own).open().await.is_ok());
    // Without any certificate the link is not spoken; the rest of the server does not serve it.
    world.server.http().get("/link/agent").await.refused(404, "NotFound");
    world.server.http().get("/link/confirm?x").await.refused(404, "NotFound");
    agent.connect(0).await;
}

#[tokio::test]
async fn a_retired_machine_is_sent_away_at_once_and_for_good() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = joined(&world, "web").await;
    let mut link = agent.connect(0).await;
    report(&world, &mut link, &agent, facts("web", "10.0.1.7/24")).await;
    root.delete(&at(&agent.machine, COMPUTE)).await.expect(200);
    let bye = loop {
        match link.hear().await {
            Some(ToAgent::Bye { reason, retry_after }) => break (reason, retry_after),
            Some(ToAgent::Desired(_)) => {}
            other => panic!("a goodbye was expected, not {other:?}"),
        }
    };
    assert_eq!(bye.1, None, "it must not come back: {}", bye.0);
    assert!(link.hear().await.is_none());
    assert_eq!(agent.open().await.err(), Some(403));
    root.get(&at(world.network("networkInterfaces/web-eth0"), NETWORK)).await.expect(404);
    // A machine that joins under the name afterwards is another one.
    let next = joined(&world, "web").await;
    assert_eq!(next.machine, agent.machine);
    next.connect(0).await;
    assert_eq!(agent.open().await.err(), Some(403));
}

#[tokio::test]
async fn a_machine_whose_group_is_removed_is_sent_away_too() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = joined(&world, "web").await;
    let mut link = agent.connect(0).await;
    root.delete(&at(world.rg1(""), crate::kit::GROUPS)).await;
    let mut said = Vec::new();
    while let Some(message) = link.hear().await {
        said.push(message);
    }
    assert!(matches!(said.last(), Some(ToAgent::Bye { retry_after: None, .. })), "{said:?}");
    assert_eq!(agent.open().await.err(), Some(403));
}

#[tokio::test]
async fn a_second_connection_takes_the_place_of_one_that_does_not_answer() {
    let world = World::new().await;
    let agent = joined(&world, "web").await;
    // Nobody reads from it any more: the machine's network has changed, say.
    let _first = agent.connect(0).await;
    let mut second = agent.connect(0).await;
    assert_eq!(connected(&world).await, 1);
    second.say(&ToServer::FactsPatch { base: "old".into(), patch: json!({}), hash: String::new() }).await;
    needs_facts(&mut second).await;
    let row = world.client("root").await.get(&machine_path(&agent.machine)).await.expect(200).json();
    assert_eq!(row["properties"]["sekisho"]["status"], "online");
}

async fn needs_facts(link: &mut Link) {
    loop {
        match link.hear().await {
            Some(ToAgent::NeedFacts) => return,
            Some(ToAgent::Desired(_)) => {}
            other => panic!("the server was expected to ask for facts, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_patch_is_taken_only_on_the_facts_it_was_made_for() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = joined(&world, "web").await;
    let mut link = agent.connect(0).await;
    let patch =
        |base: &str, patch: Value| ToServer::FactsPatch { base: base.into(), patch, hash: String::new() };
    link.say(&patch("none", json!({"hostname": "early"}))).await;
    needs_facts(&mut link).await;
    let first = facts("web", "10.0.1.7/24");
    report(&world, &mut link, &agent, first.clone()).await;

    link.say(&patch("stale", json!({"hostname": "wrong"}))).await;
    needs_facts(&mut link).await;
    link.say(&patch(&facts_hash(&first), json!({"hostname": "web2", "bootId": null}))).await;
    let kept = async || {
        root.get(&machine_path(&agent.machine)).await.json()["properties"]["sekisho"]["facts"].clone()
    };
    let second = until("the patched facts", async || {
        let kept = kept().await;
        (kept["hostname"] == "web2").then_some(kept)
    })
    .await;
    assert_eq!(second["nics"], first["nics"]);
    assert!(second.get("bootId").is_none(), "{second}");
    // The same patch again is stale: it was made for what is no more.
    link.say(&patch(&facts_hash(&first), json!({"hostname": "web3"}))).await;
    needs_facts(&mut link).await;
    assert_eq!(kept().await["hostname"], "web2");
    // The welcome names the facts that the server has.
    drop(link);
    let mut again = agent.open().await.unwrap();
    again.say(&hello(0)).await;
    let welcome = again.hear().await;
    let Some(ToAgent::Welcome { facts_hash: known, .. }) = welcome else { panic!("{welcome:?}") };
    assert_eq!(known, Some(facts_hash(&second)));
}

#[tokio::test]
async fn silent_and_half_open_connections_hold_up_nobody() {
    let world = World::new().await;
    let agent = joined(&world, "web").await;
    // Connections that stop at every stage: nothing said, half a TLS record, TLS and nothing, an upgrade and nothing.
    let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
    for _ in 0..40 {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", world.server.port)).await.unwrap();
        held.push(Box::new(stream));
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", world.server.port)).await.unwrap();
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        held.push(Box::new(stream));
    }
    for _ in 0..5 {
        held.push(Box::new(agent.dial().await.unwrap()));
        let mut stream = agent.dial().await.unwrap();
        stream.write_all(b"GET /link/agent HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        held.push(Box::new(stream));
        held.push(Box::new(agent.open().await.ok().unwrap()));
    }
    let other = joined(&world, "other").await;
    let mut link = soon("the link of another machine", other.connect(0)).await;
    report(&world, &mut link, &other, facts("other", "10.0.1.8/24")).await;
    // The machine itself is not locked out by its own ghosts either.
    let mut own = soon("the machine's own link", agent.connect(0)).await;
    report(&world, &mut own, &agent, facts("web", "10.0.1.7/24")).await;
    drop(held);
}

#[tokio::test]
async fn an_agent_that_talks_nonsense_loses_its_connection_and_nothing_else() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = joined(&world, "web").await;
    for first in [ToServer::Alive, ToServer::Facts { facts: json!({}) }, ToServer::Renew { csr: "x".into() }]
    {
        let mut link = agent.open().await.unwrap();
        link.say(&first).await;
        assert!(link.hear().await.is_none(), "{first:?}");
    }
    for nonsense in [
        ToServer::Facts { facts: json!({"nics": "none"}) },
        ToServer::Facts { facts: json!([]) },
        ToServer::FactsPatch { base: String::new(), patch: json!([]), hash: String::new() },
        ToServer::Renew { csr: "nonsense".into() },
    ] {
        let mut link = agent.connect(0).await;
        link.say(&nonsense).await;
        let mut said = Vec::new();
        while let Some(message) = link.hear().await {
            said.push(message);
        }
        assert!(
            !matches!(said.last(), Some(ToAgent::Bye { retry_after: None, .. })),
            "{nonsense:?}: {said:?}"
        );
    }
    // A message of a newer version is passed over.
    let mut link = agent.connect(0).await;
    link.say(&ToServer::Unknown).await;
    report(&world, &mut link, &agent, facts("web", "10.0.1.7/24")).await;
    root.get(&at(world.network("networkInterfaces/web-eth0"), NETWORK)).await.expect(200);
}

#[tokio::test]
async fn an_agent_speaks_for_its_own_machine_only() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (one, two) = (joined(&world, "one").await, joined(&world, "two").await);
    let (mut first, mut second) = (one.connect(0).await, two.connect(0).await);
    report(&world, &mut second, &two, facts("two", "10.0.1.9/24")).await;
    // It claims the other's name and hardware address.
    report(&world, &mut first, &one, facts("two", "10.0.1.9/24")).await;
    let machine = root.get(&machine_path(&two.machine)).await.json();
    assert_eq!(
        machine["properties"]["networkProfile"]["networkInterfaces"][0]["id"],
        world.network("networkInterfaces/two-eth0")
    );
    let nic = root.get(&at(world.network("networkInterfaces/two-eth0"), NETWORK)).await.json();
    assert_eq!(nic["properties"]["virtualMachine"]["id"], two.machine.as_str());
    let nic = root.get(&at(world.network("networkInterfaces/one-eth0"), NETWORK)).await.json();
    assert_eq!(nic["properties"]["virtualMachine"]["id"], one.machine.as_str());
}

/// Asks for a certificate for a new key.
async fn renew(link: &mut Link, agent: &Agent) -> Agent {
    let (key, csr) = pki::request().unwrap();
    link.say(&ToServer::Renew { csr }).await;
    loop {
        match link.hear().await {
            Some(ToAgent::Certificate { certificate, .. }) => return agent.renewed(certificate, key),
            Some(ToAgent::Desired(_)) => {}
            other => panic!("a certificate was expected, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_renewed_key_replaces_the_old_one_when_it_is_first_used() {
    let world = World::new().await;
    let old = joined(&world, "web").await;
    let mut link = old.connect(0).await;
    let lost = renew(&mut link, &old).await;
    drop(link);
    // The answer may have been lost: the old key still works, and asks again.
    let mut link = old.connect(0).await;
    let new = renew(&mut link, &old).await;
    drop(link);
    old.connect(0).await;
    // The one that never arrived is worth nothing.
    assert_eq!(lost.open().await.err(), Some(403));
    new.connect(0).await;
    // From now on the old one is worth nothing either: a copy of it cannot come in.
    let status = until("the end of the old key", async || old.open().await.err()).await;
    assert_eq!(status, 403);
    let mut link = new.connect(0).await;
    let newer = renew(&mut link, &new).await;
    newer.connect(0).await;
}

#[tokio::test]
async fn a_new_connection_can_be_probed_beside_the_one_in_use() {
    let world = World::new().await;
    let agent = joined(&world, "web").await;
    let mut link = agent.connect(0).await;
    let mut probe = agent.dial().await.unwrap();
    probe
        .write_all(b"GET /link/confirm?nonce-1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    soon("the answer to a probe", probe.read_to_string(&mut answer)).await.ok();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#"{"nonce":"nonce-1"}"#), "{answer}");
    link.say(&ToServer::FactsPatch { base: "old".into(), patch: json!({}), hash: String::new() }).await;
    needs_facts(&mut link).await;
}

#[tokio::test]
async fn clients_cannot_make_machines_or_write_what_only_a_machine_knows() {
    let world = World::new().await;
    let root = world.client("root").await;
    let made = at(world.rg1("/providers/Microsoft.Compute/virtualMachines/made-up"), COMPUTE);
    root.put(&made, json!({"location": "home"})).await.refused(400, "OperationNotAllowed");
    let vm = at(world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1"), COMPUTE);
    let before = root.get(&vm).await.expect(200).json();
    let mut body = before.clone();
    body["properties"]["vmId"] = json!("00000000-0000-0000-0000-000000000000");
    body["properties"]["sekisho"] = json!({"status": "online"});
    body["properties"]["networkProfile"] = json!({"networkInterfaces": []});
    body["tags"] = json!({"role": "web"});
    let after = root.put(&vm, body).await.expect(200).json();
    assert_eq!(after["tags"], json!({"role": "web"}));
    for field in ["vmId", "networkProfile", "storageProfile"] {
        assert_eq!(after["properties"][field], before["properties"][field], "{field}");
    }
    let nic = at(world.network("networkInterfaces/vm1-eth0"), NETWORK);
    let before = root.get(&nic).await.expect(200).json();
    let mut body = before.clone();
    body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] = json!("10.0.1.99");
    body["properties"]["virtualMachine"] = json!({"id": "/subscriptions/x"});
    let after = root.put(&nic, body).await.expect(200).json();
    assert_eq!(after["properties"]["virtualMachine"], before["properties"]["virtualMachine"]);
    let address =
        |nic: &Value| nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"].clone();
    assert_eq!(address(&after), address(&before));
}

#[tokio::test]
async fn what_arrives_over_the_link_is_in_the_activity_log_when_it_lets_in_or_takes_away() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = joined(&world, "web").await;
    let events = async |client: &Http| {
        let path = format!("{}/providers/Microsoft.Insights/eventtypes/management/values", world.server.sub);
        let body = client.get(&at(path, "2015-04-01")).await.expect(200).json();
        body["value"].as_array().unwrap().clone()
    };
    let join = events(&root)
        .await
        .into_iter()
        .find(|e| e["operationName"]["value"] == "Sekisho.Fleet/machines/join/action");
    let join = join.expect("the join is recorded");
    assert_eq!(join["resourceId"], agent.machine.as_str());
    assert!(
        join["authorization"]["evidence"]["enrolmentToken"].as_str().unwrap().contains("/enrolmentTokens/"),
        "{join}"
    );
    let everything = serde_json::to_string(&events(&root).await).unwrap();
    assert!(!everything.contains("skj1."), "a join string is in the activity log");
    // A refused join is recorded too: somebody is trying.
    let before = events(&root).await.len();
    let used = world.join_string(1).await;
    agent::join(&used, "last").await.ok().unwrap();
    agent::join(&used, "one too many").await.err().unwrap();
    let after = events(&root).await;
    let denied = after.iter().find(|e| {
        e["operationName"]["value"] == "Sekisho.Fleet/machines/join/action"
            && e["status"]["value"] == "Failed"
    });
    assert!(denied.is_some(), "{} entries before, {} after, none of a refusal", before, after.len());
}
