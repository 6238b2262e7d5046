//! What machines tell of grants: what they carried, that one was closed because nobody used it, and whether a user was
//! given what was to be. A machine is believed about its own grants only, and nothing that it says opens anything.

use sekisho_arm::{ArmError, Scope, Write};
use sekisho_jit::elevation::{GIVEN, REFUSED};
use sekisho_jit::provider::requests;
use sekisho_jit::request::{Event, Grant, Request};
use sekisho_jit::usage::{IDLE, Told, USED};
use sekisho_link::stream::{Batch, Entry};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::clock::tell;
use super::kept_id;

/// What a batch of events says of grants.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct News {
    used: Vec<Told>,
    idle: Vec<u32>,
    /// The grant and its end.
    given: Vec<(u32, i64)>,
    /// The grant and why not.
    refused: Vec<(u32, String)>,
}

/// Most characters of a machine's reason that are kept.
const LONGEST_REASON: usize = 300;

fn mark_of(data: &Map<String, Value>) -> Option<u32> {
    data.get("mark").and_then(Value::as_u64).and_then(|m| u32::try_from(m).ok())
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
                    news.idle.extend(mark_of(data));
                }
                Entry::Event { kind, data, .. } if kind == GIVEN => {
                    news.given.extend(mark_of(data).zip(data.get("end").and_then(Value::as_i64)));
                }
                Entry::Event { kind, data, .. } if kind == REFUSED => {
                    let why = data.get("why").and_then(Value::as_str).unwrap_or_default();
                    let why: String = why.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
                    news.refused.extend(mark_of(data).map(|mark| (mark, why)));
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
        let idle = |g: &Grant| g.mark == mark && g.state.is_open();
        change(tx, machine, mark, |request, now| request.happen(Event::Idle, now, None, idle).is_ok())
            .await?;
    }
    for (mark, end) in news.given {
        // It may tell of an end that was changed meanwhile.
        let given = |g: &Grant| g.mark == mark && g.end_ms() == end && g.what.raised().is_some();
        change(tx, machine, mark, |request, now| request.happen(Event::Apply, now, None, given).is_ok())
            .await?;
    }
    for (mark, why) in news.refused {
        let refused = |g: &Grant| g.mark == mark && g.what.raised().is_some();
        change(tx, machine, mark, |request, now| {
            let done = request.happen(Event::Refuse, now, None, refused).is_ok();
            if let Some(grant) = request.grants.iter_mut().find(|g| done && refused(g)) {
                grant.problem = Some(why);
            }
            done
        })
        .await?;
    }
    Ok(())
}

/// Has something happen to the request of a machine's grant, when it can.
async fn change(
    tx: &mut (dyn Write + '_),
    machine: &Scope,
    mark: u32,
    happens: impl FnOnce(&mut Request, OffsetDateTime) -> bool,
) -> Result<(), ArmError> {
    let Some(grant) = requests::numbered(tx.as_read(), machine, mark).await? else { return Ok(()) };
    let policy = kept_id(&grant.policy)?;
    let Some(mut request) = requests::named(tx.as_read(), &policy, &grant.request).await? else {
        return Ok(());
    };
    let (now, before) = (tx.now(), request.clone());
    if !happens(&mut request, now) || request == before {
        return Ok(());
    }
    requests::keep(tx, &request).await?;
    // What is in force is told by its state alone.
    if request.history != before.history { tell(tx, &request).await } else { Ok(()) }
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
            event(GIVEN, json!({"mark": 8, "end": 5})),
            event(GIVEN, json!({"mark": 8})),
            event(REFUSED, json!({"mark": 9, "why": "It\n is taken"})),
        ];
        let batch = Batch { stream: Stream::Telemetry, epoch: Epoch(1), first: 1, entries };
        let news = News::of(&batch);
        assert_eq!((news.used.len(), news.used[0].mark, news.used[0].used.packets), (1, 7, 3));
        assert_eq!((news.idle, news.given), (vec![7], vec![(8, 5)]));
        assert_eq!(news.refused, [(9, "It is taken".to_owned())]);
    }
}
