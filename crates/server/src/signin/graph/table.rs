//! What is served of Microsoft Graph: which request is which task, and how the document describes it.

use std::sync::LazyLock;

use http::Method;
use schemars::JsonSchema;
use sekisho_identity::federation::FederatedCredential;
use sekisho_identity::person::User;
use sekisho_identity::service_principal::{ShownApplication, ShownCredential, ShownServicePrincipal};
use serde::Deserialize;

use super::credentials::GivenFederation;
use super::groups::{Group, GroupIds, NewGroup, Reference, WhichGroups};
use super::passes::{NewPass, ShownPass};
use super::programs::{
    ApplicationChange, NewApplication, NewSecret, NewServicePrincipal, OldSecret, ServicePrincipalChange,
};
use super::risky_users::{RiskyUser, UserIds};
use super::sessions::{Live, Revoked};
use super::users::{Invitation, NewUser, UserChange};
use crate::desired::WhatIf;
use crate::routes::{List, Operation};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Me,
    Users,
    AddUser,
    User,
    ChangeUser,
    RemoveUser,
    Invite,
    Passes,
    AddPass,
    RemovePass,
    RevokeSessions,
    Sessions,
    EndSession,
    RiskyUsers,
    DismissRisk,
    ConfirmCompromised,
    Groups,
    AddGroup,
    Group,
    RemoveGroup,
    Members,
    AddMember,
    RemoveMember,
    CheckMemberGroups,
    MemberGroups,
    ServicePrincipals,
    AddServicePrincipal,
    ServicePrincipal,
    ChangeServicePrincipal,
    RemoveServicePrincipal,
    AddPrincipalPassword,
    RemovePrincipalPassword,
    Applications,
    AddApplication,
    Application,
    ChangeApplication,
    RemoveApplication,
    AddPassword,
    RemovePassword,
    Federations,
    AddFederation,
    Federation,
    ChangeFederation,
    RemoveFederation,
    ByIds,
    Object,
}

