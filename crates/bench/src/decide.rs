//! Decisions of access in one large world, and the same world in Cedar's words.
//!
//! In Cedar, a role is an action that is above the operations it holds; a group, a resource group and a subscription are
//! above what is in them; a role assignment is a policy, as is a deny assignment.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use sekisho_arm::Scope;
use sekisho_rbac::{
    Assignment, DenyAssignment, Facts, Group, Permission, PrincipalId, PrincipalType, RoleDefinition,
    RoleDefinitionProperties, RoleId, Snapshot, Universe,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::statistics::{percentile, sorted};

const PEOPLE: u64 = 200;
const GROUPS: u64 = 30;
const ROLES: u64 = 12;
const OPERATIONS: u64 = 150;
const DENIES: u64 = 5;
/// Machines of a resource group, and resource groups of a subscription.
const TOGETHER: u64 = 100;
/// Questions that others are to answer, too.
const COMPARED: usize = 200;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 20_000)]
    assignments: u64,
    #[arg(long, default_value_t = 10_000)]
    machines: u64,
    #[arg(long, default_value_t = 500_000)]
    decisions: u64,
    /// Where the world is written in Cedar's words, with questions and our answers.
    #[arg(long)]
    cedar: PathBuf,
}

/// Numbers that are the same in every run (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn person(n: u64) -> PrincipalId {
    PrincipalId(Uuid::from_u64_pair(1, n))
}
fn group(n: u64) -> PrincipalId {
    PrincipalId(Uuid::from_u64_pair(2, n))
}
fn role(n: u64) -> RoleId {
    RoleId(Uuid::from_u64_pair(3, n))
}
fn operation(n: u64) -> String {
    let kind = n / 5;
    format!(
        "Sekisho.Test/type{kind}/{}",
        ["read", "write", "delete", "start/action", "stop/action"][n as usize % 5]
    )
}
fn subscription(machine: u64) -> String {
    format!("/subscriptions/{}", Uuid::from_u64_pair(4, machine / TOGETHER / TOGETHER))
}
fn resource_group(machine: u64) -> String {
    format!("{}/resourceGroups/group-{}", subscription(machine), machine / TOGETHER)
}
fn machine(n: u64) -> String {
    format!("{}/providers/Microsoft.Compute/virtualMachines/vm-{n}", resource_group(n))
}

/// Who has what where, before it is anybody's words.
struct World {
    machines: u64,
    /// Operations of each role.
    roles: Vec<Vec<u64>>,
    /// Members of each group.
    groups: Vec<Vec<u64>>,
    /// Principal, role, scope.
    grants: Vec<(PrincipalId, u64, String)>,
    /// Scope, operations, the group that it spares.
    denies: Vec<(String, Vec<u64>, u64)>,
}

impl World {
    fn new(options: &Options) -> World {
        let mut chance = Chance(1);
        let some = |chance: &mut Chance, of: u64, count: u64| -> Vec<u64> {
            (0..count).map(|_| chance.below(of)).collect()
        };
        let roles = (0..ROLES).map(|n| some(&mut chance, OPERATIONS, 10 + 5 * n)).collect();
        let groups = (0..GROUPS).map(|_| some(&mut chance, PEOPLE, 20)).collect();
        let grants = (0..options.assignments)
            .map(|_| {
                let who = match chance.below(10) {
                    0..3 => group(chance.below(GROUPS)),
                    _ => person(chance.below(PEOPLE)),
                };
                let at = chance.below(options.machines);
                let at = match chance.below(20) {
                    0..14 => machine(at),
                    14..19 => resource_group(at),
                    _ => subscription(at),
                };
                (who, chance.below(ROLES), at)
            })
            .collect();
        let denies = (0..DENIES)
            .map(|_| {
                let at = resource_group(chance.below(options.machines));
                (at, some(&mut chance, OPERATIONS, 20), chance.below(GROUPS))
            })
            .collect();
        World { machines: options.machines, roles, groups, grants, denies }
    }

    fn facts(&self) -> anyhow::Result<Facts> {
        let universe = Universe::new((0..OPERATIONS).map(|n| (operation(n), false)))?;
        let permission = |operations: &[u64]| Permission {
            actions: operations.iter().map(|n| operation(*n)).collect(),
            ..Permission::default()
        };
        let role_of = |(n, operations): (u64, &Vec<u64>)| RoleDefinition {
            name: role(n),
            properties: RoleDefinitionProperties {
                role_name: format!("Role {n}"),
                permissions: vec![permission(operations)],
                ..Default::default()
            },
        };
        let assign = |(n, (who, of, at)): (u64, &(PrincipalId, u64, String))| -> anyhow::Result<_> {
            Ok(Assignment {
                name: Uuid::from_u64_pair(5, n),
                scope: Scope::parse(at)?,
                principal: *who,
                principal_type: PrincipalType::User,
                role: role(*of),
                condition: None,
            })
        };
        let deny = |(n, (at, operations, spared)): (u64, &(String, Vec<u64>, u64))| -> anyhow::Result<_> {
            Ok(DenyAssignment {
                name: Uuid::from_u64_pair(6, n),
                display_name: format!("Deny {n}"),
                scope: Scope::parse(at)?,
                permissions: vec![permission(operations)],
                principals: Vec::new(),
                everyone: true,
                excluded: vec![group(*spared)],
                only_here: false,
                condition: None,
            })
        };
        let of = |(n, members): (u64, &Vec<u64>)| Group {
            id: group(n),
            members: members.iter().map(|m| person(*m)).collect(),
        };
        Ok(Facts {
            universe: Arc::new(universe),
            custom_roles: (0..).zip(&self.roles).map(role_of).collect(),
            assignments: (0..).zip(&self.grants).map(assign).collect::<Result<_, _>>()?,
            deny_assignments: (0..).zip(&self.denies).map(deny).collect::<Result<_, _>>()?,
            groups: (0..).zip(&self.groups).map(of).collect(),
            parents: Vec::new(),
        })
    }

