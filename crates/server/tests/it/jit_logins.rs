//! Logins through a bastion that must be asked for just in time. That a session on a machine ends with what was asked for is
//! tested with a real one (`sekisho`'s `bastion_ssh`).

use serde_json::{Value, json};

use crate::jit::{act, initiate, machine, path, requests};
use crate::kit::{Answer, Http, NETWORK, at, until};
use crate::links::place;
use crate::seed::{ADMIN_LOGIN, OWNER, USER_LOGIN, World, grant};
use crate::signin::person;

fn asks(machine: &str, user: Option<&str>, length: &str) -> Value {
    let mut what = json!({"login": {"duration": length}});
    if let Some(user) = user {
        what["user"] = user.into();
    }
    json!({"virtualMachines": [{"id": machine, "sekisho": what}]})
}

fn state(request: &Value) -> &str {
    request["virtualMachines"][0]["sekisho"]["elevations"][0]["state"].as_str().unwrap()
}

#[tokio::test]
async fn where_a_policy_says_so_nobody_logs_in_who_has_not_asked_and_been_allowed() {
    let world = World::new().await;
    let (page, group, vm) = (world.page(), world.rg1(""), machine(&world));
    let mut people = Vec::new();
    for (name, role) in [("jun", ADMIN_LOGIN), ("ken", USER_LOGIN)] {
        let (id, _, cookies) = person(&world, &format!("{name}@contoso.test")).await;
        grant(&page, &group, OWNER, &id, "User").await;
        grant(&page, &group, role, &id, "User").await;
        people.push(world.server.http().page(&cookies));
    }
    let [jun, ken] = &people[..] else { panic!() };
    let host = world.network("bastionHosts/gate");
    page.put(&at(&host, NETWORK), json!({"location": "home", "properties": {}})).await.expect(201);
    let place = place(&world, &host).await;
    let log_in = async |who: &Http, account: &str| -> Answer {
        let body = json!({"resourceId": vm, "account": account});
        who.post(&format!("/bastions/{place}/api/sessions"), body).await
    };
    // Whoever is let in learns that the machine is not there.
    log_in(ken, "ken").await.refused(409, "MachineNotConnected");
    let policy = |sekisho: Value| json!({"properties": {"virtualMachines": [{"id": vm, "ports": []}], "sekisho": sekisho}});
    let demands = json!({"login": {"maxRequestAccessDuration": "PT2H"}, "approval": {"required": 1}});
    page.put(&path(&world, "default"), policy(demands)).await.expect(200);
    log_in(ken, "ken").await.refused(403, "JitLoginRequired");
    log_in(jun, "root").await.refused(403, "JitLoginRequired");

    initiate(&world, ken, asks(&vm, None, "PT3H")).await.refused(400, "JitAccessPolicyValidationFailed");
    initiate(&world, ken, asks(&vm, Some("root"), "PT1H")).await.refused(403, "AuthorizationFailed");
    let asked = initiate(&world, ken, asks(&vm, None, "PT1H")).await.expect(202).json();
    let elevation = &asked["virtualMachines"][0]["sekisho"]["elevations"][0];
    assert_eq!((&elevation["kind"], &elevation["user"]), (&json!("login"), &json!("ken")));
    log_in(ken, "ken").await.refused(403, "JitLoginRequired");
    act(&world, ken, "approve", &asked, json!({})).await.refused(403, "ApproverRequired");
    act(&world, jun, "approve", &asked, json!({})).await.expect(200);
    // Nothing but the server opens it.
    until("the state", async || (state(&requests(&world, &page).await[0]) == "active").then_some(())).await;
    log_in(ken, "ken").await.refused(409, "MachineNotConnected");
    // It is theirs, and for that account.
    log_in(jun, "root").await.refused(403, "JitLoginRequired");
    log_in(jun, "ken").await.refused(403, "JitLoginRequired");
    let root = initiate(&world, jun, asks(&vm, Some("root"), "PT1H")).await.expect(202).json();
    act(&world, ken, "approve", &root, json!({})).await.expect(200);
    log_in(jun, "root").await.refused(409, "MachineNotConnected");
    log_in(jun, "jun").await.refused(403, "JitLoginRequired");

    act(&world, jun, "revoke", &asked, json!({})).await.expect(200);
    log_in(ken, "ken").await.refused(403, "JitLoginRequired");
    // Root is nobody to be made more than they are.
    let raised = json!({"virtualMachines": [{"id": vm, "sekisho": {"user": "root", "login": {"duration": "PT1H"},
        "sudo": {"duration": "PT1H"}}}]});
    initiate(&world, jun, raised).await.refused(400, "InvalidRequestContent");
    page.put(&path(&world, "default"), policy(json!({"sudo": {"maxRequestAccessDuration": "PT1H"}})))
        .await
        .refused(403, "AuthorizationFailed");
    page.delete(&path(&world, "default")).await.expect(200);
    log_in(ken, "ken").await.refused(409, "MachineNotConnected");
}
