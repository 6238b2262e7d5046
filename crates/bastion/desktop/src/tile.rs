//! The picture as viewers get it: tiles of 64×64 pixels in frames, each frame saying only what has changed.
//!
//! A frame is `2` · frame number, u32 · length, u32 · so many bytes of raw DEFLATE (RFC 1951), the lossless block · JPEG
//! tiles to the end. Numbers are big-endian. The block is records one after the other: `x` and `y` of the tile's upper
//! left corner, u16 each and multiples of 64 · a code · what the code wants:
//!
//! | code | what it wants |
//! |---|---|
//! | 0 one colour | 3 bytes RGB |
//! | 1 palette | number of colours less one, u8 · the colours, RGB · one byte a pixel |
//! | 2 pixels | RGB a pixel |
//! | 3 copy | `x` and `y`, u16 each, of where the same pixels were before this frame |
//!
//! Tiles are cut off at the right and lower edge; a frame says a tile once in its block. A JPEG tile is `x` · `y` · length, u32 · the JPEG; it is sent for what
//! has many colours and hardly shrinks otherwise, and followed by the exact pixels when the place has been still for
//! [`REFINE`].
//!
//! [`Encoder`] knows what its viewer has, and says the rest; [`Decoder`] is its opposite, for tests and for whoever checks
//! a recording. Neither does I/O.

mod decode;
mod encode;
mod scroll;

pub use self::decode::{BadFrame, Decoder};
pub use self::encode::{Encoder, REFINE};
use crate::Size;

/// Pixels on each side of a tile.
pub const SIDE: u16 = 64;
pub(crate) const FRAME: u8 = 2;
const SOLID: u8 = 0;
const PALETTE: u8 = 1;
const RAW: u8 = 2;
const COPY: u8 = 3;

/// A part of a picture, in pixels; within it, as [`Area::within`] made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub(crate) x: u16,
    pub(crate) y: u16,
    pub(crate) width: u16,
    pub(crate) height: u16,
}

impl Area {
    /// What of an area lies within a picture; none when nothing does.
    pub fn within(size: Size, x: u16, y: u16, width: u16, height: u16) -> Option<Area> {
        let width = width.min(size.width().checked_sub(x)?);
        let height = height.min(size.height().checked_sub(y)?);
        (width > 0 && height > 0).then_some(Area { x, y, width, height })
    }

    /// All of a picture.
    pub fn all(size: Size) -> Area {
        Area { x: 0, y: 0, width: size.width(), height: size.height() }
    }

    pub(crate) fn pixels(self) -> usize {
        usize::from(self.width) * usize::from(self.height)
    }
}

/// The tiles of a size, numbered along rows from the upper left corner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    size: Size,
    columns: usize,
    rows: usize,
}

impl Grid {
    pub(crate) fn of(size: Size) -> Grid {
        let count = |pixels: u16| usize::from(pixels.div_ceil(SIDE));
        Grid { size, columns: count(size.width()), rows: count(size.height()) }
    }

    pub(crate) fn len(self) -> usize {
        self.columns * self.rows
    }

    pub(crate) fn area(self, tile: usize) -> Area {
        // Not more than LARGEST / SIDE each, so that nothing is cut off.
        let at = |n: usize| n as u16 * SIDE;
        let (x, y) = (at(tile % self.columns), at(tile / self.columns));
        let (width, height) = (SIDE.min(self.size.width() - x), SIDE.min(self.size.height() - y));
        Area { x, y, width, height }
    }

    /// The tile whose upper left corner is there.
    fn at(self, x: u16, y: u16) -> Option<usize> {
        let whole = x.is_multiple_of(SIDE) && y.is_multiple_of(SIDE);
        let inside = x < self.size.width() && y < self.size.height();
        (whole && inside).then(|| usize::from(y / SIDE) * self.columns + usize::from(x / SIDE))
    }

    /// The tiles that an area touches.
    pub(crate) fn touched(self, area: Area) -> impl Iterator<Item = usize> {
        let span = |from: u16, length: u16| {
            let last = usize::from(from) + usize::from(length.max(1)) - 1;
            usize::from(from / SIDE)..=last / usize::from(SIDE)
        };
        let columns = span(area.x, area.width);
        span(area.y, area.height)
            .flat_map(move |row| columns.clone().map(move |column| row * self.columns + column))
            .filter(move |tile| *tile < self.len())
    }
}

/// A picture: a `0x00RRGGBB` a pixel, along rows from the upper left corner.
#[derive(Clone, PartialEq, Eq)]
pub struct Framebuffer {
    size: Size,
    pixels: Vec<u32>,
}

impl std::fmt::Debug for Framebuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Framebuffer").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Framebuffer {
    /// A black picture.
    pub fn new(size: Size) -> Framebuffer {
        Framebuffer { size, pixels: vec![0; size.pixels()] }
    }

    /// Its size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Its pixels.
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// The rows of an area.
    pub(crate) fn rows(&self, area: Area) -> impl Iterator<Item = &[u32]> {
        let (left, width) = (usize::from(area.x), usize::from(area.width));
        let rows = self.pixels.chunks_exact(usize::from(self.size.width().max(1)));
        rows.skip(area.y.into()).take(area.height.into()).filter_map(move |row| row.get(left..left + width))
    }

    pub(crate) fn rows_mut(&mut self, area: Area) -> impl Iterator<Item = &mut [u32]> {
        let (left, width) = (usize::from(area.x), usize::from(area.width));
        let rows = self.pixels.chunks_exact_mut(usize::from(self.size.width().max(1)));
        rows.skip(area.y.into())
            .take(area.height.into())
            .filter_map(move |row| row.get_mut(left..left + width))
    }

    /// The pixels of an area, along its rows.
    pub(crate) fn cut(&self, area: Area) -> Vec<u32> {
        let mut pixels = Vec::with_capacity(area.pixels());
        self.rows(area).for_each(|row| pixels.extend_from_slice(row));
        pixels
    }

    /// Puts pixels, along an area's rows, there.
    pub fn put(&mut self, area: Area, pixels: &[u32]) {
        let rows = pixels.chunks_exact(usize::from(area.width.max(1)));
        for (to, from) in self.rows_mut(area).zip(rows) {
            to.copy_from_slice(from);
        }
    }

    /// Makes an area one colour.
    pub fn fill(&mut self, area: Area, colour: u32) {
        self.rows_mut(area).for_each(|row| row.fill(colour));
    }

    fn same(&self, area: Area, pixels: &[u32]) -> bool {
        self.rows(area).zip(pixels.chunks_exact(usize::from(area.width.max(1)))).all(|(a, b)| a == b)
    }
}

/// A tile as it is now.
#[derive(Debug)]
pub struct Tile {
    pub(crate) number: usize,
    pub(crate) pixels: Vec<u32>,
}

impl Tile {
    /// Every tile of a picture that an area touches.
    pub fn touched(picture: &Framebuffer, area: Area) -> Vec<Tile> {
        let grid = Grid::of(picture.size);
        grid.touched(area).map(|number| Tile { number, pixels: picture.cut(grid.area(number)) }).collect()
    }
}

fn rgb(pixel: u32) -> [u8; 3] {
    let [_, red, green, blue] = pixel.to_be_bytes();
    [red, green, blue]
}

#[cfg(test)]
mod tests;
