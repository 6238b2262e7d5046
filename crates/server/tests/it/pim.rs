//! Roles that people may take when they need them: eligible, active, approved, bound to a sign-in, and over in time.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::{Answer, GROUPS, Http, at, until};
use crate::seed::{OWNER, READER, World, grant};
use crate::signin::{browser, person, with_passkey};

const PIM: &str = "2020-10-01";
const STAGES: &str = "2021-01-01-preview";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

fn path(scope: &str, kind: &str, name: &str) -> String {
    at(format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}"), PIM)
}

fn list(scope: &str, kind: &str, filter: &str) -> String {
    let filter = filter.replace(' ', "%20");
    format!("{}&$filter={filter}", at(format!("{scope}/providers/Microsoft.Authorization/{kind}"), PIM))
}

async fn ask(page: &Http, scope: &str, kind: &str, properties: Value) -> Answer {
    page.put(&path(scope, kind, &Uuid::new_v4().to_string()), json!({ "properties": properties })).await
}

fn role(id: &str) -> String {
    format!("/providers/Microsoft.Authorization/roleDefinitions/{id}")
}

/// Makes somebody eligible.
pub(crate) async fn eligible(
    page: &Http,
    scope: &str,
    role_id: &str,
    who: &str,
    expiration: Value,
) -> Answer {
    let properties = json!({"principalId": who, "roleDefinitionId": role(role_id), "requestType": "AdminAssign",
        "scheduleInfo": {"expiration": expiration}});
    ask(page, scope, "roleEligibilityScheduleRequests", properties).await
}

async fn own(page: &Http, scope: &str, role_id: &str, who: &str, kind: &str, hours: u32) -> Answer {
    let properties = json!({"principalId": who, "roleDefinitionId": role(role_id), "requestType": kind,
        "justification": "The disk is full", "ticketInfo": {"ticketNumber": "INC-7"},
        "scheduleInfo": {"expiration": {"type": "AfterDuration", "duration": format!("PT{hours}H")}}});
    ask(page, scope, "roleAssignmentScheduleRequests", properties).await
}

pub(crate) fn forever() -> Value {
    json!({"type": "NoExpiration"})
}

fn status(answer: &Answer) -> String {
    answer.json()["properties"]["status"].as_str().unwrap().to_owned()
}

async fn settings(page: &Http, scope: &str, rules: Value) -> Answer {
    page.patch(&path(scope, "roleManagementPolicies", CONTRIBUTOR), json!({"properties": {"rules": rules}}))
        .await
}

fn approval(approvers: &[&str], needed: usize) -> Value {
    let approvers: Vec<Value> = approvers.iter().map(|id| json!({"id": id, "userType": "User"})).collect();
    json!({"id": "Approval_EndUser_Assignment", "ruleType": "RoleManagementPolicyApprovalRule", "setting": {
        "isApprovalRequired": true, "approvalStages": [{"primaryApprovers": approvers,
        "approvalsRequired": needed, "approvalStageTimeOutInDays": 1, "isApproverJustificationRequired": true}]}})
}

/// Decides on the only request that waits for somebody.
async fn decide(page: &Http, result: &str) -> Answer {
    let waiting =
        page.get(&list("", "roleAssignmentScheduleRequests", "asApprover()")).await.expect(200).json();
    let id = waiting["value"][0]["properties"]["approvalId"].as_str().unwrap().to_owned();
    let shown = page.get(&at(&id, STAGES)).await.expect(200).json();
    let stage = shown["properties"]["stages"][0]["id"].as_str().unwrap().to_owned();
    let body = json!({"properties": {"reviewResult": result, "justification": "It is needed"}});
    page.patch(&at(stage, STAGES), body).await
}

