//! Keeps the maps as they should be, and remembers what they hold, so that a change costs what it changes and not what is
//! open: listing ten thousand openings takes the kernel longer than anybody should wait for one more.
//!
//! What is remembered holds as long as the kernel's ruleset is of the generation that this keeper left: whoever changes
//! anything in it begins another one, and then everything is listed again. Openings that end by themselves do not; where
//! one is about to, or just has, the map is listed, too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::elements::Socket;
use super::plan::{Change, Present, changes};
use super::{Map, Opening, all_maps, pieces};
use crate::netlink::NetlinkError;
use crate::policy::NsgPart;

/// How far the kernel's idea of an end may be from ours.
const DOUBT: Duration = Duration::from_millis(100);

/// Ranges with their marks, and when they end. What never ends has no end.
type Held = BTreeMap<(u128, u128), (u32, Option<Instant>)>;

/// Keeps the maps of the network namespace of the thread that first uses it.
#[derive(Default)]
pub struct Keeper {
    socket: Option<Socket>,
    known: Option<Known>,
}

struct Known {
    generation: u32,
    maps: BTreeMap<Map, Held>,
}

impl Keeper {
    /// Makes the maps of a loaded part hold exactly these openings; what is open already goes on counting. Returns how
    /// many elements were changed. What is open for a port that is not guarded is not opened.
    ///
    /// # Errors
    /// [`NetlinkError`]; nothing has changed then.
    pub fn converge(&mut self, part: &NsgPart, openings: &[Opening]) -> Result<usize, NetlinkError> {
        // Whatever goes wrong, nothing is remembered of it.
        let known = self.known.take();
        let mut socket = self.socket.take().map_or_else(Socket::open, Ok)?;
        let generation = socket.generation()?;
        let mut remembered = known.filter(|k| k.generation == generation).map(|k| k.maps).unwrap_or_default();
        let (mut all, mut maps) = (Vec::new(), BTreeMap::new());
        for map in all_maps(part) {
            let now = Instant::now();
            let mut held = match remembered.remove(&map).filter(|held| is_certain(held, now)) {
                Some(held) => held,
                None => listed(&socket.list(map)?, now),
            };
            let present = held.iter().map(|(range, what)| present(range, what, now));
            let changes = changes(map, present, &pieces::of(openings, map));
            for change in &changes {
                match change {
                    Change::Close { first, last, .. } => drop(held.remove(&(*first, *last))),
                    Change::Open { piece, .. } => {
                        held.insert((piece.first, piece.last), (piece.mark, now.checked_add(piece.left)));
                    }
                }
            }
            all.extend(changes);
            maps.insert(map, held);
        }
        socket.change(&all)?;
        let left = generation.wrapping_add(u32::from(!all.is_empty()));
        if socket.generation()? == left {
            self.known = Some(Known { generation: left, maps });
        }
        self.socket = Some(socket);
        Ok(all.len())
    }
}

/// Whether nothing of it may be over, or be thought to be.
fn is_certain(held: &Held, now: Instant) -> bool {
    held.values().all(|(_, ends)| ends.is_some_and(|ends| ends > now + DOUBT))
}

fn listed(present: &[Present], now: Instant) -> Held {
    let end = |p: &Present| p.left.and_then(|left| now.checked_add(left));
    present.iter().map(|p| ((p.first, p.last), (p.mark, end(p)))).collect()
}

fn present((first, last): &(u128, u128), (mark, ends): &(u32, Option<Instant>), now: Instant) -> Present {
    let left = ends.map(|ends| ends.saturating_duration_since(now));
    Present { first: *first, last: *last, mark: *mark, left, carried: (0, 0) }
}
