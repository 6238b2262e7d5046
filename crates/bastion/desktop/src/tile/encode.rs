//! From pictures to frames.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use tokio::time::Instant;

use super::{Area, COPY, FRAME, Framebuffer, Grid, PALETTE, RAW, SIDE, SOLID, Tile, rgb, scroll};
use crate::Size;

/// How long a place is still before a JPEG there is replaced by the exact pixels.
pub const REFINE: Duration = Duration::from_millis(300);
/// Of 100.
const JPEG_QUALITY: u8 = 80;
/// Of a JPEG smaller than this, most would be its tables.
const JPEG_LEAST_PIXELS: usize = 1024;
/// Text shrinks well with little effort, and what does not is sent as JPEG.
const EFFORT: Compression = Compression::new(3);

/// What a viewer has of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Nothing,
    Exact,
    /// A JPEG since then.
    Like(Instant),
}

/// Says what has changed to one viewer, who has taken in all that was said before.
#[derive(Debug)]
pub struct Encoder {
    grid: Grid,
    /// What the viewer has, exactly where it has that.
    sent: Framebuffer,
    has: Vec<Has>,
    number: u32,
}

impl Encoder {
    /// For a viewer who has nothing yet, after a frame of this number; 0 where there was none.
    pub fn new(size: Size, number: u32) -> Encoder {
        let grid = Grid::of(size);
        Encoder { grid, sent: Framebuffer::new(size), has: vec![Has::Nothing; grid.len()], number }
    }

    /// The number of the last frame.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What is said next is for somebody who has nothing.
    pub fn forget(&mut self) {
        self.has.fill(Has::Nothing);
    }

    /// When a place is to be made exact, if there is one.
    pub fn refines_at(&self) -> Option<Instant> {
        let since = self.has.iter().filter_map(|has| match has {
            Has::Like(since) => Some(*since),
            _ => None,
        });
        since.min().map(|since| since + REFINE)
    }

    /// The frame that makes the viewer have these tiles, and exact what has been still for long enough. None when there
    /// is nothing to say. A viewer that has nothing is to be given all tiles.
    pub fn encode(&mut self, tiles: Vec<Tile>, now: Instant) -> Option<Vec<u8>> {
        let mut changed: Vec<Tile> = tiles;
        changed.retain(|tile| {
            let area = self.grid.area(tile.number);
            self.has[tile.number] == Has::Nothing || !self.sent.same(area, &tile.pixels)
        });
        let mut still: Vec<usize> = (0..self.grid.len())
            .filter(|tile| matches!(self.has[*tile], Has::Like(since) if since + REFINE <= now))
            .collect();
        if !changed.is_empty() {
            let moving: std::collections::HashSet<usize> = changed.iter().map(|tile| tile.number).collect();
            still.retain(|tile| !moving.contains(tile));
        }
        if changed.is_empty() && still.is_empty() {
            return None;
        }
        let ways = scroll::ways(&self.sent, self.grid, &changed);
        let mut block = Vec::new();
        let mut jpegs = Vec::new();
        let mut after = Vec::with_capacity(changed.len());
        for tile in &changed {
            let area = self.grid.area(tile.number);
            let like = self.say(area, &tile.pixels, &ways, &mut block, &mut jpegs);
            after.push(if like { Has::Like(now) } else { Has::Exact });
        }
        for number in still {
            let area = self.grid.area(number);
            let pixels = self.sent.cut(area);
            head(&mut block, area, RAW);
            pixels.iter().for_each(|pixel| block.extend(rgb(*pixel)));
            self.has[number] = Has::Exact;
        }
        for (tile, has) in changed.iter().zip(after) {
            self.sent.put(self.grid.area(tile.number), &tile.pixels);
            self.has[tile.number] = has;
        }
        self.number = self.number.wrapping_add(1);
        Some(frame(self.number, &block, &jpegs))
    }

