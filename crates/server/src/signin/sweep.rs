//! Removing what has ended by itself: sessions and grants that are over, codes and ceremonies that nobody finished,
//! links and passes that nobody opened, counters that have nothing to count, old sign-ins and notices.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sekisho_arm::traits::read_documents;
use sekisho_arm::{Read, StoreError};
use sekisho_identity::Person;
use sekisho_identity::access_pass::AccessPass;
use sekisho_identity::grant::Grant;
use sekisho_identity::link::Link;
use sekisho_identity::oauth::authorize::AuthorizationCode;
use sekisho_identity::oauth::device::DeviceCode;
use sekisho_identity::passkey::CEREMONY;
use sekisho_identity::session::Session;
use sekisho_identity::step_up::Approval;
use sekisho_identity::throttle::{Counter, KnownDevice, Place};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;

use super::oauth::Used;
use super::{kind, notices, sign_ins};
use crate::app::App;

/// For how long it is remembered that a link or a pass is over.
const REMEMBERED: time::Duration = time::Duration::days(7);
/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(600);

/// Removes it for as long as the server runs.
pub(crate) async fn keep(app: Arc<App>) {
    let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep(&app).await {
            tracing::warn!(%error, "what has ended stays until the next round");
        }
    }
}

async fn sweep(app: &App) -> Result<(), StoreError> {
    let ended = ended(&mut app.store.read().await?).await?;
    if ended.is_empty() {
        return Ok(());
    }
    app.store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                for (kind, key) in ended {
                    tx.remove_document(kind, &key).await?;
                }
                Ok(())
            })
        })
        .await
}

