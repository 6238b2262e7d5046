//! Notices: what people are told in the portal until they say that they have seen it, because it may have been done to
//! them by somebody else. The log has all of it too; a notice is for whoever does not read the log.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{ArmError, Read, StoreError, Write};
use sekisho_identity::Person;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{answer, graph, kind, sessions};
use crate::app::App;
use crate::authn::Caller;
use crate::http as web;
use crate::routes::{List, Operation, Routes};

/// How long they are kept.
pub(super) const LIFETIME: Duration = Duration::days(90);

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::get("/auth/notices", "What one should know and has not put away yet")
                .session()
                .answers::<List<Row>>(200),
            list,
        )
        .on(
            Operation::delete("/auth/notices/{id}", "Puts a notice away, for oneself").session().ends(204),
            acknowledge,
        )
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NoticeKind")]
pub(crate) enum What {
    /// Somebody was given a temporary access pass; they are told.
    AccessPassIssued,
    /// It was used; they are told.
    AccessPassUsed,
    /// Something to sign in with was added to their account; they are told.
    CredentialAdded,
    /// It was removed; they are told.
    CredentialRemoved,
    /// Their password was changed; they are told.
    PasswordChanged,
    /// A copy of their passkey seems to exist, so that it signs nobody in any more; they are told.
    PasskeySuspended,
    /// What a client of theirs may use once was used twice, so that its access ended; they are told.
    TokenReused,
    /// Root on the server made a link to somebody's account; all administrators are told.
    RecoveryLink,
}

/// A notice as stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notice {
    id: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) at: OffsetDateTime,
    what: What,
    /// To whom it was done.
    person: Uuid,
    name: String,
    /// Who did it.
    by: String,
    /// Who has put it away.
    seen_by: Vec<Uuid>,
}

impl Notice {
    fn concerns(&self, app: &App, caller: &Caller) -> bool {
        let everybody = self.what == What::RecoveryLink && graph::administers(app, caller);
        (everybody || self.person == caller.principal) && !self.seen_by.contains(&caller.principal)
    }
}

/// Tells of something, in the transaction in which it happens.
pub(crate) async fn tell(
    tx: &mut (dyn Write + '_),
    what: What,
    person: &Person,
    by: &str,
) -> Result<(), StoreError> {
    let notice = Notice {
        id: Uuid::new_v4(),
        at: tx.now(),
        what,
        person: person.id,
        name: person.user_principal_name.clone(),
        by: by.to_owned(),
        seen_by: Vec::new(),
    };
    write_document(tx, kind::NOTICE, &notice.id.to_string(), &notice).await
}

/// A notice as the portal shows it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Notice")]
struct Row {
    id: String,
    kind: What,
    at: String,
    /// To whom it was done.
    user_principal_name: String,
    /// Whether that is oneself.
    own: bool,
    /// Who did it.
    by: String,
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Response {
    let run = async {
        caller.session.as_ref().ok_or_else(sessions::only_people)?;
        let all: Vec<(String, Notice)> = read_documents(&mut app.store.read().await?, kind::NOTICE).await?;
        let mut own: Vec<Notice> =
            all.into_iter().map(|(_, n)| n).filter(|n| n.concerns(&app, &caller)).collect();
        own.sort_by_key(|n| std::cmp::Reverse(n.at));
        let rows = own.into_iter().map(|n| Row {
            id: n.id.to_string(),
            kind: n.what,
            at: instant(n.at),
            own: n.person == caller.principal,
            user_principal_name: n.name,
            by: n.by,
        });
        Ok(web::json(StatusCode::OK, &List::of(rows.collect())))
    };
    answer(run.await)
}

async fn acknowledge(State(app): State<Arc<App>>, Path(id): Path<String>, caller: Caller) -> Response {
    let run = async {
        caller.session.as_ref().ok_or_else(sessions::only_people)?;
        let owner = app.clone();
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let found: Option<Notice> = read_document(tx.as_read(), kind::NOTICE, &id).await?;
                    let Some(mut notice) = found.filter(|n| n.concerns(&owner, &caller)) else {
                        return Err(ArmError::new(404, "NoticeNotFound", "There is no such notice for you."));
                    };
                    notice.seen_by.push(caller.principal);
                    Ok(write_document(tx, kind::NOTICE, &id, &notice).await?)
                })
            })
            .await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(run.await)
}

/// The keys of those that are kept for long enough.
pub(super) async fn old(read: &mut (dyn Read + '_)) -> Result<Vec<String>, StoreError> {
    let before = read.now() - LIFETIME;
    let all: Vec<(String, Notice)> = read_documents(read, kind::NOTICE).await?;
    Ok(all.into_iter().filter(|(_, n)| n.at < before).map(|(key, _)| key).collect())
}
