//! This machine's SSH server and the bastion: that it trusts whom the server says ([`install`]), that a ticket's login, and
//! nothing else, is let in ([`principals`]), and to accounts that are for whoever logs in ([`permit`]), and that nothing of a
//! login goes on that was ended ([`running`]).

mod accounts;
mod install;
mod principals;
mod running;

use std::sync::Arc;
use std::time::Duration;

use sekisho_bastion::part::SshPart;
use sekisho_link::facts;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

pub(crate) use accounts::permit;
pub(crate) use principals::{Entry, Principals};
pub(crate) use running::{Connection, end};

use crate::state::State;

/// How long a program of the SSH server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The SSH server is looked at this often, beside every change of what is wanted.
const CHECK: Duration = Duration::from_secs(60);

/// What was found when the SSH server was looked at.
#[derive(Debug, Clone, PartialEq)]
enum Look {
    NotYet,
    /// `None`: there is no OpenSSH server.
    Found(Option<facts::Ssh>),
}

/// What the SSH server is wanted to trust, and what is known of it. A task of its own looks at it: its programs may take as
/// long as they want, and nothing waits for them.
pub(crate) struct Ssh {
    wanted: watch::Sender<Option<SshPart>>,
    found: watch::Receiver<Look>,
    task: JoinHandle<()>,
}

impl Ssh {
    /// Looks at the SSH server for as long as this lives, and brings it to trust whom `part` says.
    pub(crate) fn start(state: State, part: Option<SshPart>) -> Ssh {
        let keeper = Arc::new(install::Keeper::new(state));
        Ssh::with(part, move |part| {
            let keeper = keeper.clone();
            async move { keeper.converge(part.as_ref()).await }
        })
    }

    fn with<F>(part: Option<SshPart>, look: impl Fn(Option<SshPart>) -> F + Send + 'static) -> Ssh
    where
        F: Future<Output = Option<facts::Ssh>> + Send + 'static,
    {
        let (wanted, told) = watch::channel(part);
        let (find, found) = watch::channel(Look::NotYet);
        Ssh { wanted, found, task: tokio::spawn(keep(look, told, find)) }
    }

    /// Has the SSH server trust whom this says from now on.
    pub(crate) fn want(&self, part: Option<&SshPart>) {
        self.wanted.send_if_modified(|wanted| {
            let differs = wanted.as_ref() != part;
            if differs {
                *wanted = part.cloned();
            }
            differs
        });
    }

    /// Until something else is known than before.
    pub(crate) async fn changed(&mut self) {
        if self.found.changed().await.is_err() {
            // Nobody looks any more, so that nothing changes.
            std::future::pending().await
        }
    }

    /// What the server is told; none while that is not known.
    pub(crate) fn facts(&self) -> Option<Option<facts::Ssh>> {
        match &*self.found.borrow() {
            Look::NotYet => None,
            Look::Found(ssh) => Some(ssh.clone()),
        }
    }

    /// The port of a server that lets in who comes through a bastion.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn port(&self) -> Result<u16, String> {
        let distrusts = || "the SSH server does not trust the bastion".to_owned();
        // What was found may be from before nobody was to be trusted any more.
        if self.wanted.borrow().is_none() {
            return Err(distrusts());
        }
        match &*self.found.borrow() {
            Look::NotYet => Err("the agent has not looked at the SSH server yet".to_owned()),
            Look::Found(None) => Err("there is no OpenSSH server on the machine".to_owned()),
            Look::Found(Some(facts::Ssh { trusts: true, port, .. })) => Ok(*port),
            Look::Found(Some(ssh)) => Err(ssh.problem.clone().unwrap_or_else(distrusts)),
        }
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep<F: Future<Output = Option<facts::Ssh>>>(
    look: impl Fn(Option<SshPart>) -> F,
    mut wanted: watch::Receiver<Option<SshPart>>,
    found: watch::Sender<Look>,
) {
    let mut check = interval(CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            _ = check.tick() => {}
        }
        let part = wanted.borrow_and_update().clone();
        let now = Look::Found(look(part).await);
        found.send_if_modified(|before| {
            let differs = *before != now;
            if let Look::Found(Some(facts::Ssh { problem: Some(problem), .. })) = &now
                && differs
            {
                tracing::warn!(problem, "nobody is let in who comes through a bastion over SSH");
            }
            *before = now;
            differs
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Mutex, mpsc};

    use super::*;

    fn part(authority: &str) -> SshPart {
        SshPart { authorities: vec![authority.to_owned()], ..SshPart::default() }
    }

    #[tokio::test]
    async fn nobody_waits_while_the_ssh_server_is_looked_at_and_what_is_wanted_last_is_what_comes_true() {
        let (asked, mut asks) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::channel::<facts::Ssh>(1);
        let answers = Arc::new(Mutex::new(answers));
        let mut ssh = Ssh::with(Some(part("a")), move |part| {
            let (asked, answers) = (asked.clone(), answers.clone());
            async move {
                let _ = asked.send(part);
                answers.lock().await.recv().await
            }
        });
        assert_eq!(asks.recv().await.unwrap(), Some(part("a")));
        // It is being looked at, and that lasts.
        assert_eq!(ssh.facts(), None);
        assert!(ssh.port().unwrap_err().contains("not looked"));
        ssh.want(Some(&part("b")));
        ssh.want(Some(&part("c")));
        answer.send(facts::Ssh { trusts: true, port: 2222, ..facts::Ssh::default() }).await.unwrap();
        ssh.changed().await;
        assert_eq!(ssh.port(), Ok(2222));
        assert_eq!(asks.recv().await.unwrap(), Some(part("c")));
        // As soon as nobody is to be trusted, nobody is let in, whatever was found before.
        ssh.want(None);
        assert!(ssh.port().is_err());
        let problem = Some("somebody else's".to_owned());
        answer.send(facts::Ssh { problem: problem.clone(), ..facts::Ssh::default() }).await.unwrap();
        ssh.changed().await;
        assert_eq!(ssh.facts().unwrap().unwrap().problem, problem);
        assert_eq!(asks.recv().await.unwrap(), None);
    }
}
