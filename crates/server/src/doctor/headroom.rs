//! Headroom, measured here and now: how fast the disk keeps a write, how many handshakes a second this machine does,
//! and what both mean for the machines there are.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, ServerConnection};
use sekisho_link::pki::{self, Authority, PkiError};
use sekisho_link::served::Served;
use sekisho_link::tls;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Finding;
use crate::config::Config;

const AREA: &str = "headroom";
/// How long handshakes are measured.
const MEASURED: Duration = Duration::from_millis(300);
/// Writes of which the middle one counts.
const WRITES: usize = 15;
/// When all machines come back at once, they should be back within this.
const BACK: Duration = Duration::from_secs(10);
/// A commit that takes longer keeps people waiting.
const SLOW: Duration = Duration::from_millis(50);

pub(super) fn look(config: &Config, machines: i64) -> Vec<Finding> {
    let mut all = Vec::new();
    match durable_write(&config.data_dir) {
        Ok(took) => all.push(disk(took)),
        Err(error) => {
            let seen = format!("{} cannot be written: {error}", config.data_dir.display());
            all.push(Finding::bad(AREA, seen, "Give the directory to the server's user"));
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match handshakes() {
        Ok(per_second) => all.push(storm(per_second * cores as f64, machines)),
        Err(error) => all.push(Finding::bad(AREA, format!("no handshake: {error}"), "Report this")),
    }
    all
}

fn disk(took: Duration) -> Finding {
    let ms = took.as_secs_f64() * 1000.0;
    let seen = format!("a durable write takes {ms:.1} ms");
    if took > SLOW {
        Finding::warning(AREA, seen, "Put the data directory on a faster disk")
    } else {
        Finding::fine(AREA, seen)
    }
}

fn storm(per_second: f64, machines: i64) -> Finding {
    let back = machines as f64 / per_second;
    let seen =
        format!("{per_second:.0} machines a second can connect; all {machines} are back in {back:.1} s");
    if back > BACK.as_secs_f64() {
        Finding::warning(AREA, seen, "Give the server more cores")
    } else {
        Finding::fine(AREA, seen)
    }
}

/// The middle one of some writes that were forced to the disk.
fn durable_write(dir: &Path) -> std::io::Result<Duration> {
    let path = dir.join(format!(".doctor-{}", Uuid::new_v4()));
    let measured = (|| {
        let mut file = File::options().create_new(true).write(true).open(&path)?;
        let mut times = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let began = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times[WRITES / 2])
    })();
    let removed = std::fs::remove_file(&path);
    measured.and_then(|took| removed.map(|()| took))
}

/// Mutual handshakes a second on one core, the server's half of the work, in memory.
fn handshakes() -> Result<f64, String> {
    let text = |e: PkiError| e.to_string();
    let now = OffsetDateTime::now_utc();
    let authority = Authority::load(&Authority::generate("doctor", now).map_err(text)?).map_err(text)?;
    let served = Served::new(&authority.server(&[], now).map_err(text)?).map_err(text)?;
    let (key, csr) = pki::request().map_err(text)?;
    let certificate = authority.agent(&csr, Uuid::new_v4(), now).map_err(text)?.certificate;
    let own = pki::Identity { certificate, key };
    let server = Arc::new(tls::server_for_agents(authority.certificate(), Arc::new(served)).map_err(text)?);
    let client = Arc::new(tls::agent(authority.certificate(), &own).map_err(text)?);
    let (began, mut done, mut spent) = (Instant::now(), 0, Duration::ZERO);
    while began.elapsed() < MEASURED {
        let client = ClientConnection::new(client.clone(), tls::link_name()).map_err(|e| e.to_string())?;
        let server = ServerConnection::new(server.clone()).map_err(|e| e.to_string())?;
        spent += handshake(client, server).map_err(|e| e.to_string())?;
        done += 1;
    }
    Ok(f64::from(done) / spent.as_secs_f64())
}

/// One handshake; how long the server's half of it took.
fn handshake(mut client: ClientConnection, mut server: ServerConnection) -> Result<Duration, rustls::Error> {
    let general = |e: std::io::Error| rustls::Error::General(e.to_string());
    let mut spent = Duration::ZERO;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).map_err(general)?;
        }
        let began = Instant::now();
        let mut unread = wire.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).map_err(general)?;
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).map_err(general)?;
        }
        spent += began.elapsed();
        let mut unread = wire.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).map_err(general)?;
            client.process_new_packets()?;
        }
    }
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn machines_that_are_not_back_in_ten_seconds_are_a_warning() {
        assert_eq!(storm(200.0, 2000).state, State::Fine);
        assert_eq!(storm(200.0, 2001).state, State::Warning);
        assert!(handshakes().unwrap() > 10.0);
    }
}
