//! Conditional access: asked by every request and every stream, changed at Graph's paths, tried before it holds.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::device::Passkey;
use crate::kit::{GROUPS, Http, at, soon};
use crate::oauth;
use crate::seed::{OWNER, World, grant};
use crate::signin::{PASSWORD, browser, invite, person, set_up_password, with_passkey, with_password};

const POLICIES: &str = "/v1.0/identity/conditionalAccess/policies";
const LOCATIONS: &str = "/v1.0/identity/conditionalAccess/namedLocations";

/// A policy about some people, which blocks.
fn block(name: &str, users: &Value) -> Value {
    json!({
        "displayName": name, "state": "enabled",
        "conditions": {"users": users, "applications": {"includeApplications": ["All"]}},
        "grantControls": {"operator": "OR", "builtInControls": ["block"]},
    })
}

async fn make(page: &Http, policy: Value) -> String {
    page.post(POLICIES, policy).await.expect(201).json()["id"].as_str().unwrap().to_owned()
}

async fn remove(page: &Http, id: &str) {
    page.delete(&format!("{POLICIES}/{id}")).await.expect(204);
}

async fn names(page: &Http) -> Vec<String> {
    let all = page.get(POLICIES).await.expect(200).json();
    all["value"].as_array().unwrap().iter().map(|p| p["displayName"].as_str().unwrap().to_owned()).collect()
}

fn groups(world: &World) -> String {
    at(format!("{}/resourceGroups", world.server.sub), GROUPS)
}

#[tokio::test]
async fn a_new_installation_asks_everyone_for_a_second_factor_and_the_privileged_for_a_passkey() {
    let world = World::new().await;
    let page = world.page();
    assert_eq!(names(&page).await, ["Passkey for privileged roles", "Second factor for everyone"]);
    let (jun, link) = invite(&world, "jun@contoso.test").await;
    let (mut codes, made) = set_up_password(&world.server, &link, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&made.expect(200).cookies());
    jun_page.get("/v1.0/me").await.expect(200);

    grant(&page, "", OWNER, &jun, "User").await;
    let refused = jun_page.get("/v1.0/me").await.refused(401, "StepUpRequired");
    let missing = &refused.json()["error"]["additionalInfo"][0]["info"];
    assert_eq!(missing["policies"], json!(["Passkey for privileged roles"]));
    assert!(missing["needs"][0].as_array().unwrap().contains(&json!("fido2")), "{missing}");
    // The page can still say who is signed in and what is missing, and that is how it gets better.
    let session = jun_page.get("/auth/session").await.expect(200).json();
    assert_eq!(session["missing"]["policies"], missing["policies"]);
    let again = with_password(&browser(&world.server), "jun@contoso.test", PASSWORD, &codes.fresh()).await;
    let again = again.expect(200);
    assert_eq!(again.json()["missing"]["policies"], missing["policies"]);
    let jun_page = world.server.http().page(&again.cookies());
    let begun =
        jun_page.post("/auth/credentials/passkey/begin", json!({"label": "Key"})).await.expect(200).json();
    let mut passkey = Passkey::new(&world.server.base());
    let body = json!({"ceremony": begun["ceremony"], "credential": passkey.create(&begun)});
    jun_page.post("/auth/credentials/passkey/finish", body).await.expect(204);
    jun_page.get("/v1.0/me").await.refused(401, "StepUpRequired");
    // From now on, what can be phished registers nothing more.
    jun_page.post("/auth/credentials/passkey/begin", json!({})).await.refused(401, "StepUpRequired");
    let strong = with_passkey(&browser(&world.server), &mut passkey).await.expect(200);
    assert_eq!(strong.json()["missing"], Value::Null);
    world.server.http().page(&strong.cookies()).get("/v1.0/me").await.expect(200);
}

