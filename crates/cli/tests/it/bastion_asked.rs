//! Logins that must be asked for just in time, on a machine with a real SSH server.

use std::time::{Duration, Instant};

use serde_json::json;

use super::bastion_ssh::{ADMIN_LOGIN, Ssh};

#[test]
fn a_session_begins_when_it_was_asked_for_and_ends_with_what_was_asked_for() {
    let Some(ssh) = Ssh::new("fbj") else { return };
    ssh.bastion.give("db", ADMIN_LOGIN);
    let mut before = ssh.log_in("root");
    ssh.type_in(&mut before, "echo $((6*7))\r");
    ssh.until(&mut before, "42");

    let (api, machine) = (&ssh.bastion.world.api, ssh.bastion.machine("db"));
    let (group, _) = machine.split_once("/providers/").unwrap();
    let policy =
        format!("{group}/providers/Microsoft.Security/locations/home/jitNetworkAccessPolicies/default");
    let at = |verb: &str| format!("{policy}{verb}?api-version=2020-01-01");
    let body = json!({"kind": "Basic", "properties": {"virtualMachines": [{"id": machine, "ports": []}],
        "sekisho": {"login": {"maxRequestAccessDuration": "PT1H"}}}});
    api.put(&at(""), &body).unwrap();
    // Nobody had asked for what was open.
    let (why, long) = ssh.end(&mut before);
    assert_eq!(why, "NotAllowedAnyMore");
    assert!(long < Duration::from_secs(2), "it took {long:?}");
    let refused = ssh.begin("root").unwrap_err();
    assert!(refused.contains("just in time"), "{refused}");

    let what = json!({"user": "root", "login": {"duration": "PT1H"}});
    let asked = json!({"virtualMachines": [{"id": machine, "sekisho": what}]});
    let request = api.post(&at("/initiate"), &asked).unwrap();
    let mut during = ssh.log_in("root");
    ssh.type_in(&mut during, "echo $((6*9))\r");
    ssh.until(&mut during, "54");
    let revoked = Instant::now();
    api.post(&at("/revoke"), &json!({"requestId": request["sekisho"]["id"]})).unwrap();
    assert_eq!(ssh.end(&mut during).0, "NotAllowedAnyMore");
    assert!(revoked.elapsed() < Duration::from_secs(2), "the session outlives what was asked for");
    assert!(ssh.begin("root").unwrap_err().contains("just in time"));
}
