//! The wire: Microsoft Graph's `conditionalAccessPolicy` (v1.0), so that policies can be exported from Entra and imported.
//!
//! A field that is not understood is refused rather than ignored: a policy that silently lost a condition would let in
//! whom it should keep out, or lock out whom it should let in. Fields of services that do not exist here may be present
//! and empty.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A policy as it is read and written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessPolicy")]
pub struct PolicyBody {
    /// Its id; the server's to give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What people call it.
    #[serde(default)]
    pub display_name: String,
    /// When it was made; the server's to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_date_time: Option<String>,
    /// When it was changed; the server's to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_date_time: Option<String>,
    /// `enabled`, `disabled` or `enabledForReportingButNotEnforced`.
    #[serde(default)]
    pub state: String,
    /// Which requests it is about.
    #[serde(default)]
    pub conditions: Conditions,
    /// What must be proved.
    #[serde(default)]
    pub grant_controls: Option<GrantControls>,
    /// What holds for the session.
    #[serde(default)]
    pub session_controls: Option<SessionControls>,
    /// What Entra has no word for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<Own>,
    #[serde(default, skip_serializing, deserialize_with = "nothing", rename = "templateId")]
    #[schemars(skip)]
    template: (),
    #[serde(default, skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    description: (),
    #[serde(default, skip_serializing, deserialize_with = "nothing", rename = "partialEnablementStrategy")]
    #[schemars(skip)]
    partial: (),
    #[serde(default, skip_serializing, deserialize_with = "nothing", rename = "deletedDateTime")]
    #[schemars(skip)]
    deleted: (),
}

/// Which requests a policy is about. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessConditionSet")]
pub struct Conditions {
    /// Whom it is about.
    pub users: Option<Users>,
    /// Which programs it is about; then it is about no people.
    pub client_applications: Option<ClientApplications>,
    /// What is asked for.
    pub applications: Option<Applications>,
    /// `all`, `browser`, `mobileAppsAndDesktopClients`, `exchangeActiveSync`, `other`.
    #[serde(deserialize_with = "list")]
    pub client_app_types: Vec<String>,
    /// On which systems.
    pub platforms: Option<Platforms>,
    /// From where.
    pub locations: Option<LocationSet>,
    /// `low`, `medium`, `high`, `none`.
    #[serde(deserialize_with = "list")]
    pub sign_in_risk_levels: Vec<String>,
    /// The same, of the account.
    #[serde(deserialize_with = "list")]
    pub user_risk_levels: Vec<String>,
    /// By which flow.
    pub authentication_flows: Option<Flows>,
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    devices: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    device_states: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    times: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    insider_risk_levels: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    service_principal_risk_levels: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    agent_id_risk_levels: (),
}

/// Whom a policy is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessUsers")]
pub struct Users {
    /// Object ids, or `All`, or `None`.
    #[serde(deserialize_with = "list")]
    pub include_users: Vec<String>,
    /// Object ids.
    #[serde(deserialize_with = "list")]
    pub exclude_users: Vec<String>,
    /// Object ids of groups; members of members count.
    #[serde(deserialize_with = "list")]
    pub include_groups: Vec<String>,
    /// The same.
    #[serde(deserialize_with = "list")]
    pub exclude_groups: Vec<String>,
    /// Ids of role definitions held anywhere, or `Privileged`: every role that grants roles or logs in to machines.
    #[serde(deserialize_with = "list")]
    pub include_roles: Vec<String>,
    /// The same.
    #[serde(deserialize_with = "list")]
    pub exclude_roles: Vec<String>,
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    include_guests_or_external_users: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    exclude_guests_or_external_users: (),
}

