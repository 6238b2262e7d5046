//! Decisions of access in one large world, and the same world in Cedar's words.
//!
//! In Cedar, a role is an action that is above the operations it holds; a group, a resource group and a subscription are
//! above what is in them; a role assignment is a policy, as is a deny assignment.

use std::collections::BTreeSet;
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

/// A role's operations, and those of them that it takes out again.
#[derive(Default)]
struct Role {
    operations: Vec<u64>,
    except: Vec<u64>,
}

/// What nobody may do somewhere, or one certain principal.
struct Deny {
    at: String,
    operations: Vec<u64>,
    /// Everybody, when absent.
    who: Option<PrincipalId>,
    spared: u64,
    only_here: bool,
}

/// Who has what where, before it is anybody's words.
struct World {
    machines: u64,
    roles: Vec<Role>,
    /// Members of each group; some may be groups.
    groups: Vec<Vec<PrincipalId>>,
    /// Principal, role, scope.
    grants: Vec<(PrincipalId, u64, String)>,
    denies: Vec<Deny>,
}

impl World {
    fn new(options: &Options) -> World {
        let mut chance = Chance(1);
        let some = |chance: &mut Chance, of: u64, count: u64| -> Vec<u64> {
            (0..count).map(|_| chance.below(of)).collect()
        };
        let role = |operations| Role { operations, except: Vec::new() };
        let roles = (0..ROLES).map(|n| role(some(&mut chance, OPERATIONS, 10 + 5 * n))).collect();
        let members = |all: Vec<u64>| all.into_iter().map(person).collect();
        let groups = (0..GROUPS).map(|_| members(some(&mut chance, PEOPLE, 20))).collect();
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
                let operations = some(&mut chance, OPERATIONS, 20);
                Deny { at, operations, who: None, spared: chance.below(GROUPS), only_here: false }
            })
            .collect();
        World { machines: options.machines, roles, groups, grants, denies }
    }

    /// A small world in which everything occurs: groups in groups, also in a circle, roles that take something out again,
    /// denials of one principal or at their scope only.
    fn varied(seed: u64) -> World {
        let (mut chance, machines) = (Chance(seed), 2 * TOGETHER);
        let mut world = World::new(&Options {
            assignments: 60 + chance.below(200),
            machines,
            decisions: 0,
            cedar: PathBuf::new(),
        });
        for role in &mut world.roles {
            let some = |chance: &mut Chance, count| (0..count).map(|_| chance.below(OPERATIONS)).collect();
            role.operations = some(&mut chance, 40);
            role.except = some(&mut chance, 15);
        }
        let principal = |chance: &mut Chance| match chance.below(3) {
            0 => group(chance.below(GROUPS)),
            _ => person(chance.below(PEOPLE)),
        };
        let place = |chance: &mut Chance| match (chance.below(3), chance.below(machines)) {
            (0, at) => machine(at),
            (1, at) => resource_group(at),
            (_, at) => subscription(at),
        };
        for members in &mut world.groups {
            *members = (0..8).map(|_| principal(&mut chance)).collect();
        }
        for grant in &mut world.grants {
            *grant = (principal(&mut chance), chance.below(ROLES), place(&mut chance));
        }
        for deny in &mut world.denies {
            deny.at = place(&mut chance);
            deny.who = (chance.below(2) == 0).then(|| principal(&mut chance));
            deny.spared = chance.below(GROUPS);
            deny.only_here = chance.below(2) == 0;
        }
        world
    }

    fn facts(&self) -> anyhow::Result<Facts> {
        let universe = Universe::new((0..OPERATIONS).map(|n| (operation(n), false)))?;
        let names = |operations: &[u64]| operations.iter().map(|n| operation(*n)).collect();
        let role_of = |(n, of): (u64, &Role)| RoleDefinition {
            name: role(n),
            properties: RoleDefinitionProperties {
                role_name: format!("Role {n}"),
                permissions: vec![Permission {
                    actions: names(&of.operations),
                    not_actions: names(&of.except),
                    ..Permission::default()
                }],
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
        let deny = |(n, of): (u64, &Deny)| -> anyhow::Result<_> {
            Ok(DenyAssignment {
                name: Uuid::from_u64_pair(6, n),
                display_name: format!("Deny {n}"),
                scope: Scope::parse(&of.at)?,
                permissions: vec![Permission { actions: names(&of.operations), ..Permission::default() }],
                principals: of.who.into_iter().collect(),
                everyone: of.who.is_none(),
                excluded: vec![group(of.spared)],
                only_here: of.only_here,
                condition: None,
            })
        };
        let of = |(n, members): (u64, &Vec<PrincipalId>)| Group { id: group(n), members: members.clone() };
        Ok(Facts {
            universe: Arc::new(universe),
            custom_roles: (0..).zip(&self.roles).map(role_of).collect(),
            assignments: (0..).zip(&self.grants).map(assign).collect::<Result<_, _>>()?,
            deny_assignments: (0..).zip(&self.denies).map(deny).collect::<Result<_, _>>()?,
            groups: (0..).zip(&self.groups).map(of).collect(),
            unreadable_groups: Vec::new(),
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
        for deny in &self.denies {
            let of: Vec<String> =
                deny.operations.iter().map(|n| format!("Action::\"{}\"", operation(*n))).collect();
            let who = deny.who.map(|who| format!(" in Who::\"{who}\"")).unwrap_or_default();
            let within = if deny.only_here { "==" } else { "in" };
            writeln!(
                policies,
                "forbid(principal{who}, action in [{}], resource {within} Scope::\"{}\") unless {{ principal in Who::\"{}\" }};",
                of.join(","),
                deny.at,
                group(deny.spared)
            )?;
        }
        let entity = |kind: &str, id: &str, parents: Vec<(&str, String)>| {
            let parents: Vec<Value> =
                parents.into_iter().map(|(kind, id)| json!({"type": kind, "id": id})).collect();
            json!({"uid": {"type": kind, "id": id}, "attrs": {}, "parents": parents})
        };
        let mut entities = Vec::new();
        for who in (0..PEOPLE).map(person) {
            let of = self.groups_of(who).into_iter().map(|g| ("Who", g.to_string())).collect();
            entities.push(entity("Who", &who.to_string(), of));
        }
        entities.extend((0..GROUPS).map(|n| entity("Who", &group(n).to_string(), Vec::new())));
        for n in 0..OPERATIONS {
            let has = |role: &Role| role.operations.contains(&n) && !role.except.contains(&n);
            let of = (0..ROLES).zip(&self.roles).filter(|(_, role)| has(role));
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

    /// The groups somebody is in, through groups too. Cedar refuses circles, so that it is told of all of them.
    fn groups_of(&self, who: PrincipalId) -> BTreeSet<PrincipalId> {
        let (mut found, mut next) = (BTreeSet::new(), vec![who]);
        while let Some(inner) = next.pop() {
            let around = (0..).zip(&self.groups).filter(|(_, members)| members.contains(&inner));
            next.extend(around.map(|(n, _)| group(n)).filter(|g| found.insert(*g)));
        }
        found
    }
}

#[derive(clap::Args)]
pub(crate) struct Worlds {
    #[arg(long, default_value_t = 40)]
    count: u64,
    /// The directory in which they are written in Cedar's words, with questions and our answers.
    #[arg(long)]
    cedar: PathBuf,
}

/// Small worlds, each unlike the others.
pub(crate) fn worlds(options: &Worlds) -> anyhow::Result<Value> {
    let mut allowed = 0;
    for seed in 0..options.count {
        let world = World::varied(seed);
        let snapshot = Snapshot::compile(world.facts()?);
        let mut chance = Chance(seed);
        let mut compared = Vec::new();
        for _ in 0..COMPARED {
            let who = person(chance.below(PEOPLE));
            let operation = operation(chance.below(OPERATIONS));
            let at = match (chance.below(3), chance.below(world.machines)) {
                (0, at) => resource_group(at),
                (1, at) => subscription(at),
                (_, at) => machine(at),
            };
            let answer = snapshot.decide(&[who], &operation, &Scope::parse(&at)?).is_allowed();
            allowed += u64::from(answer);
            compared.push(json!({"who": who, "operation": operation, "at": at, "allowed": answer}));
        }
        let mut written = world.cedar()?;
        written["questions"] = Value::Array(compared);
        let file = options.cedar.join(format!("world-{seed}.json"));
        std::fs::write(&file, written.to_string()).context("writing a world")?;
    }
    Ok(json!({"worlds": options.count, "questions": options.count * COMPARED as u64, "allowed": allowed}))
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
