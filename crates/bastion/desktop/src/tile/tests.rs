use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

fn size(width: u16, height: u16) -> Size {
    Size::said(width, height).unwrap()
}

/// What happens to a picture.
#[derive(Debug, Clone)]
enum Change {
    Fill(u16, u16, u16, u16, u32),
    /// Few colours.
    Text(u16, u16, u16, u16, u32),
    /// Many colours that hardly shrink.
    Noise(u16, u16, u16, u16, u32),
    Scroll(u16, u16, u16, u16, u16),
    Wait,
}

fn change() -> impl Strategy<Value = Change> {
    let area = || (0..300u16, 0..300u16, 1..300u16, 1..300u16);
    prop_oneof![
        (area(), any::<u32>()).prop_map(|((x, y, w, h), n)| Change::Fill(x, y, w, h, n & 0xff_ffff)),
        (area(), any::<u32>()).prop_map(|((x, y, w, h), n)| Change::Text(x, y, w, h, n)),
        (area(), any::<u32>()).prop_map(|((x, y, w, h), n)| Change::Noise(x, y, w, h, n)),
        (area(), 1..90u16).prop_map(|((x, y, w, h), n)| Change::Scroll(x, y, w, h, n)),
        Just(Change::Wait),
    ]
}

fn chance(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

fn happen(picture: &mut Framebuffer, change: &Change) -> Option<Area> {
    let at = |x, y, w, h| Area::within(picture.size(), x, y, w, h);
    match *change {
        Change::Fill(x, y, w, h, colour) => {
            let area = at(x, y, w, h)?;
            picture.fill(area, colour);
            Some(area)
        }
        Change::Text(x, y, w, h, seed) => {
            let area = at(x, y, w, h)?;
            let mut state = seed | 1;
            let pixels: Vec<u32> = (0..area.pixels()).map(|_| (chance(&mut state) % 3) * 0x7f_1234).collect();
            picture.put(area, &pixels);
            Some(area)
        }
        Change::Noise(x, y, w, h, seed) => {
            let area = at(x, y, w, h)?;
            let mut state = seed | 1;
            let pixels: Vec<u32> = (0..area.pixels()).map(|_| chance(&mut state) & 0xff_ffff).collect();
            picture.put(area, &pixels);
            Some(area)
        }
        Change::Scroll(x, y, w, h, by) => {
            let area = at(x, y, w, h)?;
            let from = Area { y: area.y + by, height: area.height.checked_sub(by)?, ..area };
            let pixels = picture.cut(from);
            picture.put(Area { y: area.y, ..from }, &pixels);
            Some(area)
        }
        Change::Wait => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whoever_takes_in_the_frames_has_the_picture_once_it_is_still(
        width in 1..300u16,
        height in 1..300u16,
        changes in prop::collection::vec(change(), 0..12),
    ) {
        let size = size(width, height);
        let mut picture = Framebuffer::new(size);
        let mut encoder = Encoder::new(size, 0);
        let mut decoder = Decoder::new(size);
        let mut now = Instant::now();
        let mut take = |encoder: &mut Encoder, tiles, now| {
            let before = encoder.number();
            if let Some(frame) = encoder.encode(tiles, now) {
                assert_eq!(decoder.apply(&frame), Ok(before + 1));
            }
            (decoder.exact(), decoder.picture().clone())
        };
        take(&mut encoder, Tile::touched(&picture, Area::all(size)), now);
        for change in &changes {
            now += REFINE / 2;
            let tiles = happen(&mut picture, change).map(|area| Tile::touched(&picture, area));
            take(&mut encoder, tiles.unwrap_or_default(), now);
        }
        let (exact, shown) = take(&mut encoder, Vec::new(), now + REFINE);
        prop_assert!(exact);
        prop_assert!(encoder.refines_at().is_none());
        prop_assert!(shown == picture);
    }

    #[test]
    fn no_frame_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(size(130, 70));
        let _ = decoder.apply(&bytes);
        let _ = decoder.apply(&encode::frame(1, &bytes, &[]));
        let _ = decoder.apply(&encode::frame(1, &[0, 0, 0, 0, 0, 1, 2, 3], &bytes));
    }
}

fn first(picture: &Framebuffer) -> (Encoder, Vec<u8>) {
    let mut encoder = Encoder::new(picture.size(), 0);
    let frame = encoder.encode(Tile::touched(picture, Area::all(picture.size())), Instant::now());
    (encoder, frame.unwrap())
}

#[test]
fn the_first_frame_is_whole_and_the_next_says_only_what_changed() {
    let mut picture = Framebuffer::new(size(640, 480));
    let (mut encoder, _) = first(&picture);
    let dot = Area::within(picture.size(), 70, 70, 1, 1).unwrap();
    picture.fill(dot, 0xff_0000);
    let all = |picture: &Framebuffer| Tile::touched(picture, Area::all(picture.size()));
    let frame = encoder.encode(all(&picture), Instant::now()).unwrap();
    let mut decoder = Decoder::new(picture.size());
    decoder.apply(&frame).unwrap();
    assert_eq!(decoder.exact.iter().filter(|exact| **exact).count(), 1);
    assert_eq!(encoder.encode(all(&picture), Instant::now()), None);
    encoder.forget();
    let frame = encoder.encode(all(&picture), Instant::now()).unwrap();
    let mut decoder = Decoder::new(picture.size());
    assert_eq!(decoder.apply(&frame), Ok(3));
    assert_eq!(decoder.picture(), &picture);
}

#[test]
fn what_was_scrolled_is_copied_and_not_said_again() {
    let mut picture = Framebuffer::new(size(640, 640));
    let all = Area::all(picture.size());
    happen(&mut picture, &Change::Text(0, 0, 640, 640, 7));
    let (mut encoder, whole) = first(&picture);
    happen(&mut picture, &Change::Scroll(0, 0, 640, 640, 13));
    let scrolled = encoder.encode(Tile::touched(&picture, all), Instant::now()).unwrap();
    assert!(scrolled.len() * 5 < whole.len(), "{} after {}", scrolled.len(), whole.len());
    let mut decoder = Decoder::new(picture.size());
    decoder.apply(&whole).unwrap();
    decoder.apply(&scrolled).unwrap();
    assert_eq!(decoder.picture(), &picture);
}

#[test]
fn a_photograph_comes_as_jpeg_first_and_exact_when_it_is_still() {
    let mut picture = Framebuffer::new(size(64, 64));
    happen(&mut picture, &Change::Noise(0, 0, 64, 64, 7));
    let (mut encoder, frame) = first(&picture);
    let mut decoder = Decoder::new(picture.size());
    decoder.apply(&frame).unwrap();
    assert!(!decoder.exact());
    let due = encoder.refines_at().unwrap();
    assert_eq!(encoder.encode(Vec::new(), due - REFINE / 2), None);
    decoder.apply(&encoder.encode(Vec::new(), due).unwrap()).unwrap();
    assert!(decoder.exact());
    assert_eq!(decoder.picture(), &picture);
}

#[test]
fn the_jpeg_of_a_place_looks_like_it() {
    // Cut off at the right and lower edge, as tiles there are; smooth, but of very many colours.
    let mut picture = Framebuffer::new(size(50, 40));
    let mut state = 1;
    let pixels: Vec<u32> = (0..50 * 40)
        .map(|at: u32| {
            let (x, y) = (at % 50, at / 50);
            let mut channel = |light: u32| light + chance(&mut state) % 8;
            (channel(x * 4) << 16) | (channel(y * 5) << 8) | channel(x + y)
        })
        .collect();
    picture.put(Area::all(picture.size()), &pixels);
    let (_, frame) = first(&picture);
    let length = u32::from_be_bytes(frame[5..9].try_into().unwrap()) as usize;
    let jpeg = &frame[9 + length..];
    assert_eq!(jpeg[..4], [0; 4], "its place");
    assert_eq!(jpeg[4..8], ((jpeg.len() - 8) as u32).to_be_bytes(), "its length");
    let mut decoder = jpeg_decoder::Decoder::new(&jpeg[8..]);
    let shown = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    assert_eq!((info.width, info.height), (50, 40));
    let squares =
        pixels.iter().flat_map(|pixel| rgb(*pixel)).zip(shown).map(|(a, b)| f64::from(a.abs_diff(b)).powi(2));
    let mean = squares.sum::<f64>() / f64::from(50 * 40 * 3);
    assert!(10.0 * (255.0_f64.powi(2) / mean).log10() > 30.0, "mean square error {mean}");
}

#[test]
fn nothing_is_copied_from_where_the_viewer_has_only_a_jpeg() {
    let mut picture = Framebuffer::new(size(64, 640));
    let all = Area::all(picture.size());
    happen(&mut picture, &Change::Noise(0, 0, 64, 640, 7));
    let mut encoder = Encoder::new(picture.size(), 0);
    let mut decoder = Decoder::new(picture.size());
    let now = Instant::now();
    decoder.apply(&encoder.encode(Tile::touched(&picture, all), now).unwrap()).unwrap();
    happen(&mut picture, &Change::Scroll(0, 0, 64, 640, 13));
    decoder.apply(&encoder.encode(Tile::touched(&picture, all), now).unwrap()).unwrap();
    assert!(!decoder.exact.iter().any(|exact| *exact));
    decoder.apply(&encoder.encode(Vec::new(), now + REFINE).unwrap()).unwrap();
    assert_eq!(decoder.picture(), &picture);
}

#[test]
fn a_frame_that_points_outside_or_swells_is_refused() {
    let mut decoder = Decoder::new(size(130, 70));
    let mut refuses = |block: &[u8]| decoder.apply(&encode::frame(1, block, &[])).is_err();
    assert!(refuses(&[0, 1, 0, 0, 0, 1, 2, 3]), "no multiple of 64");
    assert!(refuses(&[0, 192, 0, 0, 0, 1, 2, 3]), "outside");
    assert!(refuses(&[0, 0, 0, 0, 3, 0, 100, 0, 0]), "copied from outside");
    assert!(refuses(&[0, 0, 0, 0, 9]), "no such code");
    assert!(refuses(&[0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 1, 2, 3]), "twice");
    assert!(refuses(&vec![0; 10 << 20]), "more than the picture");
    assert!(!refuses(&[0, 128, 0, 64, 0, 1, 2, 3]));
}
