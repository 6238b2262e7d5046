//! Just-in-time access: whether all policies and requests can be read. Those that cannot open nothing.

use sekisho_store::Store;

use super::Finding;
use crate::config::Config;
use crate::{ServerError, database};

const AREA: &str = "access";

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    vec![match seen(config).await {
        Ok(unreadable) => judge(&unreadable),
        Err(error) => {
            Finding::bad(AREA, format!("it cannot be read: {error}"), "See the findings about the database")
        }
    }]
}

async fn seen(config: &Config) -> Result<Vec<String>, ServerError> {
    let store = Store::open(&database::url(config)?).await?;
    Ok(sekisho_jit::provider::unreadable(&mut store.read().await?).await?)
}

fn judge(unreadable: &[String]) -> Finding {
    let Some(first) = unreadable.first() else {
        return Finding::fine(AREA, "every just-in-time policy and request can be read");
    };
    let seen = format!(
        "{} of just-in-time access cannot be read and open nothing, the first is {first}",
        unreadable.len()
    );
    let remedy = "Write each policy again, or delete it; what they guarded stays closed until then";
    Finding::bad(AREA, seen, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn what_cannot_be_read_is_bad_and_named() {
        assert_eq!(judge(&[]).state, State::Fine);
        let bad = judge(&["/subscriptions/x".to_owned()]);
        assert!(bad.state == State::Bad && bad.seen.contains("/subscriptions/x"), "{bad}");
    }
}