#[tokio::test]
async fn a_role_is_taken_for_some_hours_in_the_sign_in_that_proved_it_and_given_back() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let (jun, mut passkey, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies);
    let read = at(&group, GROUPS);
    jun_page.get(&read).await.expect(404);
    // Nobody takes what they are not eligible for, and nobody is told more by trying.
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 1).await.expect(404);

    // What is tried says what would be gained, and by whom: nothing until it is activated.
    let request = path(&group, "roleEligibilityScheduleRequests", &Uuid::new_v4().to_string());
    let properties =
        json!({"principalId": jun, "roleDefinitionId": role(CONTRIBUTOR), "requestType": "AdminAssign"});
    let tried = page.put(&format!("{request}&whatIf=true"), json!({ "properties": properties })).await;
    let rights = tried.expect(200).json()["rights"].clone();
    assert_eq!(rights.as_array().unwrap().len(), 1, "{rights}");
    assert_eq!((&rights[0]["gained"], &rights[0]["ifActivated"]), (&json!(true), &json!(true)));
    assert_eq!((&rights[0]["scope"], &rights[0]["principals"][0]["id"]), (&json!(group), &json!(jun)));
    let operations = rights[0]["operations"].as_array().unwrap();
    assert!(operations.contains(&json!("Microsoft.Network/networkSecurityGroups/write")));
    assert!(!operations.contains(&json!("Microsoft.Authorization/roleAssignments/write")));

    let made = eligible(&page, &group, CONTRIBUTOR, &jun, forever()).await.expect(201);
    assert_eq!(status(&made), "Provisioned");
    let words = &made.json()["properties"]["expandedProperties"];
    assert_eq!(words["roleDefinition"]["displayName"], "Contributor");
    assert_eq!(words["principal"]["displayName"], "Somebody");
    let refused = jun_page.get(&read).await.refused(403, "AuthorizationFailed");
    let decision = &refused.json()["error"]["additionalInfo"][0]["info"];
    assert_eq!(decision["activatable"]["roleName"], "Contributor", "{decision}");
    assert!(
        refused.message().contains("You are eligible for the role 'Contributor'"),
        "{}",
        refused.message()
    );
    let mine =
        jun_page.get(&list("", "roleEligibilityScheduleInstances", "asTarget()")).await.expect(200).json();
    assert_eq!(mine["value"][0]["properties"]["activation"]["maximumDuration"], "PT8H", "{mine}");

    let policy = "RoleAssignmentRequestPolicyValidationFailed";
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 9).await.refused(400, policy);
    let silent =
        json!({"principalId": jun, "roleDefinitionId": role(CONTRIBUTOR), "requestType": "SelfActivate"});
    ask(&jun_page, &group, "roleAssignmentScheduleRequests", silent).await.refused(400, policy);
    let request = path(&group, "roleAssignmentScheduleRequests", &Uuid::new_v4().to_string());
    let properties = json!({"principalId": jun, "roleDefinitionId": role(CONTRIBUTOR),
        "requestType": "SelfActivate", "justification": "Why"});
    let tried = jun_page.put(&format!("{request}&whatIf=true"), json!({ "properties": properties })).await;
    // Who may not read who has which roles is told how much changes, and no more.
    let tried = tried.expect(200).json();
    assert_eq!((&tried["rights"], &tried["otherRights"]), (&json!([]), &json!(1)));
    let done = own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 2).await.expect(201);
    assert_eq!(status(&done), "Provisioned");
    jun_page.get(&read).await.expect(200);
    jun_page.put(&read, json!({"location": "home", "tags": {"by": "jun"}})).await.expect(200);

    // Whoever asks who may do something is told the person, and that it takes one certain sign-in.
    let question = at(format!("{group}/providers/Sekisho.Authorization/whoCan"), crate::kit::FLEET);
    let action = "Microsoft.Network/networkSecurityGroups/write";
    let who = page.post(&question, json!({ "action": action })).await.expect(200).json();
    let found = who["value"].as_array().unwrap().iter().find(|g| g["principalId"] == jun.as_str()).unwrap();
    assert_eq!((&found["inOneSignIn"], &found["roleName"]), (&json!(true), &json!("Contributor")));
    let question = at(format!("{group}/providers/Sekisho.Authorization/explain"), crate::kit::FLEET);
    let about = json!({"principalId": jun, "action": action});
    assert_eq!(page.post(&question, about).await.expect(200).json()["allowed"], true);

    // Another sign-in of the same person has nothing until it proves itself.
    let other = with_passkey(&browser(&world.server), &mut passkey).await.expect(200).cookies();
    world.server.confirms(&other, &passkey);
    let other = world.server.http().page(&other);
    other.get(&read).await.refused(403, "AuthorizationFailed");
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 2).await.refused(409, "RoleAssignmentExists");
    own(&other, &group, CONTRIBUTOR, &jun, "SelfExtend", 3).await.refused(404, "RoleAssignmentDoesNotExist");
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfExtend", 8).await.expect(201);
    let active =
        jun_page.get(&list("", "roleAssignmentScheduleInstances", "asTarget()")).await.expect(200).json();
    let active = active["value"].as_array().unwrap();
    assert_eq!((active.len(), &active[0]["properties"]["assignmentType"]), (1, &json!("Activated")));

    let back = own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfDeactivate", 1).await.expect(201);
    assert_eq!(status(&back), "Revoked");
    jun_page.get(&read).await.refused(403, "AuthorizationFailed");
}

