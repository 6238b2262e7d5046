//! Making desired documents true: apply, confirm or revert, repair.
//!
//! The order on disk and in the kernel is what makes a crash at any step harmless:
//! 1. arm the dead man's switch, 2. write the journal (what to restore), 3. load the rules, 4. reach the server over a
//!    new connection, 5. release the switch, 6. keep the policy as confirmed, 7. clear the journal.
//!
//! Before 5 the switch restores; between 5 and 7 a restarted agent finds the journal, restores and begins again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ClientConfig;
use sekisho_agent::confirm;
use sekisho_bastion::part::SshPart;
use sekisho_jit::part::{JitPart, PART};
use sekisho_link::DesiredDocument;
use sekisho_link::hits::RuleHits;
use sekisho_link::message::{Report, ReportOutcome};
use sekisho_nsg::agent::{self, Action, Reason, Saved, observe, plan, restore};
use sekisho_nsg::compile::{Compiled, Form};
use sekisho_nsg::existing;
use sekisho_nsg::flow::{self, part::FlowPart};
use sekisho_nsg::guard;
use sekisho_nsg::policy::{InterfaceName, MacAddress, NsgPart};
use serde::Deserialize as _;
use tokio::time::{Instant, sleep};

use crate::access::{self, Found, Usage};
use crate::deadman::{self, Deadman};
use crate::facts;
use crate::fault;
use crate::since_boot;
use crate::state::{Confirmed, Journal, State};

/// What of the time the kernel may miss unnoticed, in milliseconds: its clocks are not read at one instant.
const MISSED: u64 = 100;

/// Applies and repairs. One task owns it; nothing else touches the rules.
pub(crate) struct Reconciler {
    state: State,
    confirm_seconds: u64,
    confirmed: Option<Confirmed>,
    /// The confirmed policy as the kernel shall hold it.
    desired: Option<Compiled>,
    keeper: guard::Keeper,
    usage: Usage,
    /// For how long the kernel's timeouts had not gone on when it was last told what is open, in milliseconds.
    missed: u64,
}

impl Reconciler {
    /// Brings the kernel to the last confirmed policy, whatever an earlier run left behind.
    pub(crate) async fn recover(state: State, confirm_seconds: u64) -> anyhow::Result<Self> {
        deadman::wait_for_earlier(&state).await?;
        let confirmed = state.confirmed()?;
        if let Some(journal) = state.journal()? {
            // A journal of a confirmed generation is only one that was not cleared any more.
            if confirmed.as_ref().is_none_or(|c| c.generation < journal.generation) {
                let generation = journal.generation;
                tracing::warn!(
                    generation,
                    "a change was not confirmed when the agent ended; it is taken back"
                );
                restore(&journal.saved).await.context("restoring the rules from before the change")?;
            }
            state.clear_journal()?;
        }
        let desired = confirmed.as_ref().and_then(Confirmed::compile);
        let usage = Usage::open(&state);
        let keeper = guard::Keeper::default();
        since_boot::look(&state);
        let missed = since_boot::missed()?;
        let mut own = Self { state, confirm_seconds, confirmed, desired, keeper, usage, missed };
        own.repair(None).await?;
        // An agent that died after a change may not have come to the flows from before it.
        if let Some(confirmed) = &own.confirmed
            && let Err(error) = existing::settle(None, &confirmed.part)
        {
            tracing::warn!(%error, "flows from before the rules were not judged again");
        }
        Ok(own)
    }

    /// How the newest generation ended, as far as is known: a confirmed one was applied, even when the agent died
    /// before it could note so.
    pub(crate) fn last_report(&self) -> anyhow::Result<Option<Report>> {
        let noted = self.state.report()?;
        let generation = self.generation();
        if noted.as_ref().map_or(0, |r| r.generation) >= generation {
            return Ok(noted);
        }
        Ok(Some(Report { generation, outcome: ReportOutcome::Applied, message: String::new() }))
    }

    /// The generation in force.
    pub(crate) fn generation(&self) -> u64 {
        self.confirmed.as_ref().map_or(0, |c| c.generation)
    }

    /// The policy in force, and whose flows are logged.
    pub(crate) fn confirmed(&self) -> Option<&Confirmed> {
        self.confirmed.as_ref()
    }

