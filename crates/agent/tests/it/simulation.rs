//! Event streams under everything that goes wrong: a server and agents in a simulated network, with partitions, crashes
//! of either side at any moment, torn files and duplicated batches. The spool, the outbox and the server's judgement are
//! the real ones; the network, the clock and the moment of a commit are simulated, so that a seed is a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sekisho_agent::outbox::Outbox;
use sekisho_agent::spool::Spool;
use sekisho_link::message::{Remembered, StreamState, ToAgent, ToServer};
use sekisho_link::stream::{Batch, Cursors, Entry, Epoch, Stream, Verdict, judge};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};

/// Runs in the test run.
const SEEDS: u64 = 1000;
const AGENTS: usize = 2;
/// Events that each agent notes.
const EVENTS: u64 = 60;
const CHAOS: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(5);

type Failure = Box<dyn std::error::Error>;

/// The randomness of a run.
#[derive(Clone)]
struct Dice(Arc<Mutex<u64>>);

impl Dice {
    fn below(&self, end: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        // xorshift64*
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % end
    }

    fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pause(&self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }
}

/// What survives a crash of the server: exactly what was committed.
#[derive(Default)]
struct Database {
    streams: BTreeMap<(String, Stream), (Cursors, Vec<Kept>)>,
}

#[derive(Debug, Clone)]
struct Kept {
    epoch: Epoch,
    from: u64,
    to: u64,
    /// The event's id; `None` for a gap.
    id: Option<u64>,
}

/// What survives a crash of an agent.
struct Machine {
    name: String,
    dir: TempDir,
    quota: u64,
    boot: u64,
    noted: u64,
    /// Ids whose keeping was promised: they were synced.
    durable: BTreeSet<u64>,
    pending: Vec<u64>,
    /// The lengths of files up to which they are durable.
    lengths: BTreeMap<PathBuf, u64>,
    drained: bool,
    /// Files that a crash left with a part of what was not synced: at most one number each is said to be lost.
    torn: u64,
}

impl Machine {
    fn files(&self) -> Vec<PathBuf> {
        let streams = Stream::ALL.map(|s| self.dir.path().join(s.word()));
        let entries = streams.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
        let mut all: Vec<PathBuf> =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "seg")).collect();
        // The directory's own order differs from run to run.
        all.sort_by_key(|p| (p.parent().map(Path::to_owned), p.file_name().map(std::ffi::OsStr::to_owned)));
        all
    }

    fn synced(&mut self) {
        self.durable.extend(self.pending.drain(..));
        self.lengths = self.files().into_iter().map(|p| (p.clone(), length(&p))).collect();
    }

    /// What a crash does to files that were not synced.
    fn tear(&mut self, dice: &Dice) {
        self.pending.clear();
        for path in self.files() {
            let (safe, length) = (self.lengths.get(&path).copied().unwrap_or(28), length(&path));
            if length > safe {
                let keep = safe + dice.below(length - safe + 1);
                self.torn += 1;
                std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(keep).unwrap();
            }
        }
        self.lengths.clear();
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

async fn send(stream: &mut TcpStream, message: &impl Serialize) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(message)?;
    let writing = async {
        stream.write_u32(bytes.len() as u32).await?;
        stream.write_all(&bytes).await
    };
    // What a partition swallowed is not sent again here, as TCP would.
    Ok(tokio::time::timeout(Duration::from_secs(1), writing).await??)
}

/// Reads messages whole although the reading is given up between two of them.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    async fn next<T: DeserializeOwned>(&mut self, stream: &mut TcpStream) -> Result<T, Failure> {
        loop {
            if let Some(head) = self.0.first_chunk::<4>() {
                let end = 4 + u32::from_be_bytes(*head) as usize;
                if self.0.len() >= end {
                    let message = serde_json::from_slice(&self.0[4..end])?;
                    self.0.drain(..end);
                    return Ok(message);
                }
            }
            if stream.read_buf(&mut self.0).await? == 0 {
                return Err("closed".into());
            }
        }
    }
}

