//! What one's own command lines and programs hold.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method as Verb, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::{ArmError, Outcome};
use serde::Serialize;

use super::client_name;
use crate::app::App;
use crate::http::{self as web, Peer};
use crate::routes::{List, Operation, Routes};
use crate::signin::sessions::{self, AuthMethod};
use crate::signin::{answer, entry, kind, people, person_ref};

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default()
        .on(
            Operation::get("/auth/grants", "The command lines and programs that act as oneself")
                .session()
                .answers::<List<Row>>(200),
            list,
        )
        .on(
            Operation::delete("/auth/grants/{id}", "Ends what one of them holds, and its tokens with it")
                .session()
                .ends(204),
            revoke,
        )
}

/// One of one's grants.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GrantRow")]
struct Row {
    id: String,
    client_id: String,
    /// What the client says it is; null for one that nobody knows.
    client_name: Option<String>,
    created_at: String,
    last_used_at: String,
    ip_address: String,
    user_agent: String,
    /// What was proved when it was given.
    methods: Vec<AuthMethod>,
    /// When it ends if it is not used again.
    expires_at: String,
}

/// `GET /auth/grants`.
async fn list(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let run = async {
        let (person, _) = sessions::own(&app, &Verb::GET, &headers, peer).await?;
        let mut read = app.store.read().await?;
        let mut all = people::grants(&mut read, &person).await?;
        all.sort_by_key(|g| std::cmp::Reverse(g.used));
        let mut rows = Vec::with_capacity(all.len());
        for grant in all {
            rows.push(Row {
                client_name: client_name(&mut read, grant.client).await?,
                id: grant.id.to_string(),
                client_id: grant.client.to_string(),
                created_at: instant(grant.created),
                last_used_at: instant(grant.used),
                ip_address: grant.ip.to_string(),
                expires_at: instant(grant.lapses()),
                methods: sessions::methods(&grant.proofs),
                user_agent: grant.user_agent,
            });
        }
        Ok(web::json(StatusCode::OK, &List::of(rows)))
    };
    answer(run.await)
}

/// `DELETE /auth/grants/{id}`.
async fn revoke(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let run = async {
        let (person, _) = sessions::own(&app, &Verb::DELETE, &headers, peer).await?;
        let address = peer.0.ip().to_string();
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let own = people::grants(tx.as_read(), &person).await?;
                    let found = own.iter().find(|g| g.id.to_string() == id);
                    let found = found.ok_or_else(|| {
                        ArmError::new(404, "GrantNotFound", "There is no such grant of yours.")
                    })?;
                    tx.remove_document(kind::GRANT, &found.id.to_string()).await?;
                    tx.audit(entry("grants/delete", person_ref(&person), Outcome::Succeeded, "OK", &address))
                        .await?;
                    Ok(())
                })
            })
            .await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(run.await)
}
