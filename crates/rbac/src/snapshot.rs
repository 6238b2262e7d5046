//! The compiled facts, and the decision.
//!
//! Compiling turns roles into bit sets, group membership into its transitive closure, and assignments into a map from
//! scope and principal to grants. A decision then walks from the scope outward once: the nearest grant counts, unless a
//! deny assignment is found anywhere on the way. Its cost does not depend on how many assignments there are elsewhere.
//! What it passes over is small and lies together: most of the time goes by waiting for memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use ahash::RandomState;
use sekisho_arm::{ArmError, Scope};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::condition::{Circumstances, Known};
use crate::scopes::Tree;
use crate::universe::Bits;
use crate::{
    Assignment, Attributes, Condition, DenyAssignment, OpId, Permission, PrincipalId, RoleDefinition, RoleId,
    Universe, builtin,
};

/// A group and its direct members, which may be groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub id: PrincipalId,
    /// Who is in it directly.
    pub members: Vec<PrincipalId>,
}

/// Everything a decision can depend on. Eligible, expired and disabled things are left out by whoever collects them.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// All operations.
    pub universe: Arc<Universe>,
    /// Custom roles; the built-in ones are always there.
    pub custom_roles: Vec<RoleDefinition>,
    /// Active role assignments.
    pub assignments: Vec<Assignment>,
    /// Deny assignments.
    pub deny_assignments: Vec<DenyAssignment>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Groups of which nobody can say who is in them. They give nothing, and whatever is denied them is denied everybody.
    pub unreadable_groups: Vec<PrincipalId>,
    /// (subscription or management group, the management group it is in). Those in none are under the root.
    pub parents: Vec<(Scope, Scope)>,
}

/// The groups that anybody may be in: those that cannot be read, and those that one of them is in.
fn uncertain(facts: &Facts) -> HashSet<PrincipalId> {
    let mut found: HashSet<PrincipalId> = HashSet::new();
    let mut next = facts.unreadable_groups.clone();
    while let Some(group) = next.pop() {
        if found.insert(group) {
            next.extend(facts.groups.iter().filter(|g| g.members.contains(&group)).map(|g| g.id));
        }
    }
    found
}

/// Something in the facts that has no effect, and why; for operators to see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The assignment grants nothing.
    #[error("role assignment {0} names a role definition that does not exist: {1}")]
    NoSuchRole(Uuid, RoleId),
    /// What is named never grants (or, for a deny assignment, always denies).
    #[error("the condition of {0} cannot be read: {1}")]
    UnreadableCondition(String, crate::ConditionError),
}

/// The answer to "may they?", with its reason.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Yes, by this assignment.
    Allowed {
        /// The role assignment that grants it.
        assignment: Uuid,
        /// Where that assignment is.
        at: Arc<Scope>,
        /// Its role.
        role: RoleId,
        /// The group through which the person has it; `None` when it is theirs directly.
        via_group: Option<PrincipalId>,
    },
    /// No, a deny assignment forbids it, whatever the roles say.
    Denied {
        /// The deny assignment.
        deny_assignment: Uuid,
        /// What people call it.
        display_name: String,
        /// Where it is.
        at: Scope,
    },
    /// No role grants it.
    Missing {
        /// The operation asked for.
        action: String,
        /// A role assignment that would, if its condition or the role's held.
        condition_unmet: Option<Uuid>,
    },
}