#[tokio::test]
async fn an_activation_is_narrower_than_its_eligibility_and_over_with_it_and_with_its_sign_in() {
    let world = World::new().await;
    let page = world.page();
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies);
    let (sub, group) = (world.server.sub.clone(), world.rg1(""));
    eligible(&page, &sub, CONTRIBUTOR, &jun, forever()).await.expect(201);
    let children =
        jun_page.get(&list(&sub, "eligibleChildResources", "resourceType eq 'resourcegroup'")).await;
    let children = children.expect(200).json();
    assert!(children["value"].as_array().unwrap().iter().any(|c| c["id"] == group), "{children}");
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 1).await.expect(201);
    jun_page.get(&at(&group, GROUPS)).await.expect(200);
    let outside = at(format!("{sub}/resourceGroups/jun"), GROUPS);
    jun_page.put(&outside, json!({"location": "home"})).await.refused(403, "AuthorizationFailed");

    // The eligibility ends, and everything that stands on it, without anybody asking.
    let properties = json!({"principalId": jun, "roleDefinitionId": role(CONTRIBUTOR),
        "requestType": "AdminRemove"});
    ask(&page, &sub, "roleEligibilityScheduleRequests", properties).await.expect(201);
    jun_page.get(&at(&group, GROUPS)).await.expect(404);

    // One that ends by itself takes the activation with it at the instant.
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(3);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let ends = json!({"type": "AfterDateTime", "endDateTime": soon});
    eligible(&page, &sub, CONTRIBUTOR, &jun, ends).await.expect(201);
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 1).await.expect(201);
    jun_page.get(&at(&group, GROUPS)).await.expect(200);
    let gone = until("the end of the activation", async || {
        let answer = jun_page.get(&at(&group, GROUPS)).await;
        (answer.status != 200).then_some(answer)
    });
    gone.await.expect(404);
    until("the end of the row", async || {
        let all = page
            .get(&list(&sub, "roleAssignmentSchedules", &format!("assignedTo('{jun}')")))
            .await
            .expect(200)
            .json();
        all["value"].as_array().unwrap().is_empty().then_some(())
    })
    .await;

    // What begins later begins at its instant, and its request says so.
    let soon = time::OffsetDateTime::now_utc() + time::Duration::seconds(2);
    let soon = soon.format(&time::format_description::well_known::Rfc3339).unwrap();
    let later = json!({"principalId": jun, "roleDefinitionId": role(READER), "requestType": "AdminAssign",
        "justification": "Later", "scheduleInfo": {"startDateTime": soon,
        "expiration": {"type": "AfterDuration", "duration": "PT1H"}}});
    let made = ask(&page, &group, "roleAssignmentScheduleRequests", later).await.expect(201);
    assert_eq!(status(&made), "ScheduleCreated");
    let request = at(made.json()["id"].as_str().unwrap(), PIM);
    until("the start", async || (jun_page.get(&at(&group, GROUPS)).await.status == 200).then_some(())).await;
    until("the request that says so", async || {
        (status(&page.get(&request).await.expect(200)) == "Provisioned").then_some(())
    })
    .await;

    // Signing out ends what was activated.
    eligible(&page, &sub, CONTRIBUTOR, &jun, forever()).await.expect(201);
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 1).await.expect(201);
    jun_page.post("/auth/signout", json!({})).await.expect(204);
    jun_page.get(&at(&group, GROUPS)).await.expect(401);
}

