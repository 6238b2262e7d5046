//! A machine that is copied with its key.

use serde_json::{Value, json};

use super::{AGENT, SOON, World, unable};

#[test]
fn a_copied_machine_and_its_original_are_kept_out_until_one_of_them_is_given_a_new_key() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdk");
    world.deny_db();
    world.becomes("before", false, SOON);
    world.state_becomes("db", "applied");
    // A restart, a reconnect after the server's restart: one machine.
    world.site.kill_agent("db").unwrap();
    world.site.start_agent("db", AGENT, &[]).unwrap();
    world.site.kill_server();
    world.site.start_server().unwrap();
    let api = world.api.clone();
    world.known_becomes(&api, "db", "the machine is back", |k| k["status"] == "online");

    world.site.copy("db", ("copy", 9), AGENT).unwrap();
    let known = world.known_becomes(&api, "db", "the copy is noticed", |k| k["status"] == "duplicate");
    let seen: Vec<(&Value, &Value)> = known["duplicate"]["sightings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (&s["address"], &s["hostname"]))
        .collect();
    let expected =
        [("10.77.0.5", "db"), ("10.77.0.9", "copy")].map(|(address, host)| (json!(address), json!(host)));
    assert!(expected.iter().all(|(a, h)| seen.contains(&(a, h))), "{seen:?}");
    let generation = known["network"]["generation"].clone();

    // The rules that were in force stay, and a change reaches neither.
    world.remove("deny-db");
    world.known_becomes(&api, "db", "the change", |k| k["network"]["generation"] != generation);
    assert!(!world.passes("web", "db", 5432), "closed stays closed");
    let rules = world.nft("copy", &["list", "table", "inet", "sekisho"]);
    assert!(rules.contains("deny-db"), "the copy keeps what it was copied with: {rules}");
    assert_eq!(world.known(&api, "db").unwrap()["network"]["state"], "pending");

    let path = format!(
        "{}/providers/Microsoft.Compute/virtualMachines/db/rekey?api-version=2024-07-01",
        world.site.group()
    );
    let given = api.post(&path, &json!({})).unwrap();
    world.site.join_again("db", given["joinString"].as_str().unwrap()).unwrap();
    // The agent that runs takes it up by itself, and gets what it missed.
    world.known_becomes(&api, "db", "the machine is back", |k| k["status"] == "online");
    world.becomes("after the new key", true, SOON);
    world.state_becomes("db", "applied");
    let refused = world.site.join_again("copy", given["joinString"].as_str().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("used up"), "{refused}");
    assert_eq!(world.known(&api, "db").unwrap()["duplicate"], Value::Null);
    let host = &world.site.machine("db").unwrap().host;
    let agent = super::programs().join("sekisho-agent").display().to_string();
    let state = world.site.machine("db").unwrap().state.clone();
    let status = host.command(&agent).arg("--state-dir").arg(&state).arg("status").output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("agent         runs as process") && status.contains("as confirmed"), "{status}");
    // A second agent on the same state would be taken for a copy, so it does not start.
    let twice = host.command(&agent).arg("--state-dir").arg(&state).arg("run").output().unwrap();
    assert!(String::from_utf8_lossy(&twice.stderr).contains("another agent runs"), "{twice:?}");
}
