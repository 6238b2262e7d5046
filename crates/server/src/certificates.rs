//! Which certificate is shown to whom. Agents and joining machines always see the installation's own, because they pin
//! its authority; browsers and `az` see the one that the operator brought, if any.
//!
//! Both are renewed while the server runs: its own when it nears its end, the operator's when its files change.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use sekisho_link::Current;
use sekisho_link::pki::{Authorities, Identity, PkiError};
use sekisho_link::served::Served;
use sekisho_link::tls;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use crate::app::App;
use crate::config::{CertificateFiles, Config};
use crate::keys::{self, KeyError};
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

/// The certificates in use, and the authorities that are trusted.
pub(crate) struct Certificates {
    own: Arc<Served>,
    clients: Arc<Served>,
    agents: Arc<Current<ServerConfig>>,
    /// The authorities by which agents' certificates are taken, PEM.
    trusted: Current<String>,
    pin: Arc<Current<[u8; 32]>>,
}

impl Certificates {
    /// Those to begin with. `server` is the installation's own.
    ///
    /// # Errors
    /// [`CertificateError`] naming the file.
    pub(crate) fn load(
        config: &Config,
        server: &Identity,
        authorities: &Authorities,
    ) -> Result<Certificates, CertificateError> {
        let own = |e| CertificateError::Content(config.data_dir.join("keys/server.pem"), e);
        let of_authority = |e| CertificateError::Content(config.data_dir.join("keys/ca.pem"), e);
        let own = Arc::new(Served::new(server).map_err(own)?);
        let clients = match &config.certificate {
            None => own.clone(),
            Some(files) => {
                let brought = Served::new(&read(files)?);
                Arc::new(brought.map_err(|e| CertificateError::Content(files.chain.clone(), e))?)
            }
        };
        let trusted = authorities.bundle();
        let agents = tls::server_for_agents(&trusted, own.clone()).map_err(of_authority)?;
        let pin = authorities.signing().pin().map_err(of_authority)?;
        Ok(Certificates {
            own,
            clients,
            agents: Arc::new(Current::new(agents)),
            trusted: Current::new(trusted),
            pin: Arc::new(Current::new(pin)),
        })
    }

    /// What browsers and `az` see.
    pub(crate) fn clients(&self) -> Arc<Served> {
        self.clients.clone()
    }

    /// The pin of the authority that signs, for join strings.
    pub(crate) fn pin(&self) -> Arc<Current<[u8; 32]>> {
        self.pin.clone()
    }

    /// The listeners' TLS.
    ///
    /// # Errors
    /// When the provider offers no usable version of TLS.
    pub(crate) fn tls(&self) -> Result<Tls, PkiError> {
        Ok(Tls {
            clients: Arc::new(tls::server_for_clients(self.clients.clone())?),
            joining: Arc::new(tls::server_for_joining(self.own.clone())?),
            agents: self.agents.clone(),
        })
    }

    /// Takes agents' certificates by these authorities, and no others, from the next connection on.
    ///
    /// # Errors
    /// When they cannot be read; those before stay then.
    pub(crate) fn trust(&self, authorities: &Authorities) -> Result<(), PkiError> {
        let (trusted, pin) = (authorities.bundle(), authorities.signing().pin()?);
        if *self.trusted.get() != trusted {
            // Sessions of before are not resumed: it is a new configuration that remembers none.
            self.agents.put(tls::server_for_agents(&trusted, self.own.clone())?);
            self.trusted.put(trusted);
        }
        self.pin.put(pin);
        Ok(())
    }

    /// Shows what is to be shown now: another certificate when the one before nears its end or is by another authority,
    /// and what the operator brought.
    ///
    /// # Errors
    /// [`CertificateError`]; what was shown stays then.
    pub(crate) async fn renew(&self, app: &App) -> Result<(), CertificateError> {
        let config = &app.config;
        let own = keys::current_server(&app.store, config, &app.keys.get().authorities).await?;
        exchange(&self.own, &own, &config.data_dir.join("keys/server.pem"))?;
        match &config.certificate {
            Some(files) => exchange(&self.clients, &read(files)?, &files.chain),
            None => Ok(()),
        }
    }
}

/// Renews what has to be renewed, for as long as the server runs: every minute, and at once on SIGHUP.
pub(crate) async fn keep(app: Arc<App>) {
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
        let failed = app.certificates.renew(&app).await.err().map(|e| e.to_string());
        if let Some(error) = failed.as_ref().filter(|_| failed != told) {
            tracing::error!(%error, "the certificate stays as it is");
        }
        told = failed;
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
