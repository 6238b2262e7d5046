//! `networkSecurityGroups/{name}/sekisho.hits`: how often the rules of a group have matched, on all machines that enforce it
//! together, and what it would have denied while it only counted.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use sekisho_arm::resource::instant;
use sekisho_arm::{ArmError, Read, Scope};
use sekisho_link::hits;
use serde::Serialize;

use super::lookup;
use crate::policy::{Access, Direction};
use crate::resources::default_rules;

/// How often the rules of a group have matched.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GroupHits")]
pub(super) struct Hits {
    /// Rules that have matched, by direction and name. Others have not, or are not counted: a machine that cannot count
    /// says so when it reports its rules.
    rules: Vec<Hit>,
    /// Flows that would have been denied, had the group not only counted.
    would_be_denied: u64,
    /// Machines that have said anything.
    machines: usize,
    /// The oldest of what they said: what happened since is not in the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
}

/// How often one rule has matched.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GroupRuleHits")]
struct Hit {
    rule: String,
    direction: Direction,
    /// Whether this is what happened while the group only counted.
    audit_only: bool,
    /// First packets of flows that the rule decided, since it was first loaded.
    packets: u64,
    /// The bytes of these packets.
    bytes: u64,
}

/// Adds up what machines said.
///
/// # Errors
/// Those of the database.
pub(super) async fn of(read: &mut dyn Read, group: &Scope) -> Result<Hits, ArmError> {
    let kept = read.get(group).await?.ok_or_else(|| ArmError::not_found(group))?;
    let own = lookup::rules(&kept)?;
    let denies: BTreeSet<(String, Direction)> = own
        .iter()
        .chain(&default_rules(&group.to_string()))
        .filter_map(|rule| {
            let properties = &rule.properties;
            let denies = Access::parse(properties.access.as_deref()?)? == Access::Deny;
            let direction = Direction::parse(properties.direction.as_deref()?)?;
            denies.then(|| (rule.name.clone().unwrap_or_default().to_ascii_lowercase(), direction))
        })
        .collect();
    let mut machines: Vec<Scope> = lookup::in_subscription(read, group, "networkInterfaces")
        .await?
        .iter()
        .filter_map(|nic| lookup::reference(nic, "virtualMachine"))
        .collect();
    machines.sort_by_key(Scope::key);
    machines.dedup();
    let mut sums: BTreeMap<(bool, Direction, String), (u64, u64)> = BTreeMap::new();
    let (mut count, mut oldest) = (0, None);
    for machine in machines {
        let Some(said) = hits::of(read, &machine).await? else { continue };
        let of_group = |row: &&hits::RuleHits| Scope::parse(&row.group).is_ok_and(|id| id == *group);
        let rows: Vec<_> = said.rules.iter().filter(of_group).collect();
        if rows.is_empty() {
            continue;
        }
        count += 1;
        oldest = Some(oldest.map_or(said.at, |old: time::OffsetDateTime| old.min(said.at)));
        for row in rows {
            let Some(direction) = Direction::parse(&row.direction) else { continue };
            let sum = sums.entry((row.audit, direction, row.rule.clone())).or_default();
            *sum = (sum.0.saturating_add(row.packets), sum.1.saturating_add(row.bytes));
        }
    }
    let row = |((audit_only, direction, rule), (packets, bytes)): ((bool, Direction, String), (u64, u64))| {
        Hit { rule, direction, audit_only, packets, bytes }
    };
    let rules: Vec<Hit> = sums.into_iter().map(row).collect();
    let would = rules
        .iter()
        .filter(|hit| hit.audit_only && denies.contains(&(hit.rule.to_ascii_lowercase(), hit.direction)));
    Ok(Hits {
        would_be_denied: would.map(|hit| hit.packets).fold(0, u64::saturating_add),
        rules,
        machines: count,
        oldest: oldest.map(instant),
    })
}
