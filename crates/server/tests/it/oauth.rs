//! Clients that act for a person: let in by a browser or by a code, and whatever a thief would try with what they hold.

use sekisho_identity::Digest;
use serde_json::{Value, json};

use crate::kit::{Answer, GROUPS, Http, Server, at};
use crate::seed::{READER, World, grant};

const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const BACK: &str = "http://localhost:41521";
const VERIFIER: &str = "a-verifier-of-more-than-forty-three-characters";

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What `az login` opens a browser with, with other values for some parameters; an empty one leaves it out.
fn query(server: &Server, changes: &[(&str, &str)]) -> String {
    let scope = format!("{}//.default offline_access openid profile", server.base());
    let challenge = Digest::of(VERIFIER.as_bytes()).key();
    let usual = [
        ("client_id", AZ),
        ("response_type", "code"),
        ("redirect_uri", BACK),
        ("scope", &scope),
        ("state", "st&te"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("nonce", "n0nce"),
        ("client_info", "1"),
        ("claims", r#"{"access_token": {"xms_cc": {"values": ["CP1"]}}}"#),
        ("prompt", "select_account"),
        ("response_mode", "form_post"),
    ];
    let kept = usual.iter().filter(|(n, _)| changes.iter().all(|(c, _)| c != n));
    let all = kept.chain(changes.iter().filter(|(_, v)| !v.is_empty()));
    all.map(|(n, v)| format!("{n}={}", encode(v))).collect::<Vec<_>>().join("&")
}

async fn decide(page: &Http, query: &str, allow: bool) -> Answer {
    page.post("/auth/authorize", json!({"query": query, "allow": allow})).await
}

/// The code that the person of the page gives.
pub(crate) async fn code(server: &Server, page: &Http) -> String {
    let given = decide(page, &query(server, &[]), true).await.expect(200).json();
    given["fields"]["code"].as_str().unwrap().to_owned()
}

/// Asks for tokens as MSAL does, with other values for some fields.
async fn ask(server: &Server, fields: &[(&str, &str)], changes: &[(&str, &str)]) -> Answer {
    let scope = format!("{}//.default offline_access openid profile", server.base());
    let usual = [("client_id", AZ), ("client_info", "1"), ("scope", scope.as_str())];
    let kept = usual.iter().chain(fields).filter(|(n, _)| changes.iter().all(|(c, _)| c != n));
    let all: Vec<(&str, &str)> = kept.chain(changes.iter().filter(|(_, v)| !v.is_empty())).copied().collect();
    server.http().form("/organizations/oauth2/v2.0/token", &all).await
}

pub(crate) async fn redeem(server: &Server, code: &str, changes: &[(&str, &str)]) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    ask(server, &fields, changes).await
}

/// An access token of az, whom the person of the page lets in.
pub(crate) async fn access_of(server: &Server, page: &Http) -> String {
    let code = code(server, page).await;
    text(&redeem(server, &code, &[]).await.expect(200).json(), "access_token")
}

pub(crate) async fn refresh(server: &Server, token: &str, changes: &[(&str, &str)]) -> Answer {
    ask(server, &[("grant_type", "refresh_token"), ("refresh_token", token)], changes).await
}

pub(crate) fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {answer}")).to_owned()
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Tokens of the person who owns everything.
async fn signed_in(world: &World) -> Value {
    let code = code(&world.server, &world.page()).await;
    redeem(&world.server, &code, &[]).await.expect(200).json()
}

async fn works(world: &World, access: &str) -> u16 {
    world.server.http().bearer(access).get(&at("/subscriptions", GROUPS)).await.status
}

/// The operations of a person in the activity log, the newest first.
async fn log(world: &World, operation: &str) -> Vec<Value> {
    let path = format!("{}/providers/Microsoft.Insights/eventtypes/management/values", world.server.sub);
    let path = at(format!("{path}?$top=50"), "2015-04-01");
    let all = world.page().get(&path).await.expect(200).json();
    let is = |e: &&Value| e["operationName"]["value"] == operation;
    all["value"].as_array().unwrap().iter().filter(is).cloned().collect()
}

#[tokio::test]
async fn a_browser_lets_az_in_after_the_person_said_yes() {
    let world = World::new().await;
    let server = &world.server;
    let nobody = server.http();
    for path in ["/organizations/oauth2/v2.0/authorize", "/adfs/oauth2/authorize"] {
        let query = query(server, &[]);
        let sent = nobody.get(&format!("{path}?{query}")).await.expect(303);
        assert_eq!(sent.header("location"), Some(format!("/authorize?{query}").as_str()));
        // The page may post to where az waits, and nowhere else.
        let page = nobody.get(sent.header("location").unwrap()).await.expect(200);
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("form-action 'self' {BACK};")), "{policy}");
    }
    let other = nobody.get("/authorize?redirect_uri=https%3A%2F%2Fevil.test%2F").await.expect(200);
    assert!(other.header("content-security-policy").unwrap().contains("form-action 'self';"));

    let page = world.page();
    let body = json!({"query": query(server, &[])});
    let asked = page.post("/auth/authorize/inspect", body).await.expect(200).json();
    assert_eq!((&asked["clientName"], &asked["redirect"]), (&json!("Azure CLI"), &json!(BACK)));
    assert_eq!(asked["resources"], json!([format!("{}//.default", server.base())]));

    let sent = decide(&page, &query(server, &[]), true).await.expect(200).json();
    assert_eq!((&sent["redirect"], &sent["fields"]["state"]), (&json!(BACK), &json!("st&te")));
    let tokens = redeem(server, sent["fields"]["code"].as_str().unwrap(), &[]).await.expect(200).json();
    let id = claims(&text(&tokens, "id_token"));
    assert_eq!((&id["nonce"], &id["aud"], &id["tid"]), (&json!("n0nce"), &json!(AZ), &json!(server.tenant)));
    assert_eq!(id["preferred_username"], "jo@contoso.test");
    let access = claims(&text(&tokens, "access_token"));
    assert_eq!((&access["idtyp"], &access["xms_cc"]), (&json!("user"), &json!(["CP1"])));
    assert_eq!(access["amr"], json!(["fido", "mfa"]));
    assert_eq!(works(&world, &text(&tokens, "access_token")).await, 200);
    let me = server.http().bearer(&text(&tokens, "access_token")).get("/v1.0/me").await.expect(200).json();
    assert_eq!(me["userPrincipalName"], "jo@contoso.test");
    // An id token opens nothing.
    assert_eq!(works(&world, &text(&tokens, "id_token")).await, 401);

    // In the address for clients that want it there, and a no is told, too.
    let plain = query(server, &[("response_mode", "")]);
    let sent = decide(&page, &plain, true).await.expect(200).json();
    assert!(sent["redirect"].as_str().unwrap().starts_with(&format!("{BACK}/?code=")), "{sent}");
    assert!(sent["fields"].is_null() && sent["redirect"].as_str().unwrap().ends_with("&state=st%26te"));
    let sent = decide(&page, &query(server, &[]), false).await.expect(200).json();
    assert_eq!(sent["fields"]["error"], "access_denied");
}

