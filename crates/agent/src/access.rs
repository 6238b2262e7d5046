//! Just-in-time access on this machine: guarded ports become part of the packet filter, and what is open is kept as it
//! should be. How long is decided by [`sekisho_jit::agent`], which remembers through [`State`]; the kernel counts.

use std::time::Duration;

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use sekisho_jit::agent::{Now, openings};
use sekisho_jit::part::{GuardedPort, JitPart, OpenGrant, Transport};
use sekisho_jit::settings;
use sekisho_nsg::guard::{self, Existing, Guard, Opening};
use sekisho_nsg::policy::{InterfaceName, MacAddress, NicPolicy, NsgPart};

use crate::facts;
use crate::state::State;

fn transport(transport: Transport) -> guard::Transport {
    match transport {
        Transport::Tcp => guard::Transport::Tcp,
        Transport::Udp => guard::Transport::Udp,
    }
}

fn guarded(port: &GuardedPort) -> Guard {
    let existing = match port.existing {
        settings::Existing::Cut => Existing::Cut,
        settings::Existing::Drain => Existing::Drain,
    };
    Guard { protocol: transport(port.protocol), port: port.port, existing }
}

/// The policy with the ports that are guarded. An interface without any security group is filtered only there.
pub(crate) fn with_guards(mut part: NsgPart, access: &JitPart) -> anyhow::Result<NsgPart> {
    for nic in access.nics.iter().filter(|nic| !nic.ports.is_empty()) {
        let guards: Vec<Guard> = nic.ports.iter().map(guarded).collect();
        if let Some(policy) = part.nics.iter_mut().find(|p| p.interface.as_str() == nic.interface) {
            policy.guarded = guards;
            continue;
        }
        let interface = InterfaceName::new(nic.interface.clone()).context("a guarded interface")?;
        let mac = nic.mac.as_deref().and_then(|m| MacAddress::parse(m).ok());
        let (inbound, outbound) = (Vec::new(), Vec::new());
        part.nics.push(NicPolicy { mac, interface, inbound, outbound, guarded: guards, logged: false });
    }
    Ok(part)
}

/// What stays open when a document could not be put in force: nothing new, and nothing that it closes.
pub(crate) fn narrowed(before: &JitPart, after: &JitPart) -> JitPart {
    let known = |g: &&OpenGrant| {
        before.grants.iter().any(|b| (b.mark, b.protocol, b.port) == (g.mark, g.protocol, g.port))
    };
    let grants = after.grants.iter().filter(known).cloned().collect();
    JitPart { nics: before.nics.clone(), grants }
}

/// What is to be open now. Whatever is begun is remembered on disk before it is opened. `server` is the server's time in
/// milliseconds since 1970, once it has been heard.
pub(crate) fn now_open(state: &State, access: &JitPart, server: Option<i64>) -> anyhow::Result<Vec<Opening>> {
    if access.grants.is_empty() && state.ledger()?.ends.is_empty() {
        return Ok(Vec::new());
    }
    let clock = clock_gettime(ClockId::CLOCK_BOOTTIME).context("the clock since boot")?;
    let since_boot = u64::try_from(Duration::from(clock).as_millis()).unwrap_or(u64::MAX);
    let now = Now { boot: facts::boot_id(), since_boot, server };
    let ledger = state.ledger()?;
    let (open, remembered) = openings(&access.grants, &ledger, &now);
    if remembered != ledger {
        state.keep_ledger(&remembered)?;
    }
    let all = open.iter().flat_map(|o| {
        let left = Duration::from_millis(o.ends.saturating_sub(since_boot));
        let grant = o.grant;
        grant.sources.iter().map(move |source| Opening {
            protocol: transport(grant.protocol),
            port: grant.port,
            source: *source,
            mark: grant.mark,
            left,
        })
    });
    Ok(all.collect())
}

/// Has the kernel hold exactly what is to be open. When it cannot be told, everything is closed.
pub(crate) fn converge(part: &NsgPart, openings: &[Opening]) -> anyhow::Result<()> {
    match guard::converge(part, openings) {
        Ok(changed) => {
            if changed > 0 {
                tracing::info!(open = openings.len(), changed, "what is open has changed");
            }
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, "the kernel cannot be told what is open; everything that is guarded is closed");
            guard::close(part).context("closing what is guarded")?;
            Err(error).context("telling the kernel what is open")
        }
    }
}