#[tokio::test]
async fn an_activation_waits_for_as_many_others_as_the_settings_say_and_the_requester_is_none_of_them() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let mut people = Vec::new();
    for name in ["jun", "ken", "mei"] {
        let (id, _, cookies) = person(&world, &format!("{name}@contoso.test")).await;
        people.push((id, world.server.http().page(&cookies)));
    }
    let [(jun, jun_page), (ken, ken_page), (mei, mei_page)] = &people[..] else { panic!() };
    eligible(&page, &group, CONTRIBUTOR, jun, forever()).await.expect(201);
    // Settings are inherited: what the subscription says holds in the group.
    let rules = json!([approval(&[jun, ken, mei], 2)]);
    let changed = settings(&page, &world.server.sub, rules).await.expect(200).json();
    assert_eq!(changed["properties"]["rules"].as_array().unwrap().len(), 17);
    let filter = format!("roleDefinitionId eq '{}'", role(CONTRIBUTOR));
    let held = page.get(&list(&group, "roleManagementPolicyAssignments", &filter)).await.expect(200).json();
    let held = held["value"][0]["properties"]["effectiveRules"].as_array().unwrap().clone();
    assert!(held.iter().any(|r| r["setting"]["isApprovalRequired"] == true));

    let asked = own(jun_page, &group, CONTRIBUTOR, jun, "SelfActivate", 1).await.expect(201);
    assert_eq!(status(&asked), "PendingApproval");
    jun_page.get(&at(&group, GROUPS)).await.refused(403, "AuthorizationFailed");
    // The requester sees the request as theirs, and not as theirs to decide on.
    let mine =
        jun_page.get(&list("", "roleAssignmentScheduleRequests", "asApprover()")).await.expect(200).json();
    assert_eq!(mine["value"], json!([]));
    let approval_id = asked.json()["properties"]["approvalId"].as_str().unwrap().to_owned();
    let shown = jun_page.get(&at(&approval_id, STAGES)).await.expect(200).json();
    let stage = at(shown["properties"]["stages"][0]["id"].as_str().unwrap(), STAGES);
    let yes = json!({"properties": {"reviewResult": "Approve", "justification": "I need it"}});
    jun_page.patch(&stage, yes.clone()).await.expect(404);
    // Nor does an Owner decide who is no approver.
    page.patch(&stage, yes).await.refused(403, "ApproverRequired");
    let mute = json!({"properties": {"reviewResult": "Approve", "justification": " "}});
    ken_page.patch(&stage, mute).await.refused(400, "InvalidRequestContent");

    decide(ken_page, "Approve").await.expect(200);
    decide(ken_page, "Approve").await.expect(200);
    jun_page.get(&at(&group, GROUPS)).await.refused(403, "AuthorizationFailed");
    decide(mei_page, "Approve").await.expect(200);
    jun_page.get(&at(&group, GROUPS)).await.expect(200);
    ken_page
        .patch(&stage, json!({"properties": {"reviewResult": "Deny", "justification": "No"}}))
        .await
        .refused(409, "ApprovalCompleted");

    own(jun_page, &group, CONTRIBUTOR, jun, "SelfDeactivate", 1).await.expect(201);
    let again = own(jun_page, &group, CONTRIBUTOR, jun, "SelfActivate", 1).await.expect(201);
    decide(mei_page, "Deny").await.expect(200);
    let id = again.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(status(&jun_page.get(&at(&id, PIM)).await.expect(200)), "Denied");
    let third = own(jun_page, &group, CONTRIBUTOR, jun, "SelfActivate", 1).await.expect(201);
    let id = third.json()["id"].as_str().unwrap().to_owned();
    jun_page.post(&at(format!("{id}/cancel"), PIM), json!({})).await.expect(200);
    assert_eq!(status(&jun_page.get(&at(&id, PIM)).await.expect(200)), "Canceled");
    jun_page
        .post(&at(format!("{id}/cancel"), PIM), json!({}))
        .await
        .refused(400, "RoleAssignmentRequestCannotBeCancelled");
    let _ = ken;
}

