//! ZRLE (RFC 6143, 7.7.6): tiles of 64×64 as colours, palettes or runs, in one DEFLATE stream over the whole session.

use flate2::{Decompress, FlushDecompress};

use crate::tile::SIDE;

/// What is encoded is no ZRLE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadZrle;

/// The stream.
#[derive(Debug)]
pub(super) struct Zrle {
    stream: Decompress,
    /// What has been unpacked of the rectangle.
    block: Vec<u8>,
    most: usize,
}

impl Zrle {
    pub(super) fn new() -> Zrle {
        Zrle { stream: Decompress::new(true), block: Vec::new(), most: 0 }
    }

    /// A rectangle begins.
    pub(super) fn begin(&mut self, width: u16, height: u16) {
        let (width, height) = (usize::from(width), usize::from(height));
        let tiles = width.div_ceil(SIDE.into()) * height.div_ceil(SIDE.into());
        // At worst every pixel is a run of its own: three bytes and one; and a tile has a palette.
        self.most = width * height * 4 + tiles * (1 + 127 * 3);
        self.block.clear();
    }

    /// Takes in what was packed.
    pub(super) fn unpack(&mut self, mut packed: &[u8]) -> Result<(), BadZrle> {
        loop {
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let room = (32 << 10).min(self.most + 1 - self.block.len());
            self.block.reserve(room);
            self.stream
                .decompress_vec(packed, &mut self.block, FlushDecompress::Sync)
                .map_err(|_| BadZrle)?;
            if self.block.len() > self.most {
                return Err(BadZrle);
            }
            packed = packed.get((self.stream.total_in() - read) as usize..).ok_or(BadZrle)?;
            let moved = self.stream.total_in() > read || self.stream.total_out() > written;
            let full = self.block.len() == self.block.capacity();
            if packed.is_empty() && !full {
                return Ok(());
            }
            if !moved && !full {
                return Err(BadZrle);
            }
        }
    }

    /// The pixels of the rectangle, along its rows.
    pub(super) fn pixels(&self, width: u16, height: u16) -> Result<Vec<u32>, BadZrle> {
        let (width, height) = (usize::from(width), usize::from(height));
        let side = usize::from(SIDE);
        let mut picture = vec![0; width * height];
        let mut rest = Bytes(&self.block);
        let mut tile = Vec::with_capacity(side * side);
        for y in (0..height).step_by(side) {
            for x in (0..width).step_by(side) {
                let (w, h) = (side.min(width - x), side.min(height - y));
                tile.clear();
                rest.tile(w, h, &mut tile)?;
                for (row, pixels) in tile.chunks_exact(w).enumerate() {
                    let at = (y + row) * width + x;
                    picture[at..at + w].copy_from_slice(pixels);
                }
            }
        }
        Ok(picture)
    }
}

struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], BadZrle> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BadZrle)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, BadZrle> {
        self.take(1)?.first().copied().ok_or(BadZrle)
    }

    /// A pixel without the byte that is always zero.
    fn pixel(&mut self) -> Result<u32, BadZrle> {
        let bytes = self.take(3)?.try_into().map_err(|_| BadZrle)?;
        let [blue, green, red]: [u8; 3] = bytes;
        Ok(u32::from_be_bytes([0, red, green, blue]))
    }

    fn palette(&mut self, colours: u8) -> Result<Vec<u32>, BadZrle> {
        (0..colours).map(|_| self.pixel()).collect()
    }

    /// The length of a run.
    fn run(&mut self) -> Result<usize, BadZrle> {
        let mut length = 1;
        loop {
            let more = self.byte()?;
            length += usize::from(more);
            if more < 255 {
                return Ok(length);
            }
            // No longer than a tile, whatever it is.
            if length > usize::from(SIDE) * usize::from(SIDE) {
                return Err(BadZrle);
            }
        }
    }

    /// The pixels of a tile, exactly as many as it has.
    fn tile(&mut self, width: usize, height: usize, tile: &mut Vec<u32>) -> Result<(), BadZrle> {
        let pixels = width * height;
        let mut add = |colour: u32, length: usize| {
            let fits = tile.len() + length <= pixels;
            fits.then(|| tile.resize(tile.len() + length, colour)).ok_or(BadZrle)
        };
        match self.byte()? {
            0 => {
                for _ in 0..pixels {
                    add(self.pixel()?, 1)?;
                }
            }
            1 => add(self.pixel()?, pixels)?,
            colours @ 2..=16 => {
                let palette = self.palette(colours)?;
                let bits = match colours {
                    2 => 1,
                    3..=4 => 2,
                    _ => 4,
                };
                for _ in 0..height {
                    let row = self.take((width * bits).div_ceil(8))?;
                    for x in 0..width {
                        let shift = 8 - bits - (x * bits) % 8;
                        let index = usize::from(row[x * bits / 8] >> shift) & ((1 << bits) - 1);
                        add(*palette.get(index).ok_or(BadZrle)?, 1)?;
                    }
                }
            }
            128 => {
                let mut left = pixels;
                while left > 0 {
                    let (colour, length) = (self.pixel()?, self.run()?);
                    add(colour, length)?;
                    left -= length;
                }
            }
            colours @ 130..=255 => {
                let palette = self.palette(colours - 128)?;
                let mut left = pixels;
                while left > 0 {
                    let index = self.byte()?;
                    let length = if index < 128 { 1 } else { self.run()? };
                    add(*palette.get(usize::from(index & 127)).ok_or(BadZrle)?, length)?;
                    left -= length;
                }
            }
            17..=127 | 129 => return Err(BadZrle),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    fn packed(stream: &mut Compress, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 4096);
        stream.compress_vec(bytes, &mut out, FlushCompress::Sync).unwrap();
        out
    }

    #[test]
    fn every_kind_of_tile_becomes_its_pixels_and_the_stream_goes_on() {
        let mut stream = Compress::new(Compression::fast(), true);
        let mut zrle = Zrle::new();
        let mut of = |bytes: &[u8]| {
            zrle.begin(3, 2);
            zrle.unpack(&packed(&mut stream, bytes)).unwrap();
            zrle.pixels(3, 2)
        };
        let (a, b, c) = (0x0001_0203, 0x0004_0506, 0x0007_0809);
        assert_eq!(of(&[1, 3, 2, 1]), Ok(vec![a; 6]), "one colour");
        let raw = [3, 2, 1, 6, 5, 4, 3, 2, 1, 3, 2, 1, 6, 5, 4, 9, 8, 7];
        assert_eq!(of(&[&[0][..], &raw].concat()), Ok(vec![a, b, a, a, b, c]), "pixels");
        assert_eq!(of(&[2, 3, 2, 1, 6, 5, 4, 0b0100_0000, 0b1010_0000]), Ok(vec![a, b, a, b, a, b]));
        assert_eq!(of(&[3, 3, 2, 1, 6, 5, 4, 9, 8, 7, 0b0001_1000, 0b1001_0000]), Ok(vec![a, b, c, c, b, a]));
        assert_eq!(of(&[128, 3, 2, 1, 3, 6, 5, 4, 1]), Ok(vec![a, a, a, a, b, b]), "runs");
        assert_eq!(of(&[130, 3, 2, 1, 6, 5, 4, 0, 129, 4]), Ok(vec![a, b, b, b, b, b]));
        assert_eq!(of(&[128, 3, 2, 1, 9]), Err(BadZrle), "more than the tile");
        assert_eq!(of(&[3, 3, 2, 1, 6, 5, 4, 9, 8, 7, 0b1100_0000, 0]), Err(BadZrle), "no such colour");
        assert_eq!(of(&[17]), Err(BadZrle));
        assert_eq!(of(&[]), Err(BadZrle));
    }

    #[test]
    fn a_rectangle_does_not_swell() {
        let mut stream = Compress::new(Compression::best(), true);
        let mut zrle = Zrle::new();
        zrle.begin(64, 64);
        assert_eq!(zrle.unpack(&packed(&mut stream, &vec![0; 20 << 20])), Err(BadZrle));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), w in 1..200u16, h in 1..200u16) {
            let mut zrle = Zrle::new();
            zrle.begin(w, h);
            let _ = zrle.unpack(&bytes);
            let mut zrle = Zrle::new();
            zrle.begin(w, h);
            let mut stream = Compress::new(Compression::fast(), true);
            prop_assert!(zrle.unpack(&packed(&mut stream, &bytes)).is_ok() || bytes.len() > usize::from(w) * usize::from(h));
            let _ = zrle.pixels(w, h);
        }
    }
}
