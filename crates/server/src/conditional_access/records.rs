//! What is kept: policies with their unconfirmed changes, named locations, strengths, and the emergency accounts.

use ipnet::IpNet;
use schemars::JsonSchema;
use sekisho_identity::conditional_access::body::{Own, PolicyBody};
use sekisho_identity::conditional_access::location::{self, Country, NamedLocation};
use sekisho_identity::conditional_access::strength::Combination;
use sekisho_identity::oauth::timestamp;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// Document kinds.
pub(crate) mod kind {
    /// Policies by id.
    pub(crate) const POLICY: &str = "conditionalAccessPolicy";
    /// Named locations by id.
    pub(crate) const LOCATION: &str = "namedLocation";
    /// Strengths of authentication that people made, by id.
    pub(crate) const STRENGTH: &str = "authenticationStrength";
    /// Emergency accounts by the person's object id.
    pub(crate) const EMERGENCY: &str = "emergencyAccount";
    /// All of them: a change of one changes decisions.
    pub(crate) const ALL: [&str; 4] = [POLICY, LOCATION, STRENGTH, EMERGENCY];
}

/// Most emergency accounts.
pub(crate) const MAX_EMERGENCY: usize = 2;
/// Most policies (Entra: 240).
pub(crate) const MAX_POLICIES: usize = 240;
/// Longest wait for a confirmation, in minutes.
pub(crate) const MAX_CONFIRM_MINUTES: u32 = 60;

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyRecord {
    pub(crate) id: Uuid,
    pub(crate) body: PolicyBody,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) modified: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Pending>,
}

/// A change that undoes itself unless it is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    /// When it was made: whoever confirms must have signed in since.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) since: OffsetDateTime,
    /// When it undoes itself.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) by: OffsetDateTime,
    /// What was before; nothing when there was no such policy.
    pub(crate) before: Option<PolicyBody>,
}

impl PolicyRecord {
    /// What holds at `now`. Time alone undoes a change, whatever else is broken.
    pub(crate) fn in_force(&self, now: OffsetDateTime) -> Option<&PolicyBody> {
        match &self.pending {
            Some(pending) if now >= pending.by => pending.before.as_ref(),
            _ => Some(&self.body),
        }
    }

    /// As Graph shows it; nothing when it has undone itself.
    pub(crate) fn shown(&self, now: OffsetDateTime) -> Option<PolicyBody> {
        let mut body = self.in_force(now)?.clone();
        body.id = Some(self.id.to_string());
        body.created_date_time = Some(timestamp(self.created));
        body.modified_date_time = Some(timestamp(self.modified));
        let waits = self.pending.as_ref().filter(|p| now < p.by);
        body.sekisho = waits.map(|p| Own { confirm_within_minutes: None, confirm_by: Some(timestamp(p.by)) });
        Some(body)
    }
}

/// A named location as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "NamedLocation")]
pub(crate) struct LocationRecord {
    /// Its id; the server's to give.
    #[serde(default)]
    pub(crate) id: String,
    /// `#microsoft.graph.ipNamedLocation` or `#microsoft.graph.countryNamedLocation`.
    #[serde(rename = "@odata.type")]
    pub(crate) kind: String,
    /// What people call it.
    pub(crate) display_name: String,
    /// Whether people believe in it; of ranges only.
    #[serde(default)]
    pub(crate) is_trusted: bool,
    /// The ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ip_ranges: Vec<Range>,
    /// The countries, two letters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) countries_and_regions: Vec<String>,
    /// Whether addresses whose country is not known are in it.
    #[serde(default)]
    pub(crate) include_unknown_countries_and_regions: bool,
    /// When it was made.
    #[serde(default)]
    pub(crate) created_date_time: Option<String>,
    /// When it was changed.
    #[serde(default)]
    pub(crate) modified_date_time: Option<String>,
}

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "IpRange")]
pub(crate) struct Range {
    #[serde(rename = "@odata.type", default = "Range::v4")]
    kind: String,
    /// An address with its prefix.
    cidr_address: String,
}

impl Range {
    fn v4() -> String {
        "#microsoft.graph.iPv4CidrRange".to_owned()
    }
}

pub(crate) const IP_LOCATION: &str = "#microsoft.graph.ipNamedLocation";
pub(crate) const COUNTRY_LOCATION: &str = "#microsoft.graph.countryNamedLocation";

