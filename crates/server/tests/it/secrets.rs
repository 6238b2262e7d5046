//! Planted secrets: the program itself is used with everything that is secret, rightly and wrongly, while it tells as
//! much as it can, and nothing of that is found afterwards where it could be read.

use std::path::Path;

use http::Method;
use sekisho_identity::ring::Purpose;
use sekisho_server::log;
use serde_json::{Value, json};

use crate::agent;
use crate::device::Passkey;
use crate::kit::{Answer, Data, GROUPS, Http, Server, at};
use crate::oauth;
use crate::seed::{program, set_up, token};
use crate::signin::{PASSWORD, browser, set_up_password, setup_link, with_passkey, with_password};

/// What was planted, and every refusal that was given.
#[derive(Default)]
struct Planted {
    secrets: Vec<(&'static str, String)>,
    refusals: Vec<String>,
}

impl Planted {
    fn plant(&mut self, what: &'static str, secret: &str) {
        assert!(secret.len() > 9, "{what} is too short to be looked for: {secret}");
        self.secrets.push((what, secret.to_owned()));
    }

    /// Every value of the cookies that an answer sets.
    fn plant_cookies(&mut self, cookies: &str) {
        for value in cookies.split("; ").filter_map(|pair| Some(pair.split_once('=')?.1)) {
            self.plant("a cookie", value);
        }
    }

    /// A secret that is right nowhere.
    fn wrong(&mut self, what: &'static str) -> String {
        let secret = format!("pl4nted-{}-{:x}", what.replace(' ', "-"), uuid::Uuid::new_v4().as_u128());
        self.plant(what, &secret);
        secret
    }

    fn refused(&mut self, answer: &Answer) {
        assert!(answer.status >= 400, "{answer:?}");
        self.refusals.push(format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body)));
    }

    fn look(&self, place: &str, text: &str) {
        for (what, secret) in &self.secrets {
            assert!(!text.contains(secret.as_str()), "{what} stands in {place}");
        }
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// Everybody signs in, in every way there is.
async fn rightly(server: &Server, planted: &mut Planted) -> Http {
    let link = setup_link(server).await;
    planted.plant("the set-up link", link.rsplit_once("token=").unwrap().1);
    let mut passkey = Passkey::new(&server.base());
    let made = set_up(server, &link, "jo@contoso.test", &mut passkey).await.expect(200);
    planted.plant_cookies(&made.cookies());
    for code in made.json()["recoveryCodes"].as_array().unwrap() {
        planted.plant("a recovery code", code.as_str().unwrap());
    }
    let again = with_passkey(&browser(server), &mut passkey).await.expect(200);
    planted.plant_cookies(&again.cookies());
    let page = server.http().page(&again.cookies());

    let body = json!({"userPrincipalName": "eve@contoso.test", "displayName": "Eve"});
    let eve = text(&page.post("/v1.0/users", body).await.expect(201).json(), "id");
    let invitation = page.post(&format!("/v1.0/users/{eve}/sekisho.invite"), json!({})).await.expect(200);
    let link = text(&invitation.json(), "link");
    planted.plant("an invitation", link.rsplit_once("token=").unwrap().1);
    let (mut codes, made) = set_up_password(server, &link, "eve@contoso.test").await;
    planted.plant("a password", PASSWORD);
    let made = made.expect(200);
    let recovery = made.json()["recoveryCodes"][0].as_str().unwrap().to_owned();
    planted.plant("a recovery code", &recovery);
    for code in [codes.fresh(), recovery] {
        let signed_in =
            with_password(&browser(server), "eve@contoso.test", PASSWORD, &code).await.expect(200);
        planted.plant_cookies(&signed_in.cookies());
    }

    let robot = program(&page, "robot").await;
    planted.plant("a program's password", &robot.secret);
    planted.plant("an access token", &text(&token(server, &robot).await.expect(200).json(), "access_token"));
    let code = oauth::code(server, &page).await;
    planted.plant("an authorization code", &code);
    let given = oauth::redeem(server, &code, &[]).await.expect(200).json();
    let next = oauth::refresh(server, &text(&given, "refresh_token"), &[]).await.expect(200).json();
    for tokens in [&given, &next] {
        planted.plant("an access token", &text(tokens, "access_token"));
        planted.plant("a refresh token", &text(tokens, "refresh_token"));
        planted.plant("an id token", &text(tokens, "id_token"));
    }
    server.http().bearer(&text(&next, "access_token")).get(&at("/subscriptions", GROUPS)).await.expect(200);

    let join = text(&server.admin("/agent-token", json!({})).await, "joinString");
    planted.plant("a join string", join.rsplit('.').next().unwrap());
    agent::join(&join, "web").await.ok().unwrap().connect(0).await;
    server.admin("/keys/rotate", json!({"purpose": "token-signing", "atOnce": true})).await;
    server.admin("/keys/rotate", json!({"purpose": "root"})).await;
    page
}

/// The same secrets and others where they do not belong.
async fn wrongly(server: &Server, page: &Http, planted: &mut Planted) {
    let stranger = browser(server);
    let (name, password) = (planted.wrong("a name"), planted.wrong("a wrong password"));
    // A password typed into the field of the name, and into that of the code.
    for (name, password, code) in [
        (name.as_str(), password.as_str(), "123456"),
        ("eve@contoso.test", password.as_str(), PASSWORD),
        (PASSWORD, PASSWORD, PASSWORD),
    ] {
        planted.refused(&with_password(&stranger, name, password, code).await);
    }
    let secret = planted.wrong("a field");
    for body in [
        json!({"userPrincipalName": "eve@contoso.test", "password": [secret], "code": 1}),
        json!({"userPrincipalName": {"password": secret}}),
        json!({ secret.clone(): secret }),
        json!([secret]),
        json!(secret),
    ] {
        for path in
            ["/auth/password", "/auth/passkey/finish", "/auth/setup/inspect", "/auth/setup/password/begin"]
        {
            planted.refused(&stranger.post(path, body.clone()).await);
        }
        planted.refused(&page.post("/v1.0/users", body).await);
    }
    let cut = planted.wrong("a body that ends too early");
    for path in ["/auth/password", "/auth/setup/inspect"] {
        let body = format!("{{\"password\": \"{cut}");
        planted.refused(&stranger.raw(Method::POST, path, body.into()).await);
    }
    let group = at(format!("{}/resourceGroups/rg", server.sub), GROUPS);
    planted.refused(&page.raw(Method::PUT, &group, format!("{{\"location\": {cut}").into()).await);
    let link = planted.wrong("a link");
    planted.refused(&stranger.post("/auth/setup/inspect", json!({"token": link})).await);

    for (header, value) in [
        ("authorization", format!("Bearer {}", planted.wrong("a bearer"))),
        ("authorization", format!("Basic {}", planted.wrong("a basic"))),
        ("authorization", planted.wrong("a bare token")),
        ("cookie", format!("__Host-sekisho={}", planted.wrong("a foreign cookie"))),
    ] {
        planted.refused(&server.http().with(header, &value).get(&at("/subscriptions", GROUPS)).await);
    }

    let path = format!("/{}/oauth2/v2.0/token", server.tenant);
    let of = |planted: &mut Planted| planted.wrong("a field of a form");
    let forms: [Vec<(&str, String)>; 6] = [
        vec![("grant_type", "client_credentials".to_owned()), ("client_secret", of(planted))],
        // A kind of grant that is not known is named in the refusal, as Entra does: nothing secret is typed there.
        vec![("grant_type", "magic".to_owned()), ("client_secret", of(planted))],
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", uuid::Uuid::nil().to_string()),
            ("client_assertion", of(planted)),
            ("client_assertion_type", of(planted)),
        ],
        vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", of(planted))],
        vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", of(planted)),
            ("code_verifier", of(planted)),
        ],
        vec![("password", of(planted)), ("username", of(planted)), ("grant_type", "password".to_owned())],
    ];
    for form in forms {
        let fields: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        planted.refused(&server.http().form(&path, &fields).await);
    }
    let join = text(&server.admin("/agent-token", json!({})).await, "joinString");
    let (rest, own) = join.rsplit_once('.').unwrap();
    planted.plant("an unused join string", own);
    let forged = format!("{}{}", if own.starts_with('A') { 'B' } else { 'A' }, &own[1..]);
    planted.plant("a forged join string", &forged);
    assert!(agent::join(&format!("{rest}.{forged}"), "forged").await.is_err());
}

