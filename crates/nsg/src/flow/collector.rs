//! The shell around the flow logs of a machine: a thread that listens to the kernel, looks at its table of connections now and
//! then, and hands on what there is to tell once a second. It is there only while a flow log is on.
//!
//! Bounded: [`FOLLOWED`] connections, [`WAITING`] batches that nobody took. What exceeds that is a gap that says so, and so is
//! what the kernel could not hand over.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};

use super::attribute::Attribution;
use super::counters::{self, Untold};
use super::denied::Denials;
use super::nflog;
use super::owner::{End, Owners};
use super::part::FlowPart;
use super::record::{Batch, Delta, Flow, Gap, GapReason, Record, State, batches};
use super::sockets;
use super::track::{Seen, Tracker};
use crate::netlink::Answer;
use crate::netlink::conntrack::{self, Connection, Told, Tuple};
use crate::policy::{Direction, InterfaceName, MacAddress, NsgPart};

/// Connections that are followed at once; about 40 MB when there are so many.
pub const FOLLOWED: usize = 131_072;
/// Batches that wait to be taken.
pub const WAITING: usize = 512;
/// What there is to tell is handed on this often.
const WINDOW: Duration = Duration::from_secs(1);
/// The table of connections is looked at this often, or so rarely that it takes a twentieth of the time.
const LOOK: Duration = Duration::from_secs(5);
const RARELY: u32 = 20;
/// After a failure it is tried again after this pause.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest that the thread does not look whether it is to end.
const WAKE: Duration = Duration::from_millis(200);
/// Bytes of news that may wait in the kernel.
const RECEIVE: usize = 8 << 20;
/// Larger than any datagram that the kernel builds.
const BUFFER: usize = 256 << 10;
/// Datagrams that are read before anything else is done.
const AT_ONCE: usize = 20_000;
/// By which the kernel counts what connections transfer.
const ACCOUNTING: &str = "/proc/sys/net/netfilter/nf_conntrack_acct";

/// What the thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    setting: Option<(u64, NsgPart, FlowPart)>,
    changed: bool,
    out: VecDeque<Batch>,
    lost: u64,
}

