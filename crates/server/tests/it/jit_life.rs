//! What becomes of what is open: more time, what it is used for, and its end when nobody uses it.

use sekisho_jit::usage::{IDLE, USED};
use sekisho_link::message::{ToAgent, ToServer};
use sekisho_link::stream::{Batch, Entry, Epoch, Stream};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::agent::{self, Agent, Link};
use crate::jit::{act, asked, initiate, path, policy, port, requests, state, wanted};
use crate::kit::{COMPUTE, Http, at, until};
use crate::seed::{OWNER, World, grant};
use crate::signin::person;

fn end(request: &Value) -> OffsetDateTime {
    let text = request["virtualMachines"][0]["ports"][0]["endTimeUtc"].as_str().unwrap();
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

fn start(request: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(request["startTimeUtc"].as_str().unwrap(), &Rfc3339).unwrap()
}

pub(crate) fn events(request: &Value) -> Vec<&str> {
    let history = request["sekisho"]["history"].as_array().unwrap();
    history.iter().map(|m| m["event"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn more_time_needs_the_same_yes_as_the_request_and_no_more_than_the_maximum_since_it_was_opened() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let mut people = Vec::new();
    for name in ["jun", "ken", "mei"] {
        let (id, _, cookies) = person(&world, &format!("{name}@contoso.test")).await;
        grant(&page, &group, OWNER, &id, "User").await;
        people.push(world.server.http().page(&cookies));
    }
    let [jun, ken, mei] = &people[..] else { panic!() };
    // Nobody needs to say yes: more time comes at once, and less too.
    page.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), json!({}))).await.expect(200);
    let open = initiate(&world, jun, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    let longer = act(&world, jun, "extend", &open, json!({"duration": "PT2H"})).await.expect(200).json();
    assert!(end(&longer) - end(&open) > Duration::minutes(59));
    let latest = start(&open) + Duration::hours(3);
    let most = |seconds: i64| {
        let instant = (latest + Duration::seconds(seconds)).format(&Rfc3339).unwrap();
        json!({ "endTimeUtc": instant })
    };
    act(&world, jun, "extend", &open, most(1)).await.refused(400, "JitAccessPolicyValidationFailed");
    act(&world, jun, "extend", &open, most(0)).await.expect(200);
    act(&world, jun, "revoke", &open, json!({})).await.expect(200);

    let approval = json!({"approval": {"required": 1}});
    page.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), approval)).await.expect(200);
    let open = initiate(&world, jun, asked(&world, 22, None, "PT1H")).await.expect(202).json();
    act(&world, jun, "extend", &open, json!({"duration": "PT2H"}))
        .await
        .refused(409, "JitRequestStateConflict");
    let open = act(&world, ken, "approve", &open, json!({})).await.expect(200).json();
    let why = json!({"duration": "PT2H", "justification": "Not done yet"});
    // Somebody else asks for it: neither they nor the requester say yes.
    let more = act(&world, mei, "extend", &open, why.clone()).await.expect(200).json();
    assert_eq!((end(&more), state(&more)), (end(&open), "approved"));
    assert_eq!(more["sekisho"]["extension"]["justification"], "Not done yet");
    assert_eq!(more["sekisho"]["extension"]["approvalsRequired"], 1);
    for not in [jun, mei] {
        act(&world, not, "approve", &open, json!({})).await.refused(403, "ApproverRequired");
    }
    let denied = act(&world, ken, "deny", &open, json!({"justification": "No"})).await.expect(200).json();
    assert_eq!((end(&denied), state(&denied)), (end(&open), "approved"));
    assert!(denied["sekisho"].get("extension").is_none(), "{denied}");
    act(&world, jun, "extend", &open, why.clone()).await.expect(200);
    act(&world, jun, "cancel", &open, json!({})).await.expect(200);
    act(&world, ken, "approve", &open, json!({})).await.refused(409, "JitRequestStateConflict");
    act(&world, jun, "extend", &open, why).await.expect(200);
    let given = act(&world, ken, "approve", &open, json!({})).await.expect(200).json();
    assert!(end(&given) - end(&open) > Duration::minutes(59));
    let expected = [
        "wait",
        "approve",
        "askExtension",
        "denyExtension",
        "askExtension",
        "dropExtension",
        "askExtension",
        "extend",
    ];
    assert_eq!(events(&given), expected);
    // Less time needs nobody.
    let less = act(&world, jun, "extend", &open, json!({"duration": "PT30M"})).await.expect(200).json();
    assert!(end(&less) < end(&open));
}

