//! Certificates whose time is over, and clocks that are wrong.

use sekisho_identity::ring::Purpose;
use sekisho_link::pki::{Authority, RENEWABLE};
use time::{Duration, OffsetDateTime};

use crate::agent::{Agent, join};
use crate::kit::{COMPUTE, at};
use crate::seed::World;

/// The server's own authority, to make certificates of other times with.
async fn authority(world: &World) -> Authority {
    Authority::load(&world.server.data.identity(Purpose::AgentCa).await).unwrap()
}

async fn joined(world: &World) -> Agent {
    join(&world.join_string(1).await, "web").await.ok().unwrap()
}

#[tokio::test]
async fn a_certificate_that_is_over_gets_another_one_and_nothing_else() {
    let world = World::new().await;
    let (agent, own, now) = (joined(&world).await, authority(&world).await, OffsetDateTime::now_utc());
    for age in [Duration::hours(25), Duration::days(2), RENEWABLE] {
        let late = agent.signed_at(&own, now - age);
        assert_eq!(late.open().await.err(), Some(401), "{age}");
        let renewed = late.renew().await.unwrap();
        assert_eq!(agent.open().await.err(), None, "the answer could have been lost");
        drop(renewed);
    }
    // One of a server whose clock was ahead and has been set right.
    let early = agent.signed_at(&own, now + Duration::days(1));
    assert_eq!(early.open().await.err(), Some(401));
    let renewed = early.renew().await.unwrap();
    renewed.connect(0).await;
    assert_eq!(agent.open().await.err(), Some(403), "the renewed key is in use");
    let history = at(format!("{}/providers/Sekisho.Fleet/events", agent.machine), crate::kit::FLEET);
    let history = world.client("root").await.get(&history).await.expect(200).json();
    assert!(history.to_string().contains("certificate.renewed"), "{history}");
}

#[tokio::test]
async fn a_certificate_is_not_renewed_for_ever_nor_for_a_key_that_is_not_known() {
    let world = World::new().await;
    let (agent, own, now) = (joined(&world).await, authority(&world).await, OffsetDateTime::now_utc());
    for at in [now - RENEWABLE - Duration::days(2), now + RENEWABLE + Duration::days(2)] {
        let dated = agent.signed_at(&own, at);
        assert_eq!((dated.open().await.err(), dated.renew().await.err()), (Some(0), Some(0)), "not even TLS");
    }
    let foreign = Authority::load(&Authority::generate("Contoso", now).unwrap()).unwrap();
    assert_eq!(agent.signed_at(&foreign, now - Duration::days(2)).renew().await.err(), Some(0));
    // The right authority, the right agent, and a key that it was not given.
    let other = joined(&world).await;
    let (key, csr) = sekisho_link::pki::request().unwrap();
    let signed = own.agent(&csr, other.id.parse().unwrap(), now - Duration::days(2)).unwrap();
    assert_eq!(other.renewed(signed.certificate, key).renew().await.err(), Some(403));
    // Retired while it was off.
    let root = world.client("root").await;
    root.delete(&at(&agent.machine, COMPUTE)).await.expect(200);
    assert_eq!(agent.signed_at(&own, now - Duration::days(2)).renew().await.err(), Some(403));
}
