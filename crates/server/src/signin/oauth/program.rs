//! Tokens for programs, which prove themselves with a credential of their application: a secret, a certificate, or a token
//! of a provider that the application trusts.

use std::net::IpAddr;
use std::sync::Arc;

use sekisho_arm::traits::{read_document, read_documents, write_document};
use sekisho_arm::{CallerRef, Outcome, PrincipalKind, StoreError};
use sekisho_identity::assertion::{Assertion, LONGEST};
use sekisho_identity::oauth::{Authority, ClientProof, OAuthError, TokenAnswer};
use sekisho_identity::service_principal::{Application, SecretError, ServicePrincipal};
use sekisho_identity::token::{Claims, TokenKind};
use sekisho_identity::{Digest, Secret};
use time::OffsetDateTime;
use uuid::Uuid;

use super::failed;
use crate::app::App;
use crate::signin::{entry, kind, nobody, throttle};

/// What a program asks for.
pub(super) struct Asked {
    pub(super) client_id: String,
    pub(super) proof: ClientProof,
    pub(super) audience: String,
    pub(super) capabilities: Vec<String>,
}

/// An assertion that is taken once: the key it is remembered by, and until when.
struct Once {
    key: String,
    until: OffsetDateTime,
}

/// Answers a program.
pub(super) async fn token(
    app: &Arc<App>,
    (authority, tenant): (&Authority, &str),
    address: IpAddr,
    request: Asked,
) -> Result<TokenAnswer, OAuthError> {
    let mut read = app.store.read().await.map_err(failed)?;
    // Only where a guess comes from is counted, never the program it is aimed at: an application id is no secret, and
    // whoever knows one must not be able to lock its owner out.
    let places = app.keys.get().throttle.origins("token", address);
    let now = OffsetDateTime::now_utc();
    if throttle::check(&mut read, &places, now).await.map_err(failed)?.is_err() {
        return Err(OAuthError::locked());
    }
    let unknown = || OAuthError::unknown_client(&request.client_id, tenant);
    let app_id = Uuid::try_parse(&request.client_id).map_err(|_| unknown())?;
    let applications: Vec<(String, Application)> =
        read_documents(&mut read, kind::APPLICATION).await.map_err(failed)?;
    let principals: Vec<(String, ServicePrincipal)> =
        read_documents(&mut read, kind::SERVICE_PRINCIPAL).await.map_err(failed)?;
    drop(read);
    let application =
        applications.into_iter().map(|(_, a)| a).find(|a| a.app_id == app_id).ok_or_else(unknown)?;
    let principal =
        principals.into_iter().map(|(_, p)| p).find(|p| p.app_id == app_id).ok_or_else(unknown)?;
    let proved = match &request.proof {
        ClientProof::Secret(secret) => by_secret(&application, secret, now),
        ClientProof::Assertion(jwt) => {
            let audiences = authority.assertion_audiences(tenant);
            by_assertion(app, &application, jwt, &audiences, now).await
        }
    };
    let proved = match proved {
        Ok(_) if !principal.enabled => Err(OAuthError::disabled_client(&request.client_id)),
        other => other,
    };
    let who = CallerRef {
        object_id: principal.id.to_string(),
        kind: PrincipalKind::ServicePrincipal,
        name: principal.app_id.to_string(),
    };
    let stranger = nobody(&request.client_id);
    let verdict: Result<(), OAuthError> = app
        .store
        .write::<_, StoreError, _>(move |tx| {
            Box::pin(async move {
                let mut verdict = proved;
                if let Ok(Some(once)) = &verdict {
                    // Until it has expired, when its time refuses it.
                    let seen: Option<Used> = read_document(tx.as_read(), kind::ASSERTION, &once.key).await?;
                    if seen.is_some_and(|s| s.until > now) {
                        verdict = Err(OAuthError::invalid_assertion(
                            50013,
                            "The client assertion was used already. Each one is good for one request.",
                        ));
                    } else {
                        write_document(tx, kind::ASSERTION, &once.key, &Used { until: once.until }).await?;
                    }
                }
                let address = address.to_string();
                let record = match &verdict {
                    Ok(_) => {
                        entry("servicePrincipals/signIn/action", who, Outcome::Succeeded, "OK", &address)
                    }
                    Err(error) => {
                        throttle::failed(tx, &places, None, now).await?;
                        entry(
                            "servicePrincipals/signIn/action",
                            stranger,
                            Outcome::Denied,
                            error.error,
                            &address,
                        )
                    }
                };
                tx.audit(record).await?;
                Ok(verdict.map(|_| ()))
            })
        })
        .await
        .map_err(failed)?;
    verdict?;
    let mut claims = Claims::new(
        TokenKind::App,
        principal.id,
        &principal.app_id.to_string(),
        &request.audience,
        principal.generation,
        now,
    );
    claims.xms_cc = request.capabilities;
    let token = app.identity.tokens().mint(claims).map_err(|_| OAuthError::server_error())?;
    Ok(TokenAnswer::new(token))
}

