//! What is done about a policy or a request that cannot be read back, which only another version, or somebody with the
//! database in their hands, can have written. It opens nothing, what it guarded stays guarded, and machines that it does
//! not name are not concerned.

use std::collections::BTreeMap;

use sekisho_arm::traits::{read_document, read_documents};
use sekisho_arm::{Read, Resource, Scope, StoreError};
use sekisho_link::DesiredDocument;
use sekisho_link::machine::{Desired, kind};
use serde_json::Value;

use super::compiler::{Ports, transports};
use super::{policies, requests};
use crate::part::{JitPart, PART};
use crate::resources::{MAX_MACHINES, Policy, Protocol, machine_id};
use crate::settings::Existing;

/// The policies and requests that cannot be read, by their ids.
///
/// # Errors
/// Those of the database.
pub async fn unreadable(read: &mut (dyn Read + '_)) -> Result<Vec<String>, StoreError> {
    let all = policies(read, &Scope::Tenant).await?;
    let cannot = |p: &&Resource| Policy::parse(&Value::Object(p.properties())).is_err();
    let mut names: Vec<String> = all.iter().filter(cannot).map(|p| p.id.to_string()).collect();
    names.extend(requests::unreadable(read).await?);
    Ok(names)
}

/// What an unreadable policy goes on guarding: on the machines that it still names, or on every machine that guards
/// anything when that cannot be told, what is guarded there now, and what can still be read of it.
pub(super) async fn guarded(
    read: &mut (dyn Read + '_),
    policy: &Resource,
) -> Result<BTreeMap<String, (Scope, Ports)>, StoreError> {
    let mut out = BTreeMap::new();
    if let Some(named) = named(&Value::Object(policy.properties())) {
        for (id, mut ports) in named {
            let kept: Option<Desired> = read_document(read, kind::DESIRED, &id.key()).await?;
            ports.extend(kept.as_ref().map(guarded_by).unwrap_or_default());
            out.insert(id.key(), (id, ports));
        }
        return Ok(out);
    }
    for (key, kept) in read_documents::<Desired>(read, kind::DESIRED).await? {
        let ports = guarded_by(&kept);
        if let Ok(id) = Scope::parse(&key)
            && !ports.is_empty()
        {
            out.insert(key, (id, ports));
        }
    }
    Ok(out)
}

/// The machines that `properties` name, each with the ports that can be read; `None` when it cannot be told which they are.
fn named(properties: &Value) -> Option<Vec<(Scope, Ports)>> {
    let machines = properties.get("virtualMachines")?.as_array()?;
    let machine = |machine: &Value| {
        let id = machine_id(machine.get("id")?.as_str()?, "").ok()?;
        let ports = machine.get("ports").and_then(Value::as_array).into_iter().flatten();
        Some((id, ports.filter_map(port).flatten().collect()))
    };
    (machines.len() <= MAX_MACHINES).then(|| machines.iter().map(machine).collect())?
}

fn port(port: &Value) -> Option<impl Iterator<Item = ((crate::part::Transport, u16), Existing)>> {
    let number = u16::try_from(port.get("number")?.as_u64()?).ok()?;
    let protocol = port.get("protocol").and_then(Value::as_str);
    let protocol = protocol.and_then(|p| Protocol::try_from(p.to_owned()).ok()).unwrap_or(Protocol::Any);
    Some(transports(protocol).iter().map(move |transport| ((*transport, number), Existing::Cut)))
}

/// What a machine guards by the document that it was given last.
fn guarded_by(kept: &Desired) -> Ports {
    let document: Option<DesiredDocument> = serde_json::from_str(&kept.text.document).ok();
    let part = document.and_then(|d| serde_json::from_value::<JitPart>(d.parts.get(PART)?.clone()).ok());
    let nics = part.unwrap_or_default().nics;
    nics.iter().flat_map(|nic| &nic.ports).map(|p| ((p.protocol, p.port), p.existing)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Transport;
    use serde_json::json;

    const VM: &str = "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm1";

    #[test]
    fn the_machines_and_ports_that_can_be_read_are_named_and_one_that_cannot_makes_it_nobody_knows_which() {
        let machine = |ports: Value| json!({"virtualMachines": [{"id": VM, "ports": ports}], "sekisho": 7});
        let found =
            named(&machine(json!([{"number": 22, "protocol": "TCP"}, {"number": 53}, {"number": -1}, 7])));
        let (id, ports) = found.unwrap().remove(0);
        assert_eq!(id.to_string(), VM);
        let ports: Vec<_> = ports.into_keys().collect();
        assert_eq!(ports, [(Transport::Tcp, 22), (Transport::Tcp, 53), (Transport::Udp, 53)]);
        assert!(named(&machine(json!(null))).unwrap()[0].1.is_empty());
        for nobody in [json!({}), json!({"virtualMachines": 7}), json!({"virtualMachines": [{"id": "vm1"}]})]
        {
            assert!(named(&nobody).is_none(), "{nobody}");
        }
    }
}
