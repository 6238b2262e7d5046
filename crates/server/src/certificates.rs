//! Which certificate is shown to whom. Agents and joining machines always see the installation's own, because they pin
//! its authority; browsers and `az` see the one that the operator brought, if any.
//!
//! Both are renewed while the server runs: its own when it nears its end, the operator's when its files change.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_link::pki::{Identity, PkiError};
use sekisho_link::served::Served;
use sekisho_link::tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use crate::app::App;
use crate::config::{CertificateFiles, Config};
use crate::keys::{self, KeyError, Keys};
use crate::listen::Tls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// A certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// Everybody on the machine can read the key.
    #[error("{0} can be read by everybody (mode {1:o}); run 'chmod o-rwx' on it")]
    Open(PathBuf, u32),
    /// Certificate and key do not fit or cannot be read.
    #[error("{0}: {1}")]
    Content(PathBuf, PkiError),
    /// The installation's own cannot be made.
    #[error("{0}")]
    Own(#[from] KeyError),
}

/// The certificates in use.
pub(crate) struct Certificates {
    own: Arc<Served>,
    clients: Arc<Served>,
}

impl Certificates {
    /// Those to begin with.
    ///
    /// # Errors
    /// [`CertificateError`] naming the file.
    pub(crate) fn load(config: &Config, keys: &Keys) -> Result<Certificates, CertificateError> {
        let own = |e| CertificateError::Content(config.data_dir.join("keys/server.pem"), e);
        let own = Arc::new(Served::new(&keys.server).map_err(own)?);
        let clients = match &config.certificate {
            None => own.clone(),
            Some(files) => {
                let brought = Served::new(&read(files)?);
                Arc::new(brought.map_err(|e| CertificateError::Content(files.chain.clone(), e))?)
            }
        };
        Ok(Certificates { own, clients })
    }

    /// What browsers and `az` see.
    pub(crate) fn clients(&self) -> Arc<Served> {
        self.clients.clone()
    }

    /// The listeners' TLS. `ca` is the certificate of the installation's authority.
    ///
    /// # Errors
    /// When `ca` cannot be read.
    pub(crate) fn tls(&self, ca: &str) -> Result<Tls, PkiError> {
        Ok(Tls {
            clients: Arc::new(tls::server_for_clients(self.clients.clone())?),
            joining: Arc::new(tls::server_for_joining(self.own.clone())?),
            agents: Arc::new(tls::server_for_agents(ca, self.own.clone())?),
        })
    }

    /// Renews what has to be renewed, for as long as the server runs: every minute, and at once on SIGHUP.
    pub(crate) async fn keep(self, app: Arc<App>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Ok(mut asked) = signal(SignalKind::hangup()) else { return };
        let mut told = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = asked.recv() => told = None,
            }
            // An error is told once, not every minute.
            let failed = self.renew(&app).await.err().map(|e| e.to_string());
            if let Some(error) = failed.as_ref().filter(|_| failed != told) {
                tracing::error!(%error, "the certificate stays as it is");
            }
            told = failed;
        }
    }

    async fn renew(&self, app: &App) -> Result<(), CertificateError> {
        let config = &app.config;
        let own = keys::current_server(&app.store, config, &app.authority).await?;
        exchange(&self.own, &own, &config.data_dir.join("keys/server.pem"))?;
        match &config.certificate {
            Some(files) => exchange(&self.clients, &read(files)?, &files.chain),
            None => Ok(()),
        }
    }
}

fn exchange(served: &Served, identity: &Identity, path: &Path) -> Result<(), CertificateError> {
    if served.exchange(identity).map_err(|e| CertificateError::Content(path.to_owned(), e))? {
        tracing::info!(file = %path.display(), "a new certificate is shown from now on");
    }
    Ok(())
}

/// The certificate that the operator brought.
///
/// # Errors
/// [`CertificateError`] naming the file; its content is never repeated.
pub(crate) fn read(files: &CertificateFiles) -> Result<Identity, CertificateError> {
    let text = |path: &Path| {
        std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|e| CertificateError::File(path.to_owned(), e))
    };
    let mode = std::fs::metadata(&files.key)
        .map_err(|e| CertificateError::File(files.key.clone(), e))?
        .permissions()
        .mode();
    if mode & 0o007 != 0 {
        return Err(CertificateError::Open(files.key.clone(), mode & 0o777));
    }
    Ok(Identity { certificate: text(&files.chain)?.to_string(), key: text(&files.key)? })
}
