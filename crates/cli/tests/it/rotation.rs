//! Keys that are replaced under real agents, which obey and witness whether they were there or not.

use serde_json::{Value, json};

use super::{AGENT, SOON, World, unable};

/// All but the server's certificate, which agents do not know.
const PURPOSES: [&str; 6] =
    ["agent-ca", "command-signing", "log-signing", "token-signing", "sealing", "throttle"];

impl World {
    fn rotate_all(&self) {
        for purpose in PURPOSES {
            self.site.admin(&["keys", "rotate", purpose, "--at-once"]).unwrap();
        }
        self.site.admin(&["keys", "rotate", "server-tls"]).unwrap();
    }

    /// What the agent of a machine keeps of who it is.
    fn identity(&self, name: &str) -> Value {
        let path = self.site.machine(name).unwrap().state.join("identity.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The size of the log that a machine has cosigned.
    fn witnessed(&self, name: &str) -> u64 {
        let witnesses = self.log()["witnesses"].clone();
        let own = witnesses
            .as_array()
            .unwrap()
            .iter()
            .find(|w| w["machineId"].as_str().unwrap().ends_with(&format!("/{name}")));
        own.map_or(0, |w| w["size"].as_u64().unwrap())
    }
}

#[test]
fn agents_obey_and_witness_over_rotations_of_every_key_whether_they_were_there_or_off() {
    if unable().is_some() {
        return;
    }
    let mut world = World::new("fdr");
    let joined = world.identity("db");
    world.site.kill_agent("db").unwrap();
    // One is there and one is off, twice.
    world.rotate_all();
    world.rotate_all();
    let seen = world.log()["size"].as_u64().unwrap();
    world.rule("web-22", super::rule(210, "Inbound", "Deny", "22"));
    world.state_becomes("web", "applied");
    world.log_becomes("web witnesses on", |_| world.witnessed("web") >= seen);
    assert_eq!(world.identity("db"), joined);

    let seen = world.log()["size"].as_u64().unwrap();
    world.site.start_agent("db", AGENT, &[]).unwrap();
    world.deny_db();
    world.becomes("after the agent is back", false, SOON);
    world.state_becomes("db", "applied");
    world.log_becomes("db witnesses on", |_| world.witnessed("db") >= seen);
    let followed = world.identity("db");
    for key in ["commandKey", "logKey"] {
        assert_ne!(followed[key], joined[key], "{key}");
        assert_eq!(followed[key], world.identity("web")[key], "{key}");
    }
    // The old keys are destroyed, and what follows is obeyed as before; over a restart, too.
    for purpose in ["command-signing", "log-signing"] {
        let refused = ["keys", "rotate", purpose, "--at-once", "--destroy-old"];
        world.site.admin(&refused).unwrap();
    }
    world.remove("deny-db");
    world.becomes("without the old keys", true, SOON);
    world.site.kill_agent("db").unwrap();
    world.site.start_agent("db", AGENT, &[]).unwrap();
    world.deny_db();
    world.becomes("after another start", false, SOON);
    assert_eq!(world.log()["distrustedBy"], json!(0));
}
