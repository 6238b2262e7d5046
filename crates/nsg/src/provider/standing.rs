//! What the packet filters of a subscription are at one moment, and which statements its invariants make then.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use sekisho_arm::{ArmError, Listing, Read, Resource, Scope};
use serde_json::Value;

use super::compiler::{Whose, World};
use super::{invariants, lookup};
use crate::invariant::{Alike, Statement, Traffic};
use crate::policy::{Addresses, Direction, NicPolicy};
use crate::resolve::{Inputs, NicInput, NicResolver, policies};
use crate::resources::{AddressSpec, Enforcement, Invariant, InvariantSpec, Peer, Selection, from_body};

/// All of it.
pub(super) struct Standing {
    interfaces: Vec<Interface>,
    /// What names in invariants are looked up in.
    inputs: Inputs,
    /// The tags of machines, names in lower case, by the machine.
    tags: HashMap<Scope, BTreeMap<String, Value>>,
    pub(super) invariants: Vec<Kept>,
}

/// An interface of a machine.
pub(super) struct Interface {
    pub(super) id: Scope,
    pub(super) addresses: Vec<IpAddr>,
    machine: Scope,
    /// Nothing when it cannot be made: the machine keeps what it has.
    pub(super) policy: Option<NicPolicy>,
    input: Option<NicInput>,
}

/// An invariant as it is kept.
pub(super) struct Kept {
    pub(super) id: Scope,
    pub(super) enforcement: Enforcement,
    pub(super) spec: InvariantSpec,
}

impl Kept {
    /// Reads a kept invariant.
    ///
    /// # Errors
    /// When it does not parse.
    pub(super) fn of(resource: &Resource) -> Result<Kept, ArmError> {
        let typed: Invariant = from_body(&Value::Object(resource.rest.clone()))?;
        let spec = typed.validate(resource.id.name())?;
        Ok(Kept { id: resource.id.clone(), enforcement: typed.properties.enforcement, spec })
    }

    /// The machines that it can be about are in this scope.
    fn scope(&self) -> Scope {
        self.id.resource().map_or(Scope::Tenant, |id| id.base_scope().clone())
    }
}

/// The invariants of a subscription.
pub(super) async fn invariants_of(read: &mut dyn Read, around: &Scope) -> Result<Vec<Kept>, ArmError> {
    let all = read.list(&Listing::of(around, &invariants::type_name())).await?;
    all.iter().map(Kept::of).collect()
}

impl Standing {
    /// What is so now. Where only a `behind` group can change anything, only of the interfaces behind it.
    ///
    /// # Errors
    /// Those of the database; an invariant that does not parse.
    pub(super) async fn of(
        read: &mut dyn Read,
        around: &Scope,
        invariants: Vec<Kept>,
        behind: Option<&Scope>,
    ) -> Result<Standing, ArmError> {
        let named =
            invariants.iter().flat_map(|kept| kept.spec.tags().map(|(_, tag)| tag.to_ascii_lowercase()));
        let world =
            World::load_with(read, around, behind.map_or(Whose::Everybodys, Whose::Behind), named.collect())
                .await?;
        let mut interfaces = Vec::new();
        let mut known = Vec::new();
        for nic in &world.nics {
            let Some(machine) = lookup::reference(nic, "virtualMachine") else { continue };
            let input = world.input(nic).ok();
            if behind.is_some_and(|group| !input.as_ref().is_some_and(|input| input.is_behind(group))) {
                continue;
            }
            let addresses = lookup::addresses_of(&lookup::nic(nic)?);
            known.extend(input.clone());
            interfaces.push(Interface { id: nic.id.clone(), addresses, machine, policy: None, input });
        }
        let inputs = world.inputs(known, Some(around));
        let made = policies(&inputs).map(Result::ok);
        for (interface, policy) in interfaces.iter_mut().filter(|i| i.input.is_some()).zip(made) {
            interface.policy = policy;
        }
        let by_tag = |peer: &Peer| matches!(peer, Peer::Machines(Selection::Tags(_)));
        let mut tags = HashMap::new();
        if invariants.iter().any(|i| by_tag(&i.spec.source) || by_tag(&i.spec.destination)) {
            for vm in read.list(&Listing::of(around, &sekisho_link::machine::vm_type())).await? {
                let of = vm.tags.unwrap_or_default().into_iter();
                tags.insert(vm.id, of.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect());
            }
        }
        Ok(Standing { interfaces, inputs: Inputs { nics: Vec::new(), ..inputs }, tags, invariants })
    }

