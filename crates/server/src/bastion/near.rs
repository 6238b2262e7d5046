//! Hosts near machines, by their addresses (Azure's IP-based connection): a machine whose own list leads there carries the
//! bytes. Whoever asks must be able to log in to that machine as an administrator, who could go there from it anyway.

use std::net::{IpAddr, SocketAddr};

use sekisho_arm::{ArmError, Read, Resource, Scope};
use sekisho_bastion::host::BastionHost;
use sekisho_bastion::near;
use sekisho_bastion::provider::{self, LOGIN_RIGHTS};
use sekisho_link::reach::leads_to;

use crate::app::App;
use crate::authn::Caller;

/// What stands before an address in what `az network bastion tunnel --target-ip-address` sends as the id of a resource.
const PREFIX: &str = "/providers/Microsoft.Network/bh-hostConnect/";

/// The address that is asked for, if an id stands for one.
pub(super) fn address(id: &str) -> Option<IpAddr> {
    let at = id.to_ascii_lowercase().find(&PREFIX.to_ascii_lowercase())?;
    id.get(at + PREFIX.len()..)?.parse().ok()
}

fn unreachable() -> ArmError {
    let text = "No machine that this bastion host reaches, and to which you may log in as an administrator, leads to this \
                address and port.";
    ArmError::new(404, "BastionTargetNotReachable", text)
}

/// The machine by which somebody goes to an address: one that is connected before one that is not.
///
/// # Errors
/// 404 when there is none for them.
pub(super) async fn machine(
    app: &App,
    read: &mut (dyn Read + '_),
    caller: &Caller,
    host: &Resource,
    to: SocketAddr,
) -> Result<Scope, ArmError> {
    let settings = BastionHost::of(host)?;
    let (snapshot, who) = (app.access.snapshot(), app.access.acting(caller));
    let mut away = None;
    for (key, list) in near::all(read).await? {
        let Ok(machine) = Scope::parse(&key) else { continue };
        let is_for_them =
            leads_to(&list, to) && snapshot.decide(&who, LOGIN_RIGHTS[1], &machine).is_allowed();
        if !is_for_them || !provider::reaches(read, (&host.id, &settings), &machine).await? {
            continue;
        }
        if app.agents.is_live(&key) {
            return Ok(machine);
        }
        away.get_or_insert(machine);
    }
    away.ok_or_else(unreachable)
}

/// Whether somebody may go on to an address by a machine, to which they may log in as an administrator or not.
///
/// # Errors
/// 400 when the host does not do it; 403 and 404, as everywhere.
pub(super) async fn may(
    read: &mut (dyn Read + '_),
    settings: &BastionHost,
    (caller, administrator): (&Caller, bool),
    (machine, to): (&Scope, SocketAddr),
) -> Result<(), ArmError> {
    if !settings.leads_by_address() {
        let text =
            "This bastion host leads to no addresses: set enableIpConnect, with SKU Standard or Premium.";
        return Err(ArmError::bad("BastionIpConnectDisabled", text));
    }
    if !administrator {
        let text = format!(
            "The client '{}' may not go on from '{machine}': it needs the data action '{}' there.",
            caller.name, LOGIN_RIGHTS[1]
        );
        return Err(ArmError::new(403, "AuthorizationFailed", text));
    }
    if !leads_to(&near::of(read, machine).await?, to) {
        return Err(unreachable());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_for_an_address_only_in_the_form_in_which_az_sends_one() {
        let id = |rest: &str| format!("/subscriptions/s/resourceGroups/g{rest}");
        for (rest, there) in [
            ("/providers/Microsoft.Network/bh-hostConnect/10.0.5.7", Some("10.0.5.7")),
            ("/providers/microsoft.network/bh-hostconnect/fd00::7", Some("fd00::7")),
            ("/providers/Microsoft.Network/bh-hostConnect/", None),
            ("/providers/Microsoft.Network/bh-hostConnect/home", None),
            ("/providers/Microsoft.Network/bh-hostConnect/10.0.5.7/x", None),
            ("/providers/Microsoft.Compute/virtualMachines/10.0.5.7", None),
        ] {
            assert_eq!(address(&id(rest)), there.map(|text| text.parse().unwrap()), "{rest}");
        }
    }
}