impl Decision {
    /// Whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed { .. })
    }

    /// The 403 in Azure's words; `Ok` when allowed. `client` is a name or application id, `action` and `scope` are
    /// repeated in the caller's own spelling.
    ///
    /// # Errors
    /// 403 `AuthorizationFailed`, or `DenyAssignmentAuthorizationFailed`.
    pub fn into_result(
        self,
        client: &str,
        object: PrincipalId,
        action: &str,
        scope: &Scope,
    ) -> Result<(), ArmError> {
        let text = match self {
            Decision::Allowed { .. } => return Ok(()),
            Decision::Denied { deny_assignment, display_name, at } => {
                let text = format!(
                    "The client '{client}' with object id '{object}' has permission to perform action '{action}' on \
                     scope '{scope}'; however, the access is denied because of the deny assignment with name \
                     '{display_name}' and Id '{deny_assignment}' at scope '{at}'."
                );
                return Err(ArmError::new(403, "DenyAssignmentAuthorizationFailed", text));
            }
            Decision::Missing { condition_unmet: None, .. } => "does not have authorization",
            Decision::Missing { condition_unmet: Some(_), .. } => {
                "does not have authorization or an ABAC condition not fulfilled"
            }
        };
        Err(ArmError::new(
            403,
            "AuthorizationFailed",
            format!(
                "The client '{client}' with object id '{object}' {text} to perform action '{action}' over scope \
                 '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
            ),
        ))
    }
}

/// A condition as compiled: absent, readable, or neither.
#[derive(Debug, Clone)]
enum Guard {
    Open,
    If(Box<Condition>),
    Unreadable,
}

impl Guard {
    fn new(text: Option<&str>, of: impl FnOnce() -> String, problems: &mut Vec<Problem>) -> Guard {
        match text.filter(|t| !t.trim().is_empty()).map(Condition::parse) {
            None => Guard::Open,
            Some(Ok(condition)) => Guard::If(Box::new(condition)),
            Some(Err(error)) => {
                problems.push(Problem::UnreadableCondition(of(), error));
                Guard::Unreadable
            }
        }
    }

    fn holds(&self, lower: &str, known: Known<'_>) -> Option<bool> {
        match self {
            Guard::Open => Some(true),
            Guard::If(condition) => condition.holds_lower(lower, known),
            Guard::Unreadable => None,
        }
    }

    fn next_change(&self, after: OffsetDateTime) -> Option<OffsetDateTime> {
        match self {
            Guard::If(condition) => condition.next_change(after),
            Guard::Open | Guard::Unreadable => None,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Guard::Open)
    }
}

#[derive(Debug)]
struct Block {
    bits: Bits,
    guard: Guard,
}

/// A role as compiled.
#[derive(Debug)]
struct Role {
    /// What any of its blocks grants under some condition.
    any: Bits,
    blocks: Box<[Block]>,
}

/// A role assignment as compiled: no more than questions need, and what several have in common kept once.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) name: Uuid,
    pub(crate) role: RoleId,
    pub(crate) at: Arc<Scope>,
    pub(crate) key: Arc<str>,
    pub(crate) condition: Option<Box<str>>,
    principal: u32,
    compiled: Arc<Role>,
    guard: Guard,
}

impl Grant {
    /// `Some(true)`: grants; `None`: would, if its condition held; `Some(false)`: never.
    fn grants(&self, op: OpId, lower: &str, known: Known<'_>) -> Option<bool> {
        if !self.could_grant(op) {
            return Some(false);
        }
        let mut blocks = self.compiled.blocks.iter().filter(|b| b.bits.has(op));
        let met = self.guard.holds(lower, known) == Some(true)
            && blocks.any(|b| b.guard.holds(lower, known) == Some(true));
        met.then_some(true)
    }

    /// Whether it grants something under some condition.
    pub(crate) fn could_grant(&self, op: OpId) -> bool {
        self.compiled.any.has(op)
    }

    pub(crate) fn is_unconditional(&self) -> bool {
        self.guard.is_open() && self.compiled.blocks.iter().all(|b| b.guard.is_open())
    }

