//! Event streams at full speed: connections of real identities that send batches as agents do, within the credit that
//! the server gives, until everything is acknowledged, and that is: durable.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use sekisho_agent::connection::{Connection, Heard};
use sekisho_agent::enrol::Identity;
use sekisho_link::duplicate::Lineage;
use sekisho_link::message::{Remembered, ToAgent, ToServer};
use sekisho_link::stream::{Batch, Entry, Epoch, Stream};
use serde_json::{Map, Value, json};

const STREAM: Stream = Stream::Telemetry;
/// Events in a batch: about as many as an agent puts into its 64 KiB.
const BATCH: u64 = 250;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The state directory of a fleet that is not running.
    #[arg(long)]
    state: PathBuf,
    /// How many of its machines send.
    #[arg(long)]
    machines: usize,
    /// Events of each machine.
    #[arg(long)]
    events: u64,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Value> {
    let known = sekisho_fleet::state::load(&options.state)?.context("the fleet never joined")?;
    if known.len() < options.machines {
        bail!("the fleet has {} machines only", known.len());
    }
    let mut senders = Vec::new();
    for identity in known.iter().take(options.machines) {
        senders.push(Sender::open(identity, options.events).await?);
    }
    let began = Instant::now();
    futures_util::future::try_join_all(senders.iter_mut().map(Sender::finish)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let events = options.events * options.machines as u64;
    Ok(json!({ "events": events, "seconds": seconds, "perSecond": events as f64 / seconds }))
}

struct Sender {
    connection: Connection,
    epoch: Epoch,
    total: u64,
    sent: u64,
    kept: u64,
    credit: usize,
    /// The last number and the bytes of each batch on its way.
    flying: VecDeque<(u64, usize)>,
}

impl Sender {
    async fn open(identity: &Identity, total: u64) -> anyhow::Result<Sender> {
        let mut connection = Connection::open(&identity.address, Arc::new(identity.tls()?)).await?;
        let hello = ToServer::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: uuid::Uuid::new_v4().to_string(),
            generation: u64::MAX >> 1,
            report: None,
            facts_hash: None,
            lineage: Lineage::default(),
            log: Remembered::default(),
        };
        connection.send(&hello).await?;
        let epoch = Epoch(uuid::Uuid::new_v4().as_u64_pair().1);
        let mut sender =
            Sender { connection, epoch, total, sent: 0, kept: 0, credit: 0, flying: VecDeque::new() };
        while sender.credit == 0 {
            sender.hear().await?;
        }
        Ok(sender)
    }

    async fn finish(&mut self) -> anyhow::Result<()> {
        while self.kept < self.total {
            while self.sent < self.total {
                let batch = self.batch();
                let bytes = serde_json::to_string(&batch)?.len();
                if self.flying.iter().map(|(_, b)| b).sum::<usize>() + bytes > self.credit {
                    break;
                }
                self.sent = self.sent.saturating_add(BATCH).min(self.total);
                self.flying.push_back((self.sent, bytes));
                self.connection.send(&ToServer::Events(batch)).await?;
            }
            self.hear().await?;
        }
        Ok(())
    }

    fn batch(&self) -> Batch {
        let first = self.sent + 1;
        let last = (self.sent + BATCH).min(self.total);
        let entries = (first..=last).map(|number| {
            let data = json!({
                "protocol": "tcp", "source": "10.0.0.4:40312", "destination": "10.0.3.17:443", "packets": number,
                "bytes": 1500 * number, "process": "nginx", "direction": "inbound",
            });
            let Value::Object(data) = data else { return Map::new() };
            data
        });
        let entries = entries.zip(first..).map(|(data, number)| Entry::Event {
            at: 1_790_000_000_000 + i64::try_from(number).unwrap_or(0),
            kind: "flow.ended".to_owned(),
            data,
        });
        Batch { stream: STREAM, epoch: self.epoch, first, entries: entries.collect() }
    }

    async fn hear(&mut self) -> anyhow::Result<()> {
        match self.connection.next().await?.context("the server closed")? {
            Heard::Ping => {}
            Heard::Message(message) => match *message {
                ToAgent::Welcome { streams, .. } => {
                    self.credit = streams.get(&STREAM).map_or(0, |s| s.credit);
                }
                ToAgent::Acknowledged { stream: STREAM, epoch, upto, credit } if epoch == self.epoch => {
                    (self.kept, self.credit) = (upto, credit);
                    self.flying.retain(|(last, _)| *last > upto);
                }
                ToAgent::Credit { stream: STREAM, credit } => self.credit = credit,
                ToAgent::Missing { .. } => bail!("the server misses a batch"),
                ToAgent::Bye { reason, .. } => bail!("the server says bye: {reason}"),
                _ => {}
            },
        }
        Ok(())
    }
}
