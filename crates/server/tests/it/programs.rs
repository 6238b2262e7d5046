//! Programs that sign in without a secret: with a certificate, or with the token of a provider that they trust. And the
//! keys that sign what they get.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sekisho_link::pki::{self, Authority, Identity};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::elsewhere::serve;
use crate::kit::{Answer, GROUPS, Http, Server, at};
use crate::seed::{OWNER, Program, World, grant, program, sign_in};

/// A key with a certificate, and the same key for signing JWTs.
struct Pair {
    der: Vec<u8>,
    identity: Identity,
}

impl Pair {
    fn new(name: &str) -> Pair {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::load(&Authority::generate("test", now).unwrap()).unwrap();
        Pair::of(authority.server(&[name.to_owned()], now).unwrap())
    }

    fn of(identity: Identity) -> Pair {
        let der = pki::certificates(&identity.certificate).unwrap()[0].to_vec();
        Pair { der, identity }
    }

    fn key(&self) -> EncodingKey {
        let rustls::pki_types::PrivateKeyDer::Pkcs8(der) = pki::private_key(&self.identity.key).unwrap()
        else {
            panic!("no PKCS #8")
        };
        EncodingKey::from_ec_der(der.secret_pkcs8_der())
    }

    /// The public key as providers publish it.
    fn jwk(&self, kid: &str) -> Value {
        let point = self.point();
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256",
               "x": URL_SAFE_NO_PAD.encode(&point[..32]), "y": URL_SAFE_NO_PAD.encode(&point[32..])})
    }

    /// The last thing in the public key's encoding is its point.
    fn point(&self) -> Vec<u8> {
        use x509_parser::prelude::{FromDer as _, X509Certificate};
        let (_, certificate) = X509Certificate::from_der(&self.der).unwrap();
        certificate.public_key().subject_public_key.data[1..].to_vec()
    }
}

fn now() -> f64 {
    OffsetDateTime::now_utc().unix_timestamp() as f64 + 0.25
}

/// Claims as MSAL makes them.
fn claims(server: &Server, app: &str) -> Value {
    json!({
        "aud": format!("{}/{}/oauth2/v2.0/token", server.base(), server.tenant), "iss": app, "sub": app,
        "jti": Uuid::new_v4(), "iat": now(), "exp": now() + 600.0,
    })
}

fn signed(claims: &Value, header: &Header, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

async fn show(server: &Server, app: &str, assertion: &str) -> Answer {
    let scope = format!("{}//.default", server.base());
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", app),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("scope", &scope),
    ];
    server.http().form(&format!("/{}/oauth2/v2.0/token", server.tenant), &fields).await
}

/// A program with a certificate, added as `az ad sp credential reset --cert` does.
async fn with_certificate(world: &World, pair: &Pair) -> Program {
    let page = world.page();
    let made = program(&page, "by certificate").await;
    let credential = json!({
        "@odata.type": "#microsoft.graph.keyCredential", "displayName": "test", "key": STANDARD.encode(&pair.der),
        "keyId": Uuid::new_v4(), "type": "AsymmetricX509Cert", "usage": "Verify",
    });
    let path = format!("/v1.0/applications/{}", made.application);
    page.patch(&path, json!({"keyCredentials": [credential]})).await.expect(204);
    grant(&page, "", OWNER, &made.object_id, "ServicePrincipal").await;
    made
}

fn es256() -> Header {
    Header::new(Algorithm::ES256)
}

