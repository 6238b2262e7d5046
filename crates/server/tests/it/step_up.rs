//! Confirming what is dangerous: each time, for exactly one request of one session.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::device::{Passkey, garbled};
use crate::kit::{Answer, Http, ROLES, Server, at, soon};
use crate::seed::{OWNER, READER, World, grant};
use crate::signin::{PASSWORD, browser, invite, person, set_up_password, with_passkey};

/// An assignment that is not there yet, and a body for it.
fn assignment(principal: &str) -> (String, Value) {
    let id = format!("/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::new_v4());
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}");
    (
        at(id, ROLES),
        json!({"properties": {"roleDefinitionId": role, "principalId": principal, "principalType": "User"}}),
    )
}

async fn send(page: &Http, method: Method, path: &str, body: &Value) -> Answer {
    page.once(method, path, body.to_string().into()).await
}

/// Asks for a request and confirms it; the page that has the approval.
async fn approved(world: &World, path: &str, body: &Value) -> Http {
    let page = world.page();
    let asked = send(&page, Method::PUT, path, body).await.refused(401, "StepUpRequired").step_up().unwrap();
    let given = page.confirm(&asked, &mut world.passkey()).await.expect(200).json();
    page.with("sekisho-approval", given["approval"].as_str().unwrap())
}

#[tokio::test]
async fn a_dangerous_request_is_confirmed_each_time_by_a_passkey() {
    let world = World::new().await;
    let (path, body) = assignment(world.person());
    let page = world.page();
    let refused = send(&page, Method::PUT, &path, &body).await.refused(401, "StepUpRequired");
    let asked = refused.step_up().unwrap();
    assert_eq!((&asked["reason"], &asked["method"]), (&json!("rights"), &json!("passkey")));
    // Nothing happened, and looking at what would is not asked for.
    page.get(&path).await.expect(404);
    page.once(Method::PUT, &format!("{path}&whatIf=true"), body.to_string().into()).await.expect(200);
    page.get(&path).await.expect(404);

    let with_it = approved(&world, &path, &body).await;
    send(&with_it, Method::PUT, &path, &body).await.expect(201);
    // Once is once, also for the very same request.
    send(&with_it, Method::PUT, &path, &body).await.refused(401, "StepUpRequired");
    send(&page, Method::DELETE, &path, &Value::Null).await.refused(401, "StepUpRequired");
}

#[tokio::test]
async fn an_approval_fits_no_other_method_path_query_body_or_session() {
    let world = World::new().await;
    let (path, body) = assignment(world.person());
    let (other_path, mut other_body) = assignment(world.person());
    other_body["properties"]["roleDefinitionId"] =
        json!(format!("/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"));
    let again = with_passkey(&browser(&world.server), &mut world.passkey()).await.expect(200).cookies();
    for (what, method, path_sent, body_sent) in [
        ("method", Method::DELETE, &path, &body),
        ("path", Method::PUT, &other_path, &body),
        ("query", Method::PUT, &format!("{path}&x=1"), &body),
        ("body", Method::PUT, &path, &other_body),
    ] {
        let page = approved(&world, &path, &body).await;
        let refused = send(&page, method, path_sent, body_sent).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "StepUpRequired"), "{what}");
        // Showing it for something else has spent it.
        send(&page, Method::PUT, &path, &body).await.refused(401, "StepUpRequired");
    }
    let approval = approved(&world, &path, &body).await;
    let another_session = world.server.http().page(&again);
    let with_it = another_session.with("sekisho-approval", approval.header("sekisho-approval"));
    send(&with_it, Method::PUT, &path, &body).await.refused(401, "StepUpRequired");
    world.page().get(&path).await.expect(404);
    world.page().get(&other_path).await.expect(404);
}

#[tokio::test]
async fn an_approval_waits_for_two_minutes_and_no_longer() {
    let world = World::new().await;
    let (path, body) = assignment(world.person());
    let page = approved(&world, &path, &body).await;
    world.server.age("approval", "expires", 121).await;
    send(&page, Method::PUT, &path, &body).await.refused(401, "StepUpRequired");
}

