//! Changing one's own password: with the old one and a code, whoever has the session. Everywhere else one is signed out
//! by it, unless one says otherwise: whoever changes a password often does so because somebody else knows it.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use http::{HeaderMap, Method as Verb, StatusCode};
use schemars::JsonSchema;
use sekisho_arm::traits::write_document;
use sekisho_arm::{ArmError, Outcome};
use sekisho_identity::Secret;
use serde::{Deserialize, Serialize};

use super::notices::{self, What};
use super::{answer, body, enrol, entry, kind, people, person_ref, prove, sessions};
use crate::app::App;
use crate::http::{self as web, Peer};
use crate::routes::{Operation, Routes};

/// What is tried and done, in the log.
const AUDITED: &str = "people/credentials/write";

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::default().on(
        Operation::post("/auth/credentials/password", "Changes one's own password")
            .session()
            .takes::<NewPassword>()
            .answers::<Changed>(200),
        change,
    )
}

/// The old password with a code of the authenticator app, and the new one.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NewPassword {
    #[schemars(with = "String")]
    current_password: Secret,
    code: String,
    #[schemars(with = "String")]
    new_password: Secret,
    /// Whether all other sessions of the person end, and what was let in with them.
    #[serde(default = "yes")]
    end_other_sessions: bool,
}

fn yes() -> bool {
    true
}

/// What was done.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "PasswordChanged")]
struct Changed {
    /// How many sessions ended.
    ended: usize,
}

async fn change(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Response {
    let run = async {
        let (person, current) = sessions::own(&app, &Verb::POST, &headers, peer).await?;
        let given: NewPassword = body(request).await?;
        let typed = (person.user_principal_name.as_str(), given.code.as_str(), &given.current_password);
        prove::check_password(&app, &headers, peer, AUDITED, typed).await?;
        let weak = |text: String| ArmError::bad("WeakPassword", text).target("newPassword");
        if given.new_password.digest() == given.current_password.digest() {
            return Err(weak("This is the password that you have.".to_owned()));
        }
        let hash =
            enrol::hash_new(&app, &person, given.new_password).await.map_err(|e| e.target("newPassword"))?;
        let address = peer.0.ip().to_string();
        let others = given.end_other_sessions;
        let ended = app
            .store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let key = person.id.to_string();
                    if tx.document(kind::PASSWORD, &key).await?.is_none() {
                        return Err(ArmError::new(404, "CredentialNotFound", "You have no password."));
                    }
                    write_document(tx, kind::PASSWORD, &key, &hash).await?;
                    let mut ended = 0;
                    if others {
                        let all = people::sessions(tx.as_read(), &person).await?;
                        for session in all.into_iter().filter(|s| s.id != current.id) {
                            tx.remove_document(kind::SESSION, &session.key()).await?;
                            people::end_grants(tx, |g| g.session == session.id).await?;
                            ended += 1;
                        }
                    }
                    notices::tell(tx, What::PasswordChanged, &person, &address).await?;
                    let done = entry(AUDITED, person_ref(&person), Outcome::Succeeded, "OK", &address);
                    tx.audit(done).await?;
                    Ok(ended)
                })
            })
            .await?;
        Ok(web::json(StatusCode::OK, &Changed { ended }))
    };
    answer(run.await)
}