    fn collect(&self, universe: &Universe, known: Known<'_>, into: &mut Bits) {
        for block in &self.compiled.blocks {
            if self.guard.is_open() && block.guard.is_open() {
                into.union(&block.bits);
                continue;
            }
            for op in block.bits.iter() {
                if self.grants(op, universe.lower(op), known) == Some(true) {
                    into.set(op);
                }
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Deny {
    pub(crate) assignment: DenyAssignment,
    pub(crate) key: String,
    principals: Vec<u32>,
    excluded: Vec<u32>,
    bits: Bits,
    guard: Guard,
}

impl Deny {
    fn names(&self, me: &[u32]) -> bool {
        let hit = |list: &[u32]| list.iter().any(|p| me.binary_search(p).is_ok());
        (self.assignment.everyone || hit(&self.principals)) && !hit(&self.excluded)
    }

    fn spares(&self, lower: &str, known: Known<'_>) -> bool {
        self.guard.holds(lower, known) == Some(false)
    }
}

/// What a decision reads of a grant before it knows that it matters.
#[derive(Debug, Clone, Copy)]
struct Entry {
    role: u32,
    grant: u32,
}

/// A scope that facts name: its number, and its part of [`Snapshot::forbidding`].
#[derive(Debug)]
struct Place {
    number: u32,
    denies: Range<u32>,
    /// The [`mark`]s of all who have something here: most of those who have nothing need not be looked up.
    marks: u64,
}

/// A place and a principal, both as numbers, in one.
type Holding = u64;

/// Who asks, and under which circumstances. Several principals act as one: what any of them may do, they may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asker {
    /// The principals.
    pub principals: Vec<PrincipalId>,
    /// When and from where.
    pub circumstances: Circumstances,
}

/// An [`Asker`] borrowed; principals alone ask under unknown circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    principals: &'a [PrincipalId],
    circumstances: Circumstances,
}

impl<'a> From<&'a Asker> for Who<'a> {
    fn from(asker: &'a Asker) -> Self {
        Who { principals: &asker.principals, circumstances: asker.circumstances }
    }
}

impl<'a> From<&'a [PrincipalId]> for Who<'a> {
    fn from(principals: &'a [PrincipalId]) -> Self {
        Who { principals, circumstances: Circumstances::default() }
    }
}

impl<'a, const N: usize> From<&'a [PrincipalId; N]> for Who<'a> {
    fn from(principals: &'a [PrincipalId; N]) -> Self {
        principals.as_slice().into()
    }
}

impl<'a> From<&'a Vec<PrincipalId>> for Who<'a> {
    fn from(principals: &'a Vec<PrincipalId>) -> Self {
        principals.as_slice().into()
    }
}

/// Whoever asks, looked up: with all groups they are in. Valid for its snapshot only.
#[derive(Debug, Clone)]
pub struct Identity<'a> {
    closure: Cow<'a, [u32]>,
    direct: Cow<'a, [u32]>,
    circumstances: Circumstances,
}

impl Identity<'_> {
    pub(crate) fn known<'k>(&self, attributes: &'k Attributes) -> Known<'k> {
        Known { attributes, circumstances: self.circumstances }
    }
}

/// All facts, ready to answer. Immutable: share it with an `Arc`, replace it when a fact changes.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) universe: Arc<Universe>,
    pub(crate) tree: Arc<Tree>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) denies: Vec<Deny>,
    places: HashMap<Box<str>, Place, RandomState>,
    /// The part of [`Snapshot::entries`] that a principal has at a place.
    held: HashMap<Holding, Range<u32>, RandomState>,
    entries: Vec<Entry>,
    /// Numbers of deny assignments, those of a place together.
    forbidding: Vec<u32>,
    /// By the numbers in [`Entry::role`].
    compiled: Vec<Arc<Role>>,
    roles: HashMap<RoleId, RoleDefinition>,
    numbers: HashMap<PrincipalId, u32, RandomState>,
    principals: Vec<PrincipalId>,
    /// For each principal: itself and every group it is in, sorted.
    closures: Vec<Vec<u32>>,
    /// For each principal: whether it is a group.
    groups: Vec<bool>,
    uncertain: HashSet<PrincipalId>,
    problems: Vec<Problem>,
}