#[tokio::test]
async fn a_certificate_signs_a_program_in_with_each_assertion_once() {
    let world = World::new().await;
    let (server, pair) = (&world.server, Pair::new("ci"));
    let made = with_certificate(&world, &pair).await;
    let shown =
        world.page().get(&format!("/v1.0/applications/{}", made.application)).await.expect(200).json();
    let kept = &shown["keyCredentials"][0];
    assert_eq!((&kept["displayName"], &kept["usage"]), (&json!("test"), &json!("Verify")));
    let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &pair.der);
    let mut header = es256();
    header.x5t = Some(format!("{}=", URL_SAFE_NO_PAD.encode(sha1)));
    let assertion = signed(&claims(server, &made.app_id), &header, &pair.key());
    let token = show(server, &made.app_id, &assertion).await.expect(200).json();
    let client = server.http().bearer(token["access_token"].as_str().unwrap());
    client.get(&at("/subscriptions", GROUPS)).await.expect(200);
    let again = show(server, &made.app_id, &assertion).await.refused(401, "invalid_client");
    assert!(again.json()["error_description"].as_str().unwrap().contains("already"), "{again:?}");
    let mut header = es256();
    header.x5t_s256 = Some(sekisho_identity::Digest::of(&pair.der).key());
    let other = signed(&claims(server, &made.app_id), &header, &pair.key());
    show(server, &made.app_id, &other).await.expect(200);
    // What the certificate obtained ends with it; a keyId keeps one that is there.
    let path = format!("/v1.0/applications/{}", made.application);
    world
        .page()
        .patch(&path, json!({"keyCredentials": [{"keyId": kept["keyId"], "key": null}]}))
        .await
        .expect(204);
    client.get(&at("/subscriptions", GROUPS)).await.expect(200);
    world.page().patch(&path, json!({"keyCredentials": []})).await.expect(204);
    client.get(&at("/subscriptions", GROUPS)).await.refused(401, "InvalidAuthenticationToken");
    let fresh = signed(&claims(server, &made.app_id), &es256(), &pair.key());
    show(server, &made.app_id, &fresh).await.refused(401, "invalid_client");
}

#[tokio::test]
async fn a_forged_stale_or_foreign_assertion_is_refused() {
    let world = World::new().await;
    let (server, pair) = (&world.server, Pair::new("ci"));
    let made = with_certificate(&world, &pair).await;
    let (app, key) = (made.app_id.as_str(), pair.key());
    let changed = |field: &str, value: Value| {
        let mut claims = claims(server, app);
        claims[field] = value;
        signed(&claims, &es256(), &key)
    };
    let good = signed(&claims(server, app), &es256(), &key);
    let (_, rest) = good.split_once('.').unwrap();
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
        rest.split('.').next().unwrap()
    );
    let hmac = |secret: &[u8]| {
        signed(&claims(server, app), &Header::new(Algorithm::HS256), &EncodingKey::from_secret(secret))
    };
    let other_tenant = format!("{}/{}/oauth2/v2.0/token", server.base(), Uuid::new_v4());
    let mut misnamed = es256();
    misnamed.x5t = Some(URL_SAFE_NO_PAD.encode([0; 20]));
    let cases = [
        ("alg none", none),
        ("HS256 with the certificate", hmac(&pair.der)),
        ("HS256 with the public key", hmac(&pair.point())),
        ("another key", signed(&claims(server, app), &es256(), &Pair::new("ci").key())),
        ("another certificate's name", signed(&claims(server, app), &misnamed, &key)),
        ("over", changed("exp", json!(now() - 1.0))),
        ("good for too long", changed("exp", json!(now() + 4000.0))),
        ("not begun", changed("nbf", json!(now() + 400.0))),
        ("from the future", changed("iat", json!(now() + 400.0))),
        ("another tenant's endpoint", changed("aud", json!(other_tenant))),
        (
            "another server",
            changed("aud", json!("https://login.microsoftonline.com/common/oauth2/v2.0/token")),
        ),
        ("about somebody else", changed("sub", json!(world.program("root").app_id))),
        ("by somebody else", changed("iss", json!(world.program("root").app_id))),
        ("without an id", changed("jti", Value::Null)),
        ("no JWT", "a.b.c".to_owned()),
        (
            "our own token",
            sign_in(server, world.program("root")).await.header("authorization")[7..].to_owned(),
        ),
    ];
    for (what, assertion) in &cases {
        let answer = show(server, app, assertion).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_client".to_owned()), "{what}: {answer:?}");
    }
    // Somebody else's certificate does not sign this program in.
    show(server, &world.program("reader").app_id, &good).await.refused(401, "invalid_client");
    show(server, app, &good).await.expect(200);
}

#[tokio::test]
async fn only_certificates_with_a_usable_key_are_kept() {
    let world = World::new().await;
    let page = world.page();
    let made = program(&page, "x").await;
    let path = format!("/v1.0/applications/{}", made.application);
    for key in [json!("AAAA"), json!("not base64"), Value::Null] {
        let body = json!({"keyCredentials": [{"key": key, "type": "AsymmetricX509Cert", "usage": "Verify"}]});
        page.patch(&path, body).await.refused(400, "Request_BadRequest");
    }
    let body =
        json!({"displayName": "new", "keyCredentials": [{"key": STANDARD.encode(Pair::new("ci").der)}]});
    let application = page.post("/v1.0/applications", body).await.expect(201).json();
    assert_eq!(application["keyCredentials"].as_array().unwrap().len(), 1);
}

