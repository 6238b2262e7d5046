//! This machine's SSH server and the bastion: that it trusts whom the server says ([`install`]), that a ticket's login, and
//! nothing else, is let in ([`principals`]), and to accounts that are for whoever logs in ([`permit`]).

mod accounts;
mod install;
mod principals;

use std::time::Duration;

use sekisho_bastion::part::SshPart;
use sekisho_link::facts;

pub(crate) use accounts::permit;
pub(crate) use principals::{Entry, Principals};

/// How long a program of the SSH server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the SSH server.
#[derive(Default)]
pub(crate) struct Ssh {
    told: Option<facts::Ssh>,
}

impl Ssh {
    /// Brings the SSH server to trust whom it is to trust, if it does not already.
    pub(crate) async fn keep(&mut self, part: Option<&SshPart>) {
        let now = install::converge(part).await;
        if let Some(problem) = now.as_ref().and_then(|ssh| ssh.problem.as_ref())
            && self.told != now
        {
            tracing::warn!(problem, "nobody is let in who comes through a bastion over SSH");
        }
        self.told = now;
    }

    /// What the server is told.
    pub(crate) fn facts(&self) -> Option<facts::Ssh> {
        self.told.clone()
    }

    /// The port of a server that lets in who comes through a bastion.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn port(&self) -> Result<u16, String> {
        match &self.told {
            None => Err("there is no OpenSSH server on the machine".to_owned()),
            Some(facts::Ssh { trusts: true, port, .. }) => Ok(*port),
            Some(ssh) => Err(ssh
                .problem
                .clone()
                .unwrap_or_else(|| "the SSH server does not trust the bastion".to_owned())),
        }
    }
}
