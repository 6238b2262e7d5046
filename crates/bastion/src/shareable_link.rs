//! Shareable links in Azure's JSON shape (source: the network specification, `bastionShareableLink.json`), and what Azure has
//! no words for: until when one is good, for whom, how often.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::desktop::Protocol;
use crate::host::Reference;

/// A link to one machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BastionShareableLink {
    /// The machine.
    pub vm: Reference,
    /// The link itself: only in the answer that makes it. Nobody can show it again, as only its digest is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bsl: Option<String>,
    /// When it was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What Azure has no words for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sekisho: Option<LinkSekisho>,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What Azure has no words for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LinkSekisho {
    /// Its id, by which it is taken back; the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The account on the machine. Without one, that of whoever makes the link; VNC knows of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The desktop that it is for; a terminal without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desktop: Option<LinkDesktop>,
    /// Who made it, and lends what they may do; the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// How long it is good from now on, ISO 8601, at most 30 days; a day without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Until when it is good, RFC 3339; the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_time: Option<String>,
    /// How many sessions it begins; any number without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_uses: Option<u32>,
    /// How many it has begun; the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How long ago whoever uses it may have proved two factors, ISO 8601, at least five minutes. Without it, what lets them
    /// sign in is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_factor_max_age: Option<String>,
    /// From where it may be used, addresses and CIDRs; from anywhere without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_source_address_prefixes: Option<Vec<String>>,
}

/// The desktop of a machine. Its password is typed by whoever uses the link, unless one is kept for the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkDesktop {
    /// How it is seen.
    pub protocol: Protocol,
    /// The port on the machine; the protocol's own without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The machines to make links to, to show those of, or to take those of back.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BastionShareableLinkListRequest {
    /// The machines.
    pub vms: Vec<BastionShareableLink>,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Links.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct BastionShareableLinkListResult {
    /// The links.
    pub value: Vec<BastionShareableLink>,
}

/// Links to take back.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BastionShareableLinkTokenListRequest {
    /// What stands behind the `#` of each, or its id.
    pub tokens: Vec<String>,
    /// What is not known here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