    /// Says a tile; whether with a JPEG.
    fn say(
        &self,
        area: Area,
        pixels: &[u32],
        ways: &[i32],
        block: &mut Vec<u8>,
        jpegs: &mut Vec<u8>,
    ) -> bool {
        let colours = Colours::of(pixels);
        if let Some([colour]) = colours.as_ref().map(|c| c.list.as_slice()) {
            head(block, area, SOLID);
            block.extend(rgb(*colour));
            return false;
        }
        if let Some(from) = ways.iter().find_map(|way| self.copied(area, pixels, *way)) {
            head(block, area, COPY);
            block.extend(from.x.to_be_bytes());
            block.extend(from.y.to_be_bytes());
            return false;
        }
        if let Some(Colours { list, indexes }) = colours
            && 1 + list.len() * 3 + pixels.len() < pixels.len() * 3
        {
            head(block, area, PALETTE);
            block.push((list.len() - 1) as u8);
            list.iter().for_each(|colour| block.extend(rgb(*colour)));
            block.extend(indexes);
            return false;
        }
        let raw: Vec<u8> = pixels.iter().flat_map(|pixel| rgb(*pixel)).collect();
        if pixels.len() >= JPEG_LEAST_PIXELS
            && deflated(&raw).len() * 2 > raw.len()
            && let Some(jpeg) = jpeg(&raw, area)
        {
            jpegs.extend(area.x.to_be_bytes());
            jpegs.extend(area.y.to_be_bytes());
            jpegs.extend((jpeg.len() as u32).to_be_bytes());
            jpegs.extend(jpeg);
            return true;
        }
        head(block, area, RAW);
        block.extend(raw);
        false
    }

    /// Where the viewer has the same pixels already, so many rows further down.
    fn copied(&self, area: Area, pixels: &[u32], way: i32) -> Option<Area> {
        let y = u16::try_from(i32::from(area.y) + way).ok()?;
        let from = Area::within(self.sent.size(), area.x, y, area.width, area.height)?;
        let exact = from.height == area.height
            && self.grid.touched(from).all(|tile| self.has[tile] == Has::Exact)
            && self.sent.same(from, pixels);
        exact.then_some(from)
    }
}

/// The colours of a tile that has at most 256.
struct Colours {
    list: Vec<u32>,
    indexes: Vec<u8>,
}

impl Colours {
    fn of(pixels: &[u32]) -> Option<Colours> {
        // Open addressing: never more than half full, as it is given up at 257.
        const SLOTS: usize = 1024;
        const FREE: u16 = u16::MAX;
        let mut slots = [FREE; SLOTS];
        let mut list: Vec<u32> = Vec::new();
        let mut indexes = Vec::with_capacity(pixels.len());
        let mut last = None;
        for &pixel in pixels {
            if let Some((colour, index)) = last
                && colour == pixel
            {
                indexes.push(index);
                continue;
            }
            let mut slot = (pixel.wrapping_mul(0x9e37_79b1) >> 22) as usize % SLOTS;
            let index = loop {
                match slots[slot] {
                    FREE if list.len() == 256 => return None,
                    FREE => {
                        slots[slot] = list.len() as u16;
                        list.push(pixel);
                        break slots[slot];
                    }
                    index if list[usize::from(index)] == pixel => break index,
                    _ => slot = (slot + 1) % SLOTS,
                }
            };
            last = Some((pixel, index as u8));
            indexes.push(index as u8);
        }
        Some(Colours { list, indexes })
    }
}

fn head(block: &mut Vec<u8>, area: Area, code: u8) {
    block.extend(area.x.to_be_bytes());
    block.extend(area.y.to_be_bytes());
    block.push(code);
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(bytes.len() / 4 + 64), EFFORT);
    // A vector takes everything.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn jpeg(rgb: &[u8], area: Area) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(usize::from(SIDE) * usize::from(SIDE));
    let encoder = jpeg_encoder::Encoder::new(&mut out, JPEG_QUALITY);
    encoder.encode(rgb, area.width, area.height, jpeg_encoder::ColorType::Rgb).ok()?;
    Some(out)
}

pub(super) fn frame(number: u32, block: &[u8], jpegs: &[u8]) -> Vec<u8> {
    let block = deflated(block);
    let mut frame = Vec::with_capacity(9 + block.len() + jpegs.len());
    frame.push(FRAME);
    frame.extend(number.to_be_bytes());
    frame.extend((block.len() as u32).to_be_bytes());
    frame.extend(block);
    frame.extend(jpegs);
    frame
}