impl Snapshot {
    /// Compiles the facts. It cannot fail: what makes no sense has no effect and is listed by [`Snapshot::problems`].
    pub fn compile(facts: Facts) -> Snapshot {
        let mut interner = Interner::default();
        let mut problems = Vec::new();
        let uncertain = uncertain(&facts);
        let universe = facts.universe;
        let compile_block = |permission: &Permission, of: String, problems: &mut Vec<Problem>| Block {
            bits: universe.block(permission),
            guard: Guard::new(permission.condition.as_deref(), || of, problems),
        };
        let mut roles = HashMap::new();
        let mut compiled: Vec<Arc<Role>> = Vec::new();
        let mut role_numbers: HashMap<RoleId, u32> = HashMap::new();
        for (number, role) in
            (0u32..).zip(facts.custom_roles.into_iter().chain(builtin::roles().iter().cloned()))
        {
            let permissions = role.properties.permissions.iter();
            let blocks: Box<[Block]> =
                permissions.map(|p| compile_block(p, format!("role {}", role.name), &mut problems)).collect();
            let mut any = Bits::empty(universe.len());
            blocks.iter().for_each(|b| any.union(&b.bits));
            compiled.push(Arc::new(Role { any, blocks }));
            role_numbers.insert(role.name, number);
            roles.insert(role.name, role);
        }

        let mut grants = Vec::with_capacity(facts.assignments.len());
        // By scope in each of its spellings.
        let mut scopes: HashMap<String, (Arc<Scope>, Arc<str>)> = HashMap::new();
        for assignment in facts.assignments {
            let Assignment { name, scope, principal, role, condition, .. } = assignment;
            let principal = interner.number(principal);
            let Some(number) = role_numbers.get(&role) else {
                problems.push(Problem::NoSuchRole(name, role));
                continue;
            };
            let guard = Guard::new(condition.as_deref(), || format!("role assignment {name}"), &mut problems);
            let kept = scopes.entry(scope.to_string());
            let (at, key) = kept.or_insert_with(|| (Arc::new(scope.clone()), scope.key().into())).clone();
            let (compiled, condition) = (Arc::clone(&compiled[*number as usize]), condition.map(Into::into));
            grants.push(Grant { name, role, at, key, condition, principal, compiled, guard });
        }
        grants.sort_by_key(|g| (g.principal, g.name));
        let mut held: BTreeMap<(&str, u32), Vec<Entry>> = BTreeMap::new();
        for (i, grant) in (0u32..).zip(&grants) {
            let entry = Entry { role: role_numbers[&grant.role], grant: i };
            held.entry((&grant.key, grant.principal)).or_default().push(entry);
        }

        let mut denies = Vec::with_capacity(facts.deny_assignments.len());
        for mut assignment in facts.deny_assignments {
            assignment.everyone |= assignment.principals.iter().any(|p| uncertain.contains(p));
            let mut bits = Bits::empty(universe.len());
            assignment.permissions.iter().for_each(|p| bits.union(&universe.block(p)));
            // A block condition in a deny assignment is not in Azure's schema; ignoring it denies more, never less.
            let of = || format!("deny assignment {}", assignment.name);
            let guard = Guard::new(assignment.condition.as_deref(), of, &mut problems);
            let key = assignment.scope.key();
            let mut number = |list: &[PrincipalId]| list.iter().map(|p| interner.number(*p)).collect();
            let (principals, excluded) = (number(&assignment.principals), number(&assignment.excluded));
            denies.push(Deny { key, principals, excluded, bits, guard, assignment });
        }
        let mut forbidden: HashMap<&str, Vec<u32>> = HashMap::new();
        for (i, deny) in (0u32..).zip(&denies) {
            forbidden.entry(&deny.key).or_default().push(i);
        }
        let keys: HashSet<&str> = held.keys().map(|(key, _)| *key).chain(forbidden.keys().copied()).collect();
        let mut marks: HashMap<&str, u64> = HashMap::new();
        for (key, principal) in held.keys() {
            *marks.entry(key).or_default() |= mark(*principal);
        }
        let mut forbidding = Vec::new();
        let place = |(number, key): (u32, &str)| {
            let denies = append(&mut forbidding, forbidden.remove(key).unwrap_or_default());
            (key.into(), Place { number, denies, marks: marks.get(key).copied().unwrap_or(0) })
        };
        let places: HashMap<Box<str>, Place, RandomState> = (0u32..).zip(keys).map(place).collect();
        let mut entries = Vec::with_capacity(grants.len());
        let held = held
            .into_iter()
            .map(|((key, principal), own)| (holding(&places[key], principal), append(&mut entries, own)))
            .collect();

        let mut parents: Vec<Vec<u32>> = Vec::new();
        let mut groups: Vec<bool> = Vec::new();
        for group in &facts.groups {
            let id = interner.number(group.id);
            let members: Vec<u32> = group.members.iter().map(|m| interner.number(*m)).collect();
            parents.resize(interner.principals.len(), Vec::new());
            groups.resize(interner.principals.len(), false);
            members.iter().for_each(|m| parents[*m as usize].push(id));
            groups[id as usize] = true;
        }
        parents.resize(interner.principals.len(), Vec::new());
        groups.resize(interner.principals.len(), false);

        Snapshot {
            tree: Arc::new(Tree::new(&facts.parents)),
            closures: (0u32..).zip(&parents).map(|(i, _)| closure(i, &parents)).collect(),
            groups,
            uncertain,
            universe,
            grants,
            denies,
            places,
            held,
            entries,
            forbidding,
            compiled,
            roles,
            numbers: interner.numbers,
            principals: interner.principals,
            problems,
        }
    }

