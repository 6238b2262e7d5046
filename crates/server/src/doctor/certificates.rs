//! The certificates: how long they are good, whether they fit the name, and whether the server shows what it should.

use std::time::Duration;

use sekisho_link::pki;
use sekisho_link::served::Served;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::time::timeout;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Finding;
use crate::config::Config;
use crate::{certificates, keys};

const AREA: &str = "certificates";
/// A certificate that somebody has to renew by hand or by a program that may have stopped.
const SOON: time::Duration = time::Duration::days(14);

pub(super) async fn look(config: &Config, running: bool) -> Vec<Finding> {
    let Ok(authority) = std::fs::read_to_string(config.data_dir.join("keys/ca.pem")) else {
        let seen = "there is no authority yet";
        return vec![Finding::warning(AREA, seen, "The first start of the server makes one")];
    };
    let now = OffsetDateTime::now_utc();
    let mut all = vec![ending("the authority", pki::not_after(pki::newest(&authority)), now)];
    match shown(config) {
        Err(error) => {
            let remedy = "See 'certificate_file' and 'certificate_key_file'";
            all.push(Finding::bad(AREA, format!("the certificate cannot be shown: {error}"), remedy));
        }
        Ok(Shown { chain, pin }) => {
            all.push(ending("the certificate for browsers and az", pki::not_after(&chain), now));
            all.push(named(&chain, &config.host));
            if running {
                all.extend(seen_outside(config, pin).await);
            }
        }
    }
    all
}

/// What browsers and `az` see.
struct Shown {
    chain: String,
    /// Of its public key.
    pin: [u8; 32],
}

/// Of a certificate that the operator brought, the key has to fit, too; the server's own is opened by the server alone.
fn shown(config: &Config) -> Result<Shown, String> {
    let text = |e: pki::PkiError| e.to_string();
    let chain = match &config.certificate {
        Some(files) => {
            let identity = certificates::read(files).map_err(|e| e.to_string())?;
            Served::new(&identity).map_err(text)?;
            identity.certificate
        }
        None => {
            let kept = keys::kept_server(config).map_err(|e| e.to_string())?;
            kept.ok_or_else(|| "there is none yet".to_owned())?
        }
    };
    let ders = pki::certificates(&chain).map_err(text)?;
    let pin = pki::spki_pin(ders.first().ok_or("it is empty")?).map_err(text)?;
    Ok(Shown { chain, pin })
}

fn ending(what: &str, end: Result<OffsetDateTime, pki::PkiError>, now: OffsetDateTime) -> Finding {
    let remedy = "Renew it; the server reads it again within a minute";
    match end {
        Err(error) => Finding::bad(AREA, format!("{what}: {error}"), remedy),
        Ok(end) if end <= now => Finding::bad(AREA, format!("{what} ended on {}", end.date()), remedy),
        Ok(end) if end - now < SOON => {
            Finding::warning(AREA, format!("{what} ends on {}", end.date()), remedy)
        }
        Ok(end) => Finding::fine(AREA, format!("{what} is good until {}", end.date())),
    }
}

/// Whether the certificate is for the name that people use.
fn named(chain: &str, host: &str) -> Finding {
    let ders = pki::certificates(chain).unwrap_or_default();
    let names: Vec<String> = ders
        .first()
        .and_then(|der| X509Certificate::from_der(der).ok())
        .and_then(|(_, leaf)| {
            let names = leaf.subject_alternative_name().ok()??;
            Some(names.value.general_names.iter().filter_map(dns).map(str::to_ascii_lowercase).collect())
        })
        .unwrap_or_default();
    let fits = |name: &String| match name.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest == domain),
        None => name == host,
    };
    if names.iter().any(fits) {
        Finding::fine(AREA, format!("it is for '{host}'"))
    } else {
        let seen = format!("it is not for '{host}' but for {}", names.join(", "));
        Finding::bad(AREA, seen, "Use a certificate for the name in 'host'")
    }
}

fn dns<'a>(name: &'a GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

/// Whether whoever connects sees the certificate that stands in the files.
async fn seen_outside(config: &Config, pin: [u8; 32]) -> Option<Finding> {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let tried = async {
        let config = sekisho_link::tls::looking(pin).map_err(|e| e.to_string())?;
        let name =
            rustls::pki_types::ServerName::try_from(address.ip().to_string()).map_err(|e| e.to_string())?;
        let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        connector.connect(name, stream).await.map(drop).map_err(|e| e.to_string())
    };
    Some(match timeout(Duration::from_secs(10), tried).await {
        Ok(Ok(())) => Finding::fine(AREA, format!("it is shown at {address}")),
        Ok(Err(error)) => {
            Finding::bad(AREA, format!("it is not shown at {address}: {error}"), "See the server's log")
        }
        Err(_) => Finding::bad(AREA, format!("nobody answers at {address}"), "See the server's log"),
    })
}
