//! What approvers are told over a webhook.

use std::path::Path;
use std::sync::{Arc, Mutex};

use hyper::body::Bytes;
use ring::hmac;
use sekisho_arm::Read as _;
use sekisho_link::pki::Authority;
use sekisho_store::Store;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::elsewhere::serve;
use crate::jit::{asked, initiate, path, policy, port};
use crate::kit::{Server, until};
use crate::seed::World;

const SECRET: &str = "between us";

fn is_signed(request: &http::Request<Bytes>) -> bool {
    let header = request.headers()["sekisho-signature"].to_str().unwrap();
    let (seconds, tag) = header.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let age = OffsetDateTime::now_utc().unix_timestamp() - seconds.parse::<i64>().unwrap();
    let content = [seconds.as_bytes(), b".", request.body()].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag: Vec<u8> =
        (0..tag.len()).step_by(2).map(|i| u8::from_str_radix(&tag[i..i + 2], 16).unwrap()).collect();
    (0..60).contains(&age) && hmac::verify(&key, &content, &tag).is_ok()
}

/// What the other side of a webhook took, by `Sekisho-Notice`.
type Taken = Arc<Mutex<Vec<(String, Value)>>>;

/// The other side of the webhook of servers with these directories. It refuses the first messages, so many.
async fn chat(directories: &[&Path], refusals: usize) -> (Taken, Arc<Mutex<usize>>) {
    let authority = Authority::generate("chat", OffsetDateTime::now_utc()).unwrap();
    let (taken, refused) = (Taken::default(), Arc::new(Mutex::new(0)));
    let (log, count) = (taken.clone(), refused.clone());
    let chat = serve(&Authority::load(&authority).unwrap(), move |_, request| {
        assert!(is_signed(&request), "{request:?}");
        let mut refused = count.lock().unwrap();
        if *refused < refusals {
            *refused += 1;
            return (503, Value::Null);
        }
        let key = request.headers()["sekisho-notice"].to_str().unwrap().to_owned();
        log.lock().unwrap().push((key, serde_json::from_slice(request.body()).unwrap()));
        (200, json!("ok"))
    })
    .await;
    for own in directories {
        std::fs::write(own.join("chat.pem"), &authority.certificate).unwrap();
        let ca = own.join("chat.pem");
        let file = format!("url = \"{chat}/hook\"\nsecret = \"{SECRET}\"\nca_file = \"{}\"\n", ca.display());
        std::fs::write(own.join("webhook.toml"), file).unwrap();
    }
    (taken, refused)
}

/// Each is one of these requests, and each of them is one.
fn are_each_told_once(taken: &Taken, requests: &[Value]) {
    let taken = taken.lock().unwrap();
    let mut ids: Vec<&str> = taken.iter().map(|(key, _)| key.as_str()).collect();
    let mut expected: Vec<&str> = requests.iter().map(|r| r["sekisho"]["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected, "each once");
}

#[tokio::test]
async fn of_two_servers_on_one_database_one_tells_the_webhook() {
    let world = World::new().await;
    let Some(data) = world.server.data.beside() else { return };
    let (taken, _) = chat(&[world.server.data.path(), data.path()], 0).await;
    let other = Server::on(data).await;
    let root = world.client("root").await;
    let approval = json!({"approval": {"required": 1}});
    root.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), approval)).await.expect(200);
    let mut requests = Vec::new();
    for n in 1..=10 {
        let body = asked(&world, 22, Some(&format!("192.0.2.{n}")), "PT1H");
        requests.push(initiate(&world, &root, body).await.expect(202).json());
    }
    // Nobody tells what is noted as told.
    let store = Store::open(&other.data.url()).await.unwrap();
    until("all of them", async || {
        let known = store.read().await.unwrap().documents("jit-notice").await.unwrap();
        (known.iter().filter(|notice| notice.text.contains("told")).count() == 10).then_some(())
    })
    .await;
    are_each_told_once(&taken, &requests);
}

#[tokio::test]
async fn what_waits_for_approval_is_told_once_to_the_webhook_signed_and_again_until_it_is_taken() {
    let world = World::new().await;
    let root = world.client("root").await;
    let (taken, refused) = chat(&[world.server.data.path()], 1).await;

    // Where nobody has to say yes, nobody is told.
    root.put(&path(&world, "free"), policy(&world, json!([port(80, "*")]), json!({}))).await.expect(200);
    let approval = json!({"approval": {"required": 1}});
    root.put(&path(&world, "default"), policy(&world, json!([port(22, "*")]), approval)).await.expect(200);
    let ask = async |source: &str| {
        let mut body = asked(&world, 22, Some(source), "PT1H");
        body["justification"] = "<!channel> ticket 4711".into();
        initiate(&world, &root, body).await.expect(202).json()
    };
    let first = ask("192.0.2.1").await;
    until("the refusal", async || (*refused.lock().unwrap() == 1).then_some(())).await;
    // The next one has both of them told.
    let second = ask("192.0.2.2").await;
    until("both", async || (taken.lock().unwrap().len() == 2).then_some(())).await;
    let third = ask("192.0.2.3").await;
    until("the third", async || (taken.lock().unwrap().len() == 3).then_some(())).await;
    are_each_told_once(&taken, &[first, second, third]);
    let told = taken.lock().unwrap().clone();
    let (key, message) = &told[2];
    assert_eq!((&message["type"], &message["requestId"]), (&json!("Sekisho.Jit.RequestWaits"), &json!(key)));
    assert_eq!(message["approvals"]["required"], 1);
    assert_eq!(message["virtualMachines"][0]["ports"][0]["number"], 22);
    let text = message["text"].as_str().unwrap();
    assert!(text.contains("access to vm1. “‹!channel› ticket 4711” https://"), "{text}");
}