async fn serve(database: Arc<Mutex<Database>>, dice: Dice, dedup: bool) -> Result<(), Failure> {
    let listener = TcpListener::bind("0.0.0.0:1").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (database, dice) = (database.clone(), dice.clone());
        tokio::spawn(async move {
            let _ = converse(stream, database, dice, dedup).await;
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    database: Arc<Mutex<Database>>,
    dice: Dice,
    dedup: bool,
) -> Result<(), Failure> {
    let mut frames = Frames::default();
    let ToServer::Hello { version: name, .. } = frames.next(&mut stream).await? else { return Ok(()) };
    let credit = |_: Stream| 4096;
    let streams = Stream::ALL.map(|s| {
        let database = database.lock().unwrap();
        let last = database.streams.get(&(name.clone(), s)).map(|(c, _)| c.by_epoch()).unwrap_or_default();
        (s, StreamState { last, credit: credit(s) })
    });
    send(
        &mut stream,
        &ToAgent::Welcome {
            facts_hash: None,
            streams: streams.into(),
            now: None,
            log_key: None,
            successions: Default::default(),
        },
    )
    .await?;
    loop {
        let ToServer::Events(batch) = frames.next(&mut stream).await? else { return Ok(()) };
        let (of, epoch) = (batch.stream, batch.epoch);
        sleep(dice.pause(15)).await;
        let answer = commit(&mut database.lock().unwrap(), &name, batch, dedup)?;
        sleep(dice.pause(15)).await;
        let answer = match answer {
            Ok(upto) => ToAgent::Acknowledged { stream: of, epoch, upto, credit: credit(of) },
            Err(last) => ToAgent::Missing { stream: of, epoch, last },
        };
        send(&mut stream, &answer).await?;
    }
}

/// One transaction: `Ok` up to which number all is kept, `Err` after which one something is missing.
fn commit(
    database: &mut Database,
    name: &str,
    batch: Batch,
    dedup: bool,
) -> Result<Result<u64, u64>, Failure> {
    let epoch = batch.epoch;
    let (cursors, kept) = database.streams.entry((name.to_owned(), batch.stream)).or_default();
    let verdict = judge(cursors, batch.clone())?;
    let fresh = match verdict {
        Verdict::Keep(fresh, next) => {
            *cursors = next;
            if dedup { fresh } else { batch.numbered()? }
        }
        Verdict::Known(last) if dedup => return Ok(Ok(last)),
        Verdict::Known(_) => batch.numbered()?,
        Verdict::Missing(last) => return Ok(Err(last)),
    };
    kept.extend(fresh.into_iter().map(|n| {
        let id = match n.entry {
            Entry::Event { data, .. } => data["id"].as_u64(),
            Entry::Gap { .. } => None,
        };
        Kept { epoch, from: n.from, to: n.to, id }
    }));
    Ok(Ok(cursors.last(epoch)))
}

async fn machine(machine: Arc<Mutex<Machine>>, dice: Dice) -> Result<(), Failure> {
    let epoch = || Epoch(dice.below(u64::MAX >> 12));
    let mut boxes: Vec<Outbox> = {
        let machine = machine.lock().unwrap();
        let boot = machine.boot.to_string();
        let open =
            |s: Stream| Spool::open(&machine.dir.path().join(s.word()), s, machine.quota, &boot, epoch());
        Stream::ALL.iter().map(|s| Ok(Outbox::new(open(*s)?))).collect::<std::io::Result<_>>()?
    };
    machine.lock().unwrap().synced();
    loop {
        boxes.iter_mut().for_each(Outbox::disconnected);
        let _ = talk(&machine, &mut boxes, &dice).await;
        // Life goes on without a server.
        for _ in 0..1 + dice.below(5) {
            note(&machine, &mut boxes, &dice)?;
            sleep(dice.pause(60)).await;
        }
    }
}

async fn talk(machine: &Arc<Mutex<Machine>>, boxes: &mut [Outbox], dice: &Dice) -> Result<(), Failure> {
    let connecting = TcpStream::connect("server:1");
    let mut stream = tokio::time::timeout(Duration::from_millis(300), connecting).await??;
    let hello = ToServer::Hello {
        version: machine.lock().unwrap().name.clone(),
        boot_id: String::new(),
        generation: 0,
        report: None,
        facts_hash: None,
        lineage: Default::default(),
        log: Remembered::default(),
    };
    send(&mut stream, &hello).await?;
    let mut frames = Frames::default();
    let patience = Duration::from_millis(700);
    let ToAgent::Welcome { streams, .. } = tokio::time::timeout(patience, frames.next(&mut stream)).await??
    else {
        return Ok(());
    };
    for (stream, state) in &streams {
        boxes[*stream as usize].connected(&state.last, state.credit, Epoch(dice.below(u64::MAX >> 12)))?;
    }
    let mut heard = tokio::time::Instant::now();
    loop {
        let mut idle = true;
        while let Some(batch) = boxes.iter_mut().find_map(|b| b.next_batch().unwrap()) {
            idle = false;
            for _ in 0..if dice.chance(10) { 2 } else { 1 } {
                send(&mut stream, &ToServer::Events(batch.clone())).await?;
            }
        }
        {
            let mut machine = machine.lock().unwrap();
            machine.drained = idle && machine.noted == EVENTS && boxes.iter().all(Outbox::is_empty);
        }
        tokio::select! {
            message = frames.next::<ToAgent>(&mut stream) => {
                heard = tokio::time::Instant::now();
                match message? {
                    ToAgent::Acknowledged { stream, epoch, upto, credit } => {
                        boxes[stream as usize].acknowledged(epoch, upto, credit)?;
                    }
                    ToAgent::Missing { stream, epoch, last } => boxes[stream as usize].missing(epoch, last),
                    _ => return Ok(()),
                }
            }
            () = sleep(dice.pause(60)) => note(machine, boxes, dice)?,
        }
        let waiting = boxes.iter().any(Outbox::is_waiting);
        if waiting && heard.elapsed() > Duration::from_secs(2) {
            return Err("silence".into());
        }
    }
}

/// Notes an event, or syncs.
fn note(machine: &Arc<Mutex<Machine>>, boxes: &mut [Outbox], dice: &Dice) -> Result<(), Failure> {
    let mut machine = machine.lock().unwrap();
    if machine.noted < EVENTS {
        machine.noted += 1;
        let id = machine.noted;
        let text = "x".repeat(dice.below(300) as usize);
        let stream = Stream::ALL[dice.below(2) as usize];
        machine.pending.push(id);
        boxes[stream as usize].keep(0, "test", data(id, text))?;
        if stream == Stream::Security {
            // Only this stream was synced: what waits on the other one still does.
            machine.pending.pop();
            machine.durable.insert(id);
            let dir = machine.dir.path().join(stream.word());
            let files: Vec<PathBuf> = machine.files().into_iter().filter(|p| p.starts_with(&dir)).collect();
            machine.lengths.extend(files.into_iter().map(|p| (p.clone(), length(&p))));
        }
    }
    if machine.noted == EVENTS || dice.chance(30) {
        boxes.iter_mut().try_for_each(Outbox::sync)?;
        machine.synced();
    }
    Ok(())
}

fn data(id: u64, text: String) -> serde_json::Map<String, serde_json::Value> {
    serde_json::Map::from_iter([("id".to_owned(), id.into()), ("text".to_owned(), text.into())])
}

/// Runs one seed; what is wrong with its outcome, if anything.
fn run(seed: u64, dedup: bool) -> Result<(), String> {
    let dice = Dice(Arc::new(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)));
    let database = Arc::new(Mutex::new(Database::default()));
    // In every other run the spool is too small for a long absence.
    let quota = if seed.is_multiple_of(2) { 1 << 20 } else { 8 << 10 };
    let shm = Path::new("/dev/shm");
    let place = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let machines: Vec<_> = (0..AGENTS)
        .map(|n| {
            Arc::new(Mutex::new(Machine {
                name: format!("agent{n}"),
                dir: TempDir::new_in(&place).unwrap(),
                quota,
                boot: 0,
                noted: 0,
                durable: BTreeSet::new(),
                pending: Vec::new(),
                lengths: BTreeMap::new(),
                drained: false,
                torn: 0,
            }))
        })
        .collect();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .simulation_duration(PATIENCE * 2)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(20))
        .build();
    {
        let (database, dice) = (database.clone(), dice.clone());
        sim.host("server", move || serve(database.clone(), dice.clone(), dedup));
    }
    for (n, one) in machines.iter().enumerate() {
        let (one, dice) = (one.clone(), dice.clone());
        sim.host(format!("agent{n}"), move || machine(one.clone(), dice.clone()));
    }
    while sim.elapsed() < CHAOS {
        sim.step().map_err(|e| e.to_string())?;
        let victim = format!("agent{}", dice.below(AGENTS as u64));
        match dice.below(400) {
            0 => sim.partition("server", victim.as_str()),
            1..=3 => sim.repair("server", victim.as_str()),
            4 => {
                sim.crash("server");
                sim.bounce("server");
            }
            5 | 6 => {
                sim.crash(victim.as_str());
                let n: usize = victim.trim_start_matches("agent").parse().unwrap();
                let mut machine = machines[n].lock().unwrap();
                machine.tear(&dice);
                machine.boot += dice.below(2);
                drop(machine);
                sim.bounce(victim.as_str());
            }
            _ => {}
        }
    }
    for n in 0..AGENTS {
        sim.repair("server", format!("agent{n}").as_str());
    }
    while !machines.iter().all(|m| m.lock().unwrap().drained) {
        sim.step().map_err(|e| e.to_string())?;
        if sim.elapsed() > PATIENCE {
            return Err("it never came to rest".to_owned());
        }
    }
    let database = database.lock().unwrap();
    machines.iter().try_for_each(|m| check(&m.lock().unwrap(), &database))
}

