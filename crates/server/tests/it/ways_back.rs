//! Ways back in for who can sign in with nothing, and what tells of them: temporary access passes, recovery by root on
//! the server, notices; and where everybody is signed in, and ending that.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::device::Passkey;
use crate::kit::{Answer, GROUPS, Http, ROLES, at};
use crate::seed::{OWNER, READER, World, grant, program, set_up, sign_in};
use crate::signin::{PASSWORD, browser, ends, invite, person, set_up_password, with_passkey, with_password};
use crate::{oauth, pim};

/// User Access Administrator: gives roles, and has few.
const ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";

fn passes(person: &str) -> String {
    format!("/v1.0/users/{person}/authentication/temporaryAccessPassMethods")
}

async fn make(page: &Http, person: &str) -> String {
    let made = page.post(&passes(person), json!({"lifetimeInMinutes": 30})).await.expect(201).json();
    made["temporaryAccessPass"].as_str().unwrap().to_owned()
}

async fn open(page: &Http, name: &str, pass: &str) -> Answer {
    page.post("/auth/accesspass", json!({"userPrincipalName": name, "accessPass": pass})).await
}

async fn notices(page: &Http) -> Vec<Value> {
    page.get("/auth/notices").await.expect(200).json()["value"].as_array().unwrap().clone()
}

async fn is_over(world: &World, link: &str) {
    let token = json!({"token": link.rsplit_once("token=").unwrap().1});
    browser(&world.server).post("/auth/setup/inspect", token).await.refused(400, "InvalidLink");
}

#[tokio::test]
async fn a_pass_opens_once_and_only_the_way_to_a_credential_of_ones_own() {
    let world = World::new().await;
    let owner = world.page();
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let made = owner.post(&passes(&jun), json!({"lifetimeInMinutes": 30, "isUsableOnce": true})).await;
    let made = made.expect(201).json();
    let pass = made["temporaryAccessPass"].as_str().unwrap();
    assert_eq!((&made["lifetimeInMinutes"], &made["isUsable"]), (&json!(30), &json!(true)));
    // It is shown once.
    let listed = owner.get(&passes(&jun)).await.expect(200).json();
    assert_eq!(listed["value"][0]["id"], made["id"]);
    assert!(!listed.to_string().contains(pass), "{listed}");

    let page = browser(&world.server);
    open(&page, "jun@contoso.test", "0000-0000-0000").await.refused(401, "InvalidCredentials");
    open(&page, "jo@contoso.test", pass).await.refused(401, "InvalidCredentials");
    let opened = open(&page, "JUN@contoso.test", &pass.to_uppercase()).await.expect(200);
    assert!(opened.set_cookies().is_empty(), "nobody is signed in by a pass");
    open(&page, "jun@contoso.test", pass).await.refused(401, "InvalidCredentials");
    let listed = owner.get(&passes(&jun)).await.expect(200).json();
    assert_eq!(listed["value"][0]["methodUsabilityReason"], "OneTimeUsed");

    // What it opened is a link: no session, and spent by registering.
    let link = format!("#token={}", opened.json()["token"].as_str().unwrap());
    let mut passkey = Passkey::new(&world.server.base());
    let signed_in = set_up(&world.server, &link, "jun@contoso.test", &mut passkey).await.expect(200);
    is_over(&world, &link).await;
    with_passkey(&page, &mut passkey).await.expect(200);

    // The person is told by whom and from where, in every session, until they put it away.
    let jun_page = world.server.http().page(&signed_in.cookies());
    let told = notices(&jun_page).await;
    let words = |n: &Value| (n["kind"].as_str().unwrap().to_owned(), n["by"].as_str().unwrap().to_owned());
    let told_words: Vec<_> = told.iter().map(words).collect();
    assert!(told_words.contains(&("accessPassIssued".to_owned(), "jo@contoso.test".to_owned())), "{told:?}");
    assert!(told_words.contains(&("accessPassUsed".to_owned(), "127.0.0.1".to_owned())), "{told:?}");
    assert!(told_words.contains(&("credentialAdded".to_owned(), "127.0.0.1".to_owned())), "{told:?}");
    assert_eq!(notices(&world.server.http().page(&cookies)).await.len(), 3);
    assert!(notices(&owner).await.is_empty(), "it is nobody else's news");
    for notice in &told {
        let path = format!("/auth/notices/{}", notice["id"].as_str().unwrap());
        owner.delete(&path).await.refused(404, "NoticeNotFound");
        jun_page.delete(&path).await.expect(204);
        jun_page.delete(&path).await.refused(404, "NoticeNotFound");
    }
    assert!(notices(&jun_page).await.is_empty());
}