#[tokio::test]
async fn tickets_and_passkeys_are_asked_for_where_the_settings_say_so() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies);
    eligible(&page, &group, CONTRIBUTOR, &jun, forever()).await.expect(201);
    let ticket = json!({"id": "Enablement_EndUser_Assignment", "ruleType": "RoleManagementPolicyEnablementRule",
        "enabledRules": ["Ticketing"], "ticketPattern": "CHG-[0-9]+"});
    settings(&page, &group, json!([ticket])).await.expect(200);
    let refused = own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 1).await;
    let refused = refused.refused(400, "RoleAssignmentRequestPolicyValidationFailed");
    assert!(refused.message().contains("TicketingRule"), "{}", refused.message());
    let passkey = json!({"id": "AuthenticationContext_EndUser_Assignment",
        "ruleType": "RoleManagementPolicyAuthenticationContextRule", "isEnabled": true,
        "claimValue": "phishingResistant"});
    let plain = json!({"id": "Enablement_EndUser_Assignment", "ruleType": "RoleManagementPolicyEnablementRule",
        "enabledRules": ["Ticketing"], "ticketPattern": "INC-[0-9]+"});
    settings(&page, &group, json!([passkey, plain])).await.expect(200);
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 1).await.expect(201);
    // Taking the settings away leaves what holds everywhere.
    let policy = path(&group, "roleManagementPolicies", CONTRIBUTOR);
    page.delete(&policy).await.expect(200);
    let shown = page.get(&policy).await.expect(200).json();
    let rules = shown["properties"]["rules"].as_array().unwrap();
    assert!(rules.iter().all(|r| r["isEnabled"] != true && r["ticketPattern"].is_null()), "{shown}");
    let wrong = json!([{"id": "Expiration_Nobody", "ruleType": "x"}]);
    settings(&page, &group, wrong).await.refused(400, "InvalidPolicyRule");
}

