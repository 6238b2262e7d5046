//! How a machine's OpenSSH server comes to trust the bastion: a few files below `/etc/ssh`, among them one that its
//! configuration includes (source: sshd_config(5)).
//!
//! [`plan`] says what is to be written, from what is wanted and what is there. Nothing that somebody else has set is
//! overruled: where the server trusts another authority already, or knows names of certificates from elsewhere, that is
//! said instead.

use std::collections::{BTreeMap, BTreeSet};

use crate::part::SshPart;

/// The included file, below `/etc/ssh`. OpenSSH takes the first value it finds, hence the number.
pub const DROP_IN: &str = "sshd_config.d/00-sekisho.conf";
/// The directory of the others, below `/etc/ssh`.
pub const DIRECTORY: &str = "sekisho";
/// Where the names are that are let in, by account. Gone with every boot.
pub const PRINCIPALS: &str = "/run/sekisho-ssh/principals";

const AUTHORITIES: &str = "sekisho/authorities";
const REVOKED: &str = "sekisho/revoked";

/// The values of a server's configuration that matter here, as `sshd -T` tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    /// Where it listens.
    pub port: u16,
    /// The files of its host keys.
    pub host_keys: Vec<String>,
    /// The file with its process id.
    pub pid_file: Option<String>,
    trusted_user_ca_keys: Option<String>,
    authorized_principals_file: Option<String>,
    revoked_keys: Option<String>,
}

impl Effective {
    /// Reads what `sshd -T` says.
    pub fn parse(text: &str) -> Effective {
        let mut out = Effective::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(' ') else { continue };
            let value = value.trim();
            let set = || (value != "none").then(|| value.to_owned());
            match key.to_ascii_lowercase().as_str() {
                "port" if out.port == 0 => out.port = value.parse().unwrap_or_default(),
                "hostkey" => out.host_keys.push(value.to_owned()),
                "pidfile" => out.pid_file = set(),
                "trustedusercakeys" => out.trusted_user_ca_keys = set(),
                "authorizedprincipalsfile" => out.authorized_principals_file = set(),
                "revokedkeys" => out.revoked_keys = set(),
                _ => {}
            }
        }
        out
    }

    /// Whether it does what the included file says.
    pub fn is_ours(&self) -> bool {
        let ours = |value: &Option<String>, own: String| value.as_ref() == Some(&own);
        ours(&self.trusted_user_ca_keys, path(AUTHORITIES))
            && ours(&self.authorized_principals_file, format!("{PRINCIPALS}/%u"))
            && ours(&self.revoked_keys, path(REVOKED))
    }

    /// What somebody else has set that stands in the way.
    fn conflict(&self) -> Option<&'static str> {
        let others = |value: &Option<String>, own: &str| value.as_ref().is_some_and(|v| !v.contains(own));
        if others(&self.trusted_user_ca_keys, AUTHORITIES) {
            return Some("TrustedUserCAKeys");
        }
        if others(&self.authorized_principals_file, PRINCIPALS) {
            return Some("AuthorizedPrincipalsFile");
        }
        others(&self.revoked_keys, REVOKED).then_some("RevokedKeys")
    }
}

fn path(name: &str) -> String {
    format!("/etc/ssh/{name}")
}

/// What is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The files of this module, by their names below `/etc/ssh`.
    pub files: BTreeMap<String, String>,
    /// The configuration.
    pub effective: Effective,
    /// Those of the files which the server reads only when it starts ([`read_at_start`]), as it is known to have read them:
    /// what stands on the disk may be from an agent that died before it had the server read it.
    pub confirmed: BTreeMap<String, String>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files to write, by their names below `/etc/ssh`, before anything else.
    pub write: BTreeMap<String, String>,
    /// Files to remove, after everything else.
    pub remove: BTreeSet<String>,
    /// The included file: `Some(None)` when it is to go.
    pub drop_in: Option<Option<String>>,
    /// Whether the server must read its configuration again.
    pub reload: bool,
}

impl Plan {
    /// Whether everything is as it should be.
    pub fn is_nothing(&self) -> bool {
        *self == Plan::default()
    }
}

