//! `Microsoft.Security/locations/jitNetworkAccessPolicies` as an ARM type.

use async_trait::async_trait;
use schemars::JsonSchema;
use sekisho_arm::registry::{Action, ActionStyle, PutStyle, Storage, properties_schema};
use sekisho_arm::resource::{object_entry, shown};
use sekisho_arm::{ArmError, Call, Read, Resource, ResourceType, Scope, ScopeKind, TypeSpec, Write};
use sekisho_jit::provider::{policies, requests};
use sekisho_jit::request::{Event, Grant};
use sekisho_jit::resources::{
    InitiateRequest, NAMESPACE, Policy, PolicyProperties, ShownRequest, TYPE, VERSIONS, machine_id,
};
use sekisho_rbac::pim::settings::ticket_pattern;
use serde_json::{Value, json};

use super::decisions::{Decision, Extension};
use super::{actor, impossible, note_call, policy_of};
use crate::access::GROUP;
use crate::resources::authorization::LateUniverse;

/// Most requests that are over and shown.
const MAX_SHOWN: usize = 500;
/// Most requests of another installation that are kept as history.
const MAX_HISTORY: usize = 1000;

const fn action<Takes: JsonSchema, Answers: JsonSchema>(
    verb: &'static str,
    style: ActionStyle,
    title: &'static str,
) -> Action {
    Action {
        verb,
        style,
        reads: false,
        title,
        takes: |generator| generator.subschema_for::<Takes>(),
        answers: |generator| generator.subschema_for::<Answers>(),
    }
}

static SPEC: TypeSpec = TypeSpec {
    namespace: NAMESPACE,
    path: TYPE,
    versions: VERSIONS,
    scopes: &[ScopeKind::ResourceGroup],
    storage: Storage::Row,
    put: PutStyle::AlwaysOk,
    // It is in the id.
    location: false,
    shows_etag: false,
    shows_state: true,
    actions: &[
        action::<InitiateRequest, ShownRequest>(
            "initiate",
            ActionStyle::Accepted,
            "Asks for access to guarded ports, for sudo or an account",
        ),
        action::<Decision, ShownRequest>("approve", ActionStyle::Sync, "Says yes to a request for access"),
        action::<Decision, ShownRequest>("deny", ActionStyle::Sync, "Says no to a request for access"),
        action::<Extension, ShownRequest>("extend", ActionStyle::Sync, "Gives access more time"),
        action::<Decision, ShownRequest>("revoke", ActionStyle::Sync, "Ends access at once"),
        action::<Decision, ShownRequest>("cancel", ActionStyle::Sync, "Takes a request back that waits"),
    ],
    schema: properties_schema::<PolicyProperties>,
};

/// The type.
pub(super) struct Policies {
    pub(super) universe: LateUniverse,
}

#[async_trait]
impl ResourceType for Policies {
    fn spec(&self) -> &TypeSpec {
        &SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        draft: &mut Resource,
        _: Option<&Resource>,
    ) -> Result<(), ArmError> {
        draft.location = draft.id.parent().map(|location| location.name().to_ascii_lowercase());
        let kind = draft.rest.entry("kind").or_insert_with(|| "Basic".into());
        if kind.as_str() != Some("Basic") {
            return Err(ArmError::invalid_content("The kind of a policy is Basic.").target("kind"));
        }
        let policy = policy_of(draft)?;
        let at = |field: &str| format!("properties.sekisho.{field}");
        if let Err(why) = ticket_pattern(policy.settings.ticket_pattern.as_deref()) {
            let text = format!("The pattern of tickets cannot be read: {why}.");
            return Err(ArmError::invalid_content(text).target(at("ticketPattern")));
        }
        if let Some(group) = policy.settings.approval.as_ref().and_then(|a| a.group)
            && tx.document(GROUP, &group.to_string()).await?.is_none()
        {
            let text = format!("There is no group with the object id {group}.");
            return Err(ArmError::invalid_content(text).target(at("approval.group")));
        }
        // What the server said of its own requests is not the client's to say. What came from elsewhere is history: it
        // is shown, and opens nothing.
        if let Some(Value::Array(given)) = draft.properties_mut().get_mut("requests") {
            given.retain(|r| r.is_object() && r.get("sekisho").is_none());
            if given.len() > MAX_HISTORY {
                let text = format!("At most {MAX_HISTORY} requests are kept as history.");
                return Err(ArmError::invalid_content(text).target("properties.requests"));
            }
        }
        if policy.raises() {
            let machines = policy.machines.iter().map(|m| &m.id);
            super::users::may_offer(tx, call, &self.universe, machines).await?;
        }
        super::writer::refuse(tx.as_read(), (draft, &policy)).await?;
        super::writer::open(tx, call, &self.universe, (draft, &policy)).await
    }

