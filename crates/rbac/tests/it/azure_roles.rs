//! All 928 built-in roles of Azure, as facts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use sekisho_rbac::condition::Source;
use sekisho_rbac::{
    Attributes, Condition, Facts, Permission, Plane, RoleDefinition, RoleDefinitionProperties, RoleId,
    Snapshot, Universe, builtin,
};
use uuid::Uuid;

use crate::{assign, oracle, scope, who};

struct Data {
    roles: Vec<(RoleId, Vec<Permission>)>,
    conditions: Vec<String>,
}

fn data() -> &'static Data {
    static DATA: OnceLock<Data> = OnceLock::new();
    DATA.get_or_init(read)
}

/// Reads `data/azure-roles.txt`; its head explains the format.
fn read() -> Data {
    let (mut patterns, mut conditions, mut roles) = (Vec::<String>::new(), Vec::new(), Vec::new());
    let mut section = "";
    for line in include_str!("data/azure-roles.txt").lines().filter(|l| !l.starts_with('#')) {
        match (section, line) {
            (_, "[patterns]" | "[conditions]" | "[roles]") => section = line,
            ("[patterns]", _) => {
                let (shared, rest) = line.split_once(' ').unwrap();
                let before = patterns.last().map_or("", String::as_str);
                let head: String = before.chars().take(shared.parse().unwrap()).collect();
                patterns.push(head + rest);
            }
            ("[conditions]", _) => conditions.push(line.to_owned()),
            ("[roles]", _) => {
                let (id, blocks) = line.split_once(' ').unwrap();
                let blocks = blocks.split('|').map(|b| {
                    let mut fields = b.split(';');
                    let mut list = || -> Vec<String> {
                        let numbers = fields.next().unwrap().split(',').filter(|n| !n.is_empty());
                        numbers.map(|n| patterns[n.parse::<usize>().unwrap()].clone()).collect()
                    };
                    let (actions, not_actions, data_actions, not_data_actions) =
                        (list(), list(), list(), list());
                    let condition = fields.next().unwrap();
                    let condition = (!condition.is_empty())
                        .then(|| conditions[condition.parse::<usize>().unwrap()].clone());
                    Permission {
                        actions,
                        not_actions,
                        data_actions,
                        not_data_actions,
                        condition,
                        condition_version: None,
                    }
                });
                roles.push((RoleId(Uuid::try_parse(id).unwrap()), blocks.collect()));
            }
            _ => panic!("unexpected line {line}"),
        }
    }
    Data { roles, conditions }
}

/// Every string without a wildcard is an operation, on the plane where it is listed first.
fn operations() -> Vec<(String, bool)> {
    let mut ops = BTreeMap::new();
    for block in data().roles.iter().flat_map(|(_, blocks)| blocks) {
        for (lists, is_data) in [
            ([&block.actions, &block.not_actions], false),
            ([&block.data_actions, &block.not_data_actions], true),
        ] {
            for op in lists.into_iter().flatten().filter(|p| !p.contains('*') && p.contains('/')) {
                ops.entry(op.trim().to_ascii_lowercase()).or_insert(is_data);
            }
        }
    }
    ops.into_iter().collect()
}

#[test]
fn every_role_grants_exactly_what_plain_string_matching_says() {
    let ops = operations();
    assert!(ops.len() > 4000, "{}", ops.len());
    let universe = Arc::new(Universe::new(ops.clone()).unwrap());

    let mut picked: HashMap<&str, Vec<bool>> = HashMap::new();
    let blocks = || data().roles.iter().flat_map(|(_, b)| b);
    for b in blocks() {
        for p in [&b.actions, &b.not_actions, &b.data_actions, &b.not_data_actions].into_iter().flatten() {
            picked.entry(p).or_insert_with(|| ops.iter().map(|(o, _)| oracle::matches(p, o)).collect());
        }
    }
    assert_eq!(data().roles.len(), 928);
    assert_eq!(blocks().count(), 928 + 18, "16 roles have two or three blocks");

    let mut facts = Facts { universe, ..Facts::default() };
    for (n, (id, blocks)) in (1u128..).zip(&data().roles) {
        let plain = blocks.iter().cloned().map(|b| Permission { condition: None, ..b }).collect();
        // Under another id, so that the built-in copy in the crate does not answer instead.
        let id = RoleId(Uuid::from_u128(id.0.as_u128() ^ 1));
        let properties = RoleDefinitionProperties { permissions: plain, ..Default::default() };
        facts.custom_roles.push(RoleDefinition { name: id, properties });
        facts.assignments.push(assign(n, n, id, "/"));
    }
    let snapshot = Snapshot::compile(facts);
    assert_eq!(snapshot.problems(), []);

    let mut granted = 0;
    for (n, (id, blocks)) in (1u128..).zip(&data().roles) {
        let got: Vec<String> =
            snapshot.effective(&[who(n)], &scope("SUB")).iter().map(|o| o.to_ascii_lowercase()).collect();
        let mut wanted = Vec::new();
        for (i, (op, is_data)) in ops.iter().enumerate() {
            let any = |list: &[String]| list.iter().any(|p| picked[p.as_str()][i]);
            let by = |b: &Permission| match is_data {
                false => any(&b.actions) && !any(&b.not_actions),
                true => any(&b.data_actions) && !any(&b.not_data_actions),
            };
            if blocks.iter().any(by) {
                wanted.push(op.clone());
            }
        }
        granted += wanted.len();
        assert_eq!(got, wanted, "role {id}");
    }
    assert!(granted > 50_000, "{granted}");
}

