//! Keys that people say are theirs.

use serde_json::json;

use crate::seed::World;
use crate::signin::person;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ alice@laptop";

#[tokio::test]
async fn a_key_is_one_persons_until_they_take_it_back_and_what_is_no_good_key_is_nobodys() {
    let world = World::new().await;
    let (_, _, alice) = person(&world, "alice@contoso.test").await;
    let (_, _, bob) = person(&world, "bob@contoso.test").await;
    let [alice, bob] = [alice, bob].map(|cookies| world.server.http().page(&cookies));
    let body = json!({"publicKey": KEY});
    let told = alice.post("/ssh/keys", body.clone()).await.expect(200).json();
    assert_eq!(told["publicKey"].as_str().unwrap(), KEY.rsplit_once(' ').unwrap().0);
    assert_eq!(told["fingerprint"].as_str().unwrap().split(':').next(), Some("SHA256"));
    assert!(
        told["knownHosts"].as_str().unwrap().starts_with("@cert-authority *.sekisho ssh-ed25519 "),
        "{told}"
    );
    assert!(told["config"].as_str().unwrap().contains("ProxyJump gate.sekisho"), "{told}");

    // Said again it is the same one; somebody else's it cannot become.
    let again = alice.post("/ssh/keys", body.clone()).await.expect(200).json();
    assert_eq!(again["id"], told["id"]);
    bob.post("/ssh/keys", body.clone()).await.refused(409, "SshKeyInUse");
    assert!(bob.get("/ssh/keys").await.expect(200).json()["value"].as_array().unwrap().is_empty());
    let path = format!("/ssh/keys/{}", told["id"].as_str().unwrap());
    bob.delete(&path).await.refused(404, "ResourceNotFound");
    assert_eq!(alice.get("/ssh/keys").await.expect(200).json()["value"][0]["id"], told["id"]);
    alice.delete(&path).await.expect(204);
    alice.delete(&path).await.refused(404, "ResourceNotFound");
    bob.post("/ssh/keys", body).await.expect(200);

    for bad in ["", "x", "ssh-ed25519 AAAA", &"A".repeat(10_000), "-----BEGIN OPENSSH PRIVATE KEY-----"] {
        alice.post("/ssh/keys", json!({"publicKey": bad})).await.refused(400, "InvalidParameter");
    }
    world.server.http().post("/ssh/keys", json!({"publicKey": KEY})).await.expect(401);
}