fn by_secret(
    application: &Application,
    secret: &Secret,
    now: OffsetDateTime,
) -> Result<Option<Once>, OAuthError> {
    let client = application.app_id.to_string();
    match application.verify(secret, now) {
        Ok(_) => Ok(None),
        Err(SecretError::Expired { .. }) => Err(OAuthError::expired_secret(&client)),
        Err(_) => Err(OAuthError::invalid_secret(&client)),
    }
}

/// Whether a JWT proves the application: one that it signed with the key of its certificate, once; or one of a provider
/// that it trusts, until it expires.
async fn by_assertion(
    app: &App,
    application: &Application,
    jwt: &Secret,
    audiences: &[String],
    now: OffsetDateTime,
) -> Result<Option<Once>, OAuthError> {
    let refused = OAuthError::invalid_assertion;
    let assertion = Assertion::read(jwt.expose())
        .map_err(|e| refused(50027, format!("JWT token is invalid or malformed: {e}.")))?;
    let client = application.app_id.to_string();
    let time = |_| refused(700_024, "Client assertion is not within its valid time range.".to_owned());
    if assertion.issuer() != client {
        by_provider(app, application, &assertion, now).await?;
        assertion.check_time(None, now).map_err(time)?;
        return Ok(None);
    }
    if assertion.subject() != client {
        return Err(refused(700_021, "Client assertion's subject is not the client.".to_owned()));
    }
    if !assertion.is_for(audiences) {
        let text = "Client assertion audience claim does not match the token endpoint of this tenant.";
        return Err(refused(700_023, text.to_owned()));
    }
    if application.signer(&assertion, now).is_none() {
        let text = format!(
            "Client assertion failed signature validation: the key was not found among the certificates of app '{client}', \
             or the certificate has expired."
        );
        return Err(refused(700_027, text));
    }
    let until = assertion.check_time(Some(LONGEST), now).map_err(time)?;
    let id = assertion.id().filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| refused(700_024, "Client assertion has no 'jti'.".to_owned()))?;
    Ok(Some(Once { key: Digest::of(format!("{client} {id}").as_bytes()).key(), until }))
}

async fn by_provider(
    app: &App,
    application: &Application,
    assertion: &Assertion<'_>,
    now: OffsetDateTime,
) -> Result<(), OAuthError> {
    let trusted = application.federation(assertion).ok_or_else(|| {
        let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(200).collect::<String>();
        let text = format!(
            "No matching federated identity record found for presented assertion with issuer '{}' and subject '{}', or its \
             audience is another.",
            shown(assertion.issuer()),
            shown(assertion.subject())
        );
        OAuthError::invalid_assertion(700_213, text)
    })?;
    let keys =
        app.identity.issuers.keys(&trusted.issuer, assertion.key_id(), now).await.map_err(|error| {
            tracing::warn!(%error, "an identity provider's keys are not known");
            OAuthError::invalid_assertion(50166, "The issuer's signing keys could not be found.")
        })?;
    if keys.iter().any(|key| assertion.verify(key).is_ok()) {
        return Ok(());
    }
    Err(OAuthError::invalid_assertion(50013, "Assertion failed signature validation."))
}

/// An assertion that was taken.
#[derive(serde::Serialize, serde::Deserialize)]
pub(in crate::signin) struct Used {
    #[serde(with = "time::serde::rfc3339")]
    pub(in crate::signin) until: OffsetDateTime,
}
