//! The database: whether it answers, how fast, and whether its schema is this program's.

use std::time::Instant;

use sekisho_link::machine::kind::MACHINE;
use sekisho_store::{Examined, Standing};
use time::OffsetDateTime;

use super::Finding;
use crate::config::Config;
use crate::database;

const AREA: &str = "database";

/// What is in it, and its clock beside ours.
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) clock: Option<(OffsetDateTime, OffsetDateTime)>,
}

pub(super) async fn look(config: &Config) -> (Vec<Finding>, Option<Seen>) {
    let kind = if config.database.is_some() { "PostgreSQL" } else { "SQLite" };
    let began = Instant::now();
    let examined = async {
        Ok::<_, crate::ServerError>(sekisho_store::examine(&database::url(config)?, MACHINE).await?)
    };
    match examined.await {
        Ok(Examined { versions, standing: Some(standing), now }) if !versions.outdated() => {
            let seen = format!(
                "{kind} with schema {} answers in {} ms; {} machines, {} MiB",
                versions.found,
                began.elapsed().as_millis(),
                standing.documents,
                standing.bytes >> 20
            );
            let clock = config.database.is_some().then(|| (now, OffsetDateTime::now_utc()));
            (vec![Finding::fine(AREA, seen)], Some(Seen { standing, clock }))
        }
        Ok(Examined { versions, .. }) if versions.found == 0 => {
            let seen = format!("{kind} answers and is empty");
            (vec![Finding::warning(AREA, seen, "The first start of the server makes what it needs")], None)
        }
        Ok(Examined { versions, .. }) => {
            let seen = format!("{kind} has schema {}, this program {}", versions.found, versions.known);
            let remedy = "The next start of the server brings it up to date, after a backup";
            (vec![Finding::warning(AREA, seen, remedy)], None)
        }
        Err(error) => {
            let remedy = "See 'database' in 'sekisho server --print-config'";
            (vec![Finding::bad(AREA, format!("{kind} cannot be used: {error}"), remedy)], None)
        }
    }
}