impl LocationRecord {
    /// Understands it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(&self) -> Result<NamedLocation, String> {
        let name = self.display_name.trim();
        if name.is_empty() || name.chars().count() > 256 || name.chars().any(char::is_control) {
            return Err("displayName: a name has 1 to 256 characters".to_owned());
        }
        match self.kind.as_str() {
            IP_LOCATION => {
                let ranges: Vec<IpNet> = self
                    .ip_ranges
                    .iter()
                    .map(|r| location::range(&r.cidr_address))
                    .collect::<Result<_, _>>()?;
                if ranges.is_empty() || ranges.len() > location::MAX_RANGES {
                    return Err(format!("ipRanges: 1 to {} ranges", location::MAX_RANGES));
                }
                Ok(NamedLocation::Ranges { trusted: self.is_trusted, ranges })
            }
            COUNTRY_LOCATION => {
                let one = |text: &String| {
                    Country::parse(text)
                        .ok_or_else(|| format!("countriesAndRegions: '{text}' is not a country"))
                };
                let countries: Vec<Country> =
                    self.countries_and_regions.iter().map(one).collect::<Result<_, _>>()?;
                if countries.is_empty() && !self.include_unknown_countries_and_regions {
                    return Err("countriesAndRegions: it is empty".to_owned());
                }
                Ok(NamedLocation::Countries {
                    countries,
                    unknown: self.include_unknown_countries_and_regions,
                })
            }
            other => Err(format!("@odata.type: '{other}' is neither {IP_LOCATION} nor {COUNTRY_LOCATION}")),
        }
    }
}

/// A strength of authentication as it is kept and shown (Graph's `authenticationStrengthPolicy`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuthenticationStrengthPolicy")]
pub(crate) struct StrengthRecord {
    /// Its id; the server's to give.
    #[serde(default)]
    pub(crate) id: String,
    /// What people call it.
    pub(crate) display_name: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) description: String,
    /// `builtIn` or `custom`.
    #[serde(default)]
    pub(crate) policy_type: String,
    /// `mfa` or `none`.
    #[serde(default)]
    pub(crate) requirements_satisfied: String,
    /// What is good enough.
    pub(crate) allowed_combinations: Vec<String>,
    /// When it was made.
    #[serde(default)]
    pub(crate) created_date_time: Option<String>,
    /// When it was changed.
    #[serde(default)]
    pub(crate) modified_date_time: Option<String>,
}

impl StrengthRecord {
    /// Understands what is good enough.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(&self) -> Result<Vec<Combination>, String> {
        let name = self.display_name.trim();
        if name.is_empty() || name.chars().count() > 256 || name.chars().any(char::is_control) {
            return Err("displayName: a name has 1 to 256 characters".to_owned());
        }
        let one = |text: &String| {
            Combination::parse(text)
                .ok_or_else(|| format!("allowedCombinations: '{text}' is not a combination"))
        };
        let all: Vec<Combination> = self.allowed_combinations.iter().map(one).collect::<Result<_, _>>()?;
        if all.is_empty() { Err("allowedCombinations: it is empty".to_owned()) } else { Ok(all) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;
    use time::macros::datetime;

    #[test]
    fn a_change_that_nobody_confirmed_is_gone_at_its_time_whatever_else_happens() {
        let since = datetime!(2026-11-24 12:00 UTC);
        let named = |name: &str| PolicyBody::read(serde_json::json!({ "displayName": name })).unwrap();
        let record = |before: Option<PolicyBody>| PolicyRecord {
            id: Uuid::nil(),
            body: named("new"),
            created: since,
            modified: since,
            pending: Some(Pending { since, by: since + Duration::minutes(10), before }),
        };
        let name = |record: &PolicyRecord, minutes| {
            record.in_force(since + Duration::minutes(minutes)).map(|b| b.display_name.clone())
        };
        for (record, after) in [(record(Some(named("old"))), Some("old".to_owned())), (record(None), None)] {
            assert_eq!(name(&record, 9).as_deref(), Some("new"));
            assert!(record.shown(since).unwrap().sekisho.unwrap().confirm_by.is_some());
            assert_eq!(name(&record, 10), after);
            let later = record.shown(since + Duration::minutes(11));
            assert_eq!(later.as_ref().map(|b| b.display_name.clone()), after);
            assert!(later.is_none_or(|b| b.sekisho.is_none()));
        }
        let confirmed = PolicyRecord { pending: None, ..record(None) };
        assert_eq!(name(&confirmed, 60).as_deref(), Some("new"));
    }
}