#[test]
fn the_roles_shipped_are_azures() {
    let azure: HashMap<RoleId, &Vec<Permission>> = data().roles.iter().map(|(id, b)| (*id, b)).collect();
    assert!(builtin::roles().len() > 60);
    for role in builtin::roles() {
        let trimmed = |list: &[String]| list.iter().map(|s| s.trim().to_owned()).collect::<Vec<_>>();
        let theirs = azure[&role.name];
        assert_eq!(role.properties.permissions.len(), theirs.len());
        for (ours, theirs) in role.properties.permissions.iter().zip(theirs) {
            assert_eq!(ours.actions, trimmed(&theirs.actions), "{}", role.properties.role_name);
            assert_eq!(ours.not_actions, trimmed(&theirs.not_actions));
            assert_eq!(ours.data_actions, trimmed(&theirs.data_actions));
            assert_eq!(ours.not_data_actions, trimmed(&theirs.not_data_actions));
            assert_eq!(ours.condition, theirs.condition);
        }
        assert!(!role.properties.description.is_empty());
        assert!(role.properties.other.is_empty());
    }
    for id in [
        builtin::OWNER,
        builtin::CONTRIBUTOR,
        builtin::READER,
        builtin::USER_ACCESS_ADMINISTRATOR,
        builtin::VM_ADMINISTRATOR_LOGIN,
        builtin::VM_USER_LOGIN,
    ] {
        assert!(builtin::role(id).is_some(), "{id}");
    }
}

#[test]
fn a_role_definition_survives_the_round_trip_in_azures_spelling() {
    let role = serde_json::to_value(builtin::role(builtin::CONTRIBUTOR).unwrap()).unwrap();
    assert_eq!(role["properties"]["type"], "BuiltInRole");
    assert_eq!(role["properties"]["assignableScopes"][0], "/");
    assert_eq!(role["properties"]["permissions"][0]["notActions"][0], "Microsoft.Authorization/*/Delete");
    let text = r#"{"roleName":"r","permissions":[{"actions":["*"]}],"createdOn":"2024-01-01","x":{"y":1}}"#;
    let read: RoleDefinitionProperties = serde_json::from_str(text).unwrap();
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(written["x"]["y"], 1);
    assert_eq!(written["createdOn"], "2024-01-01");
    assert_eq!(written["type"], "CustomRole");
}

#[test]
fn all_31_conditions_of_azure_are_read() {
    assert_eq!(data().conditions.len(), 31);
    for text in &data().conditions {
        Condition::parse(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    }
}

/// The GUIDs in braces after a piece of the text, found by scanning.
fn guids_after(text: &str, mark: &str) -> Vec<String> {
    let Some(at) = text.find(mark) else { return Vec::new() };
    let open = at + text[at..].find('{').unwrap();
    let close = open + text[open..].find('}').unwrap();
    text[open + 1..close].split(',').map(|g| g.trim().to_owned()).collect()
}

#[test]
fn delegation_conditions_allow_the_listed_roles_and_no_others() {
    const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
    const DELETE: &str = "microsoft.authorization/roleassignments/delete";
    const ROLE: &str = "Microsoft.Authorization/roleAssignments:RoleDefinitionId";
    const KIND: &str = "Microsoft.Authorization/roleAssignments:PrincipalType";
    let mut checked = 0;
    for text in &data().conditions {
        let condition = Condition::parse(text).unwrap();
        let obo = text.contains("HasObotoken");
        for (source, op, mark) in [
            (Source::Request, WRITE, "@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]"),
            (Source::Resource, DELETE, "@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId]"),
        ] {
            let guids = guids_after(text, mark);
            let with = |role: &str, kind: &str| {
                let a = Attributes::none().with(source, ROLE, role).with(source, KIND, kind);
                if obo { a.with(Source::Resource, "HasObotoken", "true") } else { a }
            };
            for guid in &guids {
                assert_eq!(condition.holds(op, &with(guid, "ServicePrincipal")), Some(true), "{guid} {text}");
                checked += 1;
            }
            if guids.is_empty() {
                continue;
            }
            let other = "00000000-0000-0000-0000-000000000001";
            assert_eq!(condition.holds(op, &with(other, "ServicePrincipal")), Some(false), "{text}");
            assert_eq!(condition.holds(op, &Attributes::none()), None, "{text}");
            if source == Source::Request && text.contains("PrincipalType") {
                assert_eq!(condition.holds(op, &with(&guids[0], "User")), Some(false), "{text}");
            }
            if text.contains("ActionMatches") {
                let read = "Microsoft.Compute/virtualMachines/read";
                assert_eq!(condition.holds(read, &Attributes::none()), Some(true), "{text}");
            }
        }
    }
    assert!(checked > 150, "{checked}");
}

#[test]
fn wildcards_that_stop_at_slashes_would_be_wrong_for_hundreds_of_roles() {
    // Guards the test data: if nothing in it distinguished the two readings, the big test would prove little.
    let crossing =
        data().roles.iter().flat_map(|(_, b)| b).flat_map(|b| b.actions.iter().chain(&b.data_actions));
    let universe = Universe::new(operations()).unwrap();
    let deep = crossing.filter(|p| p.ends_with("/*")).filter(|p| {
        let slashes = p.matches('/').count();
        let all = universe.matching(p, Plane::Control);
        all.iter().any(|o| universe.name(*o).matches('/').count() > slashes)
    });
    assert!(deep.count() > 100);
}