/// Everything that is served: what finds a request's task and what the document describes.
static TABLE: LazyLock<Vec<(Operation, Task)>> = LazyLock::new(|| {
    let (get, post, patch, delete) = (Operation::get, Operation::post, Operation::patch, Operation::delete);
    let list = |o: Operation| o.query("$filter");
    let previewed = |o: Operation| o.query("whatIf").answers::<WhatIf>(200);
    let groups_of = |path| {
        post(path, "Which of the groups somebody is in").takes::<GroupIds>().answers::<List<String>>(200)
    };
    let all_groups_of = |path| {
        post(path, "The groups that somebody is in").takes::<WhichGroups>().answers::<List<String>>(200)
    };
    let federations = "/v1.0/applications/{id}/federatedIdentityCredentials";
    let federation = "/v1.0/applications/{id}/federatedIdentityCredentials/{name}";
    let passes = "/v1.0/users/{id}/authentication/temporaryAccessPassMethods";
    let pass = "/v1.0/users/{id}/authentication/temporaryAccessPassMethods/{passId}";
    vec![
        (get("/v1.0/me", "Oneself").answers::<User>(200), Task::Me),
        (list(get("/v1.0/users", "All people")).answers::<List<User>>(200), Task::Users),
        (
            previewed(post("/v1.0/users", "Adds a person").takes::<NewUser>().answers::<User>(201)),
            Task::AddUser,
        ),
        (get("/v1.0/users/{id}", "A person").answers::<User>(200), Task::User),
        (
            previewed(patch("/v1.0/users/{id}", "Changes a person").takes::<UserChange>().ends(204)),
            Task::ChangeUser,
        ),
        (previewed(delete("/v1.0/users/{id}", "Removes a person").ends(204)), Task::RemoveUser),
        (
            post("/v1.0/users/{id}/sekisho.invite", "Makes a one-time link for a person to enrol with")
                .query("whatIf")
                .answers::<Either<Invitation>>(200),
            Task::Invite,
        ),
        (
            get(passes, "The temporary access pass of a person, if there is one")
                .answers::<List<ShownPass>>(200),
            Task::Passes,
        ),
        (
            post(passes, "Makes a temporary access pass, with which a person can register a credential once")
                .takes::<NewPass>()
                .query("whatIf")
                .answers::<WhatIf>(200)
                .answers::<ShownPass>(201),
            Task::AddPass,
        ),
        (previewed(delete(pass, "Removes a temporary access pass").ends(204)), Task::RemovePass),
        (
            post("/v1.0/users/{id}/revokeSignInSessions", "Ends everything that a person is signed in with")
                .query("whatIf")
                .answers::<Either<Revoked>>(200),
            Task::RevokeSessions,
        ),
        (
            list(get("/v1.0/sekisho.sessions", "Where everybody is signed in")).answers::<List<Live>>(200),
            Task::Sessions,
        ),
        (
            previewed(delete("/v1.0/sekisho.sessions/{id}", "Ends a session of anybody").ends(204)),
            Task::EndSession,
        ),
        (
            list(get("/v1.0/identityProtection/riskyUsers", "Whose account may be in somebody else's hands"))
                .answers::<List<RiskyUser>>(200),
            Task::RiskyUsers,
        ),
        (
            previewed(
                post("/v1.0/identityProtection/riskyUsers/dismiss", "Says that people have their accounts")
                    .takes::<UserIds>()
                    .ends(204),
            ),
            Task::DismissRisk,
        ),
        (
            previewed(
                post(
                    "/v1.0/identityProtection/riskyUsers/confirmCompromised",
                    "Says that people's accounts are in somebody else's hands",
                )
                .takes::<UserIds>()
                .ends(204),
            ),
            Task::ConfirmCompromised,
        ),
        (list(get("/v1.0/groups", "All groups")).answers::<List<Group>>(200), Task::Groups),
        (
            previewed(post("/v1.0/groups", "Adds a group").takes::<NewGroup>().answers::<Group>(201)),
            Task::AddGroup,
        ),
        (get("/v1.0/groups/{id}", "A group").answers::<Group>(200), Task::Group),
        (previewed(delete("/v1.0/groups/{id}", "Removes a group").ends(204)), Task::RemoveGroup),
        (
            get("/v1.0/groups/{id}/members", "Who is in a group").answers::<List<DirectoryObject>>(200),
            Task::Members,
        ),
        (
            previewed(post("/v1.0/groups/{id}/members/$ref", "Adds a member").takes::<Reference>().ends(204)),
            Task::AddMember,
        ),
        (
            previewed(delete("/v1.0/groups/{id}/members/{memberId}/$ref", "Removes a member").ends(204)),
            Task::RemoveMember,
        ),
        (groups_of("/v1.0/groups/{id}/checkMemberGroups"), Task::CheckMemberGroups),
        (groups_of("/v1.0/users/{id}/checkMemberGroups"), Task::CheckMemberGroups),
        (groups_of("/v1.0/directoryObjects/{id}/checkMemberGroups"), Task::CheckMemberGroups),
        (groups_of("/v1.0/servicePrincipals/{id}/checkMemberGroups"), Task::CheckMemberGroups),
        (all_groups_of("/v1.0/groups/{id}/getMemberGroups"), Task::MemberGroups),
        (all_groups_of("/v1.0/users/{id}/getMemberGroups"), Task::MemberGroups),
        (all_groups_of("/v1.0/servicePrincipals/{id}/getMemberGroups"), Task::MemberGroups),
        (
            list(get("/v1.0/servicePrincipals", "All service principals"))
                .answers::<List<ShownServicePrincipal>>(200),
            Task::ServicePrincipals,
        ),
        (
            previewed(
                post("/v1.0/servicePrincipals", "Adds the service principal of an application")
                    .takes::<NewServicePrincipal>()
                    .answers::<ShownServicePrincipal>(201),
            ),
            Task::AddServicePrincipal,
        ),
        (
            get("/v1.0/servicePrincipals/{id}", "A service principal").answers::<ShownServicePrincipal>(200),
            Task::ServicePrincipal,
        ),
        (
            previewed(
                patch("/v1.0/servicePrincipals/{id}", "Changes a service principal")
                    .takes::<ServicePrincipalChange>()
                    .ends(204),
            ),
            Task::ChangeServicePrincipal,
        ),
        (
            previewed(delete("/v1.0/servicePrincipals/{id}", "Removes a service principal").ends(204)),
            Task::RemoveServicePrincipal,
        ),
        (
            post("/v1.0/servicePrincipals/{id}/addPassword", "Makes a secret")
                .takes::<NewSecret>()
                .query("whatIf")
                .answers::<Either<ShownCredential>>(200),
            Task::AddPrincipalPassword,
        ),
        (
            previewed(
                post("/v1.0/servicePrincipals/{id}/removePassword", "Removes a secret")
                    .takes::<OldSecret>()
                    .ends(204),
            ),
            Task::RemovePrincipalPassword,
        ),
        (
            list(get("/v1.0/applications", "All applications")).answers::<List<ShownApplication>>(200),
            Task::Applications,
        ),
        (
            previewed(
                post("/v1.0/applications", "Adds an application")
                    .takes::<NewApplication>()
                    .answers::<ShownApplication>(201),
            ),
            Task::AddApplication,
        ),
        (
            get("/v1.0/applications/{id}", "An application").answers::<ShownApplication>(200),
            Task::Application,
        ),
        (
            previewed(
                patch("/v1.0/applications/{id}", "Changes an application")
                    .takes::<ApplicationChange>()
                    .ends(204),
            ),
            Task::ChangeApplication,
        ),
        (
            previewed(delete("/v1.0/applications/{id}", "Removes an application").ends(204)),
            Task::RemoveApplication,
        ),
        (
            post("/v1.0/applications/{id}/addPassword", "Makes a secret")
                .takes::<NewSecret>()
                .query("whatIf")
                .answers::<Either<ShownCredential>>(200),
            Task::AddPassword,
        ),
        (
            previewed(
                post("/v1.0/applications/{id}/removePassword", "Removes a secret")
                    .takes::<OldSecret>()
                    .ends(204),
            ),
            Task::RemovePassword,
        ),
        (
            list(get(federations, "The providers that an application trusts"))
                .answers::<List<FederatedCredential>>(200),
            Task::Federations,
        ),
        (
            previewed(
                post(federations, "Lets an application sign in with a provider's tokens")
                    .takes::<GivenFederation>()
                    .answers::<FederatedCredential>(201),
            ),
            Task::AddFederation,
        ),
        (
            get(federation, "A provider that an application trusts").answers::<FederatedCredential>(200),
            Task::Federation,
        ),
        (
            previewed(
                patch(federation, "Changes which tokens of a provider are taken")
                    .takes::<GivenFederation>()
                    .ends(204),
            ),
            Task::ChangeFederation,
        ),
        (previewed(delete(federation, "Trusts a provider no longer").ends(204)), Task::RemoveFederation),
        (
            post("/v1.0/directoryObjects/getByIds", "Whoever has one of the ids")
                .takes::<WantedObjects>()
                .answers::<List<DirectoryObject>>(200),
            Task::ByIds,
        ),
        (
            get("/v1.0/directoryObjects/{id}", "Whoever has the id").answers::<DirectoryObject>(200),
            Task::Object,
        ),
    ]
});