    /// Loads the confirmed policy again when the kernel does not hold it, and has open exactly what is to be. Returns what
    /// was wrong, if anything. `server` is the server's time, once it has been heard.
    pub(crate) async fn repair(&mut self, server: Option<i64>) -> anyhow::Result<Option<Report>> {
        let repaired = self.reload(server).await?;
        let Err(error) = self.open(server) else { return Ok(repaired) };
        // Another program may have removed the rules in between: then there is something to load again.
        let repaired = Some(self.reload(server).await?.ok_or(error)?);
        self.open(server)?;
        Ok(repaired)
    }

    /// How often the rules in force have matched; nothing where that cannot be told.
    pub(crate) async fn hits(&self) -> Vec<RuleHits> {
        let Some(Confirmed { part, .. }) = self.confirmed.as_ref().filter(|_| self.desired.is_some()) else {
            return Vec::new();
        };
        let told = agent::hits(part).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the counters of the rules could not be read");
            Vec::new()
        });
        let row = |h: agent::Hits| {
            let nic = part.nics.get(h.nic)?;
            let stage = nic.stages(h.direction).get(h.stage)?;
            Some(RuleHits {
                interface: nic.interface.to_string(),
                direction: h.direction.as_str().to_owned(),
                group: stage.nsg.clone(),
                rule: h.rule,
                audit: stage.audit,
                packets: h.packets,
                bytes: h.bytes,
            })
        };
        told.into_iter().filter(|h| h.packets > 0).filter_map(row).collect()
    }

    /// Has open exactly what is to be now.
    fn open(&mut self, server: Option<i64>) -> anyhow::Result<()> {
        let Some(confirmed) = &self.confirmed else { return Ok(()) };
        // What is set anew counts anew.
        self.usage.look(&confirmed.part, &confirmed.access, server);
        let openings = access::now_open(&self.state, &confirmed.access, server)?;
        access::converge(&mut self.keeper, &confirmed.part, &openings)?;
        self.usage.look(&confirmed.part, &confirmed.access, server);
        Ok(())
    }

    /// Looks at what is used, and closes what was not for too long, or should have ended while the machine slept or stood still:
    /// the kernel did not count then. `server` is the server's time, once it has been heard.
    pub(crate) fn look(&mut self, server: Option<i64>) -> anyhow::Result<Found> {
        let Some(confirmed) = &self.confirmed else { return Ok(Found::default()) };
        self.usage.look(&confirmed.part, &confirmed.access, server);
        let found = self.usage.found(&self.state, &confirmed.access)?;
        if !confirmed.access.grants.is_empty() {
            since_boot::look(&self.state);
        }
        let missed = since_boot::missed()?;
        if !found.idle.is_empty() || missed > self.missed + MISSED {
            self.open(server)?;
            self.missed = missed;
        }
        Ok(found)
    }

    async fn reload(&mut self, server: Option<i64>) -> anyhow::Result<Option<Report>> {
        let Some(confirmed) = &self.confirmed else { return Ok(None) };
        let generation = confirmed.generation;
        let observed = observe().await?;
        let Some(mut action) = plan(self.desired.as_mut(), observed.as_ref()) else { return Ok(None) };
        let open = access::now_open(&self.state, &confirmed.access, server)?;
        reopen(&mut action, &confirmed.part, &open);
        agent::apply(&action, self.desired.as_mut()).await?;
        // What was read of other rules stays in the diagrams they were compared with.
        self.desired = confirmed.compile();
        let what = match &action {
            Action::Load { reason: Reason::Missing, .. } => "had removed them".to_owned(),
            Action::Load { reason: Reason::Drift(difference), .. } => {
                format!("had changed them ({difference})")
            }
            Action::Load { reason: Reason::Generation, .. } | Action::Remove => "had changed them".to_owned(),
        };
        tracing::warn!(generation, "the network rules were repaired: another program {what}");
        let message = format!("Another program {what}; the network rules were loaded again.");
        let repaired = Report { generation, outcome: ReportOutcome::Repaired, message };
        // A newer generation that was given up stays the newest word; otherwise it would be tried again.
        Ok(Some(match self.state.report()?.filter(|r| r.generation > repaired.generation) {
            None => repaired,
            Some(newer) => Report { message: format!("{} {}", newer.message, repaired.message), ..newer },
        }))
    }

    /// Makes a document true and says how it ended. An error is only what the agent cannot live with.
    pub(crate) async fn apply(
        &mut self,
        document: &DesiredDocument,
        address: &str,
        tls: &Arc<ClientConfig>,
        server: Option<i64>,
    ) -> anyhow::Result<Report> {
        let generation = document.generation;
        let access = match document.parts.get(PART) {
            None => Ok(JitPart::default()),
            Some(value) => serde_json::from_value::<JitPart>(value.clone()),
        };
        // What cannot be read opens nothing.
        let wanted = access.as_ref().cloned().unwrap_or_default();
        let mut report = match access {
            Ok(access) => self.load(document, (address, tls), access).await?,
            Err(error) => {
                let message = format!("The policy of just-in-time access cannot be read: {error}.");
                Report { generation, outcome: ReportOutcome::Failed, message }
            }
        };
        if report.outcome != ReportOutcome::Applied
            && let Some(confirmed) = &mut self.confirmed
        {
            // What was to be closed is closed, whatever became of the rest.
            confirmed.access = access::narrowed(&confirmed.access, &wanted);
            self.state.keep_confirmed(confirmed)?;
        }
        if let Err(error) = self.open(server) {
            report.outcome = ReportOutcome::Failed;
            report.message =
                format!("{} Guarded ports were closed: {error:#}.", report.message).trim().to_owned();
        }
        Ok(report)
    }

    async fn load(
        &mut self,
        document: &DesiredDocument,
        (address, tls): (&str, &Arc<ClientConfig>),
        access: JitPart,
    ) -> anyhow::Result<Report> {
        let generation = document.generation;
        let report = |outcome, message: String| Report { generation, outcome, message };
        let part: NsgPart = match document.parts.get("nsg") {
            None => NsgPart::default(),
            Some(value) => match serde_json::from_value(value.clone()) {
                Ok(part) => part,
                Err(error) => {
                    return Ok(report(
                        ReportOutcome::Failed,
                        format!("The network policy cannot be read: {error}."),
                    ));
                }
            },
        };
        let flows: FlowPart = match document.parts.get(flow::part::PART).map(FlowPart::deserialize) {
            None => FlowPart::default(),
            Some(Ok(flows)) => flows,
            Some(Err(error)) => {
                let message = format!("What is to be logged cannot be read: {error}.");
                return Ok(report(ReportOutcome::Failed, message));
            }
        };
        let ssh = match document.parts.get(sekisho_bastion::part::PART).map(SshPart::deserialize) {
            None => None,
            Some(Ok(ssh)) => Some(ssh),
            Some(Err(error)) => {
                let message = format!("Whom the SSH server is to trust cannot be read: {error}.");
                return Ok(report(ReportOutcome::Failed, message));
            }
        };
        let part = match access::with_guards(part, &access) {
            Ok(part) => flow::part::with_logs(by_hardware_address(part), &flows),
            Err(error) => return Ok(report(ReportOutcome::Failed, format!("{error:#}."))),
        };
        let fresh = Confirmed { generation, part, access, flows, ssh };
        let mut desired = fresh.compile();
        let observed = observe().await?;
        let Some(action) = plan(desired.as_mut(), observed.as_ref()) else {
            self.keep(fresh, desired)?;
            return Ok(report(ReportOutcome::Applied, String::new()));
        };
        let saved = match &self.confirmed {
            Some(Confirmed { generation, part, .. }) if !part.nics.is_empty() => {
                Saved::Policy { generation: *generation, part: part.clone() }
            }
            _ => agent::save().await?,
        };
        let switch = Deadman::arm(&self.state, self.confirm_seconds + 5).await?;
        fault::point("armed");
        self.state.keep_journal(&Journal { generation, saved: saved.clone() })?;
        fault::point("journal");
        if let Err(error) = agent::apply(&action, desired.as_mut()).await {
            self.take_back(switch, &saved).await?;
            return Ok(report(ReportOutcome::Failed, format!("The kernel refused the rules: {error}.")));
        }
        fault::point("loaded");
        if let Err(error) = self.confirm(address, tls).await {
            self.take_back(switch, &saved).await?;
            let why = format!(
                "After the change no new connection to the server worked ({error:#}); the rules from before are in force again."
            );
            return Ok(report(ReportOutcome::Reverted, why));
        }
        fault::point("confirmed");
        if !switch.release().await? {
            self.state.clear_journal()?;
            let why = "The change was confirmed too late and had been taken back already.".to_owned();
            return Ok(report(ReportOutcome::Reverted, why));
        }
        fault::point("released");
        let message = forms(desired.as_ref());
        let before = self.confirmed.as_ref().map(|c| c.part.clone()).unwrap_or_default();
        self.keep(fresh, desired)?;
        fault::point("kept");
        self.state.clear_journal()?;
        fault::point("cleared");
        // Only now: what is taken back must have ended nobody's connection.
        match self.confirmed.as_ref().map(|c| existing::settle(Some(&before), &c.part)) {
            Some(Err(error)) => {
                let why =
                    format!("The rules are in force; flows from before were not judged again: {error}.");
                Ok(report(ReportOutcome::Failed, why))
            }
            _ => Ok(report(ReportOutcome::Applied, message)),
        }
    }

    fn keep(&mut self, confirmed: Confirmed, desired: Option<Compiled>) -> anyhow::Result<()> {
        self.state.keep_confirmed(&confirmed)?;
        (self.confirmed, self.desired) = (Some(confirmed), desired);
        Ok(())
    }

    async fn take_back(&self, switch: Deadman, saved: &Saved) -> anyhow::Result<()> {
        restore(saved).await.context("restoring the rules from before the change")?;
        switch.release().await?;
        self.state.clear_journal()?;
        Ok(())
    }

    /// Tries new connections until one works or the time is over.
    async fn confirm(&self, address: &str, tls: &Arc<ClientConfig>) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(self.confirm_seconds);
        loop {
            let attempt = tokio::time::timeout_at(deadline, confirm::probe(address, tls.clone())).await;
            match attempt {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if Instant::now() + Duration::from_secs(1) >= deadline => return Err(error),
                Ok(Err(_)) => sleep(Duration::from_millis(500)).await,
                Err(_) => anyhow::bail!("none was answered within {} s", self.confirm_seconds),
            }
        }
    }
}