#[tokio::test]
async fn a_policy_holds_from_the_next_request_on_and_ends_live_streams() {
    let world = World::new().await;
    let page = world.page();
    let (jun, mut passkey, cookies) = person(&world, "jun@contoso.test").await;
    grant(&page, "", OWNER, &jun, "User").await;
    let jun_page = world.server.http().page(&cookies);
    jun_page.get(&groups(&world)).await.expect(200);
    let (status, mut stream) = jun_page.stream("/api/events").await;
    assert_eq!(status, 200);

    let policy = make(&page, block("Nobody called Jun", &json!({"includeUsers": [jun]}))).await;
    let refused = world.server.http().page(&cookies).get(&groups(&world)).await;
    let refused = refused.refused(403, "ConditionalAccessBlocked");
    assert!(refused.message().contains("Nobody called Jun"), "{}", refused.message());
    soon("the end of the stream", async { while let Some(Ok(_)) = stream.frame().await {} }).await;
    with_passkey(&browser(&world.server), &mut passkey).await.refused(403, "ConditionalAccessBlocked");

    remove(&page, &policy).await;
    world.server.http().page(&cookies).get(&groups(&world)).await.expect(200);
}

#[tokio::test]
async fn programs_are_kept_to_where_they_belong() {
    let world = World::new().await;
    let (page, client) = (world.page(), world.client("root").await);
    client.get(&groups(&world)).await.expect(200);
    let location = json!({"@odata.type": "#microsoft.graph.ipNamedLocation", "displayName": "Data centre",
        "isTrusted": true, "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "203.0.113.0/24"}]});
    let location = page.post(LOCATIONS, location).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let mut policy = block("Programs stay in", &json!({"includeUsers": ["None"]}));
    policy["conditions"]["clientApplications"] =
        json!({"includeServicePrincipals": ["ServicePrincipalsInMyTenant"]});
    policy["conditions"]["locations"] = json!({"includeLocations": ["All"], "excludeLocations": [location]});
    let policy = make(&page, policy).await;
    client.get(&groups(&world)).await.refused(403, "ConditionalAccessBlocked");
    page.get(&groups(&world)).await.expect(200);

    let place = format!("{LOCATIONS}/{location}");
    let refused = page.delete(&place).await.refused(409, "InUse");
    assert!(refused.message().contains("Programs stay in"));
    let here = json!({"ipRanges": [{"cidrAddress": "203.0.113.0/24"}, {"cidrAddress": "127.0.0.0/16"}]});
    page.patch(&place, here).await.expect(204);
    client.get(&groups(&world)).await.expect(200);
    remove(&page, &policy).await;
    page.delete(&place).await.expect(204);
    page.get(&place).await.expect(404);
}

#[tokio::test]
async fn what_would_lock_every_administrator_out_is_refused_with_the_proof() {
    let world = World::new().await;
    let page = world.page();
    let before = names(&page).await;
    let refused = page.post(POLICIES, block("Nobody", &json!({"includeUsers": ["All"]}))).await;
    let refused = refused.refused(409, "PolicyLocksEveryoneOut");
    let told = &refused.json()["error"]["additionalInfo"][0]["info"][0];
    assert_eq!(told, &json!({"administrator": "jo@contoso.test", "policies": ["Nobody"], "why": "blocked"}),);
    assert_eq!(names(&page).await, before);
    // Trying it says the same, and what is possible is shown and undone.
    let try_out = format!("{POLICIES}?whatIf=true");
    page.post(&try_out, block("Nobody", &json!({"includeUsers": ["All"]})))
        .await
        .refused(409, "PolicyLocksEveryoneOut");
    let effect = page.post(&try_out, block("One", &json!({"includeUsers": [world.group()]}))).await;
    let change = &effect.expect(200).json()["changes"][0];
    assert_eq!((&change["changeType"], &change["after"]["displayName"]), (&json!("Create"), &json!("One")));
    assert_eq!(names(&page).await, before);
    // A place that administrators are not in is no way around it.
    let location = json!({"@odata.type": "#microsoft.graph.countryNamedLocation", "displayName": "Japan",
        "countriesAndRegions": ["JP"]});
    let location = page.post(LOCATIONS, location).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let mut abroad = block("Japan only", &json!({"includeUsers": ["All"]}));
    abroad["conditions"]["locations"] = json!({"includeLocations": ["All"], "excludeLocations": [location]});
    page.post(POLICIES, abroad.clone()).await.refused(409, "PolicyLocksEveryoneOut");
    abroad["state"] = json!("enabledForReportingButNotEnforced");
    let id = make(&page, abroad).await;
    page.patch(&format!("{POLICIES}/{id}"), json!({"state": "enabled"}))
        .await
        .refused(409, "PolicyLocksEveryoneOut");
    let place = format!("{LOCATIONS}/{location}");
    page.patch(&place, json!({"includeUnknownCountriesAndRegions": true})).await.expect(204);
    page.patch(&format!("{POLICIES}/{id}"), json!({"state": "enabled"})).await.expect(204);
    // Nor does the way lead over what the policy refers to.
    page.patch(&place, json!({"includeUnknownCountriesAndRegions": false}))
        .await
        .refused(409, "PolicyLocksEveryoneOut");
    page.get(&groups(&world)).await.expect(200);
}

#[tokio::test]
async fn a_change_that_waits_for_its_confirmation_is_kept_by_a_new_sign_in_only() {
    let world = World::new().await;
    let (jun, mut passkey, cookies) = person(&world, "jun@contoso.test").await;
    grant(&world.page(), "", OWNER, &jun, "User").await;
    let page = world.server.http().page(&cookies);
    let mut policy = block("No devices by code", &json!({"includeUsers": ["All"]}));
    policy["conditions"]["authenticationFlows"] = json!({"transferMethods": "deviceCodeFlow"});
    policy["sekisho"] = json!({"confirmWithinMinutes": 61});
    page.post(POLICIES, policy.clone()).await.refused(400, "Request_BadRequest");
    policy["sekisho"] = json!({"confirmWithinMinutes": 10});
    let made = page.post(POLICIES, policy).await.expect(201).json();
    assert!(made["sekisho"]["confirmBy"].is_string(), "{made}");
    let one = format!("{POLICIES}/{}", made["id"].as_str().unwrap());
    let confirm = format!("{one}/sekisho.confirm");
    page.post(&confirm, json!({})).await.refused(403, "NewSignInRequired");
    let anew = with_passkey(&browser(&world.server), &mut passkey).await.expect(200).cookies();
    let anew = world.server.http().page(&anew);
    anew.post(&confirm, json!({})).await.expect(204);
    assert_eq!(anew.get(&one).await.expect(200).json()["sekisho"], Value::Null);
    anew.post(&confirm, json!({})).await.refused(409, "NothingToConfirm");
}

#[tokio::test]
async fn a_draft_is_tried_on_what_was_seen_and_on_what_is_made_up() {
    let world = World::new().await;
    let page = world.page();
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies).with("user-agent", "Mozilla/5.0 (Macintosh; Mac OS X)");
    for _ in 0..3 {
        jun_page.get("/v1.0/me").await.expect(200);
    }
    page.get("/v1.0/me").await.expect(200);
    world.client("root").await.get(&groups(&world)).await.expect(200);
    let mut draft = block("No Macs", &json!({"includeUsers": ["All"]}));
    draft["state"] = json!("disabled");
    draft["conditions"]["platforms"] = json!({"includePlatforms": ["all"], "excludePlatforms": ["windows"]});
    draft["conditions"]["platforms"]["includePlatforms"] = json!(["macOS"]);
    draft["conditions"]["users"]["excludeUsers"] = json!([world.person()]);
    let test = format!("{POLICIES}/sekisho.backtest");
    let told = page.post(&test, json!({"policy": draft, "days": 7})).await.expect(200).json();
    let stopped = told["stopped"].as_array().unwrap();
    assert_eq!(stopped.len(), 1, "{told}");
    assert_eq!(
        (&stopped[0]["name"], &stopped[0]["result"], &stopped[0]["requests"], &stopped[0]["platform"]),
        (&json!("jun@contoso.test"), &json!("blocked"), &json!(3), &json!("macOS")),
    );
    assert!(told["requests"].as_u64().unwrap() >= 5, "{told}");
    page.post(&test, json!({"policy": draft, "days": 31})).await.expect(400);
    assert!(!names(&page).await.contains(&"No Macs".to_owned()), "it was only tried");

    draft["state"] = json!("enabled");
    make(&page, draft).await;
    let asked = |platform: &str| {
        json!({
            "signInIdentity": {"@odata.type": "#microsoft.graph.userSignIn", "userId": jun},
            "signInContext": {"includeApplications": ["797f4846-ba00-4fd7-ba71-dba1f016de18"]},
            "signInConditions": {"devicePlatform": platform, "ipAddress": "192.0.2.1"},
        })
    };
    let evaluate = "/v1.0/identity/conditionalAccess/evaluate";
    for (platform, applies, why) in [("macOS", true, "notSet"), ("linux", false, "devicePlatform")] {
        let all = page.post(evaluate, asked(platform)).await.expect(200).json();
        let all = all["value"].as_array().unwrap();
        let macs = all.iter().find(|p| p["displayName"] == "No Macs").unwrap();
        assert_eq!((&macs["policyApplies"], &macs["analysisReasons"]), (&json!(applies), &json!(why)));
        let passkey = all.iter().find(|p| p["displayName"] == "Passkey for privileged roles").unwrap();
        assert_eq!(passkey["analysisReasons"], "users");
    }
    jun_page.get("/v1.0/me").await.refused(403, "ConditionalAccessBlocked");
    for bad in [json!({}), json!({"signInIdentity": {"userId": "nobody"}}), asked("BeOS")] {
        let answer = page.post(evaluate, bad).await;
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
}

#[tokio::test]
async fn only_who_may_change_policies_does_and_what_they_refer_to_must_exist() {
    let world = World::new().await;
    let page = world.page();
    let (_, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun = world.server.http().page(&cookies);
    let policy = block("P", &json!({"includeUsers": [world.group()]}));
    jun.get(POLICIES).await.refused(403, "Authorization_RequestDenied");
    jun.post(POLICIES, policy.clone()).await.refused(403, "Authorization_RequestDenied");
    let nowhere = "11111111-1111-1111-1111-111111111111";
    let mut lost = policy.clone();
    lost["conditions"]["locations"] = json!({"includeLocations": [nowhere]});
    page.post(POLICIES, lost).await.refused(400, "Request_BadRequest");
    let mut weak = policy.clone();
    weak["grantControls"] =
        json!({"operator": "OR", "builtInControls": [], "authenticationStrength": {"id": nowhere}});
    page.post(POLICIES, weak.clone()).await.refused(400, "Request_BadRequest");
    let strengths = "/v1.0/policies/authenticationStrengthPolicies";
    let mine =
        json!({"displayName": "Codes are enough", "allowedCombinations": ["password,softwareOath", "fido2"]});
    let mine = page.post(strengths, mine).await.expect(201).json();
    assert_eq!((&mine["policyType"], &mine["requirementsSatisfied"]), (&json!("custom"), &json!("mfa")));
    weak["grantControls"]["authenticationStrength"]["id"] = mine["id"].clone();
    let policy = make(&page, weak).await;
    let one = format!("{strengths}/{}", mine["id"].as_str().unwrap());
    page.delete(&one).await.refused(409, "InUse");
    remove(&page, &policy).await;
    page.delete(&one).await.expect(204);
    page.delete(&format!("{strengths}/00000000-0000-0000-0000-000000000002")).await.expect(400);
    for gone in [policy.as_str(), "nothing"] {
        page.get(&format!("{POLICIES}/{gone}")).await.expect(404);
        page.patch(&format!("{POLICIES}/{gone}"), json!({})).await.expect(404);
        page.delete(&format!("{POLICIES}/{gone}")).await.expect(404);
    }
}

#[tokio::test]
async fn a_strange_sign_in_is_judged_by_rules_that_the_log_of_sign_ins_tells() {
    let world = World::new().await;
    let page = world.page();
    let (jun, mut passkey, cookies) = person(&world, "jun@contoso.test").await;
    let of_jun = format!("/v1.0/auditLogs/signIns?$filter=userId%20eq%20'{jun}'");
    let log = async || page.get(&of_jun).await.expect(200).json()["value"].as_array().unwrap().clone();
    let first = log().await;
    assert_eq!((first.len(), &first[0]["riskLevelDuringSignIn"]), (1, &json!("none")), "everything was new");
    assert_eq!(first[0]["authenticationMethodsUsed"], json!(["fido2"]));

    // A browser that nobody knows, and then the known one.
    with_passkey(&browser(&world.server), &mut passkey).await.expect(200);
    let strange = log().await.remove(0);
    assert_eq!(
        (&strange["riskLevelDuringSignIn"], &strange["riskEventTypes_v2"]),
        (&json!("low"), &json!(["newDevice"])),
    );
    assert_eq!(strange["conditionalAccessStatus"], "success");
    with_passkey(&world.server.http().page(&cookies), &mut passkey).await.expect(200);
    assert_eq!(log().await[0]["riskLevelDuringSignIn"], "none");

    let mut policy = block("Nothing strange", &json!({"includeUsers": [jun]}));
    policy["conditions"]["signInRiskLevels"] = json!(["low", "medium", "high"]);
    make(&page, policy).await;
    with_passkey(&browser(&world.server), &mut passkey).await.refused(403, "ConditionalAccessBlocked");
    let refused = log().await.remove(0);
    assert_eq!(
        (&refused["status"]["errorCode"], &refused["conditionalAccessStatus"]),
        (&json!(53003), &json!("failure"))
    );
    let policies = refused["appliedConditionalAccessPolicies"].as_array().unwrap();
    let said = policies.iter().find(|p| p["displayName"] == "Nothing strange").unwrap();
    assert_eq!(said["result"], "failure");
    let usual = with_passkey(&world.server.http().page(&cookies), &mut passkey).await.expect(200).cookies();
    world.server.http().page(&usual).get("/v1.0/me").await.expect(200);
    world.server.http().page(&usual).get(&of_jun).await.refused(403, "Authorization_RequestDenied");
}

#[tokio::test]
async fn an_account_in_somebody_elses_hands_is_kept_out_until_another_person_says_that_it_is_over() {
    const RISKY: &str = "/v1.0/identityProtection/riskyUsers";
    let world = World::new().await;
    let (page, server) = (world.page(), &world.server);
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    grant(&page, "", OWNER, &jun, "User").await;
    let jun_page = server.http().page(&cookies);
    let mut policy = block("Not with a stolen token", &json!({"includeUsers": ["All"]}));
    policy["conditions"]["userRiskLevels"] = json!(["medium", "high"]);
    make(&page, policy).await;
    // A connection of its own: it is busy until the stream ends.
    let (status, mut stream) = server.http().page(&cookies).stream("/api/events").await;
    assert_eq!(status, 200);

    let code = oauth::code(server, &jun_page).await;
    let first = oauth::redeem(server, &code, &[]).await.expect(200).json();
    let spent = oauth::text(&first, "refresh_token");
    let next = oauth::refresh(server, &spent, &[]).await.expect(200).json();
    oauth::refresh(server, &oauth::text(&next, "refresh_token"), &[]).await.expect(200);
    jun_page.get(&groups(&world)).await.expect(200);
    oauth::refresh(server, &spent, &[]).await.refused(400, "invalid_grant");

    jun_page.get(&groups(&world)).await.refused(403, "ConditionalAccessBlocked");
    soon("the end of the stream", async { while let Some(Ok(_)) = stream.frame().await {} }).await;
    let risky = page.get(RISKY).await.expect(200).json()["value"].clone();
    assert_eq!(risky.as_array().unwrap().len(), 1);
    let told = ["id", "riskLevel", "riskState", "sekisho.because"].map(|field| risky[0][field].clone());
    assert_eq!(told, [json!(jun), json!("medium"), json!("atRisk"), json!("tokenReused")]);

    let whom = json!({"userIds": [jun]});
    let own = json!({"userIds": [world.person()]});
    page.post(&format!("{RISKY}/dismiss"), own).await.refused(400, "Request_BadRequest");
    page.post(&format!("{RISKY}/dismiss"), whom.clone()).await.expect(204);
    jun_page.get(&groups(&world)).await.expect(200);
    assert_eq!(page.get(RISKY).await.expect(200).json()["value"], json!([]));
    page.post(&format!("{RISKY}/confirmCompromised"), whom).await.expect(204);
    jun_page.get(&groups(&world)).await.refused(403, "ConditionalAccessBlocked");
}
