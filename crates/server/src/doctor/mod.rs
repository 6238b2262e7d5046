//! `sekisho doctor`: looks at everything that an installation stands on and says what is wrong, and what to do.
//!
//! It only looks: it opens the database for reading, connects to the running server as anybody may, and leaves nothing
//! behind but the answer. Each area looks first and judges then; judging is a function of what was seen.

mod access;
mod certificates;
mod clock;
mod database;
mod disk;
mod headroom;
mod kernel;
mod log;
mod settings;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::admin;
use crate::config::Config;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Fine,
    /// It works, but not for long or not for everybody.
    Warning,
    /// It does not work, or is not safe.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What part of the installation.
    pub area: &'static str,
    /// How bad it is.
    pub state: State,
    /// What was seen, one sentence without its full stop.
    pub seen: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn fine(area: &'static str, seen: impl Into<String>) -> Finding {
        Finding { area, state: State::Fine, seen: seen.into(), remedy: None }
    }
    fn warning(area: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { area, state: State::Warning, seen: seen.into(), remedy: Some(remedy.into()) }
    }
    fn bad(area: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { area, state: State::Bad, seen: seen.into(), remedy: Some(remedy.into()) }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match self.state {
            State::Fine => "ok  ",
            State::Warning => "warn",
            State::Bad => "BAD ",
        };
        write!(f, "{mark} {:12} {}", self.area, self.seen)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n     {:12} -> {remedy}", ""),
            None => Ok(()),
        }
    }
}

/// Looks at everything. `environment` is that of the configuration.
pub async fn examine(config: &Config, environment: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut all = settings::look(config, environment);
    let running = admin::ask(&config.data_dir, "/status", serde_json::Value::Null).await.ok();
    all.push(match &running {
        None => Finding::warning("server", "no server answers", "Start it: systemctl start sekisho"),
        Some(status) if status["version"] == env!("CARGO_PKG_VERSION") => {
            Finding::fine("server", format!("version {} runs", env!("CARGO_PKG_VERSION")))
        }
        Some(status) => Finding::warning(
            "server",
            format!("version {} runs, this is {}", status["version"], env!("CARGO_PKG_VERSION")),
            "Restart it: systemctl restart sekisho",
        ),
    });
    let (looked, standing) = database::look(config).await;
    all.extend(looked);
    all.extend(clock::look(standing.as_ref().and_then(|s| s.clock)));
    all.extend(certificates::look(config, running.is_some()).await);
    let standing = standing.map(|s| s.standing);
    if standing.is_some() {
        all.extend(log::look(config).await);
        all.extend(access::look(config).await);
    }
    all.extend(disk::look(config, standing.as_ref()));
    let allowed = running.as_ref().and_then(|status| status["openFilesAllowed"].as_u64());
    all.extend(kernel::look(allowed, standing.as_ref().map_or(0, |s| s.documents)));
    all.extend(headroom::look(config, standing.as_ref().map_or(0, |s| s.documents)));
    all
}