    /// The tree of scopes.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The operations the snapshot knows.
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// What in the facts has no effect, and why.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// A role definition by id, built-in or custom.
    pub fn role(&self, id: RoleId) -> Option<&RoleDefinition> {
        self.roles.get(&id)
    }

    /// All role definitions, in no particular order.
    pub fn roles(&self) -> impl Iterator<Item = &RoleDefinition> {
        self.roles.values()
    }

    /// The first instant after another at which time alone may change a decision, by a condition that looks at the clock.
    pub fn next_change(&self, after: OffsetDateTime) -> Option<OffsetDateTime> {
        let roles = self.compiled.iter().flat_map(|r| &r.blocks).map(|b| &b.guard);
        let guards =
            roles.chain(self.grants.iter().map(|g| &g.guard)).chain(self.denies.iter().map(|d| &d.guard));
        guards.filter_map(|g| g.next_change(after)).min()
    }

    /// Every principal that any fact names.
    pub fn principals(&self) -> &[PrincipalId] {
        &self.principals
    }

    /// The groups a principal is in, directly or through groups.
    pub fn groups_of(&self, who: PrincipalId) -> Vec<PrincipalId> {
        let Some(number) = self.numbers.get(&who) else { return Vec::new() };
        self.closures[*number as usize].iter().filter(|g| *g != number).map(|g| self.principal(*g)).collect()
    }

    /// The groups that anybody may be in, because nobody can read who is.
    pub fn uncertain_groups(&self) -> impl Iterator<Item = PrincipalId> {
        self.uncertain.iter().copied()
    }