/// Nothing doubled; nothing that was durable lost without a gap; every number of an epoch accounted for once.
fn check(machine: &Machine, database: &Database) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    let mut gaps = 0;
    for ((name, stream), (_, kept)) in &database.streams {
        if *name != machine.name {
            continue;
        }
        let mut next: BTreeMap<Epoch, u64> = BTreeMap::new();
        for one in kept {
            let expected = next.entry(one.epoch).or_insert(1);
            if one.from != *expected {
                return Err(format!("{name} {stream:?}: {one:?} where {expected} was next"));
            }
            *expected = one.to + 1;
            match one.id {
                Some(id) if !ids.insert(id) => return Err(format!("{name}: {id} is there twice")),
                Some(_) => {}
                None => gaps += one.to - one.from + 1,
            }
        }
    }
    let lost = machine.durable.difference(&ids).count() as u64;
    if lost > gaps {
        return Err(format!("{}: {lost} events lost, {gaps} said to be", machine.name));
    }
    if machine.quota >= 1 << 20 && (lost > 0 || gaps > machine.torn) {
        return Err(format!("{}: {lost} lost and {gaps} said to be although all had room", machine.name));
    }
    Ok(())
}

#[test]
fn a_thousand_stormy_runs_lose_nothing_unsaid_and_double_nothing() {
    for seed in 0..SEEDS {
        if let Err(why) = run(seed, true) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn without_the_servers_judgement_of_numbers_the_same_runs_double_events() {
    let wrong = (0..SEEDS / 20).filter(|seed| run(*seed, false).is_err()).count();
    assert!(wrong > 10, "{wrong} runs noticed that nothing is deduplicated");
}