#[tokio::test]
async fn a_challenge_is_answered_once_by_its_own_person_with_their_own_passkey() {
    let world = World::new().await;
    let (_, mut foreign, cookies) = person(&world, "eve@contoso.test").await;
    let eve = world.server.http().page(&cookies);
    let page = world.page();
    let ask = async || {
        let (path, body) = assignment(world.person());
        send(&page, Method::PUT, &path, &body).await.step_up().unwrap()
    };
    let mut own = world.passkey();
    let asked = ask().await;
    page.confirm(&asked, &mut own).await.expect(200);
    page.confirm(&asked, &mut own).await.refused(400, "CeremonyExpired");
    // A wrong signature spends it, another's session too.
    let asked = ask().await;
    let wrong = json!({"ceremony": asked["ceremony"], "credential": garbled(own.get(&asked))});
    send(&page, Method::POST, "/auth/stepup", &wrong).await.refused(401, "InvalidCredentials");
    page.confirm(&asked, &mut own).await.refused(400, "CeremonyExpired");
    let asked = ask().await;
    eve.confirm(&asked, &mut own).await.refused(400, "CeremonyExpired");
    // Somebody else's passkey confirms nothing of mine, and a sign-in's answer is none to a challenge.
    let asked = ask().await;
    page.confirm(&asked, &mut foreign).await.refused(401, "InvalidCredentials");
    let asked = ask().await;
    let begun = browser(&world.server).post("/auth/passkey/begin", json!({})).await.expect(200).json();
    let crossed = json!({"ceremony": asked["ceremony"], "credential": own.get(&begun)});
    send(&page, Method::POST, "/auth/stepup", &crossed).await.refused(401, "InvalidCredentials");
    let asked = ask().await;
    let signing_in = json!({"ceremony": asked["ceremony"], "credential": own.get(&asked)});
    browser(&world.server).post("/auth/passkey/finish", signing_in).await.refused(400, "CeremonyExpired");
}

#[tokio::test]
async fn whoever_has_no_passkey_confirms_with_password_and_code_if_policies_are_content_with_that() {
    let world = World::new().await;
    let (jun, link) = invite(&world, "jun@contoso.test").await;
    let (mut codes, made) = set_up_password(&world.server, &link, "jun@contoso.test").await;
    let made = made.expect(200);
    let recovery = made.json()["recoveryCodes"][0].clone();
    let page = world.server.http().page(&made.cookies());
    let (path, body) = assignment(&jun);
    let asked =
        send(&page, Method::PUT, &path, &body).await.refused(401, "StepUpRequired").step_up().unwrap();
    assert_eq!((&asked["method"], asked.get("publicKey")), (&json!("password"), None));
    let answer = |password: &str, code: String| json!({"ceremony": asked["ceremony"], "password": password, "code": code});
    // Mistyping spends nothing.
    send(&page, Method::POST, "/auth/stepup", &answer("wrong", codes.stale()))
        .await
        .refused(401, "InvalidCredentials");
    let given =
        send(&page, Method::POST, "/auth/stepup", &answer(PASSWORD, codes.fresh())).await.expect(200).json();
    let with_it = page.with("sekisho-approval", given["approval"].as_str().unwrap());
    // The right itself is another matter.
    send(&with_it, Method::PUT, &path, &body).await.refused(404, "ResourceNotFound");

    // With a passkey, password and code confirm nothing any more.
    let begun = page.post("/auth/credentials/passkey/begin", json!({})).await.expect(200).json();
    let registered = json!({"ceremony": begun["ceremony"], "credential": Passkey::new(&world.server.base()).create(&begun)});
    page.post("/auth/credentials/passkey/finish", registered).await.expect(204);
    let asked = send(&page, Method::PUT, &path, &body).await.step_up().unwrap();
    assert_eq!(asked["method"], "passkey");
    let own = json!({"ceremony": asked["ceremony"], "password": PASSWORD, "code": recovery});
    send(&page, Method::POST, "/auth/stepup", &own).await.refused(401, "InvalidCredentials");
}

#[tokio::test]
async fn programs_are_not_asked_and_what_is_asked_for_is_in_the_log() {
    let world = World::new().await;
    let root = world.client("root").await;
    grant(&root, "", READER, world.person(), "User").await;
    let (path, body) = assignment(world.group());
    let mut body = body;
    body["properties"]["principalType"] = json!("Group");
    let page = approved(&world, &path, &body).await;
    send(&page, Method::PUT, &path, &body).await.expect(201);
    send(&page, Method::PUT, &path, &body).await.refused(401, "StepUpRequired");
    let log = soon("the log", world.page().get(&at(
        "/providers/Microsoft.Insights/eventtypes/management/values?$filter=eventTimestamp ge '2020-01-01T00:00:00Z'"
            .replace(' ', "%20"),
        "2015-04-01",
    )))
    .await
    .expect(200)
    .json()
    .to_string();
    assert!(log.to_lowercase().contains("people/stepup/action"), "{log}");
    assert!(!log.contains(page.header("sekisho-approval")), "the approval itself is no news");
}