#[tokio::test]
async fn nothing_secret_is_in_logs_arguments_environment_exports_or_refusals() {
    let data = Data::new();
    let said = data.path().join("said");
    let variables = [("SEKISHO_LOG", "trace"), ("RUST_LOG", "trace")];
    let (server, pid) = Server::program(data, &said, &variables).await;
    let mut planted = Planted::default();
    let page = rightly(&server, &mut planted).await;
    wrongly(&server, &page, &mut planted).await;
    let proc = |name: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{name}")).unwrap()).into_owned()
    };
    let limits = proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    for place in ["cmdline", "environ"] {
        planted.look(place, &proc(place));
    }
    let data = server.stop().await;
    for purpose in Purpose::ALL {
        let (_, key) = data.key(purpose).await;
        for form in forms(&key) {
            planted.plant("a key", &form);
        }
    }
    let root = std::fs::read(data.path().join("keys/root.key")).unwrap();
    forms(&root).iter().for_each(|form| planted.plant("the root key", form));

    let said = read(&said);
    assert!(said.contains("/auth/password") && said.contains("/link/join"), "the log shows requests");
    planted.look("what the server says", &said);
    let mut export = Vec::new();
    let exported = log::export(&data.config(443), 1, None, &mut export).await.unwrap();
    assert!(exported.entries > 20, "{exported:?}");
    planted.look("the exported log", &String::from_utf8(export).unwrap());
    assert!(planted.refusals.len() > 30 && planted.secrets.len() > 60);
    for refusal in &planted.refusals {
        planted.look(refusal, refusal);
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// The forms in which a key could be written as text.
fn forms(secret: &[u8]) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
    // As `Debug` shows bytes.
    let bytes: Vec<String> = secret.iter().take(16).map(u8::to_string).collect();
    let mut all = vec![STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret), hex, bytes.join(", ")];
    if let Ok(text) = std::str::from_utf8(secret) {
        all.extend(text.lines().filter(|line| line.len() > 40).map(str::to_owned));
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        all.extend(value["pkcs8"].as_str().map(str::to_owned));
    }
    all
}
