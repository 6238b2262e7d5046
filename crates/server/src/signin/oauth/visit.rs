//! Signing in for one visit, by another way than HTTP: the visitor is shown a code, a person types it in the portal, as for
//! every device code, and what they give is gone with the visit.

use std::time::Duration;

use http::HeaderMap;
use sekisho_arm::traits::read_document;
use sekisho_arm::{ArmError, Outcome, StoreError};
use sekisho_identity::Secret;
use sekisho_identity::oauth::device::DeviceCode;
use sekisho_identity::oauth::{Wish, client};
use sekisho_store::{Feed, News};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Asker, device, person};
use crate::app::App;
use crate::http::{self as web, Peer};
use crate::signin::{entry, kind, people, person_ref};

/// How long an answer is waited for: a visitor holds a connection meanwhile.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a visitor waits for.
pub(crate) struct Invitation {
    code: Secret,
    feed: Feed,
    /// What the visitor is told.
    pub(crate) text: String,
}

fn asker(peer: Peer, program: &str) -> Asker {
    Asker { address: peer.0.ip(), user_agent: program.to_owned() }
}

/// Begins one. `program` is what the visitor's says of itself. `None` when too many wait.
pub(crate) async fn invite(app: &App, peer: Peer, program: &str) -> Option<Invitation> {
    let wish = Wish { scope: "ssh".to_owned(), ..Wish::default() };
    let (code, typed) = device::issue(app, client::SSH, wish, asker(peer, program)).await.ok()?;
    let feed = app.store.changes();
    let base = web::base_url(&HeaderMap::new(), &app.config);
    let text = format!("To sign in, open {base}{} in a browser and enter the code {typed}", device::PAGE);
    Some(Invitation { code, feed, text })
}

/// Waits until somebody has said yes or no, for [`PATIENCE`] at most: who, and the grant that they gave.
pub(crate) async fn answered(
    app: &App,
    peer: Peer,
    program: &str,
    Invitation { code, mut feed, .. }: Invitation,
) -> Option<(Uuid, Uuid)> {
    let key = code.digest().key();
    let waiting = async {
        loop {
            if let News::Changes(all) = feed.next().await?
                && !all.iter().any(|c| c.kind == kind::DEVICE_CODE && c.key == key)
            {
                continue;
            }
            let kept: Option<DeviceCode> =
                read_document(&mut app.store.read().await.ok()?, kind::DEVICE_CODE, &key).await.ok()?;
            if !kept?.waits() {
                return Some(());
            }
        }
    };
    timeout(PATIENCE, waiting).await.ok()??;
    let asker = asker(peer, program);
    let redeemed = app.store.write::<_, StoreError, _>(move |tx| {
        Box::pin(async move { person::redeem(tx, client::SSH, &code, &asker).await })
    });
    let (person, grant, ..) = redeemed.await.ok()?.ok()?;
    Some((person.id, grant.id))
}

/// Ends what somebody gave for a visit.
pub(crate) async fn leave(app: &App, peer: Peer, person: Uuid, grant: Uuid) {
    let address = peer.0.ip().to_string();
    let left = app.store.write::<_, ArmError, _>(move |tx| {
        Box::pin(async move {
            // It may have been ended already.
            if tx.remove_document(kind::GRANT, &grant.to_string()).await?
                && let Some(person) = people::by_id(tx.as_read(), person).await?
            {
                let ended = entry("grants/delete", person_ref(&person), Outcome::Succeeded, "OK", &address);
                tx.audit(ended).await?;
            }
            Ok(())
        })
    });
    if let Err(error) = left.await {
        tracing::warn!(code = error.code, %grant, "what was given for a visit could not be ended; its time will");
    }
}
