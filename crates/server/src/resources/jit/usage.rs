//! What machines tell of grants: what they carried, and that one was closed because nobody used it. A machine is believed
//! about its own grants only, and nothing that it says opens anything.

use sekisho_arm::{ArmError, Scope, Write};
use sekisho_jit::provider::requests;
use sekisho_jit::request::Event;
use sekisho_jit::usage::{IDLE, Told, USED};
use sekisho_link::stream::{Batch, Entry};
use serde_json::Value;

use super::clock::tell;
use super::kept_id;

/// What a batch of events says of grants.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct News {
    used: Vec<Told>,
    idle: Vec<u32>,
}

impl News {
    /// Reads a batch; what cannot be read says nothing.
    pub(crate) fn of(batch: &Batch) -> News {
        let mut news = News::default();
        for entry in &batch.entries {
            match entry {
                Entry::Event { kind, data, .. } if kind == USED => {
                    news.used.extend(serde_json::from_value::<Told>(Value::Object(data.clone())).ok());
                }
                Entry::Event { kind, data, .. } if kind == IDLE => {
                    let mark = data.get("mark").and_then(Value::as_u64);
                    news.idle.extend(mark.and_then(|m| u32::try_from(m).ok()));
                }
                _ => {}
            }
        }
        news
    }
}

/// Keeps what a machine says. Told again, it is the same.
///
/// # Errors
/// Those of the database.
pub(crate) async fn keep(tx: &mut (dyn Write + '_), machine: &Scope, news: News) -> Result<(), ArmError> {
    for told in news.used {
        if let Some(grant) = requests::numbered(tx.as_read(), machine, told.mark).await? {
            requests::keep_used(tx, &grant, told).await?;
        }
    }
    for mark in news.idle {
        let Some(grant) = requests::numbered(tx.as_read(), machine, mark).await? else { continue };
        let policy = kept_id(&grant.policy)?;
        let Some(mut request) = requests::named(tx.as_read(), &policy, &grant.request).await? else {
            continue;
        };
        let now = tx.now();
        let closed = |g: &sekisho_jit::request::Grant| g.mark == mark && g.state.is_open();
        if request.grants.iter().any(closed) && request.happen(Event::Idle, now, None, closed).is_ok() {
            requests::keep(tx, &request).await?;
            tell(tx, &request).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_link::stream::{Epoch, Stream};
    use serde_json::json;

    #[test]
    fn only_what_can_be_read_of_a_batch_says_something() {
        let event = |kind: &str, data: Value| {
            let Value::Object(data) = data else { panic!() };
            Entry::Event { at: 0, kind: kind.to_owned(), data }
        };
        let used = json!({"mark": 7, "first": 1, "last": 2, "packets": 3, "bytes": 4, "flows": 1});
        let mut short = used.clone();
        short["packets"] = json!(-3);
        let entries = vec![
            event(USED, used.clone()),
            event(USED, short),
            event("agent.started", used),
            event(IDLE, json!({"mark": 7})),
            event(IDLE, json!({"mark": -7})),
            event(IDLE, json!({})),
        ];
        let batch = Batch { stream: Stream::Telemetry, epoch: Epoch(1), first: 1, entries };
        let news = News::of(&batch);
        assert_eq!((news.used.len(), news.used[0].mark, news.used[0].used.packets), (1, 7, 3));
        assert_eq!(news.idle, [7]);
    }
}
