//! From frames to pictures.

use std::io::Read as _;

use flate2::read::DeflateDecoder;

use super::{Area, COPY, FRAME, Framebuffer, Grid, PALETTE, RAW, SIDE, SOLID};
use crate::Size;

/// A frame is none of ours, or not for a picture of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame cannot be read")]
pub struct BadFrame;

/// The picture of somebody who takes in frames. JPEGs are not decoded: their places turn [grey](Decoder::GREY) and are
/// [not exact](Decoder::exact) until the exact pixels come.
#[derive(Debug)]
pub struct Decoder {
    grid: Grid,
    picture: Framebuffer,
    pub(super) exact: Vec<bool>,
}

impl Decoder {
    /// The colour of a place of which there is only a JPEG.
    pub const GREY: u32 = 0x0080_8080;

    /// Of nothing yet.
    pub fn new(size: Size) -> Decoder {
        let grid = Grid::of(size);
        Decoder { grid, picture: Framebuffer::new(size), exact: vec![false; grid.len()] }
    }

    /// What there is.
    pub fn picture(&self) -> &Framebuffer {
        &self.picture
    }

    /// Whether all of it is there and exact.
    pub fn exact(&self) -> bool {
        self.exact.iter().all(|exact| *exact)
    }

    /// Takes in a frame; its number.
    ///
    /// # Errors
    /// [`BadFrame`]; the picture may have taken in a part of it.
    pub fn apply(&mut self, frame: &[u8]) -> Result<u32, BadFrame> {
        let mut rest = Bytes(frame);
        if rest.u8()? != FRAME {
            return Err(BadFrame);
        }
        let number = rest.u32()?;
        let length = rest.u32()? as usize;
        let block = self.inflated(rest.take(length)?)?;
        self.block(&block)?;
        while !rest.0.is_empty() {
            let (tile, area) = self.tile(&mut rest)?;
            let length = rest.u32()? as usize;
            rest.take(length)?;
            self.picture.fill(area, Decoder::GREY);
            self.exact[tile] = false;
        }
        Ok(number)
    }

    fn inflated(&self, bytes: &[u8]) -> Result<Vec<u8>, BadFrame> {
        let most = self.grid.len() * (5 + 3 * usize::from(SIDE) * usize::from(SIDE));
        let mut block = Vec::new();
        let mut reader = DeflateDecoder::new(bytes).take(most as u64 + 1);
        reader.read_to_end(&mut block).map_err(|_| BadFrame)?;
        if block.len() > most { Err(BadFrame) } else { Ok(block) }
    }

    fn tile(&self, from: &mut Bytes<'_>) -> Result<(usize, Area), BadFrame> {
        let (x, y) = (from.u16()?, from.u16()?);
        let tile = self.grid.at(x, y).ok_or(BadFrame)?;
        Ok((tile, self.grid.area(tile)))
    }

    fn block(&mut self, block: &[u8]) -> Result<(), BadFrame> {
        let mut rest = Bytes(block);
        // Copies are from what was before; so they come first, and wait.
        let mut copies = Vec::new();
        let mut others = Vec::new();
        let mut said = vec![false; self.grid.len()];
        while !rest.0.is_empty() {
            let (tile, area) = self.tile(&mut rest)?;
            if std::mem::replace(&mut said[tile], true) {
                return Err(BadFrame);
            }
            let pixels = area.pixels();
            match rest.u8()? {
                SOLID => others.push((area, vec![rest.colour()?; pixels])),
                PALETTE => {
                    let colours = usize::from(rest.u8()?) + 1;
                    let colours: Vec<u32> = (0..colours).map(|_| rest.colour()).collect::<Result<_, _>>()?;
                    let indexes = rest.take(pixels)?.iter();
                    let known = indexes.map(|index| colours.get(usize::from(*index)).copied());
                    others.push((area, known.collect::<Option<_>>().ok_or(BadFrame)?));
                }
                RAW => {
                    let known: Result<_, _> = (0..pixels).map(|_| rest.colour()).collect();
                    others.push((area, known?));
                }
                COPY => {
                    let (x, y) = (rest.u16()?, rest.u16()?);
                    let from = Area::within(self.picture.size(), x, y, area.width, area.height);
                    let from = from.filter(|f| (f.width, f.height) == (area.width, area.height));
                    copies.push((area, self.picture.cut(from.ok_or(BadFrame)?)));
                }
                _ => return Err(BadFrame),
            }
            self.exact[tile] = true;
        }
        for (area, pixels) in copies.into_iter().chain(others) {
            self.picture.put(area, &pixels);
        }
        Ok(())
    }
}

struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], BadFrame> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadFrame)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        self.take(N)?.try_into().map_err(|_| BadFrame)
    }

    fn u8(&mut self) -> Result<u8, BadFrame> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, BadFrame> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, BadFrame> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn colour(&mut self) -> Result<u32, BadFrame> {
        let [red, green, blue] = self.array()?;
        Ok(u32::from_be_bytes([0, red, green, blue]))
    }
}