/// What is worth knowing of how the rules are held; nothing when every rule is counted at constant cost.
fn forms(desired: Option<&Compiled>) -> String {
    let mut told = Vec::new();
    for form in desired.map(Compiled::forms).unwrap_or_default() {
        let what = match form.form {
            Form::Rules => continue,
            Form::Actions => {
                format!("its {} rules are not counted (diagram of {} edges)", form.rules, form.edges)
            }
            Form::Linear => format!("each new flow is compared with its {} rules one by one", form.rules),
        };
        told.push(format!("{} at {} {}: {what}.", form.nsg, form.interface, form.direction.as_str()));
    }
    told.join(" ")
}

/// Opens what is to be open in the transaction that makes a table that is gone, so that no connection falls into a gap.
/// A table that is there keeps what is open in it.
fn reopen(action: &mut Action, part: &NsgPart, open: &[guard::Opening]) {
    if let Action::Load { transactions, reason: Reason::Missing } = action
        && let Some(last) = transactions.last_mut()
    {
        last.push_str(&guard::reopening(part, open));
    }
}

/// Follows interfaces that were renamed: a NIC is known by its hardware address, its name is only what it was called
/// when the server last heard of it.
fn by_hardware_address(mut part: NsgPart) -> NsgPart {
    let present = facts::interfaces();
    for nic in &mut part.nics {
        let Some(mac) = &nic.mac else { continue };
        let named = |(name, _): &&(String, String)| name == nic.interface.as_str();
        if present.iter().find(named).is_some_and(|(_, m)| MacAddress::parse(m).is_ok_and(|m| m == *mac)) {
            continue;
        }
        let moved = present.iter().find(|(_, m)| MacAddress::parse(m).is_ok_and(|m| m == *mac));
        if let Some(Ok(name)) = moved.map(|(name, _)| InterfaceName::new(name.clone())) {
            nic.interface = name;
        }
    }
    part
}
