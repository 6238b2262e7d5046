//! The activity log: whether it still is what was signed, and whether anybody but the server knows.

use sekisho_store::Store;

use super::Finding;
use crate::config::Config;
use crate::log::{self, Standing};
use crate::{ServerError, database, keys};

const AREA: &str = "log";

/// How far the log is witnessed, and why it is not what was signed.
type Seen = (Standing, Result<(), String>);

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    vec![match seen(config).await {
        Ok((standing, signed)) => judge(&standing, signed),
        Err(error) => {
            Finding::bad(AREA, format!("it cannot be read: {error}"), "See the findings about the database")
        }
    }]
}

async fn seen(config: &Config) -> Result<Seen, ServerError> {
    let store = Store::open(&database::url(config)?).await?;
    let mut read = store.read().await?;
    let key = keys::kept_log(config, &mut read).await?.verifier;
    let signed = match log::kept(&mut read).await? {
        Some(kept) => kept.still_holds(&mut read, &[key]).await?,
        None => Ok(()),
    };
    Ok((log::standing(&mut read).await?, signed))
}

fn judge(standing: &Standing, signed: Result<(), String>) -> Finding {
    let Standing { size, machines, witnessed, by, .. } = standing;
    let distrusting = standing.witnesses.iter().filter(|w| w.distrusts.is_some()).count();
    if let Err(why) = signed {
        let remedy =
            "Somebody changed the database: 'sekisho audit verify' says where. Keep a copy as evidence";
        return Finding::bad(AREA, why, remedy);
    }
    if distrusting > 0 {
        let seen = format!("{distrusting} of {machines} machines do not believe it and obey nothing new");
        let remedy = "After a restore, or when you know why: 'sekisho-agent trust-log' on each of them";
        return Finding::bad(AREA, seen, remedy);
    }
    match machines {
        0 => Finding::fine(AREA, format!("{size} entries; no machine witnesses them yet")),
        _ => Finding::fine(
            AREA,
            format!("{size} entries; the first {witnessed} were seen by {by} of {machines} machines"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use sekisho_arm::Scope;
    use sekisho_link::witnesses::Witness;

    use super::super::State;
    use super::*;

    #[test]
    fn a_log_that_is_not_what_was_signed_or_that_machines_do_not_believe_is_bad() {
        let standing = Standing { size: 9, machines: 3, witnessed: 7, by: 3, witnesses: Vec::new() };
        let fine = judge(&standing, Ok(()));
        assert_eq!(
            (fine.state, fine.seen.as_str()),
            (State::Fine, "9 entries; the first 7 were seen by 3 of 3 machines")
        );
        assert_eq!(judge(&standing, Err("changed".to_owned())).state, State::Bad);
        let machine =
            Scope::parse("/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/g").unwrap();
        let doubter = Witness { machine, seen: None, distrusts: Some("cut".to_owned()) };
        let doubted = judge(&Standing { witnesses: vec![doubter], ..standing }, Ok(()));
        assert_eq!(doubted.state, State::Bad);
        assert!(doubted.seen.starts_with("1 of 3 machines"), "{doubted}");
    }
}