/// The collector of a machine. Dropping it ends the thread.
#[derive(Debug, Default)]
pub struct Collector {
    shared: Option<Arc<Mutex<Shared>>>,
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// From now on these interfaces are logged, by the policy of a generation. Without any the thread ends.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn set(&mut self, generation: u64, policy: &NsgPart, flows: &FlowPart) -> io::Result<()> {
        if flows.nics.is_empty() {
            self.stop();
            return Ok(());
        }
        let setting = Some((generation, policy.clone(), flows.clone()));
        if let Some(shared) = &self.shared {
            let mut shared = lock(shared);
            (shared.setting, shared.changed) = (setting, true);
            return Ok(());
        }
        let shared = Arc::new(Mutex::new(Shared { setting, changed: true, ..Shared::default() }));
        let theirs = shared.clone();
        // In the network namespace of this thread.
        std::thread::Builder::new().name("flows".to_owned()).spawn(move || keep(&theirs))?;
        self.shared = Some(shared);
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let mut shared = lock(&shared);
            (shared.setting, shared.changed) = (None, true);
        }
    }

    /// What there is to tell.
    pub fn take(&self) -> Vec<Batch> {
        self.shared.as_ref().map_or_else(Vec::new, |shared| lock(shared).out.drain(..).collect())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's life: begins anew whenever the kernel refuses something.
fn keep(shared: &Mutex<Shared>) {
    let mut told = false;
    while lock(shared).setting.is_some() {
        let error = match Listener::open() {
            Ok(mut listener) => match listener.run(shared) {
                Ok(()) => return,
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !told {
            tracing::error!(%error, "the kernel does not tell of flows; it is asked again");
            told = true;
        }
        let gap = Gap { at: now(), reason: GapReason::Unavailable, lost: None, rule: None };
        hand_on(shared, Vec::new(), vec![gap]);
        // The next listener knows nothing of what this one was set to.
        lock(shared).changed = true;
        let until = Instant::now() + AGAIN;
        while Instant::now() < until && lock(shared).setting.is_some() {
            std::thread::sleep(WAKE);
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn hand_on(shared: &Mutex<Shared>, records: Vec<Record>, mut gaps: Vec<Gap>) {
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    let mut shared = lock(shared);
    if shared.out.len() >= WAITING {
        shared.lost += count;
        return;
    }
    let lost = std::mem::take(&mut shared.lost);
    if lost > 0 {
        gaps.push(Gap { at: now(), reason: GapReason::Backlog, lost: Some(lost), rule: None });
    }
    shared.out.extend(batches(records, gaps));
}

fn open(protocol: SockProtocol, groups: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    // Without the right to exceed the system's limit the kernel grants less, and says so by ENOBUFS later.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE).is_err() {
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE);
    }
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// What a read gives.
enum Received {
    Bytes(usize),
    Nothing,
    /// The kernel dropped something.
    Lost,
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        match recv(socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(length) => return Ok(Received::Bytes(length)),
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(Errno::ENOBUFS) => return Ok(Received::Lost),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks something and reads the answer to its end.
fn ask(
    socket: &OwnedFd,
    buffer: &mut [u8],
    question: &[u8],
    mut each: impl FnMut(&[u8]) -> Answer,
) -> io::Result<()> {
    send(socket.as_raw_fd(), question, MsgFlags::empty())?;
    loop {
        let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, PollTimeout::from(5000_u16))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let Received::Bytes(length) = receive(socket, buffer)? else { continue };
        match each(buffer.get(..length).unwrap_or_default()) {
            Answer::More => {}
            Answer::Done | Answer::Error(0) => return Ok(()),
            Answer::Error(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

type Interfaces = Vec<(InterfaceName, Option<MacAddress>)>;

/// The machine's addresses with their interfaces, and the interfaces with their hardware addresses.
fn addresses() -> io::Result<(HashMap<IpAddr, String>, Interfaces)> {
    let (mut own, mut interfaces) = (HashMap::new(), Vec::new());
    for entry in nix::ifaddrs::getifaddrs()? {
        let Some(address) = entry.address else { continue };
        let ip = address
            .as_sockaddr_in()
            .map(|a| IpAddr::from(a.ip()))
            .or_else(|| address.as_sockaddr_in6().map(|a| a.ip().into()));
        if let Some(ip) = ip {
            own.insert(ip, entry.interface_name);
        } else if let Some(link) = address.as_link_addr()
            && let Ok(name) = InterfaceName::new(entry.interface_name)
        {
            let text = |b: [u8; 6]| b.map(|b| format!("{b:02x}")).join(":");
            interfaces.push((name, link.addr().and_then(|b| MacAddress::parse(&text(b)).ok())));
        }
    }
    Ok((own, interfaces))
}

/// A connection as its interface sees it.
struct Placed {
    interface: String,
    direction: Direction,
    tuple: Tuple,
}

/// Where a connection passes: outbound under the source that the machine gave it, inbound under the destination that it came
/// for. `None` for what does not leave the machine, and for what it only forwards.
fn place(own: &HashMap<IpAddr, String>, connection: &Connection) -> Option<Placed> {
    let Connection { original, reply, .. } = connection;
    if own.contains_key(&original.source) && own.contains_key(&original.destination) {
        return None;
    }
    if let Some(interface) = own.get(&reply.destination) {
        let tuple = original.translated(reply);
        return Some(Placed { interface: interface.clone(), direction: Direction::Outbound, tuple });
    }
    let interface = own.get(&original.destination)?.clone();
    Some(Placed { interface, direction: Direction::Inbound, tuple: *original })
}

/// The machine's own end of a connection, and the other one.
fn ends(flow: &Flow) -> (End, End) {
    let (from, to) = ((flow.source, flow.source_port), (flow.destination, flow.destination_port));
    if flow.direction == Direction::Inbound { (to, from) } else { (from, to) }
}

/// Everything that listens.
struct Listener {
    news: OwnedFd,
    denied: OwnedFd,
    /// Whether the kernel tells of denied packets already.
    bound: bool,
    table: OwnedFd,
    diag: OwnedFd,
    buffer: Vec<u8>,
    attribution: Attribution,
    every: i64,
    own: HashMap<IpAddr, String>,
    looked_up: Option<Instant>,
    names: HashMap<u32, String>,
    owners: Owners,
    tracker: Tracker<Arc<Record>>,
    denials: Denials,
    sequence: Option<u32>,
    records: Vec<Record>,
    gaps: Vec<Gap>,
    lost_news: bool,
    look_cost: Duration,
    untold: Untold,
}

impl Listener {
    fn open() -> io::Result<Listener> {
        if std::fs::read_to_string(ACCOUNTING)?.trim() != "1" {
            std::fs::write(ACCOUNTING, "1")?;
        }
        Ok(Listener {
            news: open(SockProtocol::NetlinkNetFilter, conntrack::GROUPS)?,
            denied: open(SockProtocol::NetlinkNetFilter, 0)?,
            bound: false,
            table: open(SockProtocol::NetlinkNetFilter, 0)?,
            diag: open(SockProtocol::NetlinkSockDiag, 0)?,
            buffer: vec![0; BUFFER],
            attribution: Attribution::new(0, &NsgPart::default(), &FlowPart::default(), &[]),
            every: 0,
            own: HashMap::new(),
            looked_up: None,
            names: HashMap::new(),
            owners: Owners::default(),
            tracker: Tracker::new(FOLLOWED),
            denials: Denials::default(),
            sequence: None,
            records: Vec::new(),
            gaps: Vec::new(),
            lost_news: false,
            look_cost: Duration::ZERO,
            untold: Untold::default(),
        })
    }

    /// Listens until nothing is logged any more.
    fn run(&mut self, shared: &Mutex<Shared>) -> io::Result<()> {
        let (mut handed, mut looked) = (Instant::now(), None::<Instant>);
        loop {
            let setting = {
                let mut shared = lock(shared);
                std::mem::take(&mut shared.changed).then(|| shared.setting.clone())
            };
            match setting {
                Some(None) => return Ok(()),
                Some(Some((generation, policy, flows))) => self.set(generation, &policy, &flows)?,
                None => {}
            }
            let pause = LOOK.max(self.look_cost * RARELY);
            if looked.is_none_or(|at| at.elapsed() >= pause || self.lost_news) {
                self.look(looked.is_some())?;
                looked = Some(Instant::now());
            }
            let left = WINDOW.saturating_sub(handed.elapsed()).min(WAKE);
            let mut waiting = [&self.news, &self.denied].map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN));
            match poll(&mut waiting, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.hear_news()?;
            self.hear_denied()?;
            if handed.elapsed() >= WINDOW {
                self.end_window();
                handed = Instant::now();
                hand_on(shared, std::mem::take(&mut self.records), std::mem::take(&mut self.gaps));
            }
        }
    }

    fn set(&mut self, generation: u64, policy: &NsgPart, flows: &FlowPart) -> io::Result<()> {
        let (own, interfaces) = addresses()?;
        self.own = own;
        self.attribution = Attribution::new(generation, policy, flows, &interfaces);
        self.untold = self.attribution.untold().after(&self.untold);
        self.count()?;
        // Only now: what were told of and had been counted before would hide as much that is lost.
        if !self.bound {
            ask(&self.denied, &mut self.buffer, &nflog::bind(), |answer| nflog::read(answer, |_| {}))?;
            self.bound = true;
        }
        self.every = i64::from(flows.continue_seconds) * 1000;
        Ok(())
    }

    fn gap(&mut self, reason: GapReason, lost: Option<u64>) {
        // Of each reason, one a window; what is unknown stays so.
        match self.gaps.iter_mut().find(|gap| gap.reason == reason && gap.rule.is_none()) {
            Some(gap) => gap.lost = gap.lost.zip(lost).map(|(a, b)| a + b),
            None => self.gaps.push(Gap { at: now(), reason, lost, rule: None }),
        }
    }

    fn end_window(&mut self) {
        // What was not known when a connection began may be by now.
        let mut records = std::mem::take(&mut self.records);
        self.own_them(records.iter_mut().filter(|r| r.flow.state != State::Denied));
        self.records = records;
        let denied = self.denials.take();
        self.records.extend(denied);
        let exceeded = self.tracker.exceeded();
        if exceeded > 0 {
            self.gap(GapReason::Table, Some(exceeded));
        }
    }

    fn hear_news(&mut self) -> io::Result<()> {
        let (at, mut fresh) = (now(), Vec::new());
        for _ in 0..AT_ONCE {
            let mut told = Vec::new();
            match receive(&self.news, &mut self.buffer)? {
                Received::Bytes(length) => {
                    conntrack::read(self.buffer.get(..length).unwrap_or_default(), |t| told.push(t));
                }
                Received::Nothing => break,
                Received::Lost => {
                    self.lost_news = true;
                    self.gap(GapReason::Connections, None);
                }
            }
            for told in told {
                match told {
                    Told::Is(connection) => {
                        fresh.extend(self.judge(&connection, at).map(|r| (connection, r)))
                    }
                    Told::Gone(connection) => {
                        // It may have begun a moment before.
                        self.begin(std::mem::take(&mut fresh), at);
                        if let Some((record, delta)) = self.tracker.gone(&connection) {
                            self.tell(&record, at, State::End, delta);
                        }
                    }
                }
            }
        }
        self.begin(fresh, at);
        Ok(())
    }

    /// What a connection is at a logged interface.
    fn judge(&mut self, connection: &Connection, at: i64) -> Option<Record> {
        let placed = match place(&self.own, connection) {
            Some(placed) => placed,
            None => {
                // An address may be new.
                if self.looked_up.is_some_and(|l| l.elapsed() < WINDOW) {
                    return None;
                }
                self.looked_up = Some(Instant::now());
                self.own = addresses().ok()?.0;
                place(&self.own, connection)?
            }
        };
        let nic = self.attribution.nic(&placed.interface)?;
        let attributed = self.attribution.ask(nic, placed.direction, &placed.tuple.packet())?;
        let Tuple { source, destination, protocol, source_port, destination_port, .. } = placed.tuple;
        let flow = Flow {
            at,
            nic: 0,
            direction: placed.direction,
            source,
            destination,
            source_port,
            destination_port,
            protocol,
            state: State::Begin,
            rule: None,
            process: None,
            delta: Delta::default(),
            count: 1,
        };
        // What the rules of now deny may have begun under those before.
        let rule = attributed.rule.filter(|_| attributed.allow);
        Some(Record { generation: attributed.generation, nic: attributed.nic, rule, process: None, flow })
    }

    /// Finds out whose connections these are, and looks at the sockets for that when it may.
    fn own_them<'r>(&mut self, records: impl Iterator<Item = &'r mut Record>) {
        let mut open: Vec<&mut Record> =
            records.filter(|r| r.process.is_none() && matches!(r.flow.protocol, 6 | 17)).collect();
        let known = |owners: &Owners, flow: &Flow| {
            let (own, other) = ends(flow);
            owners.knows(flow.protocol, flow.direction, own, other)
        };
        if open.iter().any(|r| !known(&self.owners, &r.flow)) && self.owners.is_due() {
            self.look_at_sockets();
        }
        for record in &mut open {
            let (own, other) = ends(&record.flow);
            record.process = self.owners.of(record.flow.protocol, record.flow.direction, own, other);
        }
    }

    fn look_at_sockets(&mut self) {
        let (began, mut all) = (Instant::now(), Vec::new());
        for protocol in [6, 17] {
            for family in sockets::FAMILIES {
                let question = sockets::ask(family, protocol, sockets::OWNED);
                let each = |answer: &[u8]| sockets::read(answer, |socket| all.push((protocol, socket)));
                if let Err(error) = ask(&self.diag, &mut self.buffer, &question, each) {
                    tracing::debug!(%error, "the kernel does not tell of its sockets");
                }
            }
        }
        self.owners.take(began, all);
    }

    fn begin(&mut self, mut fresh: Vec<(Connection, Record)>, at: i64) {
        if fresh.is_empty() {
            return;
        }
        self.own_them(fresh.iter_mut().map(|(_, record)| record));
        for (connection, record) in fresh {
            let record = Arc::new(record);
            if self.tracker.begins(&connection, at, record.clone()) {
                self.tell(&record, at, State::Begin, Delta::default());
            }
        }
    }

    fn tell(&mut self, record: &Record, at: i64, state: State, delta: Delta) {
        let flow = Flow { at, state, delta, ..record.flow.clone() };
        self.records.push(Record { flow, ..record.clone() });
    }

    fn hear_denied(&mut self) -> io::Result<()> {
        let at = now();
        for _ in 0..AT_ONCE {
            let mut told = Vec::new();
            match receive(&self.denied, &mut self.buffer)? {
                Received::Bytes(length) => {
                    nflog::read(self.buffer.get(..length).unwrap_or_default(), |d| told.push(d));
                }
                Received::Nothing => break,
                // The numbers of those that follow tell how many.
                Received::Lost => {}
            }
            for denied in told {
                self.deny(&denied, at);
            }
        }
        Ok(())
    }

    fn deny(&mut self, denied: &nflog::Denied, at: i64) {
        if let Some(number) = denied.sequence {
            let lost = self.sequence.map_or(0, |last| number.wrapping_sub(last).wrapping_sub(1));
            if lost > 0 {
                self.gap(GapReason::Denied, Some(lost.into()));
            }
            self.sequence = Some(number);
        }
        let name = self.names.entry(denied.interface).or_insert_with(|| {
            let name = nix::net::if_::if_indextoname(denied.interface).ok();
            name.and_then(|n| n.into_string().ok()).unwrap_or_default()
        });
        let Some(nic) = self.attribution.nic(name) else { return };
        let Some(attributed) = self.attribution.ask(nic, denied.direction, &denied.packet) else { return };
        let rule = attributed.rule.filter(|_| !attributed.allow);
        if let Some(rule) = &rule {
            self.untold.told(attributed.nic.interface.as_str(), denied.direction, rule);
        }
        let seen = (&denied.packet, denied.length, at);
        self.denials.add(attributed.generation, &attributed.nic, rule.as_ref(), denied.direction, seen);
    }

    /// Looks at the counters of the rules: what they counted and nobody told of is missing.
    fn count(&mut self) -> io::Result<()> {
        let mut counted = HashMap::new();
        let each = |answer: &[u8]| {
            counters::read(answer, |name, packets| {
                counted.insert(name, packets);
            })
        };
        match ask(&self.table, &mut self.buffer, &counters::ask(), each) {
            Ok(()) => {}
            // There is no table where nothing is filtered.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            Err(error) => return Err(error),
        }
        self.gaps.extend(self.untold.look(&counted, now()));
        Ok(())
    }

    /// Looks at the whole table of connections. `before` is whether it was looked at before: what is there at the first
    /// time began earlier.
    fn look(&mut self, before: bool) -> io::Result<()> {
        let (began, at) = (Instant::now(), now());
        self.names.clear();
        let (own, _) = addresses()?;
        self.own = own;
        let lost = std::mem::take(&mut self.lost_news);
        self.tracker.look();
        let (mut unknown, mut told) = (Vec::new(), Vec::new());
        let Self { tracker, table, buffer, every, .. } = self;
        ask(table, buffer, &conntrack::ask_all(), |answer| {
            conntrack::read(answer, |is| {
                let Told::Is(connection) = is else { return };
                match tracker.seen(&connection, at, *every) {
                    Seen::Unknown if unknown.len() < FOLLOWED => unknown.push(connection),
                    Seen::Unknown | Seen::Quiet => {}
                    Seen::Continues(record, delta) => told.push((record, State::Continue, delta)),
                    Seen::Ended(record, delta) => told.push((record, State::End, delta)),
                }
            })
        })?;
        for (record, state, delta) in told {
            self.tell(&record, at, state, delta);
        }
        // Those that are on their way as news are heard of there.
        self.hear_news()?;
        let unknown = unknown.into_iter().filter(|c| !self.tracker.knows(c));
        let unknown: Vec<Connection> = unknown.collect();
        let mut fresh: Vec<(Connection, Record)> =
            unknown.into_iter().filter_map(|c| self.judge(&c, at).map(|r| (c, r))).collect();
        if before && lost {
            self.begin(fresh, at);
        } else if !before {
            self.own_them(fresh.iter_mut().map(|(_, record)| record));
            for (connection, record) in fresh {
                self.tracker.joins(&connection, at, Arc::new(record));
            }
        }
        for record in self.tracker.looked() {
            self.tell(&record, at, State::End, Delta::default());
        }
        self.count()?;
        self.look_cost = began.elapsed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(text: &str) -> Tuple {
        let (from, to) = text.split_once('>').unwrap();
        let (from, to): (std::net::SocketAddr, std::net::SocketAddr) =
            (from.parse().unwrap(), to.parse().unwrap());
        Tuple {
            source: from.ip(),
            destination: to.ip(),
            protocol: 6,
            source_port: from.port(),
            destination_port: to.port(),
            icmp_type: None,
        }
    }

    #[test]
    fn a_connection_is_placed_where_the_rules_judge_it_whatever_addresses_were_translated() {
        let own: HashMap<IpAddr, String> = [("10.0.0.4", "eth0"), ("172.17.0.1", "docker0")]
            .map(|(a, i)| (a.parse().unwrap(), i.to_owned()))
            .into();
        let ask = |original, reply| {
            let connection = Connection {
                id: 1,
                original: tuple(original),
                reply: tuple(reply),
                sent: Default::default(),
                received: Default::default(),
                over: false,
            };
            place(&own, &connection).map(|p| (p.interface, p.direction, p.tuple.packet().to_string()))
        };
        let to =
            |interface: &str, direction, text: &str| Some((interface.to_owned(), direction, text.to_owned()));
        assert_eq!(
            ask("10.0.0.4:1>10.0.0.9:80", "10.0.0.9:80>10.0.0.4:1"),
            to("eth0", Direction::Outbound, "TCP 10.0.0.4:1 to 10.0.0.9:80")
        );
        assert_eq!(
            ask("10.0.0.9:1>10.0.0.4:80", "10.0.0.4:80>10.0.0.9:1"),
            to("eth0", Direction::Inbound, "TCP 10.0.0.9:1 to 10.0.0.4:80")
        );
        // A container goes out under the machine's address, and one is reached at a published port.
        assert_eq!(
            ask("172.17.0.2:1>1.1.1.1:53", "1.1.1.1:53>10.0.0.4:7"),
            to("eth0", Direction::Outbound, "TCP 10.0.0.4:7 to 1.1.1.1:53")
        );
        assert_eq!(
            ask("10.0.0.9:1>10.0.0.4:8080", "172.17.0.2:80>10.0.0.9:1"),
            to("eth0", Direction::Inbound, "TCP 10.0.0.9:1 to 10.0.0.4:8080")
        );
        assert_eq!(ask("10.0.0.4:1>10.0.0.4:80", "10.0.0.4:80>10.0.0.4:1"), None);
        assert_eq!(ask("1.1.1.1:1>2.2.2.2:80", "2.2.2.2:80>1.1.1.1:1"), None);
    }
}
