//! Signing in and staying signed in: links, passkeys, passwords with codes, sessions, and what ends them.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::device::{Codes, Passkey, garbled};
use crate::kit::{Answer, Data, FLEET, GROUPS, Http, NETWORK, Server, at, soon, until};
use crate::seed::{OWNER, READER, World, grant, program, set_up, sign_in, token};

pub(crate) const PASSWORD: &str = "correct horse battery staple 1";

pub(crate) async fn setup_link(server: &Server) -> String {
    server.admin("/setup-link", json!({})).await["link"].as_str().unwrap().to_owned()
}

fn secret_of(link: &str) -> &str {
    link.rsplit_once("token=").unwrap().1
}

/// A page of a browser in which nobody is signed in.
pub(crate) fn browser(server: &Server) -> Http {
    server.http().with("sec-fetch-site", "same-origin")
}

/// Opens a set-up link with a password and an authenticator app.
pub(crate) async fn set_up_password(server: &Server, link: &str, name: &str) -> (Codes, Answer) {
    let page = browser(server);
    let body = json!({
        "token": secret_of(link), "userPrincipalName": name, "displayName": "Somebody", "password": PASSWORD,
    });
    let begun = page.post("/auth/setup/password/begin", body).await.expect(200).json();
    let mut codes = Codes::new(begun["secret"].as_str().unwrap());
    let body = json!({"ceremony": begun["ceremony"], "code": codes.fresh()});
    let finished = page.post("/auth/setup/password/finish", body).await;
    (codes, finished)
}

pub(crate) async fn with_password(page: &Http, name: &str, password: &str, code: &str) -> Answer {
    let body = json!({"userPrincipalName": name, "password": password, "code": code});
    page.post("/auth/password", body).await
}

pub(crate) async fn with_passkey(page: &Http, passkey: &mut Passkey) -> Answer {
    let begun = page.post("/auth/passkey/begin", json!({})).await.expect(200).json();
    let body = json!({"ceremony": begun["ceremony"], "credential": passkey.get(&begun)});
    let answer = page.post("/auth/passkey/finish", body).await;
    page.confirms(&answer.cookies(), passkey);
    answer
}

/// Adds a person and gives back an invitation.
pub(crate) async fn invite(world: &World, name: &str) -> (String, String) {
    let page = world.page();
    let body = json!({"userPrincipalName": name, "displayName": "Somebody"});
    let person = page.post("/v1.0/users", body).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let link = page.post(&format!("/v1.0/users/{person}/sekisho.invite"), json!({})).await.expect(200).json();
    (person, link["link"].as_str().unwrap().to_owned())
}

/// Adds a person with a passkey; their object id, passkey and session cookies.
pub(crate) async fn person(world: &World, name: &str) -> (String, Passkey, String) {
    let (person, link) = invite(world, name).await;
    let mut passkey = Passkey::new(&world.server.base());
    let cookies = set_up(&world.server, &link, name, &mut passkey).await.expect(200).cookies();
    (person, passkey, cookies)
}

#[tokio::test]
async fn the_first_person_comes_in_by_the_link_with_a_passkey_and_owns_everything() {
    let server = Server::fresh().await;
    let state = server.http().get("/auth/state").await.expect(200).json();
    assert_eq!((&state["firstRun"], &state["organization"]), (&json!(true), &json!("Contoso")));
    let link = setup_link(&server).await;
    let seen = browser(&server).post("/auth/setup/inspect", json!({"token": secret_of(&link)})).await;
    assert_eq!(seen.expect(200).json()["kind"], "firstRun");
    let mut passkey = Passkey::new(&server.base());
    let made = set_up(&server, &link, "jo@contoso.test", &mut passkey).await.expect(200);
    assert_eq!(made.json()["recoveryCodes"].as_array().unwrap().len(), 10);
    assert_eq!(made.json()["session"]["auth"]["methods"], json!(["passkey"]));
    assert_eq!(server.http().get("/auth/state").await.json()["firstRun"], false);

    let page = server.http().page(&made.cookies());
    let group = format!("{}/resourceGroups/rg1", server.sub);
    page.put(&at(&group, GROUPS), json!({"location": "home"})).await.expect(201);

    let again = with_passkey(&browser(&server), &mut passkey).await.expect(200);
    assert_eq!(again.json()["person"]["userPrincipalName"], "jo@contoso.test");
    server.http().page(&again.cookies()).get("/auth/session").await.expect(200);
}

