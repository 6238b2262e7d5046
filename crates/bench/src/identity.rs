//! Signing in and what every request is asked, in memory: policies, passkeys, tokens, keys of the ring; and what Argon2 and
//! ES256 alone cost.

use std::hint::black_box;
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use sekisho_identity::conditional_access::body::PolicyBody;
use sekisho_identity::conditional_access::risk::RiskLevel;
use sekisho_identity::conditional_access::{
    ClientApp, Flow, Locations, NamedLocation, Policy, Signals, Strengths, Subject, Verdict, application,
    evaluate,
};
use sekisho_identity::passkey::{Answer, Passkeys, Prompt, Purpose, StoredPasskey};
use sekisho_identity::ring::{Algorithm, Key, Label, RootKey};
use sekisho_identity::session::{Method, Proof};
use sekisho_identity::token::{Claims, SigningKey, TokenKind, Tokens};
use sekisho_identity::{Person, Secret, password, ring as keys};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;
use webauthn_authenticator_rs::WebauthnAuthenticator as _;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;
use webauthn_rs::prelude::Url;

use crate::log::each;

const ORIGIN: &str = "https://localhost:8443";
const AUDIENCE: &str = "https://localhost:8443";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often each is done.
    #[arg(long, default_value_t = 2_000)]
    repeats: u32,
}

/// Policies as an organisation has them: of groups and roles, of places, of clients, some that only report.
fn policies() -> anyhow::Result<(Vec<Policy>, Locations)> {
    let places: Vec<Uuid> = (0..4).map(|n| Uuid::from_u64_pair(7, n)).collect();
    let range = |n: u8| NamedLocation::Ranges {
        trusted: n == 0,
        ranges: (0..8).filter_map(|m| format!("10.{n}.{m}.0/24").parse().ok()).collect(),
    };
    let locations = Locations::new(places.iter().zip(0..).map(|(id, n)| (*id, range(n))));
    let one = |n: u64| {
        let users = match n % 3 {
            0 => json!({"includeUsers": ["All"], "excludeGroups": [Uuid::from_u64_pair(2, n)]}),
            1 => json!({"includeGroups": [Uuid::from_u64_pair(2, n), Uuid::from_u64_pair(2, 1)]}),
            _ => json!({"includeRoles": ["Privileged"]}),
        };
        let place = places[n as usize % places.len()];
        let body = json!({
            "displayName": format!("Policy {n}"),
            "state": if n % 4 == 3 { "enabledForReportingButNotEnforced" } else { "enabled" },
            "conditions": {
                "users": users, "applications": {"includeApplications": ["All"]}, "clientAppTypes": ["all"],
                "locations": {"includeLocations": ["All"], "excludeLocations": [place]},
            },
            "grantControls": {"operator": "OR", "builtInControls": ["mfa"]},
        });
        let body = PolicyBody::read(body).map_err(anyhow::Error::msg)?;
        Policy::compile(Uuid::from_u64_pair(6, n), &body).map_err(|e| anyhow::anyhow!("{e}"))
    };
    Ok(((0..12).map(one).collect::<anyhow::Result<_>>()?, locations))
}

/// Microseconds of a judgement of a request by all policies.
fn judgement(times: u32) -> anyhow::Result<f64> {
    let ((policies, locations), strengths) = (policies()?, Strengths::default());
    let now = OffsetDateTime::now_utc();
    let proofs = [Proof { method: Method::Passkey, at: now }];
    let signals = Signals {
        subject: Subject::Person {
            id: Uuid::from_u64_pair(1, 1),
            groups: (0..10).map(|n| Uuid::from_u64_pair(2, n)).collect(),
            possible_groups: Vec::new(),
            roles: (0..3).map(|n| Uuid::from_u64_pair(3, n)).collect(),
            privileged: true,
            break_glass: false,
        },
        applications: vec![application::API, application::PORTAL],
        registers_security_info: false,
        context: None,
        client: ClientApp::Browser,
        platform: None,
        address: IpAddr::from([192, 0, 2, 1]),
        country: None,
        flow: Flow::Direct,
        sign_in_risk: RiskLevel::default(),
        user_risk: RiskLevel::default(),
    };
    let judge = |signals: &Signals| evaluate(&policies, &locations, &strengths, signals, &proofs, now);
    ensure!(matches!(judge(&signals).verdict, Verdict::Granted(_)), "the request is not let through");
    Ok(each(times, |_| drop(black_box(judge(black_box(&signals))))))
}

