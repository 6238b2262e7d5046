//! What a pointer looks like.

use crate::Pointer;

/// From its pixels: four bytes each, red, green, blue and how much of it is there. Without anything to be seen it is
/// hidden.
pub(crate) fn image(x: u16, y: u16, width: u16, height: u16, rgba: &[u8]) -> Pointer {
    if !rgba.chunks_exact(4).any(|pixel| pixel[3] > 0) {
        return Pointer::Hidden;
    }
    match png(width, height, rgba) {
        Ok(png) => Pointer::Image { x: x.min(width), y: y.min(height), width, height, png },
        Err(_) => Pointer::Default,
    }
}

fn png(width: u16, height: u16, rgba: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width.into(), height.into());
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgba)?;
    writer.finish()?;
    Ok(out)
}