/// What has ended for good: nothing of it comes back, so it may be removed later than it was looked at.
async fn ended(read: &mut (dyn Read + '_)) -> Result<Vec<(&'static str, String)>, StoreError> {
    let now = read.now();
    let mut out = Vec::new();
    let codes: Vec<(String, AuthorizationCode)> = read_documents(read, kind::AUTHORIZATION_CODE).await?;
    let codes = codes.into_iter().filter(|(_, c)| c.stale(now));
    out.extend(codes.map(|(key, _)| (kind::AUTHORIZATION_CODE, key)));
    let codes: Vec<(String, DeviceCode)> = read_documents(read, kind::DEVICE_CODE).await?;
    let codes = codes.into_iter().filter(|(_, c)| c.stale(now));
    out.extend(codes.map(|(key, _)| (kind::DEVICE_CODE, key)));
    let used: Vec<(String, Used)> = read_documents(read, kind::ASSERTION).await?;
    let used = used.into_iter().filter(|(_, u)| u.until <= now);
    out.extend(used.map(|(key, _)| (kind::ASSERTION, key)));
    out.extend(sign_ins::old(read).await?.into_iter().map(|key| (kind::SIGN_IN, key)));
    out.extend(notices::old(read).await?.into_iter().map(|key| (kind::NOTICE, key)));
    // What a ceremony is made of differs from one to the other; none lasts longer than this.
    let begun = read.documents(kind::CEREMONY).await?;
    let begun = begun.into_iter().filter(|d| now - d.changed_at > 2 * CEREMONY);
    out.extend(begun.map(|d| (kind::CEREMONY, d.key)));
    let approvals: Vec<(String, Approval)> = read_documents(read, kind::APPROVAL).await?;
    let approvals = approvals.into_iter().filter(|(_, a)| a.expires <= now);
    out.extend(approvals.map(|(key, _)| (kind::APPROVAL, key)));
    // Whoever opens a link or types a pass too late is told so for a while.
    let links: Vec<(String, Link)> = read_documents(read, kind::LINK).await?;
    let links = links.into_iter().filter(|(_, l)| now - l.expires > REMEMBERED);
    out.extend(links.map(|(key, _)| (kind::LINK, key)));
    let passes: Vec<(String, AccessPass)> = read_documents(read, kind::ACCESS_PASS).await?;
    let passes = passes.into_iter().filter(|(_, p)| now - p.expires() > REMEMBERED);
    out.extend(passes.map(|(key, _)| (kind::ACCESS_PASS, key)));
    let counters: Vec<(String, Counter)> = read_documents(read, kind::THROTTLE).await?;
    let stale = |c: &Counter| Place::ALL.iter().all(|place| c.stale(*place, now));
    let counters = counters.into_iter().filter(|(_, c)| stale(c));
    out.extend(counters.map(|(key, _)| (kind::THROTTLE, key)));
    let devices: Vec<(String, KnownDevice)> = read_documents(read, kind::DEVICE).await?;
    let devices = devices.into_iter().filter(|(_, d)| d.is_over(now));
    out.extend(devices.map(|(key, _)| (kind::DEVICE, key)));
    out.extend(crate::bastion::ended_keys(read).await?.into_iter().map(|key| (kind::SSH_KEY, key)));
    let people: Vec<(String, Person)> = read_documents(read, kind::PERSON).await?;
    let generations: HashMap<Uuid, u64> = people.into_iter().map(|(_, p)| (p.id, p.generation)).collect();
    let holds = |person: &Uuid, generation| generations.get(person) == Some(&generation);
    let sessions: Vec<(String, Session)> = read_documents(read, kind::SESSION).await?;
    let sessions =
        sessions.into_iter().filter(|(_, s)| s.alive(now).is_err() || !holds(&s.person, s.generation));
    out.extend(sessions.map(|(key, _)| (kind::SESSION, key)));
    let grants: Vec<(String, Grant)> = read_documents(read, kind::GRANT).await?;
    let grants = grants.into_iter().filter(|(_, g)| g.alive(now).is_err() || !holds(&g.person, g.generation));
    out.extend(grants.map(|(key, _)| (kind::GRANT, key)));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use sekisho_arm::Write;
    use sekisho_arm::traits::write_document;
    use sekisho_identity::Secret;
    use sekisho_identity::link::LinkKind;
    use sekisho_identity::session::{self, Method};
    use sekisho_identity::step_up::{self, Operation};
    use sekisho_identity::throttle::Keyed;
    use sekisho_store::Store;
    use time::OffsetDateTime;

    use super::*;

    type Kept = Vec<(&'static str, String)>;

    /// Keeps one of everything, made so long ago; what there is then.
    async fn keep_all(tx: &mut dyn Write, person: &Person, ago: time::Duration) -> Result<Kept, StoreError> {
        let (then, address) = (tx.now() - ago, [127, 0, 0, 1].into());
        let mut kept = Vec::new();
        let (session, _) = Session::new(person, &[Method::Passkey], address, "", then).unwrap();
        write_document(tx, kind::SESSION, &session.key(), &session).await?;
        kept.push((kind::SESSION, session.key()));
        let (link, _) = Link::issue(LinkKind::Recovery, Some(person.id), time::Duration::HOUR, then).unwrap();
        write_document(tx, kind::LINK, &link.token.key(), &link).await?;
        kept.push((kind::LINK, link.token.key()));
        let (pass, _) = AccessPass::issue(person.id, 10, then).unwrap();
        write_document(tx, kind::ACCESS_PASS, &pass.id.to_string(), &pass).await?;
        kept.push((kind::ACCESS_PASS, pass.id.to_string()));
        let (approval, _) =
            step_up::Approval::issue(session.id, Operation::of("PUT", "/", b""), Vec::new(), then).unwrap();
        write_document(tx, kind::APPROVAL, &approval.key(), &approval).await?;
        kept.push((kind::APPROVAL, approval.key()));
        let (device, _) = KnownDevice::issue(person.id, then).unwrap();
        write_document(tx, kind::DEVICE, &device.key(), &device).await?;
        kept.push((kind::DEVICE, device.key()));
        let keyed = Keyed::new(&[1; 32], &[]);
        let [spot, ..] = keyed.places(&ago.to_string(), false, [192, 0, 2, 1].into());
        let mut counter = Counter::default();
        counter.fail(spot.place, Some(keyed.password("", &Secret::new("x"))), then);
        write_document(tx, kind::THROTTLE, &spot.key, &counter).await?;
        kept.push((kind::THROTTLE, spot.key));
        Ok(kept)
    }

    #[tokio::test]
    async fn what_is_over_is_swept_and_what_is_not_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/db", dir.path().display())).await.unwrap();
        let person = Person::new("jo@contoso.test", "Jo", OffsetDateTime::now_utc()).unwrap();
        let owner = person.clone();
        let (old, mut young) = store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(async move {
                    write_document(tx, kind::PERSON, &owner.id.to_string(), &owner).await?;
                    let old = keep_all(tx, &owner, time::Duration::days(400)).await?;
                    Ok((old, keep_all(tx, &owner, time::Duration::ZERO).await?))
                })
            })
            .await
            .unwrap();
        let sorted = |mut all: Kept| {
            all.sort_unstable();
            all
        };
        let mut found = ended(&mut store.read().await.unwrap()).await.unwrap();
        assert_eq!(sorted(found.clone()), sorted(old));
        // What a new generation of the person has ended is over at once.
        let session = young.remove(0);
        let mut person = person;
        person.generation += 1;
        store
            .write::<_, StoreError, _>(move |tx| {
                Box::pin(
                    async move { write_document(tx, kind::PERSON, &person.id.to_string(), &person).await },
                )
            })
            .await
            .unwrap();
        found.push(session);
        assert_eq!(sorted(ended(&mut store.read().await.unwrap()).await.unwrap()), sorted(found));
        assert!(session::ABSOLUTE < time::Duration::days(400));
    }
}