    /// Looks a caller up once, for many decisions.
    pub fn identity<'w>(&self, who: impl Into<Who<'w>>) -> Identity<'_> {
        let Who { principals: who, circumstances } = who.into();
        if let [only] = who
            && let Some(number) = self.numbers.get(only)
        {
            let closure = Cow::Borrowed(self.closures[*number as usize].as_slice());
            return Identity { closure, direct: Cow::Borrowed(std::slice::from_ref(number)), circumstances };
        }
        let direct: Vec<u32> = who.iter().filter_map(|p| self.numbers.get(p).copied()).collect();
        let mut closure: Vec<u32> =
            direct.iter().flat_map(|p| &self.closures[*p as usize]).copied().collect();
        closure.sort_unstable();
        closure.dedup();
        let (closure, direct) = (Cow::Owned(closure), Cow::Owned(direct));
        Identity { closure, direct, circumstances }
    }

    /// Decides one request without attributes; see [`Snapshot::decide_with`].
    pub fn decide<'w>(&self, who: impl Into<Who<'w>>, op: &str, scope: &Scope) -> Decision {
        self.decide_with(who, op, scope, &Attributes::none())
    }

    /// Decides one request: deny assignments first, then grants from the scope outward, nearest first. An operation
    /// that is not in the universe is nobody's.
    pub fn decide_with<'w>(
        &self,
        who: impl Into<Who<'w>>,
        op: &str,
        scope: &Scope,
        attributes: &Attributes,
    ) -> Decision {
        match self.universe.find(op) {
            Some(op) => self.decide_op(&self.identity(who), op, (scope, &scope.key()), attributes),
            None => Decision::Missing { action: op.to_owned(), condition_unmet: None },
        }
    }

    /// The inner form of [`Snapshot::decide_with`], for callers that ask the same question many times. `key` is
    /// [`Scope::key`].
    pub fn decide_op(
        &self,
        me: &Identity<'_>,
        op: OpId,
        (scope, key): (&Scope, &str),
        attributes: &Attributes,
    ) -> Decision {
        let (lower, known) = (self.universe.lower(op), me.known(attributes));
        let (mut allowed, mut condition_unmet) = (None, None);
        for at in self.tree.above(scope, key) {
            let Some(place) = self.places.get(at) else { continue };
            for deny in self.denies_of(place) {
                let here = at == key || !deny.assignment.only_here;
                if here && deny.bits.has(op) && deny.names(&me.closure) && !deny.spares(lower, known) {
                    return Decision::Denied {
                        deny_assignment: deny.assignment.name,
                        display_name: deny.assignment.display_name.clone(),
                        at: deny.assignment.scope.clone(),
                    };
                }
            }
            if allowed.is_some() {
                continue;
            }
            // What is theirs directly is named before what they have through a group.
            let groups = me.closure.iter().filter(|p| !me.direct.contains(p));
            'granted: for principal in me.direct.iter().chain(groups) {
                for entry in self.entries_of(place, *principal) {
                    if !self.compiled[entry.role as usize].any.has(op) {
                        continue;
                    }
                    let grant = &self.grants[entry.grant as usize];
                    match grant.grants(op, lower, known) {
                        Some(true) => {
                            allowed = Some(grant);
                            break 'granted;
                        }
                        Some(false) => {}
                        None => condition_unmet = condition_unmet.or(Some(grant.name)),
                    }
                }
            }
        }
        match allowed {
            Some(grant) => {
                let direct = me.direct.contains(&grant.principal);
                Decision::Allowed {
                    assignment: grant.name,
                    at: Arc::clone(&grant.at),
                    role: grant.role,
                    via_group: (!direct).then(|| self.holder(grant)),
                }
            }
            None => Decision::Missing { action: self.universe.name(op).to_owned(), condition_unmet },
        }
    }

    /// Everything a caller may do at a scope.
    pub(crate) fn rights(&self, me: &Identity<'_>, key: &str, attributes: &Attributes) -> Bits {
        let known = me.known(attributes);
        let mut bits = Bits::empty(self.universe.len());
        for (_, place) in self.places_above(key) {
            for entry in me.closure.iter().flat_map(|p| self.entries_of(place, *p)) {
                self.grants[entry.grant as usize].collect(&self.universe, known, &mut bits);
            }
        }
        if bits.is_empty() {
            return bits;
        }
        for (at, place) in self.places_above(key) {
            for deny in self.denies_of(place) {
                if (at != key && deny.assignment.only_here) || !deny.names(&me.closure) {
                    continue;
                }
                let mut denied = Bits::empty(self.universe.len());
                let ops = deny.bits.iter().filter(|o| !deny.spares(self.universe.lower(*o), known));
                ops.for_each(|o| denied.set(o));
                bits.subtract(&denied);
            }
        }
        bits
    }

    /// All grants that apply to a caller, wherever they are.
    pub(crate) fn grants_to(&self, me: &Identity<'_>) -> impl Iterator<Item = &Grant> {
        me.closure.iter().flat_map(|p| {
            let from = self.grants.partition_point(|g| g.principal < *p);
            self.grants[from..].iter().take_while(move |g| g.principal == *p)
        })
    }

    /// All deny assignments that name a caller, wherever they are.
    pub(crate) fn denies_to(&self, me: &Identity<'_>) -> impl Iterator<Item = &Deny> {
        self.denies.iter().filter(|d| d.names(&me.closure))
    }

    pub(crate) fn grant_allows(&self, grant: &Grant, op: OpId, known: Known<'_>) -> bool {
        grant.grants(op, self.universe.lower(op), known) == Some(true)
    }

    pub(crate) fn deny_forbids(&self, deny: &Deny, op: OpId, known: Known<'_>) -> bool {
        deny.bits.has(op) && !deny.spares(self.universe.lower(op), known)
    }

    pub(crate) fn grants_anything(&self, grant: &Grant) -> bool {
        !grant.compiled.any.is_empty()
    }

    /// Whether a principal is a person or service, or a group in which there is one.
    pub(crate) fn reaches_somebody(&self, who: PrincipalId) -> bool {
        let Some(number) = self.numbers.get(&who) else { return false };
        (0u32..)
            .zip(&self.closures)
            .any(|(p, closure)| !self.groups[p as usize] && closure.binary_search(number).is_ok())
    }

    fn places_above<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a str, &'a Place)> {
        self.tree.upward(key).filter_map(|at| self.places.get(at).map(|place| (at, place)))
    }

    fn entries_of(&self, place: &Place, principal: u32) -> &[Entry] {
        if place.marks & mark(principal) == 0 {
            return &[];
        }
        self.held.get(&holding(place, principal)).map_or(&[], |at| part(&self.entries, at))
    }

    fn denies_of(&self, place: &Place) -> impl Iterator<Item = &Deny> {
        part(&self.forbidding, &place.denies).iter().map(|d| &self.denies[*d as usize])
    }

    /// Who has been given a grant.
    pub(crate) fn holder(&self, grant: &Grant) -> PrincipalId {
        self.principal(grant.principal)
    }

    fn principal(&self, number: u32) -> PrincipalId {
        self.principals[number as usize]
    }
}