/// Which programs a policy is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessClientApplications")]
#[expect(clippy::manual_non_exhaustive, reason = "the private field is one that must be empty")]
pub struct ClientApplications {
    /// Object ids, or `ServicePrincipalsInMyTenant`.
    #[serde(deserialize_with = "list")]
    pub include_service_principals: Vec<String>,
    /// Object ids.
    #[serde(deserialize_with = "list")]
    pub exclude_service_principals: Vec<String>,
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    service_principal_filter: (),
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessApplications")]
pub struct Applications {
    /// Application ids, or `All`, or `None`.
    #[serde(deserialize_with = "list")]
    pub include_applications: Vec<String>,
    /// Application ids.
    #[serde(deserialize_with = "list")]
    pub exclude_applications: Vec<String>,
    /// `urn:user:registersecurityinfo`.
    #[serde(deserialize_with = "list")]
    pub include_user_actions: Vec<String>,
    /// `c1` to `c99`: requests that ask for a step up by that name.
    #[serde(deserialize_with = "list")]
    pub include_authentication_context_class_references: Vec<String>,
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    application_filter: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    network_access: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    global_secure_access: (),
}

/// On which systems.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessPlatforms")]
pub struct Platforms {
    /// `all`, `android`, `iOS`, `windows`, `windowsPhone`, `macOS`, `linux`.
    #[serde(deserialize_with = "list")]
    pub include_platforms: Vec<String>,
    /// The same.
    #[serde(deserialize_with = "list")]
    pub exclude_platforms: Vec<String>,
}

/// From where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessLocations")]
pub struct LocationSet {
    /// Ids of named locations, or `All`, or `AllTrusted`.
    #[serde(deserialize_with = "list")]
    pub include_locations: Vec<String>,
    /// Ids of named locations, or `AllTrusted`.
    #[serde(deserialize_with = "list")]
    pub exclude_locations: Vec<String>,
}

/// By which flow somebody signed in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessAuthenticationFlows")]
pub struct Flows {
    /// `deviceCodeFlow`, `authenticationTransfer`; several with commas.
    pub transfer_methods: Option<String>,
}

/// What must be proved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessGrantControls")]
pub struct GrantControls {
    /// `AND` or `OR`.
    pub operator: String,
    /// `block`, `mfa`.
    #[serde(deserialize_with = "list")]
    pub built_in_controls: Vec<String>,
    /// A strength of authentication.
    pub authentication_strength: Option<StrengthReference>,
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    custom_authentication_factors: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    terms_of_use: (),
}

/// An `authenticationStrengthPolicy` by its id; what else clients send of it is not read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuthenticationStrengthReference")]
pub struct StrengthReference {
    /// Its id.
    pub id: String,
}

/// What holds for the session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessSessionControls")]
pub struct SessionControls {
    /// How old a proof may be.
    pub sign_in_frequency: Option<SignInFrequency>,
    /// Whether the browser stays signed in.
    pub persistent_browser: Option<PersistentBrowser>,
    /// What Entra has no word for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<OwnSession>,
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    application_enforced_restrictions: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    cloud_app_security: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    continuous_access_evaluation: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    secure_sign_in_session: (),
    #[serde(skip_serializing, deserialize_with = "nothing")]
    #[schemars(skip)]
    disable_resilience_defaults: (),
}

/// How old a proof may be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "SignInFrequencySessionControl")]
pub struct SignInFrequency {
    /// How many; absent with `everyTime`.
    pub value: Option<u32>,
    /// `hours` or `days`.
    #[serde(rename = "type")]
    pub unit: Option<String>,
    /// `timeBased` or `everyTime`.
    pub frequency_interval: Option<String>,
    /// `primaryAndSecondaryAuthentication` or `secondaryAuthentication`.
    pub authentication_type: Option<String>,
    /// Whether it holds.
    pub is_enabled: bool,
}

/// Whether the browser stays signed in after it was closed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "PersistentBrowserSessionControl")]
pub struct PersistentBrowser {
    /// `never`; sessions here never outlive the browser, so `always` is refused.
    pub mode: Option<String>,
    /// Whether it holds.
    pub is_enabled: bool,
}

/// Session controls that Entra has no word for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessSekishoSession")]
pub struct OwnSession {
    /// Minutes without requests after which the session ends: 1 to 30.
    pub idle_minutes: Option<u32>,
    /// Whether a request from another address than the sign-in's is refused.
    pub bound_to_address: bool,
}

/// What Entra has no word for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(rename = "ConditionalAccessSekisho")]
pub struct Own {
    /// On a write: the change undoes itself unless somebody who has signed in since confirms it within so many minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_within_minutes: Option<u32>,
    /// On a read: until when the change waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_by: Option<String>,
}

/// A list that may be null.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A field of a service that does not exist here: null, empty or false.
fn nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    if is_nothing(&Value::deserialize(deserializer)?) {
        return Ok(());
    }
    Err(serde::de::Error::custom("a condition or control that is not known here must be empty"))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

impl PolicyBody {
    /// Reads what a client sent; annotations of OData are left out.
    ///
    /// # Errors
    /// What is not understood, in words.
    pub fn read(mut value: Value) -> Result<PolicyBody, String> {
        strip(&mut value);
        serde_json::from_value(value).map_err(|e| e.to_string())
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.contains("@odata."));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