#[tokio::test]
async fn whoever_may_not_assign_a_role_makes_nobody_eligible_for_it_and_a_request_is_sent_once() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies);
    grant(&page, &group, READER, &jun, "User").await;
    eligible(&jun_page, &group, OWNER, &jun, forever()).await.refused(403, "AuthorizationFailed");
    // A right to make people eligible alone is not enough.
    let custom = Uuid::new_v4().to_string();
    let definition = json!({"properties": {"roleName": "Half", "type": "CustomRole", "assignableScopes": [group],
        "permissions": [{"actions": ["Microsoft.Authorization/roleEligibilityScheduleRequests/write"]}]}});
    let at_group = format!("{group}/providers/Microsoft.Authorization/roleDefinitions/{custom}");
    page.put(&at(at_group, crate::kit::ROLES), definition).await.expect(201);
    grant(&page, &group, &custom, &jun, "User").await;
    eligible(&jun_page, &group, OWNER, &jun, forever()).await.refused(403, "LinkedAuthorizationFailed");
    // Nor does anybody take a role in somebody else's name.
    own(&jun_page, &group, READER, world.person(), "SelfActivate", 1)
        .await
        .refused(403, "AuthorizationFailed");

    let name = Uuid::new_v4().to_string();
    let request = path(&group, "roleEligibilityScheduleRequests", &name);
    let body = |who: &str| json!({"properties": {"principalId": who, "roleDefinitionId": role(CONTRIBUTOR), "requestType": "AdminAssign"}});
    let first = page.put(&request, body(&jun)).await.expect(201).json();
    let second = page.put(&request, body(&jun)).await.expect(201).json();
    assert_eq!(first["properties"], second["properties"]);
    page.put(&request, body(world.person())).await.refused(409, "RoleAssignmentRequestExists");
    eligible(&page, &group, CONTRIBUTOR, &jun, forever()).await.refused(409, "RoleAssignmentExists");
    let seen = page
        .get(&list(&group, "roleEligibilitySchedules", &format!("assignedTo('{jun}')")))
        .await
        .expect(200)
        .json();
    assert_eq!(seen["value"].as_array().unwrap().len(), 1);

    // A request that begins later is taken back with what it made, whatever else it names.
    let victim = format!("{group}/providers/Microsoft.Authorization/roleEligibilitySchedules/{name}");
    let later = json!({"principalId": jun, "roleDefinitionId": role(READER), "requestType": "AdminAssign",
        "justification": "Later", "targetRoleEligibilityScheduleId": victim,
        "scheduleInfo": {"startDateTime": "2099-01-01T00:00:00Z", "expiration": {"type": "AfterDuration", "duration": "P1D"}}});
    let made = ask(&page, &group, "roleAssignmentScheduleRequests", later).await.expect(201);
    assert_eq!(status(&made), "ScheduleCreated");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    page.post(&at(format!("{id}/cancel"), PIM), json!({})).await.expect(200);
    let timed = page.get(&list(&group, "roleAssignmentSchedules", &format!("assignedTo('{jun}')"))).await;
    assert_eq!(timed.expect(200).json()["value"], json!([]));
    let seen = page.get(&list(&group, "roleEligibilitySchedules", &format!("assignedTo('{jun}')"))).await;
    assert_eq!(seen.expect(200).json()["value"].as_array().unwrap().len(), 1);

    // An assignment for a time is what it says, and is no reason to count somebody as the last Owner.
    let until = json!({"principalId": jun, "roleDefinitionId": role(OWNER), "requestType": "AdminAssign",
        "justification": "On call", "scheduleInfo": {"expiration": {"type": "AfterDuration", "duration": "PT1H"}}});
    ask(&page, "", "roleAssignmentScheduleRequests", until).await.expect(201);
    jun_page.get(&at(format!("{}/resourceGroups", world.server.sub), GROUPS)).await.expect(200);
}

