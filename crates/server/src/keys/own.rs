//! The server's own certificate: its key is in the ring, so that servers of one name show the same one, and renewed when
//! it nears its end.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sekisho_arm::Read as _;
use sekisho_identity::ring::{Algorithm, Key, KeyRing, Label, Purpose};
use sekisho_link::pki::{self, Authorities, Authority, Identity, LINK_NAME};
use sekisho_store::Store;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use super::files::{Files, SERVER};
use super::rotate::rotated;
use super::{KeyError, Roots, rows, sealed};
use crate::app::App;
use crate::config::Config;

/// The server's certificate is renewed when less than this remains of it.
const RENEW_BEFORE: Duration = Duration::days(30);

/// The names that a certificate is for, addresses in one spelling.
fn names_of(certificate: &str) -> BTreeSet<String> {
    let ders = pki::certificates(certificate).unwrap_or_default();
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|a| a.to_string()),
        _ => None,
    };
    let names = ders.first().and_then(|der| {
        let (_, leaf) = X509Certificate::from_der(der).ok()?;
        let names = leaf.subject_alternative_name().ok()??;
        Some(names.value.general_names.iter().filter_map(name).collect())
    });
    names.unwrap_or_default()
}

fn wanted(names: &[String]) -> BTreeSet<String> {
    let spelt = |name: &str| match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.to_ascii_lowercase(),
    };
    names.iter().map(|name| spelt(name)).chain([LINK_NAME.to_owned()]).collect()
}

/// The newest one for these names that is good for long enough and by this authority, whose certificate follows it.
fn fitting<'r>(
    ring: &'r KeyRing,
    names: &[String],
    authority: &Authority,
    now: OffsetDateTime,
) -> Option<&'r Key> {
    let (names, issuer) = (wanted(names), pki::certificates(authority.certificate()).ok()?);
    let good = |key: &Key| pki::not_after(&key.public).is_ok_and(|end| end - now > RENEW_BEFORE);
    let issued = |key: &Key| pki::certificates(&key.public).is_ok_and(|all| all.get(1) == issuer.first());
    let fitting = ring.living().filter(|key| names_of(&key.public) == names && good(key) && issued(key));
    fitting.last()
}

/// The label of a certificate.
pub(super) fn label(certificate: &str, active: OffsetDateTime) -> Label {
    Label {
        id: Uuid::new_v4().to_string(),
        purpose: Purpose::ServerTls,
        algorithm: Algorithm::Es256,
        public: certificate.to_owned(),
        active,
    }
}

/// The certificate as it is, or a new one in its place when it nears its end, is for other names or by another authority
/// than the one that signs. All authorities that are trusted follow it.
///
/// # Errors
/// [`KeyError`].
pub(crate) async fn current(
    store: &Store,
    config: &Config,
    authorities: &Authorities,
) -> Result<Identity, KeyError> {
    let authority = authorities.signing();
    let (ring, now) = {
        let mut read = store.read().await?;
        (rows::of(&mut read, Purpose::ServerTls).await?, read.now())
    };
    let key = match fitting(&ring, &config.certificate_names(), authority, now) {
        Some(key) => key.clone(),
        None => replace(store, config, authority, Replacing::Due).await?,
    };
    let pem = Roots::read(config)?.open(&key)?;
    let pem = std::str::from_utf8(&pem).map_err(|_| KeyError::Unusable(Purpose::ServerTls))?;
    let certificate = format!("{}\n{}", pki::leaf(&key.public), authorities.chain());
    Files::of(&config.data_dir).keep(SERVER, &certificate)?;
    Ok(Identity { certificate, key: Zeroizing::new(pem.to_owned()) })
}

/// Replaces the key and the certificate for the names of this server, for whoever is root on it.
///
/// # Errors
/// [`KeyError`].
pub(super) async fn rotate(app: &App, destroy_old: bool) -> Result<(), KeyError> {
    let how = Replacing::Asked { destroy_old };
    replace(&app.store, &app.config, app.keys.get().authorities.signing(), how).await.map(drop)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replacing {
    Due,
    Asked { destroy_old: bool },
}

async fn replace(
    store: &Store,
    config: &Config,
    authority: &Authority,
    how: Replacing,
) -> Result<Key, KeyError> {
    let names = config.certificate_names();
    let made = authority.server(&names, OffsetDateTime::now_utc());
    let made = made.map_err(|e| KeyError::Make(Purpose::ServerTls, e.to_string()))?;
    let roots = Roots::read(config)?;
    store
        .write::<_, KeyError, _>(move |tx| {
            Box::pin(async move {
                let now = tx.now();
                let all = rows::all(tx.as_read()).await?;
                let root = roots.named(rows::root_of(&all).unwrap_or_default())?;
                let fresh = sealed(root, label(&made.certificate, now), made.key.as_bytes(), now)?;
                let own = wanted(&names);
                for mut key in all.into_iter().filter(|k| k.purpose == Purpose::ServerTls && k.lives()) {
                    let over = pki::not_after(&key.public).is_ok_and(|end| end <= now);
                    let given_up =
                        how == Replacing::Asked { destroy_old: true } && names_of(&key.public) == own;
                    if over || given_up {
                        key.destroy(now);
                        rows::put(tx, &key).await?;
                    }
                }
                rows::put(tx, &fresh).await?;
                if how != Replacing::Due {
                    tx.audit(rotated(Purpose::ServerTls.word())).await?;
                }
                Ok(fresh)
            })
        })
        .await
}