#[tokio::test]
async fn what_somebody_asked_for_ends_with_their_account() {
    let world = World::new().await;
    let (page, admin) = (world.page(), world.client("root").await);
    admin.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), json!({}))).await.expect(200);
    for how in ["disabled", "removed"] {
        let (id, _, cookies) = person(&world, &format!("{how}@contoso.test")).await;
        grant(&page, &world.rg1(""), OWNER, &id, "User").await;
        let theirs = world.server.http().page(&cookies);
        initiate(&world, &theirs, asked(&world, 22, None, "PT3H")).await.expect(202);
        let mut other = asked(&world, 22, None, "PT1H");
        other["virtualMachines"][0]["ports"][0]["allowedSourceAddressPrefix"] = "192.0.2.7".into();
        initiate(&world, &theirs, other).await.expect(202);
        let user = format!("/v1.0/users/{id}");
        match how {
            "disabled" => page.patch(&user, json!({"accountEnabled": false})).await.expect(204),
            _ => page.delete(&user).await.expect(204),
        };
        let over = until("the end of what was open", async || {
            let all = requests(&world, &admin).await;
            let theirs: Vec<Value> = all.into_iter().take(2).collect();
            theirs.iter().all(|request| state(request) == "revoked").then_some(theirs)
        })
        .await;
        assert_eq!(events(&over[0]), ["approve", "revoke"]);
    }
    until("nothing being open on the machine", async || {
        (wanted(&world).await["grants"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn where_the_policy_says_so_the_only_port_on_which_anything_listens_is_not_guarded() {
    let world = World::new().await;
    let root = world.client("root").await;
    let mut machine = Machine::join(&world, &root).await;
    let body = |numbers: &[u16], only_way: &str| {
        let ports: Vec<Value> = numbers.iter().map(|n| port(*n, "*")).collect();
        json!({"properties": {"virtualMachines": [{"id": machine.agent.machine, "ports": ports}],
            "sekisho": {"onlyWay": only_way}}})
    };
    let (one, both, closing) = (body(&[22], "refuse"), body(&[22, 443], "refuse"), body(&[443], "close"));
    // It has told of nothing that listens.
    root.put(&path(&world, "default"), one.clone()).await.refused(409, "JitOnlyWay");
    let mut facts = agent::facts("vm2", "10.0.1.5/24");
    let listens = |address: &str, port: u16| json!({"protocol": "tcp", "address": address, "port": port});
    facts["sockets"] = json!([listens("0.0.0.0", 22), listens("127.0.0.1", 80), listens("::", 443)]);
    machine.link.say(&ToServer::Facts { facts }).await;
    until("a policy that leaves a way", async || {
        (root.put(&path(&world, "default"), one.clone()).await.status == 200).then_some(())
    })
    .await;
    root.put(&path(&world, "default"), both).await.refused(409, "JitOnlyWay");
    root.delete(&path(&world, "default")).await.expect(200);
    // Another policy may close the other way.
    root.put(&path(&world, "other"), closing).await.expect(200);
    root.put(&path(&world, "default"), one.clone()).await.refused(409, "JitOnlyWay");
    root.delete(&path(&world, "other")).await.expect(200);
    root.put(&path(&world, "default"), one).await.expect(200);
}

/// A machine with a link, and how much it has told.
pub(crate) struct Machine {
    pub(crate) agent: Agent,
    pub(crate) link: Link,
    told: u64,
}

impl Machine {
    pub(crate) async fn join(world: &World, root: &Http) -> Machine {
        let agent = agent::join(&world.join_string(1).await, "vm2").await.ok().unwrap();
        let mut link = agent.connect(0).await;
        link.say(&ToServer::Facts { facts: agent::facts("vm2", "10.0.1.5/24") }).await;
        let vm = at(&agent.machine, COMPUTE);
        until("the machine", async || (root.get(&vm).await.status == 200).then_some(())).await;
        Machine { agent, link, told: 0 }
    }

    pub(crate) async fn tell(&mut self, kind: &str, data: Value) {
        let Value::Object(data) = data else { panic!() };
        self.told += 1;
        let entries = vec![Entry::Event { at: 0, kind: kind.to_owned(), data }];
        let batch = Batch { stream: Stream::Telemetry, epoch: Epoch(1), first: self.told, entries };
        self.link.say(&ToServer::Events(batch)).await;
        while !matches!(self.link.hear().await, Some(ToAgent::Acknowledged { upto, .. }) if upto == self.told)
        {
        }
    }
}

fn usage(request: &Value) -> &Value {
    &request["virtualMachines"][0]["ports"][0]["usage"]
}

#[tokio::test]
async fn what_a_machine_tells_of_a_grants_use_is_shown_with_its_request_also_when_it_is_over() {
    let world = World::new().await;
    let root = world.client("root").await;
    let mut machine = Machine::join(&world, &root).await;
    let body = json!({"properties": {"virtualMachines": [{"id": machine.agent.machine, "ports": [port(22, "*")]}],
        "sekisho": {"onlyWay": "close", "idleClose": "PT10M"}}});
    root.put(&path(&world, "default"), body).await.expect(200);
    let ask = json!({"virtualMachines": [{"id": machine.agent.machine, "ports": [{"number": 22, "duration": "PT1H"}]}]});
    let open = initiate(&world, &root, ask.clone()).await.expect(202).json();
    let granted = |parts: &Value| parts["jit"]["grants"].as_array().is_some_and(|g| !g.is_empty());
    let (_, parts) = machine.link.desired(&machine.agent, 0, granted).await;
    let told = &parts["jit"]["grants"][0];
    assert_eq!(told["idle"], 600);
    let mark = told["mark"].as_u64().unwrap();
    let used = |packets: u64, last: i64| {
        json!({"mark": mark, "first": 1_764_000_000_000_i64, "last": last, "packets": packets,
            "bytes": packets * 60, "flows": 1})
    };
    assert_eq!(usage(&requests(&world, &root).await[0]), &Value::Null);
    machine.tell(USED, used(3, 1_764_000_001_000)).await;
    let shown = json!({"firstUsedUtc": "2025-11-24T16:00:00Z", "lastUsedUtc": "2025-11-24T16:00:01Z",
        "connections": 1, "packets": 3, "bytes": 180});
    assert_eq!(usage(&requests(&world, &root).await[0]), &shown);
    // What was said later holds, in whatever order it comes; of what is not its own a machine says nothing.
    machine.tell(USED, used(9, 1_764_000_009_000)).await;
    machine.tell(USED, used(4, 1_764_000_002_000)).await;
    assert_eq!(usage(&requests(&world, &root).await[0])["packets"], 9);
    let vm1 = policy(&world, json!([port(80, "*")]), json!({}));
    root.put(&path(&world, "other"), vm1).await.expect(200);
    root.post(&path(&world, "other/initiate"), asked(&world, 80, None, "PT1H")).await.expect(202);
    for kind in [USED, IDLE] {
        let mut of_another = used(7, 1_764_000_009_000);
        of_another["mark"] = json!(mark + 1);
        machine.tell(kind, of_another).await;
    }
    let other = root.get(&path(&world, "other")).await.expect(200).json();
    let other = &other["properties"]["requests"][0];
    assert_eq!((usage(other), state(other)), (&Value::Null, "approved"));

    machine.tell(IDLE, json!({ "mark": mark })).await;
    let over = requests(&world, &root).await.remove(0);
    assert_eq!((state(&over), events(&over)), ("expired", vec!["approve", "idle"]));
    assert_eq!(over["virtualMachines"][0]["ports"][0]["statusReason"], "Expired");
    assert_eq!(usage(&over)["packets"], 9);
    machine.tell(USED, used(11, 1_764_000_010_000)).await;
    assert_eq!(usage(&requests(&world, &root).await[0])["packets"], 11, "a last word that comes late");
    act(&world, &root, "extend", &open, json!({"duration": "PT2H"})).await.refused(404, "JitRequestNotFound");
    // With the policy everything goes, and a word about it says nothing any more.
    root.delete(&path(&world, "default")).await.expect(200);
    machine.tell(USED, used(12, 1_764_000_011_000)).await;
    let empty = json!({"properties": {"virtualMachines": []}});
    root.put(&path(&world, "default"), empty).await.expect(200);
    assert_eq!(requests(&world, &root).await, Vec::<Value>::new());
}