#[tokio::test]
async fn to_be_eligible_for_longer_is_asked_for_and_decided_by_whoever_may_assign_the_role() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies);
    let longer = async |kind: &str, reason: &str, hours: u32| {
        let expiration = json!({"type": "AfterDuration", "duration": format!("PT{hours}H")});
        let properties = json!({"principalId": jun, "roleDefinitionId": role(CONTRIBUTOR), "requestType": kind,
            "justification": reason, "scheduleInfo": {"expiration": expiration}});
        ask(&jun_page, &group, "roleEligibilityScheduleRequests", properties).await
    };
    longer("SelfExtend", "The project goes on", 2).await.expect(404);
    longer("SelfRenew", "The project goes on", 2).await.expect(404);
    let hour = json!({"type": "AfterDuration", "duration": "PT1H"});
    eligible(&page, &group, CONTRIBUTOR, &jun, hour).await.expect(201);
    let policy = "RoleAssignmentRequestPolicyValidationFailed";
    longer("SelfExtend", " ", 2).await.refused(400, policy);
    longer("SelfRenew", "The project goes on", 2).await.refused(409, "RoleAssignmentExists");

    let asked = longer("SelfExtend", "The project goes on", 48).await.expect(201);
    assert_eq!(status(&asked), "PendingApproval");
    let held = async || {
        let own = list("", "roleEligibilitySchedules", "asTarget()");
        jun_page.get(&own).await.expect(200).json()["value"].as_array().unwrap().clone()
    };
    let before = held().await[0]["properties"]["endDateTime"].clone();
    // Not by whoever asked, even while they hold the role.
    let approval = asked.json()["properties"]["approvalId"].as_str().unwrap().to_owned();
    let shown = jun_page.get(&at(&approval, STAGES)).await.expect(200).json();
    let stage = at(shown["properties"]["stages"][0]["id"].as_str().unwrap(), STAGES);
    let yes = json!({"properties": {"reviewResult": "Approve", "justification": "It does"}});
    jun_page.patch(&stage, yes.clone()).await.expect(404);
    assert_eq!(held().await[0]["properties"]["endDateTime"], before);
    page.patch(&stage, yes).await.expect(200);
    let after = held().await;
    assert_eq!(after.len(), 1);
    assert!(after[0]["properties"]["endDateTime"].as_str() > before.as_str(), "{before} {after:?}");
    own(&jun_page, &group, CONTRIBUTOR, &jun, "SelfActivate", 1).await.expect(201);

    // Once it is over, it is asked for again.
    let gone =
        json!({"principalId": jun, "roleDefinitionId": role(CONTRIBUTOR), "requestType": "AdminRemove"});
    ask(&page, &group, "roleEligibilityScheduleRequests", gone).await.expect(201);
    longer("SelfExtend", "It still does", 2).await.expect(404);
    assert_eq!(status(&longer("SelfRenew", "It still does", 2).await.expect(201)), "PendingApproval");
}

#[tokio::test]
async fn a_role_under_a_condition_about_the_clock_and_the_address_holds_there_and_then_only() {
    let world = World::new().await;
    let (page, group) = (world.page(), world.rg1(""));
    let (jun, _, cookies) = person(&world, "jun@contoso.test").await;
    let jun_page = world.server.http().page(&cookies);
    let read = at(&group, GROUPS);
    let assign = async |condition: &str| {
        let path = at(
            format!("{group}/providers/Microsoft.Authorization/roleAssignments/{}", Uuid::new_v4()),
            "2022-04-01",
        );
        let properties = json!({"principalId": jun, "principalType": "User", "roleDefinitionId": role(READER),
            "condition": condition, "conditionVersion": "2.0"});
        (path.clone(), page.put(&path, json!({ "properties": properties })).await)
    };
    let (_, refused) = assign("@Environment[UtcNow] DateTimeLessThan 'later'").await;
    refused.expect(400);
    let (path, elsewhere) = assign("@Environment[ClientAddress] IpMatch '192.0.2.0/24'").await;
    elsewhere.expect(201);
    jun_page.get(&read).await.expect(404);
    page.delete(&path).await.expect(200);
    let (path, here) = assign("@Environment[ClientAddress] IpMatch '127.0.0.0/8'").await;
    here.expect(201);
    jun_page.get(&read).await.expect(200);
    let listed = jun_page.get(&at(format!("{}/resourceGroups", world.server.sub), GROUPS)).await.expect(200);
    assert_eq!(listed.json()["value"].as_array().unwrap().len(), 1, "lists see the circumstances, too");
    page.delete(&path).await.expect(200);
    jun_page.get(&read).await.expect(404);

    // It ends by itself.
    let end = time::OffsetDateTime::now_utc() + time::Duration::seconds(3);
    let text = end.format(&time::format_description::well_known::Rfc3339).unwrap();
    let (_, made) = assign(&format!("@Environment[UtcNow] DateTimeLessThan '{text}'")).await;
    made.expect(201);
    jun_page.get(&read).await.expect(200);
    until("the role is over", async || (jun_page.get(&read).await.status == 404).then_some(())).await;
    assert!(time::OffsetDateTime::now_utc() >= end);
}