/// An identity provider: its address, and what it answers.
async fn provider(
    authority: &Authority,
    answers: impl Fn(&str, &str) -> Option<Value> + Send + Sync + 'static,
) -> String {
    serve(authority, move |own, request| {
        let found = answers(own, request.uri().path());
        let status = if found.is_some() { 200 } else { 404 };
        (status, found.unwrap_or_default())
    })
    .await
}

/// An application that trusts a provider.
async fn federated(page: &Http, issuer: &str) -> Program {
    let made = program(page, "by provider").await;
    let body = json!({
        "name": "ci-main", "issuer": issuer, "subject": "repo:contoso/web",
        "audiences": ["api://AzureADTokenExchange"],
    });
    let path = format!("/v1.0/applications/{}/federatedIdentityCredentials", made.application);
    let kept = page.post(&path, body.clone()).await.expect(201).json();
    page.post(&path, body).await.refused(400, "Request_BadRequest");
    assert_eq!(page.get(&format!("{path}/ci-main")).await.expect(200).json(), kept);
    assert_eq!(page.get(&path).await.expect(200).json()["value"], json!([kept]));
    made
}

fn exchange(issuer: &str) -> Value {
    json!({
        "aud": "api://AzureADTokenExchange", "iss": issuer, "sub": "repo:contoso/web", "iat": now(), "exp": now() + 300.0,
    })
}

#[tokio::test]
async fn a_providers_token_signs_in_the_program_that_trusts_it_and_nothing_else_does() {
    let world = World::new().await;
    let (server, page) = (&world.server, world.page());
    let authority = Authority::generate("idp", OffsetDateTime::now_utc()).unwrap();
    std::fs::write(server.data.path().join("federation.pem"), &authority.certificate).unwrap();
    let authority = Authority::load(&authority).unwrap();
    let pair = Arc::new(Pair::new("signer"));
    let published = pair.clone();
    let issuer = provider(&authority, move |own, path| match path {
        "/.well-known/openid-configuration" => {
            Some(json!({"issuer": own, "jwks_uri": format!("{own}/keys")}))
        }
        "/keys" => Some(json!({"keys": [published.jwk("k1")]})),
        _ => None,
    })
    .await;
    let made = federated(&page, &issuer).await;
    let (app, key) = (made.app_id.as_str(), pair.key());
    let header = |kid: &str| Header { kid: Some(kid.to_owned()), ..es256() };
    let good = signed(&exchange(&issuer), &header("k1"), &key);
    show(server, app, &good).await.expect(200);
    // A provider's token is read from a file as long as it is good: it may come again.
    show(server, app, &good).await.expect(200);
    let changed = |field: &str, value: Value| {
        let mut claims = exchange(&issuer);
        claims[field] = value;
        signed(&claims, &header("k1"), &key)
    };
    for (what, token) in [
        ("another subject", changed("sub", json!("repo:evil/web"))),
        ("another audience", changed("aud", json!("https://vault.azure.net"))),
        ("another issuer", changed("iss", json!("https://token.actions.githubusercontent.com"))),
        ("over", changed("exp", json!(now() - 1.0))),
        ("another key", signed(&exchange(&issuer), &header("k1"), &Pair::new("x").key())),
        ("a key that is not published", signed(&exchange(&issuer), &header("k2"), &key)),
        (
            "an HMAC",
            signed(
                &exchange(&issuer),
                &Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) },
                &EncodingKey::from_secret(&pair.point()),
            ),
        ),
    ] {
        let answer = show(server, app, &token).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_client".to_owned()), "{what}: {answer:?}");
    }
    show(server, &world.program("root").app_id, &good).await.refused(401, "invalid_client");
    let path = format!("/v1.0/applications/{}/federatedIdentityCredentials/ci-main", made.application);
    page.patch(&path, json!({"subject": "repo:contoso/api"})).await.expect(204);
    show(server, app, &good).await.refused(401, "invalid_client");
    page.patch(&path, json!({"subject": "repo:contoso/web", "issuer": "http://idp.test"}))
        .await
        .refused(400, "Request_BadRequest");
    page.delete(&path).await.expect(204);
    page.delete(&path).await.refused(404, "Request_ResourceNotFound");
}

