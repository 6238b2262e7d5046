//! Where everybody is signed in, and ending it: sessions of the portal and what people's clients hold. Whoever may
//! change the directory may see and end them.

use std::collections::HashMap;

use schemars::JsonSchema;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::traits::read_documents;
use sekisho_arm::{ArmError, Outcome, Read, StoreError};
use sekisho_identity::Person;
use sekisho_identity::grant::Grant;
use sekisho_identity::session::Session;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Graph, WRITE, not_found};
use crate::signin::oauth::client_name;
use crate::signin::sessions::{AuthMethod, methods};
use crate::signin::{entry, kind, people};

/// Whether it is a browser or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum LiveKind {
    /// A person in the portal.
    Portal,
    /// A command line or a program that a person let in.
    Client,
}

/// A live session or grant of anybody.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LiveSession")]
pub(super) struct Live {
    id: String,
    kind: LiveKind,
    user_id: String,
    user_principal_name: String,
    user_display_name: String,
    /// Whether it is the caller's own, right now.
    current: bool,
    /// What a client says it is; null for the portal, and for one that nobody knows.
    client_name: Option<String>,
    ip_address: String,
    user_agent: String,
    /// What was proved.
    methods: Vec<AuthMethod>,
    created_at: String,
    last_seen_at: String,
    /// When it ends if it is not used again.
    expires_at: String,
}

/// Everybody's live sessions and grants.
async fn everybodys(
    read: &mut (dyn Read + '_),
) -> Result<(HashMap<Uuid, Person>, Vec<Session>, Vec<Grant>), StoreError> {
    let now = read.now();
    let people: Vec<(String, Person)> = read_documents(read, kind::PERSON).await?;
    let people: HashMap<Uuid, Person> = people.into_iter().map(|(_, p)| (p.id, p)).collect();
    let holds =
        |id: &Uuid, generation| people.get(id).is_some_and(|p| p.enabled && p.generation == generation);
    let sessions: Vec<(String, Session)> = read_documents(read, kind::SESSION).await?;
    let sessions = sessions.into_iter().map(|(_, s)| s);
    let sessions = sessions.filter(|s| s.alive(now).is_ok() && holds(&s.person, s.generation)).collect();
    let grants: Vec<(String, Grant)> = read_documents(read, kind::GRANT).await?;
    let grants = grants.into_iter().map(|(_, g)| g);
    let grants = grants.filter(|g| g.alive(now).is_ok() && holds(&g.person, g.generation)).collect();
    Ok((people, sessions, grants))
}

impl Graph<'_> {
    pub(super) async fn live_sessions(&self) -> Result<Vec<Value>, ArmError> {
        self.require(WRITE).await?;
        let mut read = self.app.store.read().await?;
        let (people, sessions, grants) = everybodys(&mut read).await?;
        let own = self.caller.session.as_ref().map(|s| s.id).or(self.caller.grant.as_ref().map(|g| g.id));
        let named =
            |id: &Uuid| people.get(id).map(|p| (p.user_principal_name.clone(), p.display_name.clone()));
        let mut rows = Vec::with_capacity(sessions.len() + grants.len());
        for session in sessions {
            let (user_principal_name, user_display_name) = named(&session.person).unwrap_or_default();
            rows.push((
                session.seen,
                Live {
                    id: session.id.to_string(),
                    kind: LiveKind::Portal,
                    user_id: session.person.to_string(),
                    user_principal_name,
                    user_display_name,
                    current: own == Some(session.id),
                    client_name: None,
                    ip_address: session.ip.to_string(),
                    methods: methods(&session.proofs),
                    created_at: instant(session.created),
                    last_seen_at: instant(session.seen),
                    expires_at: instant(session.lapses()),
                    user_agent: session.user_agent,
                },
            ));
        }
        for grant in grants {
            let (user_principal_name, user_display_name) = named(&grant.person).unwrap_or_default();
            rows.push((
                grant.used,
                Live {
                    id: grant.id.to_string(),
                    kind: LiveKind::Client,
                    user_id: grant.person.to_string(),
                    user_principal_name,
                    user_display_name,
                    current: own == Some(grant.id),
                    client_name: client_name(&mut read, grant.client).await?,
                    ip_address: grant.ip.to_string(),
                    methods: methods(&grant.proofs),
                    created_at: instant(grant.created),
                    last_seen_at: instant(grant.used),
                    expires_at: instant(grant.lapses()),
                    user_agent: grant.user_agent,
                },
            ));
        }
        rows.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
        rows.iter().map(|(_, row)| shown(row)).collect()
    }

    /// Ends one session or grant of anybody.
    pub(super) async fn end_session(&self, id: &str) -> Result<Answer, ArmError> {
        let id = id.to_owned();
        let (caller, address) = (self.caller.reference(), self.caller.address.to_string());
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                let (people, sessions, grants) = everybodys(tx.as_read()).await?;
                let session = sessions.iter().find(|s| s.id.to_string() == id);
                let grant = grants.iter().find(|g| g.id.to_string() == id);
                let whose =
                    session.map(|s| s.person).or(grant.map(|g| g.person)).ok_or_else(|| not_found(&id))?;
                if let Some(session) = session {
                    tx.remove_document(kind::SESSION, &session.key()).await?;
                    // Whoever had the session may have let a program in with it.
                    let of = session.id;
                    people::end_grants(tx, move |g| g.session == of).await?;
                }
                if let Some(grant) = grant {
                    tx.remove_document(kind::GRANT, &grant.id.to_string()).await?;
                }
                let name = people.get(&whose).map(|p| p.user_principal_name.clone()).unwrap_or_default();
                tx.audit(entry("people/sessions/delete", caller, Outcome::Succeeded, &name, &address))
                    .await?;
                Ok(())
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    /// Ends everything that somebody is signed in with, also what is about to become a sign-in: codes that wait.
    pub(super) async fn revoke_sessions(&self, id: &str) -> Result<Answer, ArmError> {
        self.require(WRITE).await?;
        let mut person = self.person(id).await?;
        let (caller, address) = (self.caller.reference(), self.caller.address.to_string());
        self.change(WRITE, move |tx| {
            Box::pin(async move {
                person.generation += 1;
                people::end_sessions(tx, person.id).await?;
                people::keep(tx, &person).await?;
                let name = &person.user_principal_name;
                tx.audit(entry("people/sessions/delete", caller, Outcome::Succeeded, name, &address)).await?;
                Ok(())
            })
        })
        .await?;
        Ok(Answer::json(200, json!({ "value": true })))
    }
}

/// The answer of `revokeSignInSessions`.
#[derive(Serialize, JsonSchema)]
pub(super) struct Revoked {
    value: bool,
}