/// What the document says of it.
pub(in crate::signin) fn operations() -> Vec<Operation> {
    TABLE.iter().map(|(operation, _)| operation.clone()).collect()
}

/// The task of a request, with what stands for the names in its path.
pub(super) fn find<'w>(method: &Method, words: &[&'w str]) -> Option<(Task, Vec<&'w str>)> {
    TABLE.iter().filter(|(operation, _)| operation.method == *method).find_map(|(operation, task)| {
        let pattern: Vec<&str> = operation.path.split('/').skip(2).collect();
        let fits = |(pattern, word): (&&str, &&str)| pattern.starts_with('{') || pattern == word;
        let all = pattern.len() == words.len() && pattern.iter().zip(words).all(fits);
        let named = pattern.iter().zip(words).filter(|(p, _)| p.starts_with('{')).map(|(_, word)| *word);
        all.then(|| (*task, named.collect()))
    })
}

/// Whoever can be a member: a person, a group or a service principal.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used: each kind makes its own part of the list")]
#[serde(untagged)]
enum DirectoryObject {
    User(User),
    Group(Group),
    ServicePrincipal(ShownServicePrincipal),
}

/// The answer of a write, or with `whatIf=true` of what it would do.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(untagged)]
enum Either<T> {
    Done(T),
    Preview(WhatIf),
}

/// Whom `getByIds` is asked for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct WantedObjects {
    pub(super) ids: Option<Vec<String>>,
    /// `user`, `group`, `servicePrincipal`; all when absent.
    pub(super) types: Option<Vec<String>>,
}
