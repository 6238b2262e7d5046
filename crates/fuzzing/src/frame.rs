//! What agent and server say to each other.

use std::sync::OnceLock;

use sekisho_audit::note::{Signer, Use};
use sekisho_audit::succession::{Succession, walk};
use sekisho_audit::witness::Memory;
use sekisho_link::facts::facts_hash;
use sekisho_link::message::{ToAgent, ToServer};
use sekisho_link::stream::{Batch, Cursors, Verdict, judge};
use sekisho_link::{CommandKey, SigningKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message that is understood means the same when it is sent on; a batch of events is kept once, without holes; a
/// document that the server did not sign is not obeyed, nor a checkpoint believed that the log did not sign, nor a key
/// followed that the known one did not name.
pub fn frame(data: &[u8]) {
    match round_trip(data) {
        Some(ToServer::Events(batch)) => once(batch),
        Some(ToServer::Facts { facts }) => {
            let again = serde_json::from_slice(&serde_json::to_vec(&facts).unwrap()).unwrap();
            assert_eq!(facts_hash(&facts), facts_hash(&again), "facts that both sides hash differently");
        }
        _ => {}
    }
    static KEYS: OnceLock<(CommandKey, Memory)> = OnceLock::new();
    let (key, memory) = KEYS.get_or_init(|| {
        let secret = SigningKey::generate().expect("a key");
        let log = Signer::generate().expect("a key");
        let log = Signer::new("log", Use::Note, &log).expect("a key").verifier();
        (SigningKey::from_pkcs8(&secret).expect("a key").public(), Memory::of(log))
    });
    match round_trip(data) {
        Some(ToAgent::Desired(command)) => {
            assert!(command.open(memory, key, "/m", 0).is_err(), "an unsigned document is obeyed");
        }
        Some(ToAgent::Checkpoint(offered)) => {
            assert!(memory.advance(&offered).is_err(), "an unsigned checkpoint is believed");
        }
        Some(ToAgent::Successions(all) | ToAgent::Welcome { successions: all, .. }) => {
            let command: Vec<_> =
                all.command.into_iter().map(|step| Succession { old: key.clone(), ..step }).collect();
            assert_eq!(walk(key, &command).len(), 1, "a forged command key is followed");
            let log: Vec<_> =
                all.log.into_iter().map(|step| Succession { old: memory.key.clone(), ..step }).collect();
            assert_eq!(walk(&memory.key, &log).len(), 1, "a forged key of the log is followed");
        }
        _ => {}
    }
}

fn round_trip<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(data: &[u8]) -> Option<T> {
    let message: T = serde_json::from_slice(data).ok()?;
    let text = serde_json::to_vec(&message).expect("a message that cannot be sent");
    let again: T = serde_json::from_slice(&text).expect("a message that is not understood");
    assert_eq!(again, message);
    Some(message)
}

fn once(batch: Batch) {
    let (epoch, first, entries) = (batch.epoch, batch.first, batch.entries.len());
    let Ok(numbered) = batch.clone().numbered() else {
        assert!(judge(&Cursors::default(), batch).is_err());
        return;
    };
    assert_eq!((numbered.len(), numbered[0].from), (entries, first));
    assert!(numbered.windows(2).all(|pair| pair[0].to + 1 == pair[1].from), "a hole");
    let end = numbered.last().map_or(0, |e| e.to);
    match judge(&Cursors::default(), batch.clone()).unwrap() {
        Verdict::Missing(last) => assert!(last == 0 && first > 1),
        Verdict::Known(_) => panic!("something is known before anything came"),
        Verdict::Keep(kept, cursors) => {
            assert_eq!((kept.len(), cursors.last(epoch)), (entries, end));
            assert_eq!(judge(&cursors, batch.clone()), Ok(Verdict::Known(end)), "kept twice");
            let text = serde_json::to_string(&cursors).unwrap();
            assert_eq!(serde_json::from_str::<Cursors>(&text).unwrap(), cursors);
        }
    }
    // The first half alone, then the whole: together they are kept once.
    let half = Batch { entries: batch.entries[..entries.div_ceil(2)].to_vec(), ..batch.clone() };
    if let Ok(Verdict::Keep(some, cursors)) = judge(&Cursors::default(), half)
        && let Ok(Verdict::Keep(rest, _)) = judge(&cursors, batch)
    {
        assert_eq!(some.len() + rest.len(), entries);
    }
}
