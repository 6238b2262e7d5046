//! What happened to a machine: told while it is fresh, and from the lake when it is not.

use std::collections::BTreeMap;

use http::Method;
use sekisho_arm::Read as _;
use sekisho_lake::{Lake, Place};
use sekisho_link::message::{Report, ReportOutcome, ToAgent, ToServer};
use sekisho_link::pki;
use sekisho_store::Store;
use serde_json::{Value, json};
use sqlx::Connection as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::agent::{applied, facts, join};
use crate::kit::{COMPUTE, Data, FLEET, Http, ROLES, Server, at, until};
use crate::seed::{World, grant};

fn timeline(machine: &str, query: &str) -> String {
    format!("{machine}/providers/Sekisho.Fleet/events?api-version={FLEET}{query}")
}

fn instant(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

/// The whole history of a machine, oldest first.
async fn history(client: &Http, machine: &str) -> Vec<Value> {
    let body = client.get(&timeline(machine, "&$top=1000")).await.expect(200).json();
    assert_eq!(body["nextLink"], Value::Null);
    let mut all = body["value"].as_array().unwrap().clone();
    all.reverse();
    all
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["properties"]["kind"].as_str().unwrap()).collect()
}

/// Waits until the newest event is of a kind.
async fn happens(client: &Http, machine: &str, kind: &str) -> Value {
    until(kind, async || {
        let last = history(client, machine).await.pop()?;
        (last["properties"]["kind"] == kind).then_some(last)
    })
    .await
}

/// The lake of a running server, as another server on the same database and place would have it.
async fn beside(server: &Server) -> Lake {
    let store = Store::open(&server.data.url()).await.unwrap();
    let place = Place::Directory(server.data.path().join("lake"));
    Lake::on(store, place.open(server.tenant.parse().unwrap(), &BTreeMap::new()).unwrap())
}

/// A machine with a history.
async fn lived(world: &World, root: &Http) -> String {
    let agent = join(&world.join_string(1).await, "web").await.ok().unwrap();
    let machine = agent.machine.clone();
    let mut link = agent.connect(0).await;
    let before = facts("web", "10.0.1.7/24");
    link.say(&ToServer::Facts { facts: before.clone() }).await;
    let patch = json!({"kernel": {"release": "6.13.0"}, "memory": {"availableBytes": 1}});
    let base = sekisho_link::facts::facts_hash(&before);
    link.say(&ToServer::FactsPatch { base, patch, hash: String::new() }).await;
    happens(root, &machine, "facts.changed").await;
    // What is no news adds nothing.
    link.say(&ToServer::Alive).await;
    for _ in 0..2 {
        link.say(&applied(3)).await;
    }
    happens(root, &machine, "rules.applied").await;
    let message = "the server could not be reached".to_owned();
    let reverted = Report { generation: 4, outcome: ReportOutcome::Reverted, message };
    link.say(&ToServer::Report(reverted)).await;
    happens(root, &machine, "rules.reverted").await;
    let (_, csr) = pki::request().unwrap();
    link.say(&ToServer::Renew { csr }).await;
    while !matches!(link.hear().await, Some(ToAgent::Certificate { .. })) {}
    drop(link);
    happens(root, &machine, "agent.disconnected").await;
    machine
}

#[tokio::test]
async fn a_machines_history_is_told_and_is_the_same_when_it_has_moved_to_the_lake() {
    let world = World::new().await;
    let root = world.client("root").await;
    let machine = lived(&world, &root).await;
    let told = history(&root, &machine).await;
    let expected = [
        "machine.joined",
        "agent.connected",
        "facts.changed",
        "rules.applied",
        "rules.reverted",
        "certificate.renewed",
        "agent.disconnected",
    ];
    assert_eq!(kinds(&told), expected);
    let of = |n: usize| &told[n]["properties"];
    assert_eq!(of(0)["data"]["hostname"], "web");
    assert_eq!(of(1)["data"]["version"], "1.2.3");
    assert_eq!(of(2)["data"], json!({"kernel": {"from": "6.12.0", "to": "6.13.0"}}));
    assert_eq!(of(3)["data"], json!({"generation": 3, "message": ""}));
    assert_eq!(of(4)["data"], json!({"generation": 4, "message": "the server could not be reached"}));
    assert!(!of(6)["data"]["reason"].as_str().unwrap().is_empty());
    for (n, event) in told.iter().enumerate() {
        assert_eq!(
            (&event["properties"]["sequence"], &event["properties"]["stream"]),
            (&json!(n + 1), &json!("server"))
        );
        assert_eq!(event["type"], "Sekisho.Fleet/events");
        let id = event["id"].as_str().unwrap();
        assert!(id.starts_with(&machine) && id.ends_with(event["name"].as_str().unwrap()), "{id}");
        assert_eq!(root.get(&at(id, FLEET)).await.expect(200).json(), *event);
    }

    assert!(beside(&world.server).await.flush().await.unwrap() >= 7);
    assert_eq!(history(&root, &machine).await, told);
    for event in &told {
        assert_eq!(root.get(&at(event["id"].as_str().unwrap(), FLEET)).await.expect(200).json(), *event);
    }
    // What happens afterwards follows.
    let agent = join(&world.join_string(1).await, "other").await.ok().unwrap();
    assert_eq!(kinds(&history(&root, &agent.machine).await), ["machine.joined"]);
    assert_eq!(history(&root, &machine).await, told);
}

