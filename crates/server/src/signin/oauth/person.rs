//! Tokens for people's clients: the first ones for a code, the next ones for a refresh token.

use std::sync::Arc;

use sekisho_arm::traits::{read_document, write_document};
use sekisho_arm::{Outcome, StoreError, Write};
use sekisho_identity::conditional_access::Flow;
use sekisho_identity::grant::{Approval, Grant, GrantError};
use sekisho_identity::oauth::authorize::{AuthorizationCode, CodeError};
use sekisho_identity::oauth::device::{DeviceCode, PollError};
use sekisho_identity::oauth::{OAuthError, TokenAnswer, Wish};
use sekisho_identity::person::Suspicion;
use sekisho_identity::{Person, Secret};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Asker, failed};
use crate::app::App;
use crate::signin::notices::{self, What};
use crate::signin::{entry, kind, people, person_ref};

/// What a client is given tokens for.
struct Given {
    person: Person,
    grant: Grant,
    refresh: Secret,
    wish: Wish,
    nonce: Option<String>,
}

/// Either tokens, or a refusal that is kept all the same, because it has spent something.
type Verdict = Result<Given, OAuthError>;

fn no_entropy(_: sekisho_identity::NoEntropy) -> OAuthError {
    OAuthError::server_error()
}

fn revoked() -> OAuthError {
    let text = "The provided grant has expired due to it being revoked, a fresh auth token is needed. Sign in again.";
    OAuthError::invalid_grant(50173, text)
}

/// For the code that a browser brought.
pub(super) async fn by_code(
    app: &Arc<App>,
    asker: Asker,
    client: Uuid,
    code: Secret,
    redirect: String,
    verifier: Secret,
) -> Result<TokenAnswer, OAuthError> {
    let verdict = app
        .store
        .write::<Verdict, StoreError, _>(move |tx| {
            Box::pin(async move {
                let (key, now) = (code.digest().key(), tx.now());
                let found: Option<AuthorizationCode> =
                    read_document(tx.as_read(), kind::AUTHORIZATION_CODE, &key).await?;
                let Some(mut code) = found else {
                    return Ok(Err(OAuthError::invalid_grant(
                        70000,
                        "The provided authorization code is not valid.",
                    )));
                };
                if let Err(error) = code.check(client, &redirect, &verifier, now) {
                    match error {
                        CodeError::Spent(grant) => end_reused(tx, grant, &asker).await?,
                        // One that was shown wrongly is not shown again.
                        _ => {
                            tx.remove_document(kind::AUTHORIZATION_CODE, &key).await?;
                        }
                    }
                    return Ok(Err(refused_code(error)));
                }
                let given = begin(tx, code.approval.clone(), (client, Flow::Direct), &asker).await?;
                Ok(match given {
                    Ok((person, grant, refresh)) => {
                        code.spend(grant.id);
                        write_document(tx, kind::AUTHORIZATION_CODE, &key, &code).await?;
                        Ok(Given { person, grant, refresh, wish: code.wish, nonce: code.nonce })
                    }
                    Err(error) => Err(error),
                })
            })
        })
        .await
        .map_err(failed)?;
    answer(app, verdict?)
}

fn refused_code(error: CodeError) -> OAuthError {
    let (number, text) = match error {
        CodeError::Expired => (70008, "The provided authorization code has expired. Sign in again."),
        CodeError::Foreign => (
            70000,
            "The provided authorization code was issued to another client or for another redirect URI.",
        ),
        CodeError::Verifier => (
            501_481,
            "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
        ),
        CodeError::Spent(_) => (
            54005,
            "OAuth2 Authorization code was already redeemed. What it gave has been revoked; sign in again.",
        ),
    };
    OAuthError::invalid_grant(number, text)
}