    fn cedar(&self) -> anyhow::Result<Value> {
        let mut policies = String::new();
        for (who, role, at) in &self.grants {
            writeln!(
                policies,
                "permit(principal in Who::\"{who}\", action in Action::\"role-{role}\", resource in Scope::\"{at}\");"
            )?;
        }
        for (at, operations, spared) in &self.denies {
            let of: Vec<String> =
                operations.iter().map(|n| format!("Action::\"{}\"", operation(*n))).collect();
            writeln!(
                policies,
                "forbid(principal, action in [{}], resource in Scope::\"{at}\") unless {{ principal in Who::\"{}\" }};",
                of.join(","),
                group(*spared)
            )?;
        }
        let entity = |kind: &str, id: &str, parents: Vec<(&str, String)>| {
            let parents: Vec<Value> =
                parents.into_iter().map(|(kind, id)| json!({"type": kind, "id": id})).collect();
            json!({"uid": {"type": kind, "id": id}, "attrs": {}, "parents": parents})
        };
        let mut entities = Vec::new();
        for n in 0..PEOPLE {
            let of = (0..).zip(&self.groups).filter(|(_, members)| members.contains(&n));
            let of = of.map(|(g, _)| ("Who", group(g).to_string())).collect();
            entities.push(entity("Who", &person(n).to_string(), of));
        }
        entities.extend((0..GROUPS).map(|n| entity("Who", &group(n).to_string(), Vec::new())));
        for n in 0..OPERATIONS {
            let of = (0..ROLES).zip(&self.roles).filter(|(_, operations)| operations.contains(&n));
            let of = of.map(|(r, _)| ("Action", format!("role-{r}"))).collect();
            entities.push(entity("Action", &operation(n), of));
        }
        entities.extend((0..ROLES).map(|n| entity("Action", &format!("role-{n}"), Vec::new())));
        for n in 0..self.machines {
            entities.push(entity("Scope", &machine(n), vec![("Scope", resource_group(n))]));
            if n % TOGETHER == 0 {
                entities.push(entity("Scope", &resource_group(n), vec![("Scope", subscription(n))]));
            }
            if n % (TOGETHER * TOGETHER) == 0 {
                entities.push(entity("Scope", &subscription(n), Vec::new()));
            }
        }
        Ok(json!({"policies": policies, "entities": entities}))
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    let world = World::new(options);
    let compiling = Instant::now();
    let snapshot = Snapshot::compile(world.facts()?);
    let compiled = compiling.elapsed().as_secs_f64();
    let operations: Vec<String> = (0..OPERATIONS).map(operation).collect();
    let mut chance = Chance(2);
    // The machine comes out of a request: just parsed.
    let mut ask = || -> anyhow::Result<(PrincipalId, &str, Scope)> {
        let who = person(chance.below(PEOPLE));
        let operation = operations.get(usize::try_from(chance.below(OPERATIONS))?).context("no operation")?;
        Ok((who, operation, Scope::parse(&machine(chance.below(options.machines)))?))
    };
    let mut compared = Vec::new();
    for _ in 0..COMPARED {
        let (who, operation, at) = ask()?;
        let allowed = snapshot.decide(&[who], operation, &at).is_allowed();
        compared.push(json!({"who": who, "operation": operation, "at": at.to_string(), "allowed": allowed}));
    }
    let mut written = world.cedar()?;
    written["questions"] = Value::Array(compared);
    std::fs::write(&options.cedar, written.to_string()).context("writing the world")?;
    // As the server asks: by names, each time for somebody else.
    let (mut took, mut allowed) = (Vec::new(), 0_u64);
    for round in 0..2 {
        took.clear();
        for _ in 0..options.decisions {
            let (who, operation, at) = ask()?;
            let began = Instant::now();
            let decision = black_box(snapshot.decide(&[who], operation, &at));
            took.push(began.elapsed().as_secs_f64() * 1e6);
            // The first round is there to be warm.
            allowed += u64::from(round == 1 && decision.is_allowed());
        }
    }
    let took = sorted(took);
    Ok(json!({
        "assignments": options.assignments, "machines": options.machines, "decisions": options.decisions,
        "allowed": allowed as f64 / options.decisions as f64, "compileSeconds": compiled,
        "p50Us": percentile(&took, 0.5), "p99Us": percentile(&took, 0.99),
    }))
}