    /// The interfaces of machines.
    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// The interfaces that have an address.
    pub(super) fn with_address(&self, address: IpAddr) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter().filter(move |i| i.addresses.contains(&address))
    }

    /// What an invariant says: one statement for each meaning that its tag has. `None` when the tag is gone.
    pub(super) fn statements(&self, kept: &Kept) -> Option<Vec<Statement>> {
        let InvariantSpec { must, protocol, source, destination, source_ports, destination_ports } =
            &kept.spec;
        let statement = |addresses: (Addresses, Addresses), sources, destinations| Statement {
            must: *must,
            packets: Traffic {
                protocol: *protocol,
                source: addresses.0,
                destination: addresses.1,
                source_ports: source_ports.clone(),
                destination_ports: destination_ports.clone(),
            },
            sources,
            destinations,
        };
        let outbound = |list: &[Selected<'_>]| Some(alike(list, Direction::Outbound));
        let inbound = |list: &[Selected<'_>]| Some(alike(list, Direction::Inbound));
        let scope = kept.scope();
        Some(match (source, destination) {
            (Peer::Machines(from), Peer::Machines(to)) => {
                let (from, to) = (self.selected(&scope, from), self.selected(&scope, to));
                vec![statement((Addresses::Any, Addresses::Any), outbound(&from), inbound(&to))]
            }
            (Peer::Elsewhere(from), Peer::Machines(to)) => {
                let meanings = self.meanings(self.selected(&scope, to), from)?.into_iter();
                meanings.map(|(from, to)| statement((from, Addresses::Any), None, inbound(&to))).collect()
            }
            (Peer::Machines(from), Peer::Elsewhere(to)) => {
                let meanings = self.meanings(self.selected(&scope, from), to)?.into_iter();
                meanings.map(|(to, from)| statement((Addresses::Any, to), outbound(&from), None)).collect()
            }
            (Peer::Elsewhere(_), Peer::Elsewhere(_)) => Vec::new(),
        })
    }

    /// How many interfaces an invariant is about, and of how many of them it is not known what they enforce.
    pub(super) fn concerned(&self, kept: &Kept) -> (usize, usize) {
        let scope = kept.scope();
        let mut all: Vec<&Interface> = Vec::new();
        for peer in [&kept.spec.source, &kept.spec.destination] {
            if let Peer::Machines(selection) = peer {
                all.extend(self.meant(&scope, selection));
            }
        }
        all.sort_by_key(|i| i.id.key());
        all.dedup_by_key(|i| i.id.key());
        (all.len(), all.iter().filter(|i| i.policy.is_none()).count())
    }

    fn meant<'a>(
        &'a self,
        scope: &'a Scope,
        selection: &'a Selection,
    ) -> impl Iterator<Item = &'a Interface> {
        let is_selected = move |i: &&Interface| match selection {
            Selection::Tags(wanted) => {
                let has = self.tags.get(&i.machine);
                wanted.iter().all(|(name, value)| {
                    has.is_some_and(|tags| tags.get(&name.to_ascii_lowercase()).is_some_and(|v| v == value))
                })
            }
            Selection::Members(groups) => {
                i.input.as_ref().is_some_and(|input| groups.iter().any(|g| input.groups.contains(g)))
            }
        };
        self.interfaces.iter().filter(move |i| scope.contains(&i.machine)).filter(is_selected)
    }

    /// Of those that are meant, the ones whose policy is known.
    fn selected<'a>(&'a self, scope: &'a Scope, selection: &'a Selection) -> Vec<Selected<'a>> {
        self.meant(scope, selection).filter_map(|i| Some((i, i.policy.as_ref()?))).collect()
    }

    /// What the other side means for each interface; those for which it means the same are together. `None` when a tag
    /// is gone.
    fn meanings<'a>(
        &'a self,
        machines: Vec<Selected<'a>>,
        elsewhere: &AddressSpec,
    ) -> Option<Vec<(Addresses, Vec<Selected<'a>>)>> {
        let mut out: Vec<(Addresses, Vec<Selected<'a>>)> = Vec::new();
        for (interface, policy) in machines {
            let Some(nic) = &interface.input else { continue };
            let addresses = match elsewhere {
                AddressSpec::Any => Addresses::Any,
                AddressSpec::Prefixes(nets) => Addresses::Only(nets.clone()),
                AddressSpec::Tag(tag) => Addresses::Only(NicResolver { inputs: &self.inputs, nic }.tag(tag)?),
                // Groups are machines.
                AddressSpec::Groups(_) => return None,
            };
            match out.iter_mut().find(|(known, _)| *known == addresses) {
                Some((_, list)) => list.push((interface, policy)),
                None => out.push((addresses, vec![(interface, policy)])),
            }
        }
        Some(out)
    }
}

type Selected<'a> = (&'a Interface, &'a NicPolicy);

/// Interfaces that filter a direction alike, together.
fn alike(machines: &[Selected<'_>], direction: Direction) -> Vec<Alike> {
    let mut out: Vec<Alike> = Vec::new();
    for (interface, policy) in machines {
        match out.iter_mut().find(|a| same_rules(&a.policy, policy, direction)) {
            Some(known) => known.own.extend(&interface.addresses),
            None => out.push(Alike { policy: (*policy).clone(), own: interface.addresses.clone() }),
        }
    }
    out
}

/// Whether two policies ask the same rules.
pub(super) fn same_rules(a: &NicPolicy, b: &NicPolicy, direction: Direction) -> bool {
    let platform = direction == Direction::Inbound || a.platform == b.platform;
    let (a, b) = (a.stages(direction), b.stages(direction));
    platform
        && a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| a.nsg == b.nsg && a.audit == b.audit && a.rules == b.rules)
}