/// For a code that a person was shown.
pub(super) async fn by_device_code(
    app: &Arc<App>,
    asker: Asker,
    client: Uuid,
    code: Secret,
) -> Result<TokenAnswer, OAuthError> {
    let verdict = app
        .store
        .write::<Verdict, StoreError, _>(move |tx| {
            Box::pin(async move {
                let redeemed = redeem(tx, client, &code, &asker).await?;
                Ok(redeemed.map(|(person, grant, refresh, wish)| Given {
                    person,
                    grant,
                    refresh,
                    wish,
                    nonce: None,
                }))
            })
        })
        .await
        .map_err(failed)?;
    answer(app, verdict?)
}

/// What a person gave who typed the code.
pub(super) type Redeemed = (Person, Grant, Secret, Wish);

/// Gives what a person said yes to. What is asked with the code is kept, also after a no.
pub(super) async fn redeem(
    tx: &mut (dyn Write + '_),
    client: Uuid,
    code: &Secret,
    asker: &Asker,
) -> Result<Result<Redeemed, OAuthError>, StoreError> {
    let (key, now) = (code.digest().key(), tx.now());
    let found: Option<DeviceCode> = read_document(tx.as_read(), kind::DEVICE_CODE, &key).await?;
    let Some(mut code) = found else { return Ok(Err(refused_poll(PollError::Foreign))) };
    let redeemed = match code.poll(client, now) {
        Ok(approval) => {
            begin(tx, approval, (client, Flow::DeviceCode), asker).await?.map(|(person, grant, refresh)| {
                code.spend(grant.id);
                (person, grant, refresh, code.wish.clone())
            })
        }
        Err(error) => {
            if let PollError::Spent(grant) = error {
                end_reused(tx, grant, asker).await?;
            }
            Err(refused_poll(error))
        }
    };
    write_document(tx, kind::DEVICE_CODE, &key, &code).await?;
    Ok(redeemed)
}

fn refused_poll(error: PollError) -> OAuthError {
    match error {
        PollError::Pending => OAuthError::authorization_pending(),
        PollError::SlowDown => OAuthError::slow_down(),
        PollError::Expired => OAuthError::expired_token(),
        PollError::Declined => OAuthError::authorization_declined(),
        PollError::Foreign => OAuthError::invalid_grant(70000, "The provided device code is not valid."),
        PollError::Spent(_) => OAuthError::invalid_grant(
            54005,
            "The device code was already redeemed. What it gave has been revoked; sign in again.",
        ),
    }
}

/// Gives a grant to a client that a person said yes to, unless the person is gone meanwhile.
async fn begin(
    tx: &mut (dyn Write + '_),
    approval: Approval,
    (client, flow): (Uuid, Flow),
    asker: &Asker,
) -> Result<Result<(Person, Grant, Secret), OAuthError>, StoreError> {
    let now = tx.now();
    let person = people::by_id(tx.as_read(), approval.person).await?;
    let Some(person) = person.filter(|p| p.enabled && p.generation == approval.generation) else {
        return Ok(Err(revoked()));
    };
    let made =
        Grant::begin(approval, (client, flow), asker.address, &asker.user_agent, now).map_err(no_entropy);
    let (grant, refresh) = match made {
        Ok(made) => made,
        Err(error) => return Ok(Err(error)),
    };
    write_document(tx, kind::GRANT, &grant.id.to_string(), &grant).await?;
    let address = asker.address.to_string();
    let mut record = entry("grants/write", person_ref(&person), Outcome::Succeeded, "OK", &address);
    record.http = Some(json!({"clientIpAddress": address, "clientId": client}));
    tx.audit(record).await?;
    Ok(Ok((person, grant, refresh)))
}

/// For the refresh token that the answer before gave.
pub(super) async fn by_refresh_token(
    app: &Arc<App>,
    asker: Asker,
    client: Uuid,
    token: Secret,
    wish: Wish,
) -> Result<TokenAnswer, OAuthError> {
    let within = app.config.client_step_up;
    let verdict = app
        .store
        .write::<Verdict, StoreError, _>(move |tx| {
            Box::pin(async move {
                let unknown = || {
                    OAuthError::invalid_grant(70000, "The provided refresh token is not valid, or was revoked. Sign in again.")
                };
                let Some(key) = Grant::named_by(&token).map(|id| id.to_string()) else { return Ok(Err(unknown())) };
                let found: Option<Grant> = read_document(tx.as_read(), kind::GRANT, &key).await?;
                let Some(mut grant) = found.filter(|g| g.client == client) else { return Ok(Err(unknown())) };
                let person = people::by_id(tx.as_read(), grant.person).await?;
                let Some(person) = person.filter(|p| p.enabled && p.generation == grant.generation) else {
                    return Ok(Err(revoked()));
                };
                let now = tx.now();
                if let Some(context) = wish.contexts.iter().find(|c| !grant.satisfies(c, within, now)) {
                    return Ok(Err(step_up(context)));
                }
                let refused = match grant.refresh(&token, asker.address, now) {
                    Ok(refresh) => {
                        write_document(tx, kind::GRANT, &key, &grant).await?;
                        return Ok(Ok(Given { person, grant, refresh, wish, nonce: None }));
                    }
                    Err(error) => error,
                };
                Ok(Err(match refused {
                    GrantError::Unknown => unknown(),
                    GrantError::Reused => {
                        end_reused(tx, grant.id, &asker).await?;
                        OAuthError::invalid_grant(
                            54005,
                            "The refresh token was used already, so somebody else may have it. Access was revoked; sign in again.",
                        )
                    }
                    GrantError::Idle | GrantError::Over => OAuthError::invalid_grant(
                        700_082,
                        "The refresh token has expired due to inactivity or age. Sign in again.",
                    ),
                    GrantError::NoEntropy(error) => no_entropy(error),
                }))
            })
        })
        .await
        .map_err(failed)?;
    answer(app, verdict?)
}

/// The refusal that makes `az` tell the person to sign in anew with this context.
fn step_up(context: &str) -> OAuthError {
    let claims = json!({"access_token": {"acrs": {"essential": true, "value": context}}});
    OAuthError::interaction_required("This needs a fresh sign-in in the portal.", claims.to_string())
}

/// Ends a grant because what can be used once was used twice: either client may be a thief.
async fn end_reused(tx: &mut (dyn Write + '_), grant: Uuid, asker: &Asker) -> Result<(), StoreError> {
    let key = grant.to_string();
    let found: Option<Grant> = read_document(tx.as_read(), kind::GRANT, &key).await?;
    let Some(grant) = found else { return Ok(()) };
    tx.remove_document(kind::GRANT, &key).await?;
    if let Some(mut person) = people::by_id(tx.as_read(), grant.person).await? {
        person.suspect(Suspicion::TokenReused, tx.now());
        people::keep(tx, &person).await?;
        let address = asker.address.to_string();
        notices::tell(tx, What::TokenReused, &person, &address).await?;
        let who = person_ref(&person);
        let mut record = entry("grants/reuse", who, Outcome::Denied, "invalid_grant", &address);
        record.http = Some(json!({"clientIpAddress": address, "clientId": grant.client}));
        tx.audit(record).await?;
    }
    Ok(())
}

fn answer(app: &App, given: Given) -> Result<TokenAnswer, OAuthError> {
    let Given { person, grant, refresh, wish, nonce } = given;
    let now = OffsetDateTime::now_utc();
    let mut claims = grant.claims(&person, &wish.audience, now);
    claims.xms_cc = wish.capabilities;
    let failed = |error| {
        tracing::error!(%error, "a token could not be signed");
        OAuthError::server_error()
    };
    let access = app.identity.tokens().mint(claims).map_err(failed)?;
    let id = app.identity.tokens().mint_id(grant.id_claims(&person, nonce, now)).map_err(failed)?;
    let refresh = wish.offline.then_some(refresh);
    Ok(TokenAnswer::new(access).for_person(id, refresh, wish.scope, (person.id, app.tenant)))
}
