//! What is kept for the desktops of machines. That somebody sees one with it is tested with real displays.

use sekisho_arm::StoreError;
use sekisho_bastion::desktop::{self, Pin};
use sekisho_store::Store;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::kit::{COMPUTE, FLEET, Http, at};
use crate::seed::World;

async fn list(page: &Http, scope: &str, what: &str) -> Vec<Value> {
    let path = at(format!("{scope}/providers/Sekisho.Bastion/{what}"), FLEET);
    page.get(&path).await.expect(200).json()["value"].as_array().unwrap().clone()
}

#[tokio::test]
async fn passwords_and_certificates_of_a_machine_go_with_it_and_those_of_others_stay() {
    let world = World::new().await;
    let (page, gone, group) = (world.page(), crate::jit::machine(&world), world.rg1(""));
    let other = gone.replace("vm1", "vm10");
    let keep = json!({"protocol": "rdp", "account": "jun", "password": "secret"});
    let path = |machine: &str| at(format!("{machine}/providers/Sekisho.Bastion/keepCredential"), FLEET);
    page.post(&path(&other), keep.clone()).await.refused(404, "ResourceNotFound");
    let kept = page.post(&path(&gone), keep).await.expect(200).json();
    page.post(&path(&gone), json!({"protocol": "vnc", "password": "secret"})).await.expect(200);
    let pin = |machine: &str| Pin {
        machine: machine.to_owned(),
        port: 3389,
        fingerprint: "ab".repeat(32),
        since: OffsetDateTime::now_utc(),
        by: "jun@contoso.test".to_owned(),
    };
    let pins = [pin(&gone), pin(&other)];
    let store = Store::open(&world.server.data.url()).await.unwrap();
    let shown = store.write::<_, StoreError, _>(move |tx| {
        Box::pin(async move {
            for pin in &pins {
                desktop::keep(tx, pin).await?;
            }
            Ok(())
        })
    });
    shown.await.unwrap();
    assert_eq!(list(&page, &group, "credentials").await.len(), 2);
    assert_eq!(list(&page, &group, "desktopCertificates").await.len(), 2);

    page.delete(&at(&gone, COMPUTE)).await;
    assert_eq!(page.get(&at(&gone, COMPUTE)).await.status, 404);
    assert_eq!(list(&page, &group, "credentials").await, Vec::<Value>::new());
    let left = list(&page, &group, "desktopCertificates").await;
    assert_eq!(left.iter().map(|row| &row["properties"]["machine"]).collect::<Vec<_>>(), [&json!(other)]);
    // Nor is there a way to them for a machine that has the same name later.
    let id = kept["id"].as_str().unwrap();
    assert_eq!(page.get(&at(id, FLEET)).await.status, 404);
}