/// Somebody else's configuration stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SSH server's configuration sets {0} already; the bastion would need it")]
pub struct Conflict(pub &'static str);

/// What is to be done so that the server trusts whom it is to trust; nobody, when there is no part.
///
/// # Errors
/// [`Conflict`]; nothing is to be done then.
pub fn plan(part: Option<&SshPart>, observed: &Observed) -> Result<Plan, Conflict> {
    let wanted = match part {
        None => BTreeMap::new(),
        Some(part) => {
            if let Some(key) = observed.effective.conflict() {
                return Err(Conflict(key));
            }
            files(part)
        }
    };
    let differs = |name: &&String| observed.files.get(*name) != wanted.get(*name);
    let mut out = Plan { reload: read_at_start(&wanted) != observed.confirmed, ..Plan::default() };
    let names: BTreeSet<&String> = wanted.keys().chain(observed.files.keys()).collect();
    for name in names.into_iter().filter(differs) {
        out.reload |= is_read_at_start(name);
        match wanted.get(name) {
            text if name == DROP_IN => out.drop_in = Some(text.cloned()),
            Some(text) => {
                out.write.insert(name.clone(), text.clone());
            }
            None => {
                out.remove.insert(name.clone());
            }
        }
    }
    Ok(out)
}

/// Authorities and revoked keys are read at every login; what else there is when the server starts.
fn is_read_at_start(name: &str) -> bool {
    ![AUTHORITIES, REVOKED].contains(&name)
}

/// Those of our files that the server reads only when it starts.
pub fn read_at_start(files: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = files.iter().filter(|(name, _)| is_read_at_start(name));
    own.map(|(name, text)| (name.clone(), text.clone())).collect()
}

fn files(part: &SshPart) -> BTreeMap<String, String> {
    let lines = |all: &[String]| all.iter().map(|line| format!("{}\n", line.trim())).collect::<String>();
    let mut out = BTreeMap::from([
        (AUTHORITIES.to_owned(), lines(&part.authorities)),
        (REVOKED.to_owned(), lines(&part.revoked)),
    ]);
    let mut drop_in = format!(
        "# Kept by the Sekisho agent: who comes through a bastion is let in by certificates for seconds.\n\
         TrustedUserCAKeys {}\nAuthorizedPrincipalsFile {PRINCIPALS}/%u\nRevokedKeys {}\n",
        path(AUTHORITIES),
        path(REVOKED)
    );
    for (n, certificate) in part.host_certificates.iter().enumerate() {
        let name = format!("{DIRECTORY}/host-{n}-cert.pub");
        drop_in.push_str(&format!("HostCertificate {}\n", path(&name)));
        out.insert(name, format!("{}\n", certificate.trim()));
    }
    out.insert(DROP_IN.to_owned(), drop_in);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "port 22\nhostkey /etc/ssh/ssh_host_ed25519_key\npidfile /run/sshd.pid\n\
                        trustedusercakeys none\nauthorizedprincipalsfile none\nrevokedkeys none\n";

    fn part() -> SshPart {
        SshPart { authorities: vec!["ssh-ed25519 AAAA".to_owned()], ..SshPart::default() }
    }

    /// What is there once a plan is done.
    fn done(plan: &Plan, mut observed: Observed) -> Observed {
        observed.files.extend(plan.write.clone());
        observed.files.retain(|name, _| !plan.remove.contains(name));
        match &plan.drop_in {
            Some(Some(text)) => {
                observed.files.insert(DROP_IN.to_owned(), text.clone());
                let told = text.replace("TrustedUserCAKeys", "trustedusercakeys");
                observed.effective = Effective::parse(&told);
            }
            Some(None) => {
                observed.files.remove(DROP_IN);
                observed.effective = Effective::parse(BARE);
            }
            None => {}
        }
        if plan.reload {
            observed.confirmed = read_at_start(&observed.files);
        }
        observed
    }

    fn bare() -> Observed {
        Observed { effective: Effective::parse(BARE), ..Observed::default() }
    }

    #[test]
    fn what_is_done_is_done_once_and_undone_without_a_trace() {
        let bare = bare();
        assert!(!bare.effective.is_ours());
        let first = plan(Some(&part()), &bare).unwrap();
        assert!(first.reload && first.drop_in.is_some());
        let there = done(&first, bare.clone());
        assert!(there.effective.is_ours());
        assert!(plan(Some(&part()), &there).unwrap().is_nothing());
        // Another authority is heard of without a reload, a host certificate is not.
        let mut next = part();
        next.authorities.push("ssh-ed25519 BBBB".to_owned());
        assert!(!plan(Some(&next), &there).unwrap().reload);
        next.host_certificates.push("ssh-ed25519-cert-v01@openssh.com CCCC".to_owned());
        assert!(plan(Some(&next), &there).unwrap().reload);
        // Somebody has changed a file.
        let mut changed = there.clone();
        changed.files.insert(AUTHORITIES.to_owned(), "ssh-ed25519 MALLORY\n".to_owned());
        assert_eq!(plan(Some(&part()), &changed).unwrap().write.len(), 1);
        let gone = done(&plan(None, &there).unwrap(), there);
        assert_eq!(gone, bare);
    }

    #[test]
    fn what_was_written_by_an_agent_that_died_before_the_server_read_it_is_read_all_the_same() {
        let there = done(&plan(Some(&part()), &bare()).unwrap(), bare());
        let unread = Observed { confirmed: BTreeMap::new(), ..there.clone() };
        assert_eq!(plan(Some(&part()), &unread).unwrap(), Plan { reload: true, ..Plan::default() });
        // It died after it had removed everything.
        let unread = Observed { confirmed: there.confirmed, ..bare() };
        assert_eq!(plan(None, &unread).unwrap(), Plan { reload: true, ..Plan::default() });
    }

    #[test]
    fn what_somebody_else_has_set_is_left_alone() {
        for key in ["TrustedUserCAKeys", "AuthorizedPrincipalsFile", "RevokedKeys"] {
            let set = format!("{key} /etc/ssh/own\n");
            let observed = Observed { effective: Effective::parse(&set), ..Observed::default() };
            assert_eq!(plan(Some(&part()), &observed), Err(Conflict(key)));
            assert!(plan(None, &observed).unwrap().is_nothing());
        }
    }
}
