//! `sudo` and accounts for a time: who may offer them, who is given what, and what a machine says of it.

use sekisho_jit::elevation::{GIVEN, REFUSED};
use serde_json::{Value, json};

use crate::jit::{act, initiate, machine, path, requests, wanted, wanted_of};
use crate::jit_life::{Machine, events};
use crate::kit::until;
use crate::seed::{ADMIN_LOGIN, OWNER, USER_LOGIN, World, grant};
use crate::signin::person;

fn offers(machine: &str, sekisho: Value) -> Value {
    json!({"properties": {"virtualMachines": [{"id": machine, "ports": []}], "sekisho": sekisho}})
}

fn asks(machine: &str, what: Value) -> Value {
    json!({"virtualMachines": [{"id": machine, "sekisho": what}], "justification": "The disk is full"})
}

fn elevation(request: &Value) -> &Value {
    &request["virtualMachines"][0]["sekisho"]["elevations"][0]
}

#[tokio::test]
async fn what_is_offered_is_given_to_the_user_that_one_logs_in_as_and_to_no_other() {
    let world = World::new().await;
    let (page, group, vm) = (world.page(), world.rg1(""), machine(&world));
    let mut people = Vec::new();
    for (name, role) in [("Jun.K", Some(ADMIN_LOGIN)), ("ken", Some(USER_LOGIN)), ("mei", None)] {
        let (id, _, cookies) = person(&world, &format!("{name}@contoso.test")).await;
        grant(&page, &group, OWNER, &id, "User").await;
        if let Some(role) = role {
            grant(&page, &group, role, &id, "User").await;
        }
        people.push(world.server.http().page(&cookies));
    }
    let [jun, ken, mei] = &people[..] else { panic!() };
    let sudo = json!({"maxRequestAccessDuration": "PT1H", "runAs": ["root", "www-data"],
        "commands": ["/usr/bin/systemctl", "/usr/bin/tail"]});
    let both = json!({"sudo": sudo, "account": {"maxRequestAccessDuration": "PT2H", "home": "keep", "removeAfter": "P1D"}});
    // Nobody lets others ask for what they may not do themselves.
    for not in [ken, mei] {
        not.put(&path(&world, "default"), offers(&vm, both.clone()))
            .await
            .refused(403, "AuthorizationFailed");
    }
    let kept = jun.put(&path(&world, "default"), offers(&vm, both.clone())).await.expect(200).json();
    assert_eq!(kept["properties"]["sekisho"], both);

    // Their own user, from the name that they sign in with; another one is for administrators.
    let hour = json!({"duration": "PT1H"});
    initiate(&world, mei, asks(&vm, json!({ "sudo": hour }))).await.refused(403, "AuthorizationFailed");
    let other = json!({"user": "postgres", "sudo": hour});
    initiate(&world, ken, asks(&vm, other.clone())).await.refused(403, "AuthorizationFailed");
    let given = initiate(&world, jun, asks(&vm, other)).await.expect(202).json();
    assert_eq!(elevation(&given)["user"], "postgres");
    act(&world, jun, "revoke", &given, json!({})).await.expect(200);
    let given = initiate(&world, jun, asks(&vm, json!({ "account": hour }))).await.expect(202).json();
    assert_eq!(
        (&elevation(&given)["kind"], &elevation(&given)["user"]),
        (&json!("account"), &json!("jun.k"))
    );
    act(&world, jun, "revoke", &given, json!({})).await.expect(200);

    // A part of what is offered, and no more.
    let ask = |what: Value| asks(&vm, json!({ "sudo": what }));
    for (more, code) in [
        (json!({"duration": "PT1H", "commands": ["/bin/sh"]}), "JitSudoNotAllowed"),
        (json!({"duration": "PT1H", "runAs": ["postgres"]}), "JitSudoNotAllowed"),
        (json!({"duration": "PT1H", "commands": []}), "InvalidRequestContent"),
        (json!({"duration": "PT1H", "commands": ["/bin/a, /bin/sh"]}), "InvalidRequestContent"),
        (json!({"duration": "PT1H", "commands": ["/bin/a\nken ALL=(ALL) ALL"]}), "InvalidRequestContent"),
        (json!({"duration": "PT1H", "runAs": ["root) NOPASSWD: ALL"]}), "InvalidRequestContent"),
        (json!({}), "InvalidRequestContent"),
        (json!({"duration": "PT1H1S"}), "JitAccessPolicyValidationFailed"),
    ] {
        initiate(&world, ken, ask(more)).await.refused(400, code);
    }
    for name in ["root", "ALL", "Admins", "%sudo", "#0", "a b", "ken,mei", "ken\n"] {
        let body = asks(&vm, json!({"user": name, "sudo": hour}));
        initiate(&world, jun, body).await.refused(400, "InvalidRequestContent");
    }
    let part = json!({"duration": "PT30M", "runAs": ["www-data"], "commands": ["/usr/bin/tail"]});
    let given = initiate(&world, ken, ask(part)).await.expect(202).json();
    assert_eq!(
        (elevation(&given)["user"].as_str(), elevation(&given)["state"].as_str()),
        (Some("ken"), Some("approved"))
    );
    assert_eq!(
        (
            elevation(&given)["status"].as_str(),
            given["virtualMachines"][0]["ports"].as_array().unwrap().len()
        ),
        (Some("Initiated"), 0)
    );
    let told = until("what the machine is to give", async || {
        let told = wanted(&world).await["elevations"].clone();
        (told.as_array().map(Vec::len) == Some(1)).then_some(told)
    })
    .await;
    assert_eq!((&told[0]["user"], &told[0]["gives"]["sudo"]["existing"]), (&json!("ken"), &json!("cut")));
    let sudo = &told[0]["gives"]["sudo"]["sudo"];
    assert_eq!(sudo, &json!({"runAs": ["www-data"], "commands": ["/usr/bin/tail"]}));

    // More time counts from the beginning, and the same asked for again takes its place.
    act(&world, ken, "extend", &given, json!({"duration": "PT50M"})).await.expect(200);
    act(&world, ken, "extend", &given, json!({"duration": "PT2H"}))
        .await
        .refused(400, "JitAccessPolicyValidationFailed");
    initiate(&world, ken, ask(hour.clone())).await.expect(202);
    assert_eq!(elevation(&requests(&world, jun).await[1])["state"], "superseded");
    // What the policy offers no more is ended.
    let less = json!({"sudo": {"maxRequestAccessDuration": "PT1H", "commands": ["/usr/bin/tail"]}});
    jun.put(&path(&world, "default"), offers(&vm, less)).await.expect(200);
    assert_eq!(elevation(&requests(&world, jun).await[0])["state"], "revoked");
    until("nothing is given", async || wanted(&world).await.get("elevations").is_none().then_some(())).await;
    initiate(&world, ken, asks(&vm, json!({ "account": hour })))
        .await
        .refused(400, "JitElevationNotInPolicy");
    let elsewhere = asks(&vm.replace("vm1", "vm9"), json!({ "sudo": hour }));
    initiate(&world, ken, elsewhere).await.refused(400, "JitMachineNotInPolicy");
    let nothing = json!({"properties": {"virtualMachines": [{"id": vm, "ports": []}]}});
    jun.put(&path(&world, "other"), nothing).await.refused(400, "InvalidRequestContent");
}

