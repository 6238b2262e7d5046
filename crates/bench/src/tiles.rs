//! What the picture of a desktop costs, in bytes and processor time: a terminal that scrolls, and pictures that move. Beside
//! it, every tile that has changed as a JPEG of the same quality.

use nix::time::{ClockId, clock_gettime};
use sekisho_bastion_desktop::Size;
use sekisho_bastion_desktop::tile::{Area, Encoder, Framebuffer, SIDE, Tile};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Pixels of the desktop.
const WIDTH: u16 = 1280;
const HEIGHT: u16 = 800;
/// Pixels of a character, and characters of the terminal.
const GLYPH: (u16, u16) = (8, 16);
const COLUMNS: u16 = 150;
const ROWS: u16 = 48;
/// Of 100, as the encoder's own.
const QUALITY: u8 = 80;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Frames of each picture.
    #[arg(long, default_value_t = 200)]
    frames: u32,
}

/// Makes a picture what it is at a frame.
type Draw = fn(&mut Framebuffer, u32);

/// Bytes and milliseconds of processor time, a frame.
struct Cost {
    bytes: f64,
    ms: f64,
}

/// Measures everything.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    let mut told = serde_json::Map::new();
    let pictures: [(&str, Draw); 2] = [("terminal", scrolled), ("photo", moved)];
    for (name, draw) in pictures {
        let (ours, jpeg) = (encoded(options.frames, draw)?, as_jpeg(options.frames, draw)?);
        told.insert(
            name.to_owned(),
            json!({"kB": ours.bytes / 1000.0, "ms": ours.ms, "jpegKB": jpeg.bytes / 1000.0, "jpegMs": jpeg.ms}),
        );
    }
    Ok(Value::Object(told))
}

fn size() -> Size {
    Size::new(WIDTH.into(), HEIGHT.into())
}

/// One row of characters more, and all others a row higher.
fn scrolled(picture: &mut Framebuffer, frame: u32) {
    let (glyph_width, glyph_height) = GLYPH;
    for row in 0..ROWS {
        let line = frame + u32::from(row);
        for column in 0..COLUMNS {
            // Lines of words, of whose letters there are as many as in ASCII.
            let drawn = random(line * 211 + u32::from(column)) % 95;
            let is_blank = random(line * 31 + u32::from(column) / 6).is_multiple_of(5);
            let pixels: Vec<u32> = (0..u32::from(glyph_width) * u32::from(glyph_height))
                .map(|pixel| {
                    let is_ink = !is_blank && random(drawn * 128 + pixel).is_multiple_of(4);
                    if is_ink { 0x00d0_d0d0 } else { 0x0010_1010 }
                })
                .collect();
            let at = (column * glyph_width, row * glyph_height);
            if let Some(area) = Area::within(picture.size(), at.0, at.1, glyph_width, glyph_height) {
                picture.put(area, &pixels);
            }
        }
    }
}

/// A plasma that moves, where a film would be.
fn moved(picture: &mut Framebuffer, frame: u32) {
    let (left, top, width, height) = (190_u16, 100_u16, 900_u16, 600_u16);
    let time = f64::from(frame) / 12.0;
    let wave = |value: f64| ((value.sin() + 1.0) * 127.5) as u32;
    let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height));
    for y in 0..height {
        for x in 0..width {
            let (x, y) = (f64::from(x) / 60.0, f64::from(y) / 60.0);
            let (red, green, blue) = (wave(x + time), wave(y - time), wave((x * x + y * y).sqrt() + time));
            pixels.push(red << 16 | green << 8 | blue);
        }
    }
    if let Some(area) = Area::within(picture.size(), left, top, width, height) {
        picture.put(area, &pixels);
    }
}

/// A number that always follows the same one (Murmur3's finalizer).
fn random(n: u32) -> u32 {
    let n = (n ^ (n >> 16)).wrapping_mul(0x85eb_ca6b);
    let n = (n ^ (n >> 13)).wrapping_mul(0xc2b2_ae35);
    n ^ (n >> 16)
}

/// Milliseconds of processor time that this thread has used.
fn used() -> anyhow::Result<f64> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(now.tv_sec() as f64 * 1000.0 + now.tv_nsec() as f64 / 1e6)
}

fn encoded(frames: u32, draw: Draw) -> anyhow::Result<Cost> {
    let mut picture = Framebuffer::new(size());
    let mut encoder = Encoder::new(size(), 0);
    // What was there before is not what moves.
    draw(&mut picture, 0);
    encoder.encode(Tile::touched(&picture, Area::all(size())), Instant::now());
    let mut cost = Cost { bytes: 0.0, ms: 0.0 };
    for frame in 1..=frames {
        draw(&mut picture, frame);
        let began = used()?;
        let said = encoder.encode(Tile::touched(&picture, Area::all(size())), Instant::now());
        cost.ms += used()? - began;
        cost.bytes += said.map_or(0, |frame| frame.len()) as f64;
    }
    Ok(Cost { bytes: cost.bytes / f64::from(frames), ms: cost.ms / f64::from(frames) })
}

fn as_jpeg(frames: u32, draw: Draw) -> anyhow::Result<Cost> {
    let mut picture = Framebuffer::new(size());
    draw(&mut picture, 0);
    let mut before = picture.clone();
    let mut cost = Cost { bytes: 0.0, ms: 0.0 };
    for frame in 1..=frames {
        draw(&mut picture, frame);
        let began = used()?;
        for y in (0..HEIGHT).step_by(SIDE.into()) {
            for x in (0..WIDTH).step_by(SIDE.into()) {
                let (right, below) = ((x + SIDE).min(WIDTH), (y + SIDE).min(HEIGHT));
                let rows = |picture: &Framebuffer| -> Vec<u32> {
                    let row = |y: u16| usize::from(y) * usize::from(WIDTH);
                    (y..below)
                        .flat_map(|y| {
                            picture.pixels()[row(y) + usize::from(x)..row(y) + usize::from(right)].to_vec()
                        })
                        .collect()
                };
                let now = rows(&picture);
                if now == rows(&before) {
                    continue;
                }
                let rgb: Vec<u8> = now.iter().flat_map(|p| p.to_be_bytes().into_iter().skip(1)).collect();
                let mut jpeg = Vec::new();
                let encoder = jpeg_encoder::Encoder::new(&mut jpeg, QUALITY);
                encoder.encode(&rgb, right - x, below - y, jpeg_encoder::ColorType::Rgb)?;
                cost.bytes += jpeg.len() as f64;
            }
        }
        cost.ms += used()? - began;
        before.clone_from(&picture);
    }
    Ok(Cost { bytes: cost.bytes / f64::from(frames), ms: cost.ms / f64::from(frames) })
}