/// Microseconds of the server's part of a sign-in with a passkey; the authenticator's is left out.
fn ceremony(times: u32) -> anyhow::Result<f64> {
    let now = OffsetDateTime::now_utc();
    let passkeys = Passkeys::new("localhost", ORIGIN, "Sekisho")?;
    let person = Person::new("jo@contoso.test", "Jo", now).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let (mut device, origin) = (SoftPasskey::new(true), Url::parse(ORIGIN)?);
    let failed = |e| anyhow::anyhow!("the authenticator: {e:?}");
    let (options, state) = passkeys.start_registration(&person, &[], now)?;
    let made = device.do_registration(origin.clone(), serde_json::from_value(options)?).map_err(failed)?;
    let mut key: StoredPasskey =
        passkeys.finish_registration(&state, serde_json::to_value(made)?, "Laptop", now)?;
    let mut seconds = 0.0;
    for _ in 0..times {
        let began = std::time::Instant::now();
        let (mut options, state) = passkeys.start_sign_in(Prompt::Dialog, now)?;
        seconds += began.elapsed().as_secs_f64();
        // A browser names the credential and the person by itself.
        options["publicKey"]["allowCredentials"] = json!([{"type": "public-key", "id": key.id}]);
        let given =
            device.do_authentication(origin.clone(), serde_json::from_value(options)?).map_err(failed)?;
        let mut given = serde_json::to_value(given)?;
        given["response"]["userHandle"] = handle_of(&person);
        let began = std::time::Instant::now();
        let answer = Answer::read(given)?;
        passkeys.finish(state, &answer, &Purpose::SignIn, &mut key, now)?;
        seconds += began.elapsed().as_secs_f64();
    }
    Ok(seconds * 1e6 / f64::from(times))
}

/// The person's id as authenticators give it.
fn handle_of(person: &Person) -> Value {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(person.id.as_bytes()).into()
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    let times = options.repeats;
    let now = OffsetDateTime::now_utc();
    let tokens = Tokens::new(vec![SigningKey::generate(now)?], "https://localhost/v2.0", Uuid::nil())?;
    let claims = Claims::new(TokenKind::App, Uuid::from_u64_pair(1, 1), "application", AUDIENCE, 1, now);
    let token = tokens.mint(claims.clone())?;
    let verified = || tokens.verify(black_box(token.expose()), &[AUDIENCE], now);
    ensure!(verified().is_ok(), "the token is not good");

    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let bad = |_| anyhow::anyhow!("no key");
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| anyhow::anyhow!("no key"))?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).map_err(bad)?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref().to_vec());
    let message = token.expose().rsplit_once('.').context("no token")?.0.as_bytes();
    let signature = pair.sign(&random, message).map_err(|_| anyhow::anyhow!("no signature"))?;

    let root = [RootKey::new(&[7; 32]).context("no root key")?];
    let label = Label {
        id: "one".to_owned(),
        purpose: keys::Purpose::TokenSigning,
        algorithm: Algorithm::Es256,
        public: String::new(),
        active: now,
    };
    let key = Key::seal(&root[0], label, document.as_ref(), now)?;
    let guess = Secret::new("correct horse battery staple");
    Ok(json!({
        "policiesUs": judgement(times * 10)?,
        "passkeyUs": ceremony(times.min(500))?,
        "tokenUs": each(times, |_| drop(black_box(verified()))),
        "mintUs": each(times, |_| drop(black_box(tokens.mint(claims.clone())))),
        "verifyUs": each(times, |_| {
            let _ = black_box(public.verify(message, signature.as_ref()));
        }),
        "signUs": each(times, |_| {
            let _ = black_box(pair.sign(&random, message));
        }),
        "openUs": each(times, |_| drop(black_box(key.open(&root)))),
        "argonMs": each(times.div_ceil(20), |_| password::verify_dummy(&guess)) / 1e3,
    }))
}
