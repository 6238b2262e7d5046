//! Just-in-time access on this machine: guarded ports become part of the packet filter, and what is open is kept as it
//! should be. How long is decided by [`sekisho_jit::agent`], which remembers through [`State`]; the kernel counts.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use sekisho_jit::agent::{Now, openings};
use sekisho_jit::elevation::Elevation;
use sekisho_jit::part::{GuardedPort, JitPart, OpenGrant, Transport};
use sekisho_jit::settings;
use sekisho_jit::usage::{At, Tally, Told};
use sekisho_nsg::existing::ExistingFlows;
use sekisho_nsg::guard::{self, Existing, Guard, Keeper, Opening};
use sekisho_nsg::policy::{InterfaceName, MacAddress, NicPolicy, NsgPart};
use time::OffsetDateTime;

use crate::facts;
use crate::since_boot::since_boot;
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
        let (existing_flows, logged) = (ExistingFlows::Keep, false);
        part.nics.push(NicPolicy {
            mac,
            interface,
            inbound,
            outbound,
            guarded: guards,
            existing_flows,
            platform: BTreeSet::new(),
            logged,
        });
    }
    Ok(part)
}

/// What stays open when a document could not be put in force: nothing new, and nothing that it closes.
pub(crate) fn narrowed(before: &JitPart, after: &JitPart) -> JitPart {
    let known = |g: &&OpenGrant| {
        before.grants.iter().any(|b| (b.mark, b.protocol, b.port) == (g.mark, g.protocol, g.port))
    };
    let grants = after.grants.iter().filter(known).cloned().collect();
    let given = |e: &&Elevation| before.elevations.iter().any(|b| b.mark == e.mark);
    let elevations = after.elevations.iter().filter(given).cloned().collect();
    JitPart { nics: before.nics.clone(), grants, elevations }
}

/// What grants are used for, looked at every second and told from time to time.
pub(crate) struct Usage {
    tally: Tally,
    /// The grants that were on disk last.
    kept: BTreeSet<u32>,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What grants carried, to be told now.
    pub(crate) used: Vec<Told>,
    /// The grants that nobody used for too long. They are remembered as ended, and are to be closed.
    pub(crate) idle: BTreeSet<u32>,
}

impl Usage {
    /// Goes on from what was kept. Counts that cannot be read are lost, and nothing else.
    pub(crate) fn open(state: &State) -> Usage {
        let kept =
            state.usage().inspect_err(|error| tracing::error!(%error, "what was used is counted anew"));
        Usage { tally: kept.unwrap_or_default(), kept: BTreeSet::new() }
    }

    /// Reads the kernel's counters. To be called before and after what makes the kernel count anew, too. What cannot be
    /// read is not counted: nothing else depends on it. `server` is the server's time, once it has been heard.
    pub(crate) fn look(&mut self, part: &NsgPart, access: &JitPart, server: Option<i64>) {
        if let Err(error) = self.try_look(part, access, server) {
            tracing::warn!(error = format!("{error:#}"), "the use of open ports is not counted");
        }
    }

    fn try_look(&mut self, part: &NsgPart, access: &JitPart, server: Option<i64>) -> anyhow::Result<()> {
        let open = marks(access);
        if open.is_empty() && self.tally.is_empty() {
            return Ok(());
        }
        // What is open no longer has its last counters still.
        let kernel = guard::usage(part)?;
        let own = || OffsetDateTime::now_utc().unix_timestamp() * 1000;
        let at = At { since_boot: since_boot()?, server: server.unwrap_or_else(own) };
        for mark in self.tally.look(&facts::boot_id(), &open, &kernel, at) {
            self.tally.connected(mark, guard::flows(part, mark)?);
        }
        Ok(())
    }

    /// What is to be told, and what is to be closed.
    pub(crate) fn found(&mut self, state: &State, access: &JitPart) -> anyhow::Result<Found> {
        if self.tally.is_empty() {
            return Ok(Found::default());
        }
        let now = since_boot()?;
        let mut ledger = state.ledger()?;
        let counts = |g: &&OpenGrant| ledger.ends.get(&(g.mark, g.end)).is_some_and(|ends| *ends > now);
        let counting: Vec<OpenGrant> = access.grants.iter().filter(counts).cloned().collect();
        let idle = self.tally.idle(&counting, now);
        let used = self.tally.due(&marks(access), now);
        let marks = marks(access);
        if !used.is_empty() || !idle.is_empty() || marks != self.kept {
            state.keep_usage(&self.tally)?;
            self.kept = marks;
        }
        if !idle.is_empty() {
            ledger.end(&idle, now);
            state.keep_ledger(&ledger)?;
        }
        Ok(Found { used, idle: idle.into_iter().map(|(mark, _)| mark).collect() })
    }
}

fn marks(access: &JitPart) -> BTreeSet<u32> {
    access.grants.iter().map(|g| g.mark).collect()
}

/// What is to be open now. Whatever is begun is remembered on disk before it is opened. `server` is the server's time in
/// milliseconds since 1970, once it has been heard.
pub(crate) fn now_open(state: &State, access: &JitPart, server: Option<i64>) -> anyhow::Result<Vec<Opening>> {
    if access.grants.is_empty() && state.ledger()?.ends.is_empty() {
        return Ok(Vec::new());
    }
    let since_boot = since_boot()?;
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
pub(crate) fn converge(keeper: &mut Keeper, part: &NsgPart, openings: &[Opening]) -> anyhow::Result<()> {
    match keeper.converge(part, openings) {
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
