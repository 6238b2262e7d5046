//! What a rectangle of an update says, once all of its bytes are there.

use crate::Pointer;

/// The pseudo-encoding of the pointer's shape.
pub(super) const POINTER: i32 = -239;
/// Largest pointer, in pixels on each side.
pub(super) const LARGEST_POINTER: u16 = 512;

/// A colour as it was asked for: four bytes, the lowest first.
pub(super) fn pixels(bytes: &[u8]) -> Vec<u32> {
    let pixels = bytes.chunks_exact(4);
    pixels.map(|p| u32::from_be_bytes([0, p[2], p[1], p[0]])).collect()
}

/// The pointer: pixels, and a bit for each whether it is there, each row beginning with a byte of its own.
pub(super) fn pointer(x: u16, y: u16, width: u16, height: u16, pixels: &[u8], mask: &[u8]) -> Pointer {
    let (w, row) = (usize::from(width), usize::from(width).div_ceil(8));
    let there =
        |at: usize| mask.get(at / w * row + at % w / 8).is_some_and(|b| b >> (7 - at % w % 8) & 1 == 1);
    let mut rgba = Vec::with_capacity(pixels.len());
    for (at, pixel) in pixels.chunks_exact(4).enumerate() {
        rgba.extend([pixel[2], pixel[1], pixel[0], if there(at) { 255 } else { 0 }]);
    }
    crate::pointer::image(x, y, width, height, &rgba)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_there_where_its_mask_says_so() {
        let pixels = [0; 9 * 4 * 2];
        let Pointer::Image { width: 9, height: 2, .. } = pointer(1, 1, 9, 2, &pixels, &[0, 0x80, 0xff, 0])
        else {
            panic!("an image");
        };
        assert_eq!(pointer(0, 0, 9, 2, &pixels, &[0; 4]), Pointer::Hidden);
        assert_eq!(pointer(0, 0, 0, 0, &[], &[]), Pointer::Hidden);
        assert_eq!(super::pixels(&[1, 2, 3, 255]), [0x0003_0201]);
    }
}