    /// Whoever guards a port of a machine decides who reaches it, which is for whoever may change the machine.
    fn links(&self, body: &Value) -> Vec<(Scope, &'static str)> {
        let machines = body["properties"]["virtualMachines"].as_array().into_iter().flatten();
        let ids = machines.filter_map(|m| machine_id(m["id"].as_str()?, "").ok());
        ids.map(|id| (id, "Microsoft.Compute/virtualMachines/write")).collect()
    }

    /// What the policy does not allow any more is ended. Everything else that is open, or waits, stays.
    async fn written(&self, tx: &mut dyn Write, call: &Call, new: &Resource) -> Result<(), ArmError> {
        let policy = policy_of(new)?;
        let now = tx.now();
        for mut request in requests::live(tx.as_read(), &new.id).await? {
            let lost = |g: &Grant| !g.state.is_over() && !allows(&policy, g);
            if !request.grants.iter().any(lost) {
                continue;
            }
            for event in [Event::Revoke, Event::Deny] {
                let concerned = |g: &Grant| lost(g) && g.state.after(event).is_ok();
                request.happen(event, now, Some(actor(call)), concerned).map_err(impossible)?;
            }
            requests::keep(tx, &request).await?;
            note_call(tx, call, "revoke/action", &request).await?;
        }
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, call: &Call, old: &Resource) -> Result<(), ArmError> {
        let now = tx.now();
        for mut request in requests::live(tx.as_read(), &old.id).await? {
            for event in [Event::Revoke, Event::Deny] {
                let concerned = |g: &Grant| g.state.after(event).is_ok();
                request.happen(event, now, Some(actor(call)), concerned).map_err(impossible)?;
            }
            note_call(tx, call, "revoke/action", &request).await?;
        }
        Ok(requests::forget_all(tx, &old.id).await?)
    }

    /// Those of a location of a subscription, whose groups hold them.
    async fn collection(
        &self,
        read: &mut dyn Read,
        _: &Call,
        scope: &Scope,
    ) -> Result<Option<Vec<Resource>>, ArmError> {
        let Some(around @ Scope::Subscription(_)) = scope.located() else { return Ok(None) };
        let mut all = policies(read, around).await?;
        all.retain(|p| p.id.parent().is_some_and(|at| at.name().eq_ignore_ascii_case(scope.name())));
        Ok(Some(all))
    }

    async fn present(&self, read: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        let mut own = requests::live(read, &resource.id).await?;
        let past = requests::past(read, &resource.id).await?;
        own.extend(past.into_iter().rev().take(MAX_SHOWN));
        own.sort_by_key(|r| std::cmp::Reverse(r.id));
        let used = requests::used(read, &resource.id).await?;
        let Value::Object(map) = &mut body else { return Ok(body) };
        let properties = object_entry(map, "properties");
        let mut all = own.iter().map(|r| shown(&r.shown_with(&used))).collect::<Result<Vec<_>, _>>()?;
        if let Some(Value::Array(history)) = properties.remove("requests") {
            all.extend(history);
        }
        properties.insert("requests".to_owned(), all.into());
        Ok(body)
    }

    async fn act(
        &self,
        tx: &mut dyn Write,
        call: &Call,
        target: &Resource,
        verb: &str,
        body: Value,
    ) -> Result<Value, ArmError> {
        let body = if body.is_null() { json!({}) } else { body };
        let request = match verb {
            "initiate" => super::initiate::initiate(tx, call, (&self.universe, target), &body).await?,
            "extend" => super::decisions::extend(tx, call, target, &body).await?,
            verb => super::decisions::decide(tx, call, (&self.universe, target), verb, &body).await?,
        };
        requests::keep(tx, &request).await?;
        note_call(tx, call, &format!("{verb}/action"), &request).await?;
        shown(&request.shown())
    }
}

/// Whether a policy still guards the port of a grant and lets its sources ask, or still offers what it gives a user.
fn allows(policy: &Policy, grant: &Grant) -> bool {
    Scope::parse(&grant.machine).is_ok_and(|machine| policy.longest(&machine, &grant.what).is_some())
}
