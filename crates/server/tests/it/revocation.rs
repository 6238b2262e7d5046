//! Taking something away ends what lives by it: the stream that is open, and the next request, within a second.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sekisho_link::message::ToAgent;
use serde_json::json;

use crate::agent::join;
use crate::kit::{COMPUTE, GROUPS, Http, ROLES, at, soon, until};
use crate::oauth;
use crate::seed::{OWNER, READER, World, grant, program, sign_in};
use crate::signin::{browser, ends, person, with_passkey};

/// The longest that anything may live on.
const AT_MOST: Duration = Duration::from_secs(1);

/// The stream of whoever this is, once it flows.
async fn live(client: &Http) -> Incoming {
    let (status, mut stream) = client.with("accept", "text/event-stream").stream("/api/events").await;
    assert_eq!(status, 200);
    let first = soon("the first event", stream.frame()).await.unwrap().unwrap();
    assert!(first.into_data().is_ok());
    stream
}

async fn status(client: &Http) -> u16 {
    client.get(&at("/subscriptions", GROUPS)).await.status
}

/// A clock that begins with the taking away.
struct Revoked(Instant);

impl Revoked {
    fn now() -> Revoked {
        Revoked(Instant::now())
    }

    #[track_caller]
    fn in_time(&self, what: &str) {
        let took = self.0.elapsed();
        assert!(took < AT_MOST, "{what} lived on for {took:?}");
    }

