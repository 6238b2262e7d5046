//! By which certificates RDP servers of machines are known again. They are nobody's but their own most often, so the first one
//! that a machine shows is taken for its own, and another one is refused until somebody says that the first is to be
//! forgotten.

use ring::digest::{SHA256, digest};
use sekisho_arm::resource::instant;
use sekisho_arm::{ArmError, Scope};
use sekisho_bastion::desktop::{self, Pin};
use sekisho_link::join::Hex;

use crate::app::App;
use crate::authn::Caller;

/// What is known of the certificate of an RDP server.
#[derive(Debug, Clone)]
pub(super) struct Known {
    machine: Scope,
    port: u16,
    pin: Option<Pin>,
}

fn changed(pin: &Pin, shown: &str) -> ArmError {
    let text = format!(
        "The machine shows another certificate at port {} than the one by which it is known since {}: '{shown}', and not '{}'. \
         Somebody else may answer in its place. If it was replaced, have the known one forgotten (forgetDesktopCertificate).",
        pin.port,
        instant(pin.since),
        pin.fingerprint
    );
    ArmError::new(409, "DesktopCertificateChanged", text)
}

impl Known {
    /// What is known of a port of a machine.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) async fn of(app: &App, machine: &Scope, port: u16) -> Result<Known, ArmError> {
        let pin = desktop::pin(&mut app.store.read().await?, machine, port).await?;
        Ok(Known { machine: machine.clone(), port, pin })
    }

    /// How a certificate is told from others.
    pub(super) fn fingerprint(certificate: &[u8]) -> String {
        Hex(digest(&SHA256, certificate).as_ref()).to_string()
    }

    /// Whether it is the one that is known, or the first.
    pub(super) fn is(&self, fingerprint: &str) -> bool {
        self.pin.as_ref().is_none_or(|pin| pin.fingerprint == fingerprint)
    }

    /// What is said when it is not.
    pub(super) fn changed(&self, shown: &str) -> ArmError {
        self.pin.as_ref().map_or_else(ArmError::internal, |pin| changed(pin, shown))
    }

    /// Takes the first one for the machine's own.
    ///
    /// # Errors
    /// Those of the database; 409 when another one was the first meanwhile.
    pub(super) async fn keep(self, app: &App, caller: &Caller, fingerprint: &str) -> Result<(), ArmError> {
        if self.pin.is_some() {
            return Ok(());
        }
        let (fingerprint, by) = (fingerprint.to_owned(), caller.name.clone());
        app.store
            .write::<_, ArmError, _>(move |tx| {
                Box::pin(async move {
                    let Known { machine, port, .. } = self;
                    match desktop::pin(tx.as_read(), &machine, port).await? {
                        Some(pin) if pin.fingerprint != fingerprint => Err(changed(&pin, &fingerprint)),
                        Some(_) => Ok(()),
                        None => {
                            let since = tx.now();
                            let pin = Pin { machine: machine.to_string(), port, fingerprint, since, by };
                            Ok(desktop::keep(tx, &pin).await?)
                        }
                    }
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn the_first_certificate_is_taken_and_no_other_after_it() {
        let machine = Scope::parse("/subscriptions/3e2c7a1e-0000-4000-8000-000000000001/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/db").unwrap();
        let (one, other) = (Known::fingerprint(b"one"), Known::fingerprint(b"other"));
        let unknown = Known { machine: machine.clone(), port: 3389, pin: None };
        assert!(unknown.is(&one) && unknown.is(&other));
        let pin = Pin {
            machine: machine.to_string(),
            port: 3389,
            fingerprint: one.clone(),
            since: OffsetDateTime::UNIX_EPOCH,
            by: "jun@example.com".to_owned(),
        };
        let known = Known { pin: Some(pin), ..unknown };
        assert!(known.is(&one) && !known.is(&other));
        let refused = known.changed(&other);
        assert_eq!((refused.status, refused.code.as_str()), (409, "DesktopCertificateChanged"));
        assert!(refused.message.contains(&other) && refused.message.contains(&one), "{}", refused.message);
    }
}