#[tokio::test]
async fn what_is_done_to_ones_ways_in_is_told_until_it_is_seen() {
    let world = World::new().await;
    let server = &world.server;
    let (_, mut passkey, cookies) = person(&world, "jun@contoso.test").await;
    let page = server.http().page(&cookies);
    let kinds = async || -> Vec<String> {
        let mut all: Vec<String> =
            notices(&page).await.iter().map(|n| n["kind"].as_str().unwrap().to_owned()).collect();
        all.sort_unstable();
        all
    };
    assert!(kinds().await.is_empty(), "what one set up by the first link is no news");
    let begun =
        page.post("/auth/credentials/passkey/begin", json!({"label": "Key"})).await.expect(200).json();
    let credential = Passkey::new(&server.base()).create(&begun);
    let body = json!({"ceremony": begun["ceremony"], "credential": credential});
    page.post("/auth/credentials/passkey/finish", body).await.expect(204);
    assert_eq!(kinds().await, ["credentialAdded"]);
    let own = page.get("/auth/credentials").await.expect(200).json();
    let key = own["value"].as_array().unwrap().iter().find(|c| c["label"] == "Key").unwrap().clone();
    page.delete(&format!("/auth/credentials/{}", key["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(kinds().await, ["credentialAdded", "credentialRemoved"]);

    // Of two answers of one passkey the older one comes later: as from a copy that does not know of the other.
    let stranger = browser(server);
    let mut answers = Vec::new();
    for _ in 0..2 {
        let begun = stranger.post("/auth/passkey/begin", json!({})).await.expect(200).json();
        answers.push(json!({"ceremony": begun["ceremony"], "credential": passkey.get(&begun)}));
    }
    for _ in 0..2 {
        let answer = stranger.post("/auth/passkey/finish", answers.pop().unwrap()).await;
        assert_eq!(answer.status, if answers.is_empty() { 401 } else { 200 }, "{answer:?}");
    }
    assert_eq!(kinds().await, ["credentialAdded", "credentialRemoved", "passkeySuspended"]);

    let code = oauth::code(server, &page).await;
    let first = oauth::redeem(server, &code, &[]).await.expect(200).json();
    let spent = oauth::text(&first, "refresh_token");
    let next = oauth::refresh(server, &spent, &[]).await.expect(200).json();
    oauth::refresh(server, &oauth::text(&next, "refresh_token"), &[]).await.expect(200);
    oauth::refresh(server, &spent, &[]).await.refused(400, "invalid_grant");
    let told = kinds().await;
    assert_eq!(told, ["credentialAdded", "credentialRemoved", "passkeySuspended", "tokenReused"]);
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one_and_a_code_and_everybody_else_is_signed_out() {
    let world = World::new().await;
    let server = &world.server;
    let (_, link) = invite(&world, "jun@contoso.test").await;
    let (_, made) = set_up_password(server, &link, "jun@contoso.test").await;
    let made = made.expect(200);
    // Each is for one use and none is bound to the hour, so a test need not wait for the next one.
    let codes: Vec<String> = serde_json::from_value(made.json()["recoveryCodes"].clone()).unwrap();
    let first = server.http().page(&made.cookies());
    let name = "jun@contoso.test";
    let page = with_password(&browser(server), name, PASSWORD, &codes[0]).await.expect(200);
    let page = server.http().page(&page.cookies());
    first.get("/v1.0/me").await.expect(200);
    let change = async |current: &str, code: &str, new: &str| {
        let body = json!({"currentPassword": current, "code": code, "newPassword": new});
        page.post("/auth/credentials/password", body).await
    };
    let new = "another horse of quite another battery 2";
    change("something else entirely", &codes[1], new).await.refused(401, "InvalidCredentials");
    change(PASSWORD, "000000", new).await.refused(401, "InvalidCredentials");
    change(PASSWORD, &codes[2], "contoso").await.refused(400, "WeakPassword");
    change(PASSWORD, &codes[3], PASSWORD).await.refused(400, "WeakPassword");
    first.get("/v1.0/me").await.expect(200);
    assert_eq!(change(PASSWORD, &codes[4], new).await.expect(200).json()["ended"], 1);
    first.get("/v1.0/me").await.expect(401);
    page.get("/v1.0/me").await.expect(200);
    let told = notices(&page).await;
    assert!(told.iter().any(|n| n["kind"] == "passwordChanged"), "{told:?}");
    with_password(&browser(server), name, PASSWORD, &codes[5]).await.refused(401, "InvalidCredentials");
    with_password(&browser(server), name, new, &codes[6]).await.expect(200);
}

#[tokio::test]
async fn a_pass_ends_with_its_time_its_successor_its_removal_and_its_person() {
    let world = World::new().await;
    let owner = world.page();
    let (jun, link) = invite(&world, "jun@contoso.test").await;
    assert!(link.contains("token="));
    let page = browser(&world.server);
    let name = "jun@contoso.test";

    let first = make(&owner, &jun).await;
    let second = make(&owner, &jun).await;
    open(&page, name, &first).await.refused(401, "InvalidCredentials");
    world.server.age("accessPass", "created", 30 * 60).await;
    open(&page, name, &second).await.refused(401, "InvalidCredentials");

    let third = make(&owner, &jun).await;
    let id = owner.get(&passes(&jun)).await.json()["value"][0]["id"].as_str().unwrap().to_owned();
    owner.delete(&format!("{}/{jun}", passes(&jun))).await.refused(404, "Request_ResourceNotFound");
    owner.delete(&format!("{}/{id}", passes(&jun))).await.expect(204);
    open(&page, name, &third).await.refused(401, "InvalidCredentials");

    let fourth = make(&owner, &jun).await;
    owner.patch(&format!("/v1.0/users/{jun}"), json!({"accountEnabled": false})).await.expect(204);
    open(&page, name, &fourth).await.refused(401, "InvalidCredentials");
    owner.post(&passes(&jun), json!({})).await.refused(400, "Request_BadRequest");
    owner.delete(&format!("/v1.0/users/{jun}")).await.expect(204);
    owner.get(&passes(&jun)).await.refused(404, "Request_ResourceNotFound");
}

#[tokio::test]
async fn a_pass_that_azure_would_not_make_is_refused_by_its_field() {
    let world = World::new().await;
    let owner = world.page();
    let (jun, _) = invite(&world, "jun@contoso.test").await;
    for (body, field) in [
        (json!({"lifetimeInMinutes": 9}), "lifetimeInMinutes"),
        (json!({"lifetimeInMinutes": 1441}), "lifetimeInMinutes"),
        (json!({"isUsableOnce": false}), "isUsableOnce"),
        (json!({"startDateTime": "2030-01-01T00:00:00Z"}), "startDateTime"),
    ] {
        let refused = owner.post(&passes(&jun), body.clone()).await.refused(400, "Request_BadRequest");
        assert_eq!(refused.json()["error"]["target"], field, "{body}");
    }
    owner.post(&passes(world.person()), json!({})).await.refused(400, "Request_BadRequest");
    // Trying it makes none and shows none.
    let effect = owner.post(&format!("{}?whatIf=true", passes(&jun)), json!({})).await.expect(200).json();
    assert_eq!(effect["changes"][0]["after"]["accessPasses"], 1);
    assert!(!effect.to_string().contains("temporaryAccessPass"), "{effect}");
    assert_eq!(owner.get(&passes(&jun)).await.json()["value"], json!([]));
}

#[tokio::test]
async fn nobody_makes_a_way_into_the_account_of_somebody_who_may_do_more() {
    let world = World::new().await;
    let owner = world.page();
    let helper = program(&owner, "helpdesk").await;
    grant(&owner, "", ACCESS_ADMINISTRATOR, &helper.object_id, "ServicePrincipal").await;
    let helpdesk = sign_in(&world.server, &helper).await;
    let (jun, _) = invite(&world, "jun@contoso.test").await;
    make(&helpdesk, &jun).await;

    let refused = "Authorization_RequestDenied";
    let climbs = async |who: &str| {
        helpdesk.post(&passes(who), json!({})).await.refused(403, refused);
        helpdesk.post(&format!("/v1.0/users/{who}/sekisho.invite"), json!({})).await.refused(403, refused);
    };
    climbs(world.person()).await;
    // Also when it is only somewhere, and only through a group.
    let member = json!({"@odata.id": format!("{}/v1.0/directoryObjects/{jun}", world.server.base())});
    owner.post(&format!("/v1.0/groups/{}/members/$ref", world.group()), member).await.expect(204);
    let given = grant(&owner, &world.rg1(""), OWNER, world.group(), "Group").await;
    climbs(&jun).await;
    owner.delete(&at(&given, ROLES)).await.expect(200);
    make(&helpdesk, &jun).await;
    // Also when they could only take it.
    pim::eligible(&owner, "", OWNER, &jun, pim::forever()).await.expect(201);
    climbs(&jun).await;
    make(&owner, &jun).await;
    // Whoever may not change the directory makes none for anybody.
    let reader = world.client("reader").await;
    reader.post(&passes(&jun), json!({})).await.refused(403, refused);
    reader.get(&passes(&jun)).await.expect(200);
}

#[tokio::test]
async fn guessing_a_pass_is_slowed_down_as_guessing_a_password_is() {
    let world = World::new().await;
    let (jun, _) = invite(&world, "jun@contoso.test").await;
    let pass = make(&world.page(), &jun).await;
    let page = browser(&world.server);
    let mut last = 0;
    for attempt in 0..12 {
        last = open(&page, "jun@contoso.test", &format!("0000-0000-{attempt:04}")).await.status;
    }
    assert_eq!(last, 429);
    open(&page, "jun@contoso.test", &pass).await.refused(429, "TooManyAttempts");
}

#[tokio::test]
async fn root_on_the_server_lets_somebody_in_again_and_every_administrator_hears_of_it() {
    let world = World::new().await;
    let (jun, mut lost, cookies) = person(&world, "jun@contoso.test").await;
    let (_, _, others) = person(&world, "mika@contoso.test").await;
    let made = world.server.admin("/recover", json!({"name": "jun@contoso.test"})).await;
    let link = made["link"].as_str().unwrap();
    let told = |page: Http| async move {
        let all = notices(&page).await;
        all.iter()
            .filter(|n| n["kind"] == "recoveryLink")
            .map(|n| n["userPrincipalName"].clone())
            .collect::<Vec<_>>()
    };
    let http = world.server.http();
    assert_eq!(told(world.page()).await, ["jun@contoso.test"]);
    assert_eq!(told(http.page(&cookies)).await, ["jun@contoso.test"], "they are told too");
    assert!(told(http.page(&others)).await.is_empty(), "people without rights are not");
    // Each puts it away for themselves.
    let notice = notices(&world.page()).await[0]["id"].as_str().unwrap().to_owned();
    world.page().delete(&format!("/auth/notices/{notice}")).await.expect(204);
    assert!(told(world.page()).await.is_empty());
    assert_eq!(told(http.page(&cookies)).await.len(), 1);

    let mut new = Passkey::new(&world.server.base());
    set_up(&world.server, link, "jun@contoso.test", &mut new).await.expect(200);
    is_over(&world, link).await;
    with_passkey(&browser(&world.server), &mut lost).await.expect(200);

    let late = world.server.admin("/recover", json!({"name": "JUN@contoso.test"})).await;
    world.server.age("link", "expires", 15 * 60).await;
    let link = late["link"].as_str().unwrap();
    is_over(&world, link).await;
    let data = world.server.data.path();
    for (name, why) in [("nobody@contoso.test", "There is no person"), ("", "There is no person")] {
        let error = sekisho_server::admin::ask(data, "/recover", json!({"name": name})).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    world.page().patch(&format!("/v1.0/users/{jun}"), json!({"accountEnabled": false})).await.expect(204);
    let error = sekisho_server::admin::ask(data, "/recover", json!({"name": "jun@contoso.test"})).await;
    assert!(error.unwrap_err().to_string().contains("is disabled"));
}

async fn live(page: &Http) -> Vec<Value> {
    page.get("/v1.0/sekisho.sessions").await.expect(200).json()["value"].as_array().unwrap().clone()
}

#[tokio::test]
async fn administrators_see_where_everybody_is_signed_in_and_end_it_within_a_second() {
    let world = World::new().await;
    let owner = world.page();
    let (jun, mut passkey, cookies) = person(&world, "jun@contoso.test").await;
    let page = world.server.http().page(&cookies);
    let stream = page.with("accept", "text/event-stream").stream("/api/events").await.1;
    let access = oauth::access_of(&world.server, &page).await;
    let az = world.server.http().bearer(&access);
    let grants_stream = az.with("accept", "text/event-stream").stream("/api/events").await.1;

    let all = live(&owner).await;
    let of_jun: Vec<_> = all.iter().filter(|s| s["userId"] == jun.as_str()).collect();
    let kinds: Vec<_> = of_jun.iter().map(|s| s["kind"].as_str().unwrap()).collect();
    assert!(kinds.len() == 2 && kinds.contains(&"portal") && kinds.contains(&"client"), "{all:?}");
    for session in &of_jun {
        assert_eq!((&session["ipAddress"], &session["current"]), (&json!("127.0.0.1"), &json!(false)));
        assert_eq!(session["methods"], json!(["passkey"]));
    }
    assert_eq!(all.iter().filter(|s| s["current"] == true).count(), 1);
    let filtered = owner.get("/v1.0/sekisho.sessions?$filter=kind%20eq%20'client'").await.expect(200).json();
    assert_eq!(filtered["value"].as_array().unwrap().len(), 1);
    let client = of_jun.iter().find(|s| s["kind"] == "client").unwrap();
    assert!(client["clientName"].as_str().unwrap().contains("Azure CLI"), "{client}");

    // One: the client, and the person goes on. Trying it ends nothing.
    let path = format!("/v1.0/sekisho.sessions/{}", client["id"].as_str().unwrap());
    owner.delete(&format!("{path}?whatIf=true")).await.expect(200);
    az.get(&at("/subscriptions", GROUPS)).await.expect(200);
    owner.delete(&path).await.expect(204);
    let began = Instant::now();
    ends(grants_stream).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    az.get(&at("/subscriptions", GROUPS)).await.expect(401);
    page.get("/auth/session").await.expect(200);
    owner.delete(&path).await.refused(404, "Request_ResourceNotFound");

    // All of a person, also what is only about to be one.
    let code = oauth::code(&world.server, &page).await;
    let revoked = owner.post(&format!("/v1.0/users/{jun}/revokeSignInSessions"), json!({})).await.expect(200);
    assert_eq!(revoked.json()["value"], true);
    let began = Instant::now();
    ends(stream).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    page.get("/auth/session").await.refused(401, "SessionEnded");
    oauth::redeem(&world.server, &code, &[]).await.refused(400, "invalid_grant");
    assert!(live(&owner).await.iter().all(|s| s["userId"] != jun.as_str()));
    // They may sign in again.
    with_passkey(&browser(&world.server), &mut passkey).await.expect(200);
}

#[tokio::test]
async fn nobody_else_sees_or_ends_anybodys_sessions() {
    let world = World::new().await;
    let owner = world.page();
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    grant(&owner, "", READER, &jun, "User").await;
    let page = world.server.http().page(&cookies);
    let refused = "Authorization_RequestDenied";
    for client in [&page, &world.client("reader").await, &world.client("elsewhere").await] {
        client.get("/v1.0/sekisho.sessions").await.refused(403, refused);
        let id = live(&owner).await[0]["id"].as_str().unwrap().to_owned();
        client.delete(&format!("/v1.0/sekisho.sessions/{id}")).await.refused(403, refused);
        let path = format!("/v1.0/users/{}/revokeSignInSessions", world.person());
        client.post(&path, json!({})).await.refused(403, refused);
    }
    owner.get("/auth/session").await.expect(200);
}
