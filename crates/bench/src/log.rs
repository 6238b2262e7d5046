//! The audit log: appending to it on a database, beside the same writes of a document without an entry; proofs out of
//! the database; and what hashing and signing alone cost.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sekisho_arm::{AuditEntry, CallerRef, Outcome, PrincipalKind, StoreError};
use sekisho_audit::note::{Signer, Use};
use sekisho_audit::tree::{Plan, leaf_hash};
use sekisho_audit::witness::{Advance, Memory};
use sekisho_audit::{Checkpoint, Frontier};
use sekisho_store::Store;
use serde_json::{Value, json};

use crate::statistics::{percentile, sorted};

const NAME: &str = "sekisho/bench";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// An empty database.
    #[arg(long)]
    database: String,
    /// Entries.
    #[arg(long)]
    entries: usize,
    /// Writers at the same time.
    #[arg(long)]
    writers: usize,
}

fn entry(n: usize) -> AuditEntry {
    AuditEntry {
        operation: "Microsoft.Network/networkSecurityGroups/securityRules/write".to_owned(),
        resource_id: format!(
            "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/nsg/securityRules/rule-{n}"
        ),
        caller: CallerRef {
            object_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            kind: PrincipalKind::User,
            name: "tanaka".to_owned(),
        },
        outcome: Outcome::Succeeded,
        detail: "Created".to_owned(),
        correlation_id: "00000000-0000-0000-0000-000000000000".to_owned(),
        authorization: None,
        http: Some(json!({"clientIpAddress": "192.0.2.1", "method": "PUT"})),
        phase: None,
        properties: None,
    }
}

/// Milliseconds of one of many writes.
async fn writes(
    store: &Store,
    (from, count): (usize, usize),
    writers: usize,
    logged: bool,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    let own = |writer: usize| async move {
        for n in (from..from + count).filter(|n| n % writers == writer) {
            store
                .write::<_, StoreError, _>(move |tx| {
                    Box::pin(async move {
                        match logged {
                            true => tx.audit(entry(n)).await.map(drop),
                            false => tx.put_document("bench", &n.to_string(), json!(entry(n))).await,
                        }
                    })
                })
                .await?;
        }
        Ok::<_, StoreError>(())
    };
    try_join_all((0..writers).map(own)).await?;
    Ok(began.elapsed().as_secs_f64() * 1e3 / count as f64)
}

fn median(values: Vec<f64>) -> f64 {
    percentile(&sorted(values), 0.5)
}

/// Microseconds of one of many.
pub(crate) fn each(times: u32, mut work: impl FnMut(u32)) -> f64 {
    let began = Instant::now();
    (0..times).for_each(&mut work);
    began.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Value> {
    const ROUNDS: usize = 5;
    let store = Store::open(&options.database).await?;
    let count = options.entries / ROUNDS;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let of = (round * count, count);
        floor.push(writes(&store, of, options.writers, false).await?);
        ours.push(writes(&store, of, options.writers, true).await?);
    }
    let mut read = store.read().await?;
    let (size, root) = read.log_verify().await?;
    ensure!(size == (count * ROUNDS) as u64, "{size} entries");

    let log = Signer::new(NAME, Use::Note, &Signer::generate()?)?;
    let witness = Signer::new("sekisho/witness", Use::Cosignature, &Signer::generate()?)?;
    let note = Checkpoint { origin: NAME.to_owned(), size, root }.sign(&log);
    let (mut proofs, mut steps, mut bytes) = (Vec::new(), Vec::new(), 0);
    for n in 0..200 {
        let from = 1 + n * 7919 % (size - 1);
        let before = Memory { key: log.verifier(), size: from, root: Some(read.log_at(from).await?.root()) };
        let began = Instant::now();
        let plan = Plan::consistency(from, size).context("a proof")?;
        let consistency = read.log_proof(&plan).await?;
        proofs.push(began.elapsed().as_secs_f64() * 1e6);
        bytes += 32 * consistency.len();
        let offered = Advance { note: note.clone(), from, consistency };
        let began = Instant::now();
        let seen = before.advance(&offered)?;
        black_box(witness.line(&seen.text().context("a text")?, 7));
        steps.push(began.elapsed().as_secs_f64() * 1e6);
    }

    let leaf = serde_json::to_vec(&entry(1))?;
    let mut tree = Frontier::default();
    let append = each(200_000, |_| drop(black_box(tree.append(leaf_hash(&leaf)))));
    // A leaf, and on average one node of two hashes.
    let hashing = each(200_000, |_| {
        black_box(digest(&SHA256, &leaf));
        black_box(digest(&SHA256, &[0; 65]));
    });
    let pair = Ed25519KeyPair::from_pkcs8(&Signer::generate()?).map_err(|_| anyhow::anyhow!("no key"))?;
    let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref().to_vec());
    let signature = pair.sign(note.as_bytes());
    let signing = each(2_000, |_| {
        black_box(public.verify(note.as_bytes(), signature.as_ref()).is_ok());
        black_box(pair.sign(note.as_bytes()));
    });
    Ok(json!({
        "entries": size, "appendMs": median(ours), "documentMs": median(floor), "proofUs": median(proofs),
        "proofBytes": bytes / 200, "stepUs": median(steps), "signingUs": signing, "treeUs": append, "hashingUs": hashing,
    }))
}