#[tokio::test]
async fn a_request_that_leads_elsewhere_is_refused_on_our_own_page() {
    let world = World::new().await;
    let server = &world.server;
    for (name, value) in [
        ("redirect_uri", "https://evil.test/"),
        ("redirect_uri", "http://localhost.evil.test:41521/"),
        ("redirect_uri", "http://localhost:41521@evil.test/"),
        ("redirect_uri", "<script>alert(1)</script>"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
        ("response_type", "token"),
        ("client_id", "x"),
        ("prompt", "none"),
        ("scope", "https://vault.azure.net/.default"),
    ] {
        let query = query(server, &[(name, value)]);
        let answer = server.http().get(&format!("/common/oauth2/v2.0/authorize?{query}")).await.expect(400);
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(answer.header("location").is_none() && page.contains("AADSTS"), "{name}={value}: {page}");
        assert!(!page.contains("<script"), "{page}");
        decide(&world.page(), &query, true).await.refused(400, "InvalidAuthorizationRequest");
    }
    let other = format!("/contoso.example/oauth2/v2.0/authorize?{}", query(server, &[]));
    server.http().get(&other).await.expect(400);
    // Another site cannot say yes for the person, and nobody without a session.
    let foreign = world.page().with("sec-fetch-site", "cross-site");
    decide(&foreign, &query(server, &[]), true).await.refused(403, "CrossSiteRequest");
    decide(&server.http().with("sec-fetch-site", "same-origin"), &query(server, &[]), true).await.expect(401);
    let program = world.client("root").await;
    decide(&program, &query(server, &[]), true).await.refused(403, "SessionRequired");
}

#[tokio::test]
async fn a_code_works_once_and_a_second_time_it_ends_what_it_gave() {
    let world = World::new().await;
    let server = &world.server;
    let code = code(server, &world.page()).await;
    let tokens = redeem(server, &code, &[]).await.expect(200).json();
    assert_eq!(works(&world, &text(&tokens, "access_token")).await, 200);
    redeem(server, &code, &[]).await.refused(400, "invalid_grant");
    assert_eq!(works(&world, &text(&tokens, "access_token")).await, 401);
    refresh(server, &text(&tokens, "refresh_token"), &[]).await.refused(400, "invalid_grant");
    assert_eq!(log(&world, "Sekisho.Identity/grants/reuse").await.len(), 1);
}

#[tokio::test]
async fn a_code_is_worth_nothing_to_whoever_only_saw_it() {
    let world = World::new().await;
    let server = &world.server;
    for changes in [
        [("code_verifier", "another-verifier-of-more-than-forty-three-chars")],
        [("code_verifier", "short")],
        [("redirect_uri", "http://localhost:41522")],
        [("client_id", "00000000-0000-4000-8000-000000000000")],
    ] {
        let code = code(server, &world.page()).await;
        redeem(server, &code, &changes).await.refused(400, "invalid_grant");
        // And nobody tries twice.
        redeem(server, &code, &[]).await.refused(400, "invalid_grant");
    }
    let code = code(server, &world.page()).await;
    redeem(server, &code, &[("code_verifier", "")]).await.refused(400, "invalid_request");
    let answer = ask(
        server,
        &[
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ],
        &[],
    );
    answer.await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_is_spent_by_its_use_and_a_spent_one_ends_everything() {
    let world = World::new().await;
    let server = &world.server;
    let first = signed_in(&world).await;
    let second = refresh(server, &text(&first, "refresh_token"), &[]).await.expect(200).json();
    // Two commands that started together are given the same next one.
    let twin = refresh(server, &text(&first, "refresh_token"), &[]).await.expect(200).json();
    assert_eq!(text(&twin, "refresh_token"), text(&second, "refresh_token"));
    let third = refresh(server, &text(&second, "refresh_token"), &[]).await.expect(200).json();
    assert_eq!(works(&world, &text(&third, "access_token")).await, 200);
    // The next one has been used, so this is a thief or the one he robbed.
    refresh(server, &text(&first, "refresh_token"), &[]).await.refused(400, "invalid_grant");
    for tokens in [&first, &second, &third] {
        assert_eq!(works(&world, &text(tokens, "access_token")).await, 401);
    }
    refresh(server, &text(&third, "refresh_token"), &[]).await.refused(400, "invalid_grant");
    let told = log(&world, "Sekisho.Identity/grants/reuse").await;
    assert_eq!((told.len(), &told[0]["caller"]), (1, &json!("jo@contoso.test")));
}

#[tokio::test]
async fn a_refresh_token_is_for_its_client_and_audiences_of_ours() {
    let world = World::new().await;
    let server = &world.server;
    let tokens = signed_in(&world).await;
    let token = text(&tokens, "refresh_token");
    let other = [("client_id", "00000000-0000-4000-8000-000000000000")];
    refresh(server, &token, &other).await.refused(400, "invalid_grant");
    let vault = [("scope", "https://vault.azure.net/.default")];
    refresh(server, &token, &vault).await.refused(400, "invalid_scope");
    for bad in ["skr_", "skr_x_y", "x", &format!("{token}x"), &token.replace("skr_", "sks_")] {
        refresh(server, bad, &[]).await.refused(400, "invalid_grant");
    }
    // What asks for more than was proved is told to sign in anew, and the token is not spent.
    let step_up = [("claims", r#"{"access_token": {"acrs": {"essential": true, "value": "c1"}}}"#)];
    let refused = refresh(server, &token, &step_up).await.refused(400, "interaction_required");
    assert_eq!(refused.json()["claims"], r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#);
    let graph = format!("{}/.default offline_access", server.base());
    let answer = refresh(server, &token, &[("scope", &graph)]).await.expect(200).json();
    assert_eq!(claims(&text(&answer, "access_token"))["aud"], server.base());
    // Signed in anew with it, the tokens say so.
    let again = query(server, &[step_up[0]]);
    let given = decide(&world.page(), &again, true).await.expect(200).json();
    let tokens = redeem(server, given["fields"]["code"].as_str().unwrap(), &[]).await.expect(200).json();
    assert_eq!(claims(&text(&tokens, "access_token"))["acrs"], json!(["c1"]));
    refresh(server, &text(&tokens, "refresh_token"), &step_up).await.expect(200);
    // Without offline_access there is no refresh token.
    let hour = query(server, &[("scope", &format!("{}//.default openid", server.base()))]);
    let given = decide(&world.page(), &hour, true).await.expect(200).json();
    let tokens = redeem(server, given["fields"]["code"].as_str().unwrap(), &[]).await.expect(200).json();
    assert!(tokens.get("refresh_token").is_none());
}

#[tokio::test]
async fn a_client_whose_person_signed_in_long_ago_is_sent_to_sign_in_anew_before_it_changes_rights() {
    let world = World::new().await;
    let tokens = signed_in(&world).await;
    let az = world.server.http().bearer(&text(&tokens, "access_token"));
    grant(&az, "", READER, world.group(), "Group").await;

    world.server.age("grant", "at", 16 * 60).await;
    let path = format!("/v1.0/groups/{}/members/{}/$ref", world.group(), world.person());
    let refused = az.delete(&path).await.refused(401, "StepUpRequired");
    let challenge = refused.header("www-authenticate").unwrap().to_owned();
    let claims = challenge.split("claims=\"").nth(1).unwrap().trim_end_matches('"');
    assert!(challenge.contains("error=\"insufficient_claims\""), "{challenge}");
    let told = refused.message();
    assert!(told.contains(&format!("az login --claims-challenge \"{claims}\"")), "{told}");
    // Everything else goes on, and what is only tried is not asked for.
    az.get(&at("/subscriptions", GROUPS)).await.expect(200);
    assert_ne!(az.delete(&format!("{path}?whatIf=true")).await.status, 401);

    // The person signs in anew for the challenge; that is good for a quarter of an hour, not for as long as the grant.
    let acrs = r#"{"access_token": {"acrs": {"essential": true, "value": "c1"}}}"#;
    let asked = query(&world.server, &[("claims", acrs)]);
    let given = decide(&world.page(), &asked, true).await.expect(200).json();
    let tokens =
        redeem(&world.server, given["fields"]["code"].as_str().unwrap(), &[]).await.expect(200).json();
    let az = world.server.http().bearer(&text(&tokens, "access_token"));
    assert_ne!(az.delete(&path).await.status, 401);
    let again = [("claims", acrs)];
    let tokens = refresh(&world.server, &text(&tokens, "refresh_token"), &again).await.expect(200).json();
    world.server.age("grant", "at", 16 * 60).await;
    let refused = refresh(&world.server, &text(&tokens, "refresh_token"), &again).await;
    refused.refused(400, "interaction_required");
    refresh(&world.server, &text(&tokens, "refresh_token"), &[]).await.expect(200);
}

async fn device(server: &Server) -> Value {
    let scope = format!("{}//.default offline_access openid profile", server.base());
    let fields = [("client_id", AZ), ("scope", scope.as_str())];
    let az = server.http().with("user-agent", "azsdk-python");
    az.form("/organizations/oauth2/v2.0/devicecode", &fields).await.expect(200).json()
}

async fn poll(server: &Server, code: &str) -> Answer {
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let fields = [("grant_type", grant), ("client_id", AZ), ("device_code", code), ("code", code)];
    server.http().form("/organizations/oauth2/v2.0/token", &fields).await
}

#[tokio::test]
async fn a_device_code_gives_tokens_once_the_person_has_typed_the_code_and_said_yes() {
    let world = World::new().await;
    let server = &world.server;
    let begun = device(server).await;
    assert_eq!(begun["verification_uri"], format!("{}/devicelogin", server.base()));
    let typed = text(&begun, "user_code");
    assert!(text(&begun, "message").contains(&typed));
    let code = text(&begun, "device_code");
    poll(server, &code).await.refused(400, "authorization_pending");
    poll(server, &code).await.refused(400, "slow_down");

    let page = world.page();
    let asked = page.post("/auth/device/inspect", json!({"userCode": typed.to_lowercase()})).await;
    let asked = asked.expect(200).json();
    assert_eq!((&asked["clientName"], &asked["ipAddress"]), (&json!("Azure CLI"), &json!("127.0.0.1")));
    assert_eq!((&asked["sameAddress"], &asked["userAgent"]), (&json!(true), &json!("azsdk-python")));
    page.post("/auth/device", json!({"userCode": typed, "allow": true})).await.expect(204);
    let tokens = poll(server, &code).await.expect(200).json();
    assert!(tokens["scope"].as_str().unwrap().contains("//.default"));
    assert_eq!(works(&world, &text(&tokens, "access_token")).await, 200);
    // The code on the screen is spent, and so is the other one: who uses it again ends what it gave.
    page.post("/auth/device", json!({"userCode": typed, "allow": true}))
        .await
        .refused(404, "DeviceCodeNotFound");
    poll(server, &code).await.refused(400, "invalid_grant");
    assert_eq!(works(&world, &text(&tokens, "access_token")).await, 401);
}

#[tokio::test]
async fn a_declined_device_gets_nothing_and_codes_are_not_found_by_trying() {
    let world = World::new().await;
    let server = &world.server;
    let begun = device(server).await;
    let page = world.page();
    let no = json!({"userCode": begun["user_code"], "allow": false});
    page.post("/auth/device", no).await.expect(204);
    poll(server, &text(&begun, "device_code")).await.refused(400, "authorization_declined");
    poll(server, "guess").await.refused(400, "invalid_grant");

    let begun = device(server).await;
    let foreign = page.with("sec-fetch-site", "cross-site");
    let yes = json!({"userCode": begun["user_code"], "allow": true});
    foreign.post("/auth/device", yes.clone()).await.refused(403, "CrossSiteRequest");
    let mut last = 0;
    for n in 0..40u32 {
        let guess = format!("BCDF-GHJ{}", char::from(b"BCDFGHJKLMNPQRSTVWXZ"[n as usize % 20]));
        last = page.post("/auth/device/inspect", json!({"userCode": guess})).await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429, "guessing is never slowed down");
    page.post("/auth/device", yes).await.refused(429, "TooManyAttempts");
    poll(server, &text(&begun, "device_code")).await.refused(400, "authorization_pending");
    // Nobody fills the server with requests.
    let mut refused = None;
    for _ in 0..25 {
        let fields = [("client_id", AZ), ("scope", &format!("{}//.default", server.base()))];
        let answer = server.http().form("/common/oauth2/v2.0/devicecode", &fields).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    refused.expect("any number may wait").refused(429, "temporarily_unavailable");
}

#[tokio::test]
async fn a_person_sees_and_ends_what_acts_as_them() {
    let world = World::new().await;
    let tokens = signed_in(&world).await;
    let access = text(&tokens, "access_token");
    let page = world.page();
    let listed = page.get("/auth/grants").await.expect(200).json();
    let [row] = listed["value"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&row["clientName"], &row["methods"]), (&json!("Azure CLI"), &json!(["passkey"])));
    assert_eq!(row["id"], claims(&access)["sid"]);
    let client = world.server.http().bearer(&access);
    // A token is no session: it cannot give or end grants.
    client.get("/auth/grants").await.refused(403, "SessionRequired");
    let (status, stream) = client.with("accept", "text/event-stream").stream("/api/events").await;
    assert_eq!(status, 200);
    let path = format!("/auth/grants/{}", row["id"].as_str().unwrap());
    page.delete(&path).await.expect(204);
    page.delete(&path).await.refused(404, "GrantNotFound");
    assert_eq!(works(&world, &access).await, 401);
    refresh(&world.server, &text(&tokens, "refresh_token"), &[]).await.refused(400, "invalid_grant");
    crate::signin::ends(stream).await;
    assert_eq!(page.get("/auth/grants").await.expect(200).json()["value"], json!([]));
}

#[tokio::test]
async fn a_grant_ends_with_the_session_that_is_thrown_out_and_with_the_person() {
    let world = World::new().await;
    let (id, mut passkey, cookies) = crate::signin::person(&world, "eve@contoso.test").await;
    grant(&world.page(), "", READER, &id, "User").await;
    let (server, page) = (&world.server, world.server.http().page(&cookies));
    let of = async |page: &Http| {
        let code = code(server, page).await;
        redeem(server, &code, &[]).await.expect(200).json()
    };
    let here = of(&page).await;
    let thrown = crate::signin::with_passkey(&crate::signin::browser(server), &mut passkey).await.expect(200);
    let there = of(&server.http().page(&thrown.cookies())).await;
    page.post("/auth/sessions/revokeOthers", json!({})).await.expect(200);
    assert_eq!(works(&world, &text(&there, "access_token")).await, 401);
    assert_eq!(works(&world, &text(&here, "access_token")).await, 200);
    // Signing out of the portal leaves the command line as it is.
    page.post("/auth/signout", json!({})).await.expect(204);
    assert_eq!(works(&world, &text(&here, "access_token")).await, 200);
    let path = format!("/v1.0/users/{id}");
    world.page().patch(&path, json!({"accountEnabled": false})).await.expect(204);
    assert_eq!(works(&world, &text(&here, "access_token")).await, 401);
    refresh(server, &text(&here, "refresh_token"), &[]).await.refused(400, "invalid_grant");
    world.page().patch(&path, json!({"accountEnabled": true})).await.expect(204);
    assert_eq!(works(&world, &text(&here, "access_token")).await, 401);
}