#[tokio::test]
async fn a_history_is_paged_newest_first_and_filtered_by_time_and_kind() {
    let world = World::new().await;
    let root = world.client("root").await;
    let machine = lived(&world, &root).await;
    let told = history(&root, &machine).await;
    for flushed in [false, true] {
        if flushed {
            beside(&world.server).await.flush().await.unwrap();
        }
        let (mut pages, mut next) = (Vec::new(), timeline(&machine, "&$top=3"));
        loop {
            let body = root.get(&next).await.expect(200).json();
            let page = body["value"].as_array().unwrap().clone();
            assert!(!page.is_empty() && page.len() <= 3);
            pages.extend(page);
            let Some(link) = body["nextLink"].as_str() else { break };
            next = link.strip_prefix(&world.server.base()).unwrap().to_owned();
        }
        pages.reverse();
        assert_eq!(pages, told);

        let when = told[3]["properties"]["eventTimestamp"].as_str().unwrap();
        let filtered = async |filter: &str| {
            let filter = filter.replace('+', "%2B").replace(' ', "%20");
            let body = root.get(&timeline(&machine, &format!("&$filter={filter}"))).await.expect(200).json();
            let mut found = body["value"].as_array().unwrap().clone();
            found.reverse();
            found
        };
        let time = |e: &Value| instant(e["properties"]["eventTimestamp"].as_str().unwrap());
        let since: Vec<_> = told.iter().filter(|e| time(e) >= instant(when)).cloned().collect();
        assert!(since.len() < told.len());
        assert_eq!(filtered(&format!("eventTimestamp ge '{when}'")).await, since);
        let until: Vec<_> = told.iter().filter(|e| time(e) < instant(when)).cloned().collect();
        assert_eq!(filtered(&format!("eventTimestamp lt '{when}'")).await, until);
        let exact =
            format!("eventTimestamp ge '{when}' and eventTimestamp le '{when}' and kind eq 'rules.applied'");
        assert_eq!(filtered(&exact).await, [told[3].clone()]);
        let either = "kind eq 'rules.applied' or kind eq 'machine.joined'";
        assert_eq!(kinds(&filtered(either).await), ["machine.joined", "rules.applied"]);
        assert_eq!(filtered("stream ne 'server'").await, [Value::Null; 0]);
        assert_eq!(filtered("kind eq 'a' and kind eq 'rules.applied'").await, [Value::Null; 0]);
    }
    for bad in ["&$filter=data eq '1'", "&$filter=kind gt 'a'", "&$filter=eventTimestamp ge 'now'"] {
        let path = timeline(&machine, &bad.replace(' ', "%20"));
        root.get(&path).await.refused(400, "InvalidFilterInQueryString");
    }
    root.get(&timeline(&machine, "&$top=0")).await.refused(400, "InvalidParameter");
    root.get(&timeline(&machine, "&$skiptoken=eA")).await.refused(400, "InvalidSkipToken");
    root.get(&timeline(&format!("{machine}x"), "")).await.refused(404, "ResourceNotFound");
    let group = world.network("networkSecurityGroups/nsg1");
    root.get(&timeline(&group, "")).await.refused(400, "UnsupportedResourceType");
    root.get(&at(format!("{machine}/providers/Sekisho.Fleet/events/1.server.0.1"), FLEET))
        .await
        .refused(404, "EventNotFound");
    let path = at(format!("{machine}/providers/Sekisho.Fleet/events/x"), FLEET);
    root.call(Method::PUT, &path, Some(json!({}))).await.refused(405, "MethodNotAllowed");
}