#[tokio::test]
async fn a_confirmation_is_as_good_as_a_fresh_sign_in_for_what_asks_for_one() {
    let world = World::new().await;
    world.server.age("session", "at", 3600).await;
    let page = world.page();
    let policy = json!({"displayName": "Nobody", "state": "disabled", "conditions": {
        "users": {"includeUsers": ["None"]}, "applications": {"includeApplications": ["All"]}},
        "grantControls": {"operator": "OR", "builtInControls": ["block"]}});
    page.post("/v1.0/identity/conditionalAccess/policies", policy).await.expect(201);
    // It is no proof for anything else.
    page.post("/auth/credentials/passkey/begin", json!({})).await.refused(403, "FreshSignInRequired");
}

#[tokio::test]
async fn every_dangerous_route_asks() {
    let world = World::new().await;
    let page = world.page();
    let id = Uuid::new_v4();
    let sub = &world.server.sub;
    for (method, path) in [
        (Method::PUT, at(format!("{sub}/providers/Microsoft.Authorization/roleAssignments/{id}"), ROLES)),
        (Method::DELETE, at(format!("{sub}/providers/Microsoft.Authorization/roleAssignments/{id}"), ROLES)),
        (
            Method::PUT,
            at(format!("/adfsm{sub}/providers/Microsoft.Authorization/roleAssignments/{id}"), ROLES),
        ),
        (Method::PUT, at(format!("/{sub}/providers/microsoft.authorization/roleassignments/{id}"), ROLES)),
        (Method::PUT, at(format!("{sub}/providers/Microsoft.Authorization/roleDefinitions/{id}"), ROLES)),
        (Method::PUT, at(format!("{sub}/providers/Microsoft.Authorization/denyAssignments/{id}"), ROLES)),
        (Method::DELETE, at(format!("{sub}/providers/Microsoft.Authorization/locks/l"), "2020-05-01")),
        (Method::POST, "/v1.0/identity/conditionalAccess/policies".to_owned()),
        (Method::DELETE, format!("/v1.0/identity/conditionalAccess/policies/{id}")),
        (Method::PATCH, format!("/v1.0/identity/conditionalAccess/namedLocations/{id}")),
        (Method::DELETE, format!("/v1.0/policies/authenticationStrengthPolicies/{id}")),
        (Method::POST, format!("/v1.0/groups/{}/members/$ref", world.group())),
        (Method::POST, format!("/v1.0/applications/{id}/addPassword")),
        (Method::PATCH, format!("/v1.0/applications/{id}")),
        (Method::POST, format!("/v1.0/users/{id}/sekisho.invite")),
        (Method::DELETE, format!("/v1.0/users/{id}")),
        (Method::POST, format!("/v1.0/users/{id}/sekisho.invite?whatIf=true&whatIf=false")),
    ] {
        let refused = send(&page, method.clone(), &path, &json!({})).await;
        assert_eq!(
            (refused.status, refused.step_up().is_some()),
            (401, true),
            "{method} {path}: {refused:?}"
        );
    }
    // Nobody else is told more than before.
    let nobody = world.server.http();
    let path = format!("/v1.0/users/{id}");
    nobody.delete(&path).await.refused(401, "AuthenticationFailed");
    let foreign = nobody.with("cookie", page.header("cookie")).with("sec-fetch-site", "cross-site");
    foreign.delete(&path).await.refused(403, "CrossSiteRequest");
}

impl Server {
    /// Moves an instant in every document of a kind so many seconds into the past, as if that time had gone by.
    pub(crate) async fn age(&self, kind: &str, field: &str, seconds: i64) {
        let store = sekisho_store::Store::open(&self.data.url()).await.unwrap();
        let (kind, field) = (kind.to_owned(), field.to_owned());
        store
            .write::<_, sekisho_arm::StoreError, _>(move |tx| {
                Box::pin(async move {
                    for document in tx.as_read().documents(&kind).await? {
                        let mut body = document.body()?;
                        age_in(&mut body, &field, seconds);
                        tx.put_document(&kind, &document.key, body).await?;
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
    }
}

fn age_in(body: &mut Value, field: &str, seconds: i64) {
    use time::format_description::well_known::Rfc3339;
    match body {
        Value::Object(map) => {
            for (name, value) in map {
                match value.as_str().filter(|_| name == field) {
                    Some(text) => {
                        let then = time::OffsetDateTime::parse(text, &Rfc3339).unwrap();
                        *value = (then - time::Duration::seconds(seconds)).format(&Rfc3339).unwrap().into();
                    }
                    None => age_in(value, field, seconds),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|value| age_in(value, field, seconds)),
        _ => {}
    }
}