#[tokio::test]
async fn a_provider_that_lies_or_cannot_be_trusted_is_not_believed() {
    let world = World::new().await;
    let (server, page) = (&world.server, world.page());
    let now = OffsetDateTime::now_utc();
    let trusted = Authority::generate("idp", now).unwrap();
    std::fs::write(server.data.path().join("federation.pem"), &trusted.certificate).unwrap();
    let trusted = Authority::load(&trusted).unwrap();
    let stranger = Authority::load(&Authority::generate("evil", now).unwrap()).unwrap();
    let pair = Arc::new(Pair::new("signer"));
    let discovery = |issuer: String, keys: String| json!({"issuer": issuer, "jwks_uri": keys});
    let published = || {
        let keys = pair.clone();
        move || Some(json!({"keys": [keys.jwk("k1")]}))
    };
    let keys = published();
    let untrusted = provider(&stranger, move |own, path| match path {
        "/keys" => keys(),
        _ => Some(discovery(own.to_owned(), format!("{own}/keys"))),
    });
    let keys = published();
    let other_issuer = provider(&trusted, move |own, path| match path {
        "/keys" => keys(),
        _ => Some(discovery("https://idp.test".to_owned(), format!("{own}/keys"))),
    });
    let keys = published();
    let plain_http = provider(&trusted, move |own, path| match path {
        "/keys" => keys(),
        _ => Some(discovery(own.to_owned(), format!("{}/keys", own.replace("https", "http")))),
    });
    let endless = provider(&trusted, move |own, path| match path {
        "/keys" => Some(json!({"keys": [], "filler": "x".repeat(300 << 10)})),
        _ => Some(discovery(own.to_owned(), format!("{own}/keys"))),
    });
    for (what, issuer) in [
        ("a certificate of nobody's", untrusted.await),
        ("another issuer's document", other_issuer.await),
        ("keys over plain HTTP", plain_http.await),
        ("an endless answer", endless.await),
    ] {
        let made = federated(&page, &issuer).await;
        let header = Header { kid: Some("k1".to_owned()), ..es256() };
        let token = signed(&exchange(&issuer), &header, &pair.key());
        let answer = show(server, &made.app_id, &token).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_client".to_owned()), "{what}: {answer:?}");
    }
}

fn kid(answer: &Answer) -> String {
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()
}

async fn published(server: &Server) -> Vec<String> {
    let keys = server.http().get("/common/discovery/v2.0/keys").await.expect(200).json();
    keys["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn signing_keys_rotate_without_anybody_noticing() {
    let world = World::new().await;
    let server = &world.server;
    let root = world.program("root");
    let first = crate::seed::token(server, root).await.expect(200);
    let old = world.client("root").await;
    let works = async |client: &Http| client.get(&at("/subscriptions", GROUPS)).await.status;
    let rotate = async |body: Value| server.admin("/keys/rotate", body).await;
    // Published, and not used yet.
    let keys = rotate(json!({"purpose": "token-signing"})).await;
    let states: Vec<&Value> = keys.as_array().unwrap().iter().map(|k| &k["state"]).collect();
    assert_eq!(states, [&json!("active"), &json!("pending")]);
    assert_eq!(published(server).await.len(), 2);
    assert_eq!(kid(&crate::seed::token(server, root).await.expect(200)), kid(&first));
    // In use at once, in place of the one that was to follow; the old one is trusted.
    let keys = rotate(json!({"purpose": "token-signing", "atOnce": true})).await;
    let states: Vec<&Value> = keys.as_array().unwrap().iter().map(|k| &k["state"]).collect();
    assert_eq!(states, [&json!("retiring"), &json!("active"), &json!("destroyed")]);
    let second = crate::seed::token(server, root).await.expect(200);
    assert_ne!(kid(&second), kid(&first));
    assert_eq!(works(&old).await, 200);
    // Destroyed: what it signed is refused, and whoever asks again is let in.
    rotate(json!({"purpose": "token-signing", "atOnce": true, "destroyOld": true})).await;
    assert_eq!(works(&old).await, 401);
    assert_eq!(published(server).await.len(), 1);
    assert_eq!(works(&world.client("root").await).await, 200);
    let third = crate::seed::token(server, root).await.expect(200);
    // The keys are the database's.
    let server = Server::on(world.server.stop().await).await;
    assert_eq!(published(&server).await, [kid(&third)]);
}