#[tokio::test]
async fn a_history_is_shown_to_whoever_may_read_events_of_that_machine_and_to_nobody_else() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = join(&world.join_string(1).await, "web").await.ok().unwrap();
    let path = timeline(&agent.machine, "");
    assert_eq!(
        world.client("reader").await.get(&path).await.expect(200).json()["value"].as_array().unwrap().len(),
        1
    );
    world.client("elsewhere").await.get(&path).await.refused(404, "ResourceGroupNotFound");
    world.client("stranger").await.get(&path).await.refused(404, "SubscriptionNotFound");
    world.server.http().get(&path).await.refused(401, "AuthenticationFailed");

    // A right to one machine's events is none to its neighbour's.
    let neighbour = world.rg1("/providers/Microsoft.Compute/virtualMachines/vm1");
    let stranger = world.program("stranger").object_id.clone();
    let role = at(
        format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions/5f1f9a4e-3d5c-4f0a-9f43-0f8f6a3a2b11",
            world.server.sub
        ),
        ROLES,
    );
    let body = json!({"properties": {"roleName": "Historian", "type": "CustomRole", "assignableScopes": [world.server.sub],
        "permissions": [{"actions": ["Sekisho.Fleet/events/read"]}]}});
    root.put(&role, body).await.expect(201);
    grant(&root, &neighbour, "5f1f9a4e-3d5c-4f0a-9f43-0f8f6a3a2b11", &stranger, "ServicePrincipal").await;
    let stranger = world.client("stranger").await;
    stranger.get(&timeline(&neighbour, "")).await.expect(200);
    assert_eq!(stranger.get(&path).await.status, 404);
    assert_eq!(stranger.get(&timeline(&format!("{}x", agent.machine), "")).await.status, 404);
}

#[tokio::test]
async fn many_histories_are_read_at_once() {
    let world = World::new().await;
    let root = world.client("root").await;
    let machine = join(&world.join_string(1).await, "web").await.ok().unwrap().machine;
    assert_eq!(history(&root, &machine).await.len(), 1);
    let mut clients = Vec::new();
    for _ in 0..24 {
        let client = world.client("root").await;
        client.get(&timeline(&machine, "")).await.expect(200);
        clients.push(client);
    }
    // All connections are open: nothing but the server itself is in the way of its requests.
    let mut readers = tokio::task::JoinSet::new();
    for client in clients {
        let path = timeline(&machine, "");
        readers.spawn(async move { client.get(&path).await.status });
    }
    assert!(readers.join_all().await.iter().all(|status| *status == 200));
}

#[tokio::test]
async fn a_segment_that_is_missing_is_an_error_and_not_a_shorter_history() {
    let world = World::new().await;
    let root = world.client("root").await;
    let machine = join(&world.join_string(1).await, "web").await.ok().unwrap().machine;
    beside(&world.server).await.flush().await.unwrap();
    let place = world.server.data.path().join("lake").join(&world.server.tenant);
    std::fs::remove_dir_all(place.join("events")).unwrap();
    root.get(&timeline(&machine, "")).await.refused(500, "EventSegmentUnreadable");
    let late = join(&world.join_string(1).await, "late").await.ok().unwrap().machine;
    assert_eq!(root.get(&timeline(&late, "")).await.status, 200, "its events are not in there");
}

#[tokio::test]
async fn a_removed_machine_is_retired_in_its_history() {
    let world = World::new().await;
    let root = world.client("root").await;
    let machine = join(&world.join_string(1).await, "web").await.ok().unwrap().machine;
    root.delete(&at(&machine, COMPUTE)).await.expect(200);
    root.get(&timeline(&machine, "")).await.refused(404, "ResourceNotFound");
    // The name is free again; who gets it sees what there was before it.
    let again = join(&world.join_string(1).await, "web").await.ok().unwrap().machine;
    assert_eq!(again, machine);
    assert_eq!(
        kinds(&history(&root, &machine).await),
        ["machine.joined", "machine.retired", "machine.joined"]
    );
}

#[tokio::test]
async fn a_server_that_starts_on_the_first_schema_makes_a_backup_and_brings_it_up_to_date() {
    let data = Data::new();
    let url = data.url();
    assert_eq!(sekisho_store::versions(&url).await.unwrap().found, 0);
    let key = if url.starts_with("postgres") { "TEXT COLLATE \"C\"" } else { "TEXT" };
    let statements = include_str!("../../../store/tests/schema-1.sql").replace("{key}", key);
    let mut direct = sqlx::AnyConnection::connect(&url).await.unwrap();
    for statement in statements.split(';').filter(|s| !s.trim().is_empty()) {
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut direct).await.unwrap();
    }
    drop(direct);
    let data = Server::on(data).await.stop().await;
    let versions = sekisho_store::versions(&url).await.unwrap();
    assert_eq!(versions.found, versions.known);
    let store = Store::open(&url).await.unwrap();
    let kept = store.read().await.unwrap().document("old", "one").await.unwrap().unwrap();
    assert_eq!(kept.body().unwrap(), json!({"kept": true}));
    let backups: Vec<_> = std::fs::read_dir(data.path().join("backups")).unwrap().flatten().collect();
    assert_eq!(backups.len(), 1);
    let text = zstd::decode_all(std::fs::File::open(backups[0].path()).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains(r#"{\"kept\":true}"#) && !text.contains("subscriptions"), "as it was before");
}