#[tokio::test]
async fn a_link_opens_once_whichever_way_it_is_used_again() {
    let server = Server::fresh().await;
    let link = setup_link(&server).await;
    // Somebody else began with the same link before it was used.
    let page = browser(&server);
    let wanted =
        json!({"token": secret_of(&link), "userPrincipalName": "eve@contoso.test", "displayName": "Eve"});
    let begun = page.post("/auth/setup/passkey/begin", wanted.clone()).await.expect(200).json();
    set_up(&server, &link, "jo@contoso.test", &mut Passkey::new(&server.base())).await.expect(200);

    let credential = Passkey::new(&server.base()).create(&begun);
    let body = json!({"ceremony": begun["ceremony"], "credential": credential});
    page.post("/auth/setup/passkey/finish", body).await.refused(400, "InvalidLink");
    page.post("/auth/setup/passkey/begin", wanted.clone()).await.refused(400, "InvalidLink");
    let mut wanted = wanted;
    wanted["password"] = PASSWORD.into();
    page.post("/auth/setup/password/begin", wanted).await.refused(400, "InvalidLink");
    let body = json!({"token": secret_of(&link)});
    page.post("/auth/setup/inspect", body).await.refused(400, "InvalidLink");
    let none = json!({"token": "A".repeat(43)});
    page.post("/auth/setup/inspect", none).await.refused(400, "InvalidLink");
}