#[tokio::test]
async fn a_machine_says_what_it_has_given_and_what_not_and_why() {
    let world = World::new().await;
    let page = world.page();
    let root = world.client("root").await;
    let (jo, _, cookies) = person(&world, "jo.k@contoso.test").await;
    for role in [OWNER, ADMIN_LOGIN] {
        grant(&page, &world.server.sub, role, &jo, "User").await;
    }
    let jo = world.server.http().page(&cookies);
    let mut machine = Machine::join(&world, &root).await;
    let vm = machine.agent.machine.clone();
    let hour = json!({"maxRequestAccessDuration": "PT1H"});
    let offer = json!({"sudo": hour, "account": hour, "approval": {"required": 1}});
    jo.put(&path(&world, "default"), offers(&vm, offer)).await.expect(200);
    let asked = json!({"account": {"duration": "PT1H"}, "sudo": {"duration": "PT1H"}});
    let waits = initiate(&world, &jo, asks(&vm, asked)).await.expect(202).json();
    assert_eq!(elevation(&waits)["state"], "pending");
    act(&world, &jo, "approve", &waits, json!({})).await.refused(403, "ApproverRequired");
    act(&world, &page, "approve", &waits, json!({})).await.expect(200);
    let both = |parts: &Value| parts["jit"]["elevations"].as_array().is_some_and(|all| all.len() == 2);
    let (_, parts) = machine.link.desired(&machine.agent, 0, both).await;
    let told = parts["jit"]["elevations"].as_array().unwrap().clone();
    assert_eq!((&told[0]["user"], &told[1]["user"]), (&json!("jo.k"), &json!("jo.k")));
    assert!(told[0]["gives"].get("account").is_some(), "the account comes first: {told:?}");
    let tell =
        |grant: &Value, by: i64| json!({"mark": grant["mark"], "end": grant["end"].as_i64().unwrap() + by});
    // Of another end than it has now, a machine says nothing.
    machine.tell(GIVEN, tell(&told[1], 1)).await;
    let states = |request: &Value| {
        let all = request["virtualMachines"][0]["sekisho"]["elevations"].as_array().unwrap().clone();
        all.iter().map(|e| e["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&requests(&world, &root).await[0]), ["approved", "approved"]);
    machine.tell(GIVEN, tell(&told[1], 0)).await;
    assert_eq!(states(&requests(&world, &root).await[0]), ["approved", "active"]);
    let mut why = tell(&told[0], 0);
    why["why"] = "the name is\n taken".into();
    machine.tell(REFUSED, why.clone()).await;
    let now = requests(&world, &root).await.remove(0);
    assert_eq!(
        (states(&now), elevation(&now)["problem"].as_str()),
        (vec!["refused".to_owned(), "active".to_owned()], Some("the name is taken"))
    );
    assert_eq!(events(&now), ["wait", "approve", "refuse"]);
    // What is over stays so, and is not in what the machine is to do.
    machine.tell(GIVEN, tell(&told[0], 0)).await;
    machine.tell(REFUSED, why).await;
    let again = requests(&world, &root).await.remove(0);
    assert_eq!((states(&again), events(&again).len()), (states(&now), 3));
    let wants = async || wanted_of(&world, &vm).await["elevations"].as_array().map_or(0, Vec::len);
    until("only the other is wanted", async || (wants().await == 1).then_some(())).await;
}