    /// The stream ends and the next request is refused.
    async fn ends(&self, stream: Incoming, client: &Http, what: &str) {
        ends(stream).await;
        self.in_time(what);
        assert_eq!(status(client).await, 401, "{what}");
        self.in_time(what);
    }
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_from_the_next_request_and_from_the_live_stream() {
    let world = World::new().await;
    let page = world.page();
    let (eve, _, cookies) = person(&world, "eve@contoso.test").await;
    let role = grant(&page, &world.rg1(""), READER, &eve, "User").await;
    let own = world.server.http().page(&cookies);
    let group = at(world.rg1(""), GROUPS);
    own.get(&group).await.expect(200);
    let mut stream = live(&own).await;

    let revoked = Revoked::now();
    page.delete(&at(&role, ROLES)).await.expect(200);
    let gone = own.get(&group).await;
    assert!(matches!(gone.status, 403 | 404), "{gone:?}");
    revoked.in_time("the role");
    // What happens there afterwards is told to whoever may read it, and to them no more.
    let mut others = live(&page).await;
    page.patch(&group, json!({"tags": {"told": "late"}})).await.expect(200);
    let hears = async |stream: &mut Incoming| {
        let mut text = String::new();
        while !text.contains("/resourcegroups/rg1\"") && !text.contains("/resourceGroups/rg1\"") {
            let Some(Ok(frame)) = stream.frame().await else { return text };
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
        text
    };
    soon("the news", hears(&mut others)).await;
    // Both streams are told by the same feed, so it would be there by now.
    let told = tokio::time::timeout(Duration::from_millis(50), hears(&mut stream)).await;
    assert!(told.is_err() || !told.unwrap().contains("rg1\""), "the stream tells of what is not theirs");
}

#[tokio::test]
async fn a_session_that_is_ended_ends_its_stream_and_what_was_let_in_from_it() {
    let world = World::new().await;
    let (_, mut passkey, first) = person(&world, "eve@contoso.test").await;
    let thrown = with_passkey(&browser(&world.server), &mut passkey).await.expect(200).cookies();
    let (first, thrown) = (world.server.http().page(&first), world.server.http().page(&thrown));
    let code = oauth::code(&world.server, &thrown).await;
    let given = oauth::redeem(&world.server, &code, &[]).await.expect(200).json();
    let client = world.server.http().bearer(given["access_token"].as_str().unwrap());
    let (stream, of_client) = (live(&thrown).await, live(&client).await);

    let id = thrown.get("/auth/session").await.expect(200).json();
    let revoked = Revoked::now();
    let path = format!("/auth/sessions/{}", id["sessionId"].as_str().unwrap());
    first.delete(&path).await.expect(204);
    revoked.ends(stream, &thrown, "the session").await;
    revoked.ends(of_client, &client, "what it had let in").await;
    let refresh = given["refresh_token"].as_str().unwrap();
    oauth::refresh(&world.server, refresh, &[]).await.refused(400, "invalid_grant");
    assert_eq!(status(&first).await, 200, "the other session goes on");
}

#[tokio::test]
async fn a_person_who_is_disabled_or_removed_is_out_of_everything() {
    let world = World::new().await;
    let owner = world.page();
    for how in ["disabled", "removed"] {
        let (id, mut passkey, cookies) = person(&world, &format!("{how}@contoso.test")).await;
        let page = world.server.http().page(&cookies);
        let code = oauth::code(&world.server, &page).await;
        let given = oauth::redeem(&world.server, &code, &[]).await.expect(200).json();
        let client = world.server.http().bearer(given["access_token"].as_str().unwrap());
        let (stream, of_client) = (live(&page).await, live(&client).await);
        let path = format!("/v1.0/users/{id}");
        let revoked = Revoked::now();
        match how {
            "disabled" => owner.patch(&path, json!({"accountEnabled": false})).await.expect(204),
            _ => owner.delete(&path).await.expect(204),
        };
        revoked.ends(stream, &page, how).await;
        revoked.ends(of_client, &client, how).await;
        let refresh = given["refresh_token"].as_str().unwrap();
        oauth::refresh(&world.server, refresh, &[]).await.refused(400, "invalid_grant");
        let again = with_passkey(&browser(&world.server), &mut passkey).await;
        again.refused(401, "InvalidCredentials");
    }
}

#[tokio::test]
async fn a_token_that_is_ended_by_its_person_is_dead_with_its_stream() {
    let world = World::new().await;
    let (_, _, cookies) = person(&world, "eve@contoso.test").await;
    let page = world.server.http().page(&cookies);
    let code = oauth::code(&world.server, &page).await;
    let given = oauth::redeem(&world.server, &code, &[]).await.expect(200).json();
    let client = world.server.http().bearer(given["access_token"].as_str().unwrap());
    let stream = live(&client).await;
    let grants = page.get("/auth/grants").await.expect(200).json();
    let id = grants["value"][0]["id"].as_str().unwrap().to_owned();
    let revoked = Revoked::now();
    page.delete(&format!("/auth/grants/{id}")).await.expect(204);
    revoked.ends(stream, &client, "the token").await;
    let refresh = given["refresh_token"].as_str().unwrap();
    oauth::refresh(&world.server, refresh, &[]).await.refused(400, "invalid_grant");
    assert_eq!(status(&page).await, 200, "the session goes on");
}

#[tokio::test]
async fn an_agent_that_is_retired_loses_its_connection_and_every_way_back() {
    let world = World::new().await;
    let root = world.client("root").await;
    let agent = join(&world.join_string(1).await, "web").await.ok().unwrap();
    let mut link = agent.connect(0).await;
    let connected = async || world.server.admin("/status", json!({})).await["connectedAgents"] == 1;
    until("the connection", async || connected().await.then_some(())).await;
    let revoked = Revoked::now();
    root.delete(&at(&agent.machine, COMPUTE)).await.expect(200);
    let mut said = Vec::new();
    while let Some(message) = link.hear().await {
        said.push(message);
    }
    revoked.in_time("the connection");
    assert!(matches!(said.last(), Some(ToAgent::Bye { retry_after: None, .. })), "{said:?}");
    assert_eq!(agent.open().await.err(), Some(403));
    assert_eq!(agent.renew().await.err(), Some(403));
    revoked.in_time("the certificate");
}

#[tokio::test]
async fn a_credential_that_is_removed_takes_what_it_signed_in_with_it() {
    let world = World::new().await;
    let owner = world.page();
    let made = program(&owner, "robot").await;
    grant(&owner, "", OWNER, &made.object_id, "ServicePrincipal").await;
    let client = sign_in(&world.server, &made).await;
    let stream = live(&client).await;
    let path = format!("/v1.0/applications/{}/removePassword", made.application);
    let revoked = Revoked::now();
    owner.post(&path, json!({"keyId": made.key_id})).await.expect(204);
    revoked.ends(stream, &client, "what the secret had signed in").await;
    assert_eq!(crate::seed::token(&world.server, &made).await.status, 401);
    revoked.in_time("the secret");
}