/// One of 64 bits.
fn mark(principal: u32) -> u64 {
    1 << (principal % u64::BITS)
}

fn holding(place: &Place, principal: u32) -> Holding {
    u64::from(place.number) << 32 | u64::from(principal)
}

/// Puts more at the end of a list; where it is now.
fn append<T>(list: &mut Vec<T>, more: Vec<T>) -> Range<u32> {
    let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let from = number(list.len());
    list.extend(more);
    from..number(list.len())
}

fn part<'a, T>(list: &'a [T], at: &Range<u32>) -> &'a [T] {
    &list[at.start as usize..at.end as usize]
}

#[derive(Default)]
struct Interner {
    numbers: HashMap<PrincipalId, u32, RandomState>,
    principals: Vec<PrincipalId>,
}

impl Interner {
    fn number(&mut self, id: PrincipalId) -> u32 {
        *self.numbers.entry(id).or_insert_with(|| {
            self.principals.push(id);
            u32::try_from(self.principals.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

/// A principal and every group above it. Groups that contain each other are fine: each is visited once.
fn closure(start: u32, parents: &[Vec<u32>]) -> Vec<u32> {
    let mut seen = HashSet::from([start]);
    let mut todo = vec![start];
    while let Some(at) = todo.pop() {
        todo.extend(parents[at as usize].iter().filter(|g| seen.insert(**g)));
    }
    let mut all: Vec<u32> = seen.into_iter().collect();
    all.sort_unstable();
    all
}