#[tokio::test]
async fn a_person_signs_in_with_password_and_code_and_each_code_works_once() {
    let server = Server::fresh().await;
    let link = setup_link(&server).await;
    let (mut codes, made) = set_up_password(&server, &link, "jo@contoso.test").await;
    let made = made.expect(200);
    assert_eq!(made.json()["session"]["auth"]["methods"], json!(["password", "totp"]));
    let recovery: Vec<String> = serde_json::from_value(made.json()["recoveryCodes"].clone()).unwrap();
    let page = browser(&server);

    let refused = with_password(&page, "jo@contoso.test", PASSWORD, &codes.stale()).await;
    refused.refused(401, "InvalidCredentials");
    let code = codes.fresh();
    let again = with_password(&page, "JO@contoso.test", PASSWORD, &code).await.expect(200);
    assert_eq!(again.json()["auth"]["methods"], json!(["password", "totp"]));
    with_password(&page, "jo@contoso.test", PASSWORD, &code).await.refused(401, "InvalidCredentials");

    let saved = with_password(&page, "jo@contoso.test", PASSWORD, &recovery[3]).await.expect(200);
    assert_eq!(saved.json()["auth"]["methods"], json!(["password", "recovery"]));
    let spent = with_password(&page, "jo@contoso.test", PASSWORD, &recovery[3]).await;
    spent.refused(401, "InvalidCredentials");
    with_password(&page, "jo@contoso.test", "wrong", &recovery[4]).await.refused(401, "InvalidCredentials");
    let credentials = server.http().page(&saved.cookies()).get("/auth/credentials").await.expect(200).json();
    let of = |kind: &str| {
        credentials["value"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["kind"] == kind)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(of("password")["id"], "password");
    assert!(!credentials.to_string().contains(&recovery[0]));
    // The one that was right beside a wrong password is spent as well, or it is not: it never counts twice.
    let left = of("recovery")["remaining"].as_u64().unwrap();
    assert!((8..=9).contains(&left), "{left}");
}

#[tokio::test]
async fn nobody_chooses_a_password_that_was_breached() {
    let data = Data::new();
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, PASSWORD.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    std::fs::write(data.breached(), format!("{hash}:3\n")).unwrap();
    let server = Server::on(data).await;
    let (link, page) = (setup_link(&server).await, browser(&server));
    let begin = async |password: &str| {
        let body = json!({"token": secret_of(&link), "userPrincipalName": "jo@contoso.test", "displayName": "Jo",
            "password": password});
        page.post("/auth/setup/password/begin", body).await
    };
    begin(PASSWORD).await.refused(400, "WeakPassword");
    begin(&format!("{PASSWORD}, breached nowhere")).await.expect(200);
    // Nobody knows any more which were: none is taken.
    std::fs::remove_file(server.data.breached()).unwrap();
    begin(&format!("{PASSWORD}, nor this one")).await.expect(500);
}

#[tokio::test]
async fn a_weak_password_or_a_wrong_first_code_enrols_nobody() {
    let server = Server::fresh().await;
    let link = setup_link(&server).await;
    let page = browser(&server);
    for weak in ["short", "password1234", "jo@contoso.test"] {
        let body = json!({
            "token": secret_of(&link), "userPrincipalName": "jo@contoso.test", "displayName": "Jo", "password": weak,
        });
        let answer = page.post("/auth/setup/password/begin", body).await;
        assert_eq!(answer.code(), "WeakPassword", "{weak} was taken");
    }
    let body = json!({
        "token": secret_of(&link), "userPrincipalName": "jo@contoso.test", "displayName": "Jo", "password": PASSWORD,
    });
    let begun = page.post("/auth/setup/password/begin", body).await.expect(200).json();
    let mut codes = Codes::new(begun["secret"].as_str().unwrap());
    let right = codes.fresh();
    let wrong = if right == "000000" { "111111" } else { "000000" };
    let body = json!({"ceremony": begun["ceremony"], "code": wrong});
    page.post("/auth/setup/password/finish", body).await.refused(400, "InvalidCode");
    assert_eq!(server.http().get("/auth/state").await.json()["firstRun"], true);
    let body = json!({"ceremony": begun["ceremony"], "code": right});
    page.post("/auth/setup/password/finish", body.clone()).await.expect(200);
    page.post("/auth/setup/password/finish", body).await.refused(400, "CeremonyExpired");
}

#[tokio::test]
async fn a_ceremony_is_spent_by_its_first_answer_whether_that_was_right_or_not() {
    let world = World::new().await;
    let (_, mut passkey, _) = person(&world, "eve@contoso.test").await;
    let page = browser(&world.server);
    let begun = page.post("/auth/passkey/begin", json!({})).await.expect(200).json();
    let answer = json!({"ceremony": begun["ceremony"], "credential": passkey.get(&begun)});
    page.post("/auth/passkey/finish", answer.clone()).await.expect(200);
    page.post("/auth/passkey/finish", answer).await.refused(400, "CeremonyExpired");

    let begun = page.post("/auth/passkey/begin", json!({})).await.expect(200).json();
    let right = passkey.get(&begun);
    let wrong = json!({"ceremony": begun["ceremony"], "credential": garbled(right.clone())});
    page.post("/auth/passkey/finish", wrong).await.refused(401, "InvalidCredentials");
    let late = json!({"ceremony": begun["ceremony"], "credential": right});
    page.post("/auth/passkey/finish", late).await.refused(400, "CeremonyExpired");

    // An answer to one challenge is none to another.
    let one = page.post("/auth/passkey/begin", json!({})).await.expect(200).json();
    let other = page.post("/auth/passkey/begin", json!({})).await.expect(200).json();
    let body = json!({"ceremony": other["ceremony"], "credential": passkey.get(&one)});
    page.post("/auth/passkey/finish", body).await.refused(401, "InvalidCredentials");
}

#[tokio::test]
async fn every_mistake_gets_the_same_words_and_many_of_them_a_pause() {
    let world = World::new().await;
    let (_, link) = invite(&world, "eve@contoso.test").await;
    let (_, made) = set_up_password(&world.server, &link, "eve@contoso.test").await;
    let made = made.expect(200);
    let recovery: Vec<String> = serde_json::from_value(made.json()["recoveryCodes"].clone()).unwrap();
    let page = browser(&world.server);
    let text = |answer: Answer| answer.refused(401, "InvalidCredentials").json().to_string();
    let wrong_password = text(with_password(&page, "eve@contoso.test", "no", &recovery[0]).await);
    let wrong_code = text(with_password(&page, "eve@contoso.test", PASSWORD, "zzzz").await);
    let no_such_name = text(with_password(&page, "nobody@contoso.test", "no", "000000").await);
    assert_eq!(wrong_password, wrong_code);
    assert_eq!(wrong_password, no_such_name);

    let mut locked = None;
    for attempt in 0..20 {
        let answer = with_password(&page, "eve@contoso.test", &format!("no {attempt}"), "000000").await;
        if answer.status == 429 {
            locked = Some(answer);
            break;
        }
        answer.refused(401, "InvalidCredentials");
    }
    let locked = locked.expect("guessing is never slowed down").refused(429, "TooManyAttempts");
    let wait: u32 = locked.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // The right password does not get through either, or the pause would tell that it was right.
    let right = with_password(&page, "eve@contoso.test", PASSWORD, &recovery[1]).await;
    right.refused(429, "TooManyAttempts");
    // At their own machine the person still gets in.
    let own = page.with("cookie", &made.cookies());
    with_password(&own, "eve@contoso.test", PASSWORD, &recovery[2]).await.expect(200);
    // A name that does not exist locks in the same way.
    let mut statuses = Vec::new();
    for attempt in 0..14 {
        statuses.push(with_password(&page, "nobody@contoso.test", &format!("n {attempt}"), "0").await.status);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[tokio::test]
async fn the_cookies_are_bound_to_the_host_and_hidden_from_scripts() {
    let world = World::new().await;
    let (_, mut passkey, _) = person(&world, "eve@contoso.test").await;
    let answer = with_passkey(&browser(&world.server), &mut passkey).await.expect(200);
    let cookies = answer.set_cookies();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in &cookies {
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
        for wanted in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
            assert!(attributes.contains(&wanted), "{wanted} is missing in {cookie}");
        }
        assert!(!cookie.contains("Domain="), "{cookie}");
    }
    let page = world.server.http().page(&answer.cookies());
    let out = page.post("/auth/signout", json!({})).await.expect(204);
    assert!(out.set_cookies()[0].contains("Max-Age=0"), "{:?}", out.set_cookies());
    page.get("/auth/session").await.refused(401, "SessionEnded");
}

#[tokio::test]
async fn a_session_is_listed_and_ended_by_its_owner_and_by_nobody_else() {
    let world = World::new().await;
    let (_, mut passkey, first) = person(&world, "eve@contoso.test").await;
    let (_, _, foreign) = person(&world, "mallory@contoso.test").await;
    let second = with_passkey(&browser(&world.server), &mut passkey).await.expect(200).cookies();
    let third = with_passkey(&browser(&world.server), &mut passkey).await.expect(200).cookies();
    let page = |cookies: &str| world.server.http().page(cookies);
    let listed = page(&first).get("/auth/sessions").await.expect(200).json();
    let listed = listed["value"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 3);
    let current: Vec<&Value> = listed.iter().filter(|s| s["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["ipAddress"], "127.0.0.1");

    let id = |session: Value| session["sessionId"].as_str().unwrap().to_owned();
    let second_id = id(page(&second).get("/auth/session").await.expect(200).json());
    let path = format!("/auth/sessions/{second_id}");
    page(&foreign).delete(&path).await.refused(404, "SessionNotFound");
    page(&second).get("/auth/session").await.expect(200);
    page(&first).delete(&path).await.expect(204);
    page(&second).get("/auth/session").await.refused(401, "SessionEnded");
    page(&second).get(&at("/subscriptions", GROUPS)).await.refused(401, "SessionEnded");
    page(&first).delete(&path).await.refused(404, "SessionNotFound");

    let ended = page(&first).post("/auth/sessions/revokeOthers", json!({})).await.expect(200).json();
    assert_eq!(ended["ended"], 1);
    page(&third).get("/auth/session").await.refused(401, "SessionEnded");
    page(&first).get("/auth/session").await.expect(200);
    page(&foreign).get("/auth/session").await.expect(200);
}

#[tokio::test]
async fn a_new_sign_in_in_the_same_browser_ends_the_session_before_it() {
    let world = World::new().await;
    let (_, mut passkey, first) = person(&world, "eve@contoso.test").await;
    let page = world.server.http().page(&first);
    let second = with_passkey(&page, &mut passkey).await.expect(200).cookies();
    assert_ne!(first, second);
    page.get("/auth/session").await.refused(401, "SessionEnded");
    world.server.http().page(&second).get("/auth/session").await.expect(200);
}

#[tokio::test]
async fn the_last_way_to_sign_in_cannot_be_removed_and_the_others_can() {
    let world = World::new().await;
    let (_, mut passkey, cookies) = person(&world, "eve@contoso.test").await;
    let page = world.server.http().page(&cookies);
    let passkeys = async || {
        let all = page.get("/auth/credentials").await.expect(200).json();
        let all = all["value"].as_array().unwrap().clone();
        all.into_iter()
            .filter(|c| c["kind"] == "passkey")
            .map(|c| c["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let old = passkeys().await.remove(0);
    page.delete(&format!("/auth/credentials/{old}")).await.refused(409, "LastCredential");

    let mut new = Passkey::new(&world.server.base());
    let begun =
        page.post("/auth/credentials/passkey/begin", json!({"label": "Key"})).await.expect(200).json();
    let answer = json!({"ceremony": begun["ceremony"], "credential": new.create(&begun)});
    page.post("/auth/credentials/passkey/finish", answer.clone()).await.expect(204);
    page.post("/auth/credentials/passkey/finish", answer).await.refused(400, "CeremonyExpired");
    assert_eq!(passkeys().await.len(), 2);
    page.delete(&format!("/auth/credentials/{old}")).await.expect(204);
    with_passkey(&browser(&world.server), &mut passkey).await.refused(401, "InvalidCredentials");
    with_passkey(&browser(&world.server), &mut new).await.expect(200);
}

#[tokio::test]
async fn what_another_sites_page_sends_is_refused() {
    let world = World::new().await;
    let (_, mut passkey, cookies) = person(&world, "eve@contoso.test").await;
    let group = at(format!("{}/resourceGroups/rg9", world.server.sub), GROUPS);
    let owner = world.page();
    let body = json!({"location": "home"});
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("origin", "https://localhost:1"),
    ] {
        let foreign = world.server.http().with("cookie", owner.header("cookie")).with(name, value);
        foreign.put(&group, body.clone()).await.refused(403, "CrossSiteRequest");
        foreign.post("/v1.0/groups", json!({"displayName": "x"})).await.refused(403, "CrossSiteRequest");
        foreign.post("/auth/sessions/revokeOthers", json!({})).await.refused(403, "CrossSiteRequest");
        // Reading changes nothing, and what is read stays with the browser.
        if name == "origin" {
            foreign.get(&at("/subscriptions", GROUPS)).await.expect(200);
        }
    }
    // Neither header: no browser of today, so nothing proves that it was our own page.
    let silent = world.server.http().with("cookie", owner.header("cookie"));
    silent.put(&group, body.clone()).await.refused(403, "CrossSiteRequest");

    // Nor can another page sign anybody in or out.
    let foreign = world.server.http().with("cookie", &cookies).with("sec-fetch-site", "cross-site");
    foreign.post("/auth/passkey/begin", json!({})).await.refused(403, "CrossSiteRequest");
    let begun = browser(&world.server).post("/auth/passkey/begin", json!({})).await.expect(200).json();
    let answer = json!({"ceremony": begun["ceremony"], "credential": passkey.get(&begun)});
    foreign.post("/auth/passkey/finish", answer.clone()).await.refused(403, "CrossSiteRequest");
    let out = foreign.post("/auth/signout", json!({})).await.refused(403, "CrossSiteRequest");
    assert!(out.set_cookies().is_empty(), "{:?}", out.set_cookies());
    world.server.http().page(&cookies).get("/auth/session").await.expect(200);
    browser(&world.server).post("/auth/passkey/finish", answer).await.expect(200);

    // The own page passes by either header.
    owner.put(&group, body.clone()).await.expect(201);
    let older =
        world.server.http().with("cookie", owner.header("cookie")).with("origin", &world.server.base());
    older.put(&group, body).await.expect(200);
}

#[tokio::test]
async fn every_answer_carries_ids_and_the_security_headers() {
    let world = World::new().await;
    let root = world.client("root").await;
    let nobody = world.server.http();
    for answer in [
        nobody.get("/").await.expect(200),
        nobody.get("/machines/of/a/page").await.expect(200),
        nobody.get("/assets/none.js").await.expect(404),
        nobody.post("/", json!({})).await.expect(405),
        nobody.get("/auth/state").await.expect(200),
        nobody.get("/auth/nothing").await.expect(404),
        nobody.get("/metadata/endpoints").await.expect(200),
        nobody.get(&at("/subscriptions", GROUPS)).await.expect(401),
        nobody.post("/link/join", json!({})).await.expect(400),
        root.get(&at("/subscriptions", GROUPS)).await.expect(200),
        root.get("/subscriptions").await.expect(400),
        root.delete(&at(world.rg1("/providers/Sekisho.Fleet/enrolmentTokens/none"), FLEET)).await.expect(204),
        root.get("/v1.0/nothing").await.expect(404),
    ] {
        let header =
            |name: &str| answer.header(name).unwrap_or_else(|| panic!("{name} is missing: {answer:?}"));
        assert!(header("strict-transport-security").starts_with("max-age=31536000"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let policy = header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(
            ["no-store", "no-cache", "public, max-age=31536000, immutable"]
                .contains(&header("cache-control"))
        );
        assert_eq!(header("x-ms-request-id"), header("x-ms-correlation-request-id"));
        header("x-ms-routing-request-id");
        assert!(answer.header("server").is_none() && answer.header("access-control-allow-origin").is_none());
    }
    let challenge = nobody.get(&at("/subscriptions", GROUPS)).await;
    let challenge = challenge.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer ") && challenge.contains(&world.server.base()), "{challenge}");
    let echoed = root.with("x-ms-client-request-id", "abc").with("x-ms-return-client-request-id", "true");
    let echoed = echoed.get(&at("/subscriptions", GROUPS)).await;
    assert_eq!(echoed.header("x-ms-client-request-id"), Some("abc"));
}

/// Reads events until one satisfies.
async fn hear(body: &mut Incoming, wanted: &str) {
    let mut text = String::new();
    while !text.contains(wanted) {
        let frame = soon(wanted, body.frame()).await.expect("the stream ended").unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
}

/// Reads events until there are no more.
pub(crate) async fn ends(mut body: Incoming) {
    soon("the end of the stream", async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

#[tokio::test]
async fn the_stream_tells_of_what_one_may_read_and_of_nothing_else() {
    let world = World::new().await;
    let (mut whole, mut part) = (
        world.client("root").await.stream("/api/events").await.1,
        world.client("elsewhere").await.stream("/api/events").await.1,
    );
    hear(&mut whole, "event: hello").await;
    hear(&mut part, "event: hello").await;
    let root = world.client("root").await;
    let asg = |group: &str, name: &str| {
        let sub = &world.server.sub;
        at(
            format!(
                "{sub}/resourceGroups/{group}/providers/Microsoft.Network/applicationSecurityGroups/{name}"
            ),
            NETWORK,
        )
    };
    root.put(&asg("rg1", "secret"), json!({"location": "home"})).await.expect(201);
    root.put(&asg("rg2", "visible"), json!({"location": "home"})).await.expect(201);
    hear(&mut whole, "/secret\"").await;
    let mut text = String::new();
    while !text.contains("/visible\"") {
        let frame = soon("an event", part.frame()).await.unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn disabling_a_person_ends_their_sessions_and_their_stream_at_once() {
    let world = World::new().await;
    let (id, mut passkey, cookies) = person(&world, "eve@contoso.test").await;
    let page = world.server.http().page(&cookies);
    let (status, mut stream) = page.with("accept", "text/event-stream").stream("/api/events").await;
    assert_eq!(status, 200);
    hear(&mut stream, "event: hello").await;
    let owner = world.page();
    let path = format!("/v1.0/users/{id}");
    owner.patch(&path, json!({"accountEnabled": false})).await.expect(204);
    page.get("/auth/session").await.refused(401, "SessionEnded");
    page.get(&at("/subscriptions", GROUPS)).await.refused(401, "SessionEnded");
    ends(stream).await;
    with_passkey(&browser(&world.server), &mut passkey).await.refused(401, "InvalidCredentials");
    // Enabled again they sign in anew; what was ended stays ended.
    owner.patch(&path, json!({"accountEnabled": true})).await.expect(204);
    page.get("/auth/session").await.refused(401, "SessionEnded");
    with_passkey(&browser(&world.server), &mut passkey).await.expect(200);
    let own = format!("/v1.0/users/{}", world.person());
    owner.patch(&own, json!({"accountEnabled": false})).await.refused(400, "Request_BadRequest");
}

#[tokio::test]
async fn signing_out_or_being_removed_ends_the_stream() {
    let world = World::new().await;
    for how in ["signout", "removal"] {
        let name = format!("{how}@contoso.test");
        let (id, _, cookies) = person(&world, &name).await;
        let page = world.server.http().page(&cookies);
        let mut stream = page.with("accept", "text/event-stream").stream("/api/events").await.1;
        hear(&mut stream, "event: hello").await;
        match how {
            "signout" => page.post("/auth/signout", json!({})).await.expect(204),
            _ => world.page().delete(&format!("/v1.0/users/{id}")).await.expect(204),
        };
        page.get("/auth/session").await.refused(401, "SessionEnded");
        ends(stream).await;
    }
}

#[tokio::test]
async fn a_long_answer_is_compressed_for_who_takes_that_and_a_stream_never_is() {
    let world = World::new().await;
    let long = world.server.http().get("/openapi.json").await;
    assert_eq!(long.header("content-encoding"), None);
    let page = world.page().with("accept-encoding", "gzip");
    let short = page.get("/openapi.json").await;
    assert_eq!((short.status, short.header("content-encoding")), (200, Some("gzip")));
    assert!(short.body.len() * 5 < long.body.len(), "{} of {} bytes", short.body.len(), long.body.len());
    assert_eq!(
        page.get("/auth/session").await.header("content-encoding"),
        None,
        "what is short stays as it is"
    );
    let (status, mut stream) = page.with("accept", "text/event-stream").stream("/api/events").await;
    assert_eq!(status, 200);
    hear(&mut stream, "event: hello").await;
}

#[tokio::test]
async fn what_a_write_of_the_directory_would_do_is_told_and_not_done() {
    let world = World::new().await;
    let owner = world.page();
    let (id, _, cookies) = person(&world, "eve@contoso.test").await;
    grant(&owner, "", READER, &id, "User").await;
    let path = format!("/v1.0/users/{id}");
    let effect = owner.delete(&format!("{path}?whatIf=true")).await.expect(200).json();
    let changes = effect["changes"].as_array().unwrap();
    let user = changes.iter().find(|c| c["resourceId"] == path.as_str()).unwrap();
    assert_eq!((&user["changeType"], &user["before"]["sessions"]), (&json!("Delete"), &json!(1)));
    let role =
        changes.iter().find(|c| c["resourceId"].as_str().unwrap().contains("roleAssignments")).unwrap();
    assert_eq!(role["before"]["displayName"], "Somebody", "the role that goes with them");
    let effect = owner.patch(&format!("{path}?whatIf=true"), json!({"accountEnabled": false})).await;
    let effect = effect.expect(200).json();
    let after = &effect["changes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["resourceId"] == path.as_str())
        .unwrap()["after"];
    assert_eq!((&after["accountEnabled"], &after["sessions"]), (&json!(false), &json!(0)));
    // Nothing of it happened, and the record holds nothing of it.
    world.server.http().page(&cookies).get("/auth/session").await.expect(200);

    let body = json!({"userPrincipalName": "new@contoso.test", "displayName": "New"});
    let effect = owner.post("/v1.0/users?whatIf=true", body.clone()).await.expect(200).json();
    assert_eq!(effect["changes"][0]["changeType"], "Create");
    owner.post("/v1.0/users", body).await.expect(201);
    let effect = owner.post(&format!("{path}/sekisho.invite?whatIf=true"), json!({})).await.expect(200);
    assert!(!effect.json().to_string().contains("token="), "no link is made: {effect:?}");

    // What is refused is refused in the preview, too, and the right is the same.
    let own = format!("/v1.0/users/{}?whatIf=true", world.person());
    owner.delete(&own).await.refused(400, "Request_BadRequest");
    let reader = world.server.http().page(&cookies);
    reader.delete(&own).await.refused(403, "Authorization_RequestDenied");
}

#[tokio::test]
async fn a_removed_secret_takes_its_tokens_and_streams_with_it() {
    let world = World::new().await;
    let owner = world.page();
    for how in ["secret", "disabled", "removed"] {
        let made = program(&owner, how).await;
        grant(&owner, "", OWNER, &made.object_id, "ServicePrincipal").await;
        let client = sign_in(&world.server, &made).await;
        client.get(&at("/subscriptions", GROUPS)).await.expect(200);
        let (status, mut stream) = client.with("accept", "text/event-stream").stream("/api/events").await;
        assert_eq!(status, 200);
        hear(&mut stream, "event: hello").await;
        let principal = format!("/v1.0/servicePrincipals/{}", made.object_id);
        match how {
            "secret" => {
                let path = format!("/v1.0/applications/{}/removePassword", made.application);
                owner.post(&path, json!({"keyId": made.key_id})).await.expect(204);
            }
            "disabled" => {
                owner.patch(&principal, json!({"accountEnabled": false})).await.expect(204);
            }
            _ => {
                owner.delete(&principal).await.expect(204);
            }
        }
        client.get(&at("/subscriptions", GROUPS)).await.expect(401);
        let refused = token(&world.server, &made).await;
        assert!(matches!(refused.status, 400 | 401), "{how}: {refused:?}");
        ends(stream).await;
    }
}

#[tokio::test]
async fn a_token_is_good_for_this_server_and_only_as_it_was_signed() {
    let world = World::new().await;
    let other = World::new().await;
    let program = world.program("root");
    let issued = token(&world.server, program).await.expect(200).json();
    assert!(issued["expires_in"].as_i64().unwrap() >= 600);
    let text = issued["access_token"].as_str().unwrap();
    world.server.http().bearer(text).get(&at("/subscriptions", GROUPS)).await.expect(200);
    // A copy of the server has the same keys, but another address.
    let foreign = other.server.http().bearer(text).get(&at("/subscriptions", GROUPS)).await;
    assert_eq!(foreign.status, 401);
    let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let swap = if parts[1].ends_with('A') { "B" } else { "A" };
    parts[1].pop();
    parts[1].push_str(swap);
    for bad in [parts.join("."), text[..text.len() - 2].to_owned(), String::new(), "a.b.c".to_owned()] {
        assert_eq!(
            world.server.http().bearer(&bad).get(&at("/subscriptions", GROUPS)).await.status,
            401,
            "{bad}"
        );
    }
    let basic = world.server.http().with("authorization", "Basic YTpi");
    basic.get(&at("/subscriptions", GROUPS)).await.refused(401, "AuthenticationFailed");
    let mut wrong = program.clone();
    wrong.secret.push('x');
    token(&world.server, &wrong).await.refused(401, "invalid_client");
    wrong.app_id = "00000000-0000-4000-8000-000000000000".to_owned();
    let unknown = token(&world.server, &wrong).await;
    assert!(matches!(unknown.status, 400 | 401), "{unknown:?}");
}

#[tokio::test]
async fn an_invited_person_has_no_rights_until_they_are_given_some() {
    let world = World::new().await;
    let (id, _, cookies) = person(&world, "eve@contoso.test").await;
    let page = world.server.http().page(&cookies);
    let group = at(world.rg1(""), GROUPS);
    page.get(&group).await.refused(404, "SubscriptionNotFound");
    let given = grant(&world.page(), &world.rg1(""), OWNER, &id, "User").await;
    page.get(&group).await.expect(200);
    world.page().delete(&at(&given, crate::kit::ROLES)).await.expect(200);
    page.get(&group).await.refused(404, "SubscriptionNotFound");
    // A group carries rights to its members, at once and no longer than they are members.
    let team = world.group();
    grant(&world.page(), &world.rg1(""), OWNER, team, "Group").await;
    let member = json!({"@odata.id": format!("{}/v1.0/directoryObjects/{id}", world.server.base())});
    let members = format!("/v1.0/groups/{team}/members");
    world.page().post(&format!("{members}/$ref"), member).await.expect(204);
    page.get(&group).await.expect(200);
    world.page().delete(&format!("{members}/{id}/$ref")).await.expect(204);
    page.get(&group).await.refused(404, "SubscriptionNotFound");
}

#[tokio::test]
async fn a_server_that_is_started_again_knows_its_people_and_keys() {
    let world = World::new().await;
    let before = world.client("root").await.get("/openapi.json").await.body;
    let (page, ca) = (world.page(), world.server.ca());
    page.get("/auth/session").await.expect(200);
    let (_, mut passkey, _) = person(&world, "eve@contoso.test").await;
    let verified = world.server.admin("/audit-verify", json!({})).await;
    let data = world.server.stop().await;
    let server = Server::on(data).await;
    assert_eq!(server.ca(), ca);
    assert_eq!(server.http().get("/openapi.json").await.body, before);
    assert_eq!(server.admin("/audit-verify", json!({})).await, verified);
    // The passkey belongs to the name, not to the port.
    passkey.moved(&server.base());
    until("a sign-in", async || {
        (with_passkey(&browser(&server), &mut passkey).await.status == 200).then_some(())
    })
    .await;
}
