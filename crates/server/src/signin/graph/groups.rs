//! `groups` and who is in them.

use schemars::JsonSchema;
use sekisho_arm::ArmError;
use sekisho_arm::engine::Answer;
use sekisho_arm::resource::shown;
use sekisho_arm::traits::{read_document, write_document};
use sekisho_identity::oauth::timestamp;
use sekisho_rbac::PrincipalId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{DELETE, Graph, WRITE, bad, given, not_found};
use crate::access::{self, GROUP, GroupRecord};

impl Graph<'_> {
    pub(super) async fn group_records(&self) -> Result<Vec<GroupRecord>, ArmError> {
        Ok(access::groups(&mut self.app.store.read().await?).await?.0)
    }

    pub(super) async fn groups(&self) -> Result<Vec<Value>, ArmError> {
        self.group_records().await?.iter().map(|g| shown(&Group::of(g))).collect()
    }

    pub(super) async fn add_group(&self, body: Value) -> Result<Answer, ArmError> {
        let wanted: NewGroup = given(&body)?;
        let name = wanted.display_name.unwrap_or_default().trim().to_owned();
        if name.is_empty() || name.chars().count() > 256 || name.chars().any(char::is_control) {
            return Err(bad("A group name has 1 to 256 characters.").target("displayName"));
        }
        let group = GroupRecord {
            id: Uuid::new_v4(),
            display_name: name,
            members: Vec::new(),
            created_at: timestamp(OffsetDateTime::now_utc()),
        };
        let shown = shown(&Group::of(&group))?;
        self.change(WRITE, move |tx| {
            Box::pin(async move { Ok(write_document(tx, GROUP, &group.id.to_string(), &group).await?) })
        })
        .await?;
        Ok(Answer::json(201, shown))
    }

    pub(super) async fn remove_group(&self, id: &str) -> Result<Answer, ArmError> {
        let key = id.to_ascii_lowercase();
        let known = self
            .change_principals(DELETE, move |tx| {
                Box::pin(async move { Ok(tx.remove_document(GROUP, &key).await?) })
            })
            .await?;
        if known { Ok(Answer::empty(204)) } else { Err(not_found(id)) }
    }

    pub(super) async fn members(&self, id: &str) -> Result<Answer, ArmError> {
        let group =
            self.group_records().await?.into_iter().find(|g| g.id.to_string().eq_ignore_ascii_case(id));
        let members: Vec<String> =
            group.ok_or_else(|| not_found(id))?.members.iter().map(Uuid::to_string).collect();
        let value: Vec<Value> = self
            .everything()
            .await?
            .into_iter()
            .filter(|o| o["id"].as_str().is_some_and(|i| members.iter().any(|m| m == i)))
            .collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }

    pub(super) async fn regroup(
        &self,
        id: &str,
        edit: impl FnOnce(&mut GroupRecord) -> Result<(), ArmError> + Send + 'static,
    ) -> Result<Answer, ArmError> {
        let (key, shown) = (id.to_ascii_lowercase(), id.to_owned());
        self.change_principals(WRITE, move |tx| {
            Box::pin(async move {
                let mut group: GroupRecord =
                    read_document(tx.as_read(), GROUP, &key).await?.ok_or_else(|| not_found(&shown))?;
                edit(&mut group)?;
                Ok(write_document(tx, GROUP, &key, &group).await?)
            })
        })
        .await?;
        Ok(Answer::empty(204))
    }

    pub(super) async fn add_member(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let reference = given::<Reference>(&body)?.id.unwrap_or_default();
        let member = reference.rsplit('/').next().and_then(|m| Uuid::try_parse(m).ok());
        let member =
            member.ok_or_else(|| bad("'@odata.id' does not end with an object id.").target("@odata.id"))?;
        let exists = self.everything().await?.iter().any(|o| o["id"] == member.to_string().as_str());
        if !exists {
            return Err(not_found(&member.to_string()));
        }
        self.regroup(id, move |group| {
            if group.members.contains(&member) {
                return Err(bad("One or more added object references already exist for the following modified properties: 'members'."));
            }
            if group.id == member {
                return Err(bad("A group cannot be its own member."));
            }
            group.members.push(member);
            Ok(())
        })
        .await
    }

    pub(super) async fn remove_member(&self, id: &str, member: &str) -> Result<Answer, ArmError> {
        let member = Uuid::try_parse(member).map_err(|_| not_found(member))?;
        self.regroup(id, move |group| {
            let before = group.members.len();
            group.members.retain(|m| *m != member);
            if group.members.len() == before { Err(not_found(&member.to_string())) } else { Ok(()) }
        })
        .await
    }

    pub(super) async fn member_groups(&self, id: &str) -> Result<Answer, ArmError> {
        // People are named by either.
        let who = match Uuid::try_parse(id) {
            Ok(id) => id,
            Err(_) => self.person(id).await?.id,
        };
        let groups = self.app.access.snapshot().groups_of(PrincipalId(who));
        let value: Vec<String> = groups.iter().map(ToString::to_string).collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }

    pub(super) async fn check_members(&self, id: &str, body: Value) -> Result<Answer, ArmError> {
        let who = Uuid::try_parse(id).map_err(|_| not_found(id))?;
        let groups = self.app.access.snapshot().groups_of(PrincipalId(who));
        let asked = given::<GroupIds>(&body)?.group_ids.unwrap_or_default();
        let value: Vec<String> = groups
            .iter()
            .map(ToString::to_string)
            .filter(|g| asked.iter().any(|a| a.eq_ignore_ascii_case(g)))
            .collect();
        Ok(Answer::json(200, json!({ "value": value })))
    }
}

/// A group to add.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewGroup {
    display_name: Option<String>,
}

/// A member to add.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "MemberReference")]
pub(super) struct Reference {
    /// An address that ends with the object id.
    #[serde(rename = "@odata.id")]
    id: Option<String>,
}

/// The groups that are asked about.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GroupIds {
    group_ids: Option<Vec<String>>,
}

/// Which groups are wanted: all of ours are security groups.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[allow(dead_code, reason = "only its schema is used: the answer is the same")]
pub(super) struct WhichGroups {
    security_enabled_only: Option<bool>,
}

/// A group as Graph shows it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    #[serde(rename = "@odata.type")]
    kind: &'static str,
    id: String,
    display_name: String,
    security_enabled: bool,
    mail_enabled: bool,
    mail_nickname: String,
    group_types: [String; 0],
    created_date_time: String,
}

impl Group {
    fn of(group: &GroupRecord) -> Group {
        Group {
            kind: "#microsoft.graph.group",
            id: group.id.to_string(),
            display_name: group.display_name.clone(),
            security_enabled: true,
            mail_enabled: false,
            mail_nickname: group.display_name.clone(),
            group_types: [],
            created_date_time: group.created_at.clone(),
        }
    }
}
