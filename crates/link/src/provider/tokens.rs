//! What lets machines in.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ring::rand::{SecureRandom, SystemRandom};
use schemars::{JsonSchema, SchemaGenerator};
use sekisho_arm::registry::{PutStyle, SHOWN_ONCE, properties_schema};
use sekisho_arm::resource::{instant, shown};
use sekisho_arm::{ArmError, Call, Read, Resource, ResourceType, Storage, TypeSpec, Write};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::Duration;
use zeroize::Zeroizing;

use super::{JoinPoint, MAX_TOKEN_SECONDS, MAX_TOKEN_USES, spec};
use crate::join::{SECRET_BYTES, secret_hash};
use crate::machine::kind;

/// `Sekisho.Fleet/enrolmentTokens`: what lets machines in.
pub(super) struct EnrolmentTokens {
    pub(super) point: JoinPoint,
}

/// What a person sets of an enrolment token.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EnrolmentTokenProperties {
    /// How long it is good for, 60 to 86,400 seconds; an hour when absent.
    ttl_seconds: Option<i64>,
    /// How many machines it lets in, 1 to 10,000; one when absent.
    max_uses: Option<i64>,
    /// Tags that the machines get.
    machine_tags: Option<BTreeMap<String, String>>,
}

/// What is kept of an enrolment token and shown of it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct KeptToken {
    expires_at: String,
    max_uses: i64,
    uses: i64,
    #[schemars(with = "BTreeMap<String, String>")]
    machine_tags: Map<String, Value>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ShownEnrolmentToken")]
struct ShownToken {
    #[serde(flatten)]
    kept: KeptToken,
    /// Only in the answer to the PUT that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    join_string: Option<String>,
    /// Only in the answer to the PUT that made it: the shell command that installs the agent and joins.
    #[serde(skip_serializing_if = "Option::is_none")]
    install_command: Option<String>,
}

static TOKEN_SPEC: TypeSpec = TypeSpec {
    schema: |g: &mut SchemaGenerator| match g.contract().is_serialize() {
        true => properties_schema::<ShownToken>(g),
        false => properties_schema::<EnrolmentTokenProperties>(g),
    },
    ..spec("Sekisho.Fleet", "enrolmentTokens", Storage::Row, PutStyle::Normal)
};

#[async_trait]
impl ResourceType for EnrolmentTokens {
    fn spec(&self) -> &TypeSpec {
        &TOKEN_SPEC
    }

    async fn prepare(
        &self,
        tx: &mut dyn Write,
        _: &Call,
        draft: &mut Resource,
        old: Option<&Resource>,
    ) -> Result<(), ArmError> {
        if let Some(old) = old {
            // A token is spent or revoked, never changed: a longer life would be a new right under an old name.
            draft.rest.insert("properties".into(), Value::Object(old.properties()));
            return Ok(());
        }
        let wanted: EnrolmentTokenProperties = draft.typed()?;
        let ttl = wanted.ttl_seconds.unwrap_or(3600);
        if !(60..=MAX_TOKEN_SECONDS).contains(&ttl) {
            let text = format!("ttlSeconds is between 60 and {MAX_TOKEN_SECONDS}.");
            return Err(ArmError::bad("InvalidParameter", text).target("properties.ttlSeconds"));
        }
        let uses = wanted.max_uses.unwrap_or(1);
        if !(1..=MAX_TOKEN_USES).contains(&uses) {
            let text = format!("maxUses is between 1 and {MAX_TOKEN_USES}.");
            return Err(ArmError::bad("InvalidParameter", text).target("properties.maxUses"));
        }
        let tags: Map<String, Value> =
            wanted.machine_tags.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into())).collect();
        let tags = sekisho_arm::resource::check_tags(tags).map_err(|e| e.under("properties.machineTags"))?;
        let mut secret = Zeroizing::new(vec![0u8; SECRET_BYTES]);
        SystemRandom::new().fill(&mut secret).map_err(|_| ArmError::internal())?;
        let expires = instant(tx.now() + Duration::seconds(ttl));
        let hash = secret_hash(&secret);
        let mut properties =
            shown(&KeptToken { expires_at: expires, max_uses: uses, uses: 0, machine_tags: tags })?;
        properties["secretHash"] = hash.as_str().into();
        draft.rest.insert("properties".into(), properties);
        let join = self.point.text(secret);
        let install = self.point.install_command(&join);
        let once = json!({"joinString": join.as_str(), "installCommand": install.as_str()});
        draft.rest.insert(SHOWN_ONCE.into(), once);
        tx.put_document(kind::JOIN_SECRET, &hash, draft.id.to_string().into()).await?;
        Ok(())
    }

    async fn removing(&self, tx: &mut dyn Write, _: &Call, old: &Resource) -> Result<(), ArmError> {
        if let Some(Value::String(hash)) = old.properties().get("secretHash") {
            tx.remove_document(kind::JOIN_SECRET, hash).await?;
        }
        Ok(())
    }

    async fn present(&self, _: &mut dyn Read, _: &Call, resource: &Resource) -> Result<Value, ArmError> {
        let mut body = self.render(resource);
        if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
            properties.remove("secretHash");
        }
        Ok(body)
    }
}
