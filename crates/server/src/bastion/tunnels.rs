//! Streams that were asked for, until their machines have dialled back: whoever asks waits here, the machine's link
//! ([`crate::link`]) takes what is asked and sends it as a ticket, and the connection that comes back is handed over.
//!
//! All of it is of this process: a stream leads through the server that the machine's link is with.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sekisho_arm::{ArmError, CallerRef, Scope};
use sekisho_link::ticket::Target;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::app::Agents;

/// How long a machine has to end what runs in a login; all of a session ends within a second.
const CUT: Duration = Duration::from_millis(700);
/// How long a machine has to dial back.
const COME: Duration = Duration::from_secs(15);

/// A stream, as its server end sees it.
pub(crate) type Stream = TokioIo<Upgraded>;

/// What a ticket is to be made of.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The stream's id.
    pub(crate) id: Uuid,
    /// The machine.
    pub(crate) machine: Scope,
    /// Where on it.
    pub(crate) target: Target,
    /// How long at most, in seconds.
    pub(crate) seconds: u32,
    /// For whom.
    pub(crate) caller: CallerRef,
    /// What the log tells of it beside.
    pub(crate) about: Value,
}

struct Awaited {
    machine: Scope,
    answer: oneshot::Sender<Result<Stream, String>>,
}

/// What is asked of machines and has not come yet.
#[derive(Default)]
pub(crate) struct Tunnels(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Not sent yet, by the machine's key.
    wishes: HashMap<String, Vec<Wish>>,
    /// Not come yet.
    awaited: HashMap<Uuid, Awaited>,
    /// To be ended, and not sent yet, by the machine's key.
    cuts: HashMap<String, Vec<Uuid>>,
    /// To be ended, and who waits for that.
    ending: HashMap<Uuid, (Scope, oneshot::Sender<u32>)>,
}

impl Tunnels {
    /// Opens a stream.
    ///
    /// # Errors
    /// 409 `MachineNotConnected`; 502 `TargetNotReachable` in the machine's own words; 504 when it does not come.
    pub(crate) async fn open(&self, agents: &Agents, wish: Wish) -> Result<Stream, ArmError> {
        let key = wish.machine.key();
        if !agents.is_live(&key) {
            let text = "The machine has no link to this server at the moment. See its page for when it was last heard of.";
            return Err(ArmError::new(409, "MachineNotConnected", text));
        }
        let (answer, come) = oneshot::channel();
        let waiting = Waiting { tunnels: self, id: wish.id, key: key.clone() };
        self.ask(wish, answer);
        agents.wake(&key);
        let come = timeout(COME, come).await;
        drop(waiting);
        match come {
            Ok(Ok(Ok(stream))) => Ok(stream),
            Ok(Ok(Err(reason))) => {
                Err(ArmError::new(502, "TargetNotReachable", format!("Not opened: {reason}.")))
            }
            Ok(Err(_)) | Err(_) => {
                let text = "The machine did not open the connection in time. Try again.";
                Err(ArmError::new(504, "GatewayTimeout", text))
            }
        }
    }

    /// Has a machine end a stream with everything that runs in its login. Returns how many processes that were; none when it
    /// does not say so in time.
    pub(crate) async fn cut(&self, agents: &Agents, machine: &Scope, id: Uuid) -> Option<u32> {
        let key = machine.key();
        if !agents.is_live(&key) {
            return None;
        }
        let (answer, said) = oneshot::channel();
        {
            let mut kept = self.lock();
            kept.ending.insert(id, (machine.clone(), answer));
            kept.cuts.entry(key.clone()).or_default().push(id);
        }
        agents.wake(&key);
        let said = timeout(CUT, said).await;
        let mut kept = self.lock();
        kept.ending.remove(&id);
        // A link that broke meanwhile has not taken it.
        if let Some(cuts) = kept.cuts.get_mut(&key) {
            cuts.retain(|cut| *cut != id);
            if cuts.is_empty() {
                kept.cuts.remove(&key);
            }
        }
        drop(kept);
        said.ok()?.ok()
    }

    /// What a machine is to end, to be sent now.
    pub(crate) fn take_cuts(&self, key: &str) -> Vec<Uuid> {
        self.lock().cuts.remove(key).unwrap_or_default()
    }

    /// A machine says that a stream has ended, and how many processes with it.
    pub(crate) fn was_cut(&self, machine: &Scope, id: Uuid, processes: u32) {
        let mut kept = self.lock();
        if kept.ending.get(&id).is_some_and(|(of, _)| of == machine)
            && let Some((_, answer)) = kept.ending.remove(&id)
        {
            // Nobody may be waiting any more.
            let _ = answer.send(processes);
        }
    }

    fn ask(&self, wish: Wish, answer: oneshot::Sender<Result<Stream, String>>) {
        let mut kept = self.lock();
        kept.awaited.insert(wish.id, Awaited { machine: wish.machine.clone(), answer });
        kept.wishes.entry(wish.machine.key()).or_default().push(wish);
    }

    /// What is asked of a machine, to be sent now.
    pub(crate) fn take(&self, key: &str) -> Vec<Wish> {
        self.lock().wishes.remove(key).unwrap_or_default()
    }

    /// A machine says that a stream does not come.
    pub(crate) fn refused(&self, machine: &Scope, id: Uuid, reason: &str) {
        if let Some(awaited) = self.awaited(machine, id) {
            // Nobody may be waiting any more.
            let _ = awaited.answer.send(Err(reason.chars().take(200).collect()));
        }
    }

    /// Whether a machine is to dial back with this id.
    pub(crate) fn expects(&self, machine: &Scope, id: Uuid) -> bool {
        self.lock().awaited.get(&id).is_some_and(|a| a.machine == *machine)
    }

    /// A machine has dialled back.
    pub(crate) fn come(&self, machine: &Scope, id: Uuid, stream: Upgraded) {
        if let Some(awaited) = self.awaited(machine, id) {
            let _ = awaited.answer.send(Ok(TokioIo::new(stream)));
        }
    }

    /// Of this machine only: one must not answer in the place of another.
    fn awaited(&self, machine: &Scope, id: Uuid) -> Option<Awaited> {
        let mut kept = self.lock();
        let mine = kept.awaited.get(&id).is_some_and(|a| a.machine == *machine);
        if mine { kept.awaited.remove(&id) } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what nobody waits for any more, however the waiting ends.
struct Waiting<'t> {
    tunnels: &'t Tunnels,
    id: Uuid,
    key: String,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut kept = self.tunnels.lock();
        kept.awaited.remove(&self.id);
        if let Some(wishes) = kept.wishes.get_mut(&self.key) {
            wishes.retain(|w| w.id != self.id);
            if wishes.is_empty() {
                kept.wishes.remove(&self.key);
            }
        }
    }
}
