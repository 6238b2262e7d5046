//! What a machine shows at the moment, with what has changed since when, so that everybody who looks takes it in at a pace
//! of their own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::tile::{Area, Framebuffer, Grid, Tile};
use crate::{Exit, Pointer, Size};

/// The screen of a machine; shared.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    shown: Arc<Mutex<Shown>>,
    changed: Arc<watch::Sender<u64>>,
}

/// Everything numbered by `now`, which every change makes larger.
#[derive(Debug)]
struct Shown {
    now: u64,
    picture: Framebuffer,
    /// When each tile last changed.
    tiles: Vec<u64>,
    sized: u64,
    pointer: (u64, Pointer),
    copied: (u64, Arc<str>),
    resizes: bool,
    over: Option<Exit>,
}

/// What somebody who looks has taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) picture: u64,
    pub(crate) pointer: u64,
    pub(crate) copied: u64,
    sized: u64,
}

/// What there is for somebody who looks.
#[derive(Debug)]
pub(crate) enum News {
    Sized(Size),
    Pointer(Pointer),
    Copied(Arc<str>),
}

impl Screen {
    pub(crate) fn new(size: Size) -> Screen {
        let shown = Shown {
            now: 1,
            picture: Framebuffer::new(size),
            tiles: vec![1; Grid::of(size).len()],
            sized: 0,
            pointer: (0, Pointer::Default),
            copied: (0, "".into()),
            resizes: false,
            over: None,
        };
        Screen { shown: Arc::new(Mutex::new(shown)), changed: Arc::new(watch::Sender::new(1)) }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        // Nothing that is done under the lock leaves it half done.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shown) -> T) -> T {
        let (now, result) = {
            let mut shown = self.lock();
            shown.now += 1;
            (shown.now, change(&mut shown))
        };
        self.changed.send_replace(now);
        result
    }

    /// Draws; the areas that are returned have changed.
    pub(crate) fn draw(&self, draw: impl FnOnce(&mut Framebuffer) -> Vec<Area>) {
        self.change(|shown| {
            let areas = draw(&mut shown.picture);
            let grid = Grid::of(shown.picture.size());
            for tile in areas.into_iter().flat_map(|area| grid.touched(area)) {
                shown.tiles[tile] = shown.now;
            }
        });
    }

    /// A black screen of another size.
    pub(crate) fn resize(&self, size: Size) {
        self.change(|shown| {
            shown.picture = Framebuffer::new(size);
            shown.tiles = vec![shown.now; Grid::of(size).len()];
            shown.sized = shown.now;
        });
    }

    pub(crate) fn point(&self, pointer: Pointer) {
        self.change(|shown| shown.pointer = (shown.now, pointer));
    }

    pub(crate) fn copied(&self, text: &str) {
        self.change(|shown| shown.copied = (shown.now, text.into()));
    }

    pub(crate) fn can_resize(&self) {
        self.change(|shown| shown.resizes = true);
    }

    pub(crate) fn resizes(&self) -> bool {
        self.lock().resizes
    }

    /// The first end counts.
    pub(crate) fn over(&self, exit: Exit) {
        self.change(|shown| {
            shown.over.get_or_insert(exit);
        });
    }

    pub(crate) fn is_over(&self) -> Option<Exit> {
        self.lock().over.clone()
    }

    pub(crate) fn size(&self) -> Size {
        self.lock().picture.size()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// For somebody who has seen nothing, and is not to get what was copied before they came.
    pub(crate) fn arrive(&self) -> (Size, Seen) {
        let shown = self.lock();
        let seen = Seen { picture: 0, pointer: 0, copied: shown.now, sized: shown.sized };
        (shown.picture.size(), seen)
    }

    /// What is new beside the picture; with another size, nothing of the picture has been seen.
    pub(crate) fn news(&self, seen: &mut Seen) -> Option<News> {
        let shown = self.lock();
        if shown.sized > seen.sized {
            (seen.sized, seen.picture) = (shown.sized, 0);
            return Some(News::Sized(shown.picture.size()));
        }
        if shown.pointer.0 > seen.pointer {
            seen.pointer = shown.pointer.0;
            return Some(News::Pointer(shown.pointer.1.clone()));
        }
        if shown.copied.0 > seen.copied {
            seen.copied = shown.copied.0;
            return Some(News::Copied(shown.copied.1.clone()));
        }
        None
    }

    /// The tiles that have changed; none when the size is not the one that was seen.
    pub(crate) fn tiles(&self, seen: &mut Seen) -> Option<Vec<Tile>> {
        let shown = self.lock();
        if shown.sized != seen.sized {
            return None;
        }
        let grid = Grid::of(shown.picture.size());
        let changed = shown.tiles.iter().enumerate().filter(|(_, at)| **at > seen.picture);
        let tiles = changed
            .map(|(number, _)| Tile { number, pixels: shown.picture.cut(grid.area(number)) })
            .collect();
        seen.picture = shown.now;
        Some(tiles)
    }
}
