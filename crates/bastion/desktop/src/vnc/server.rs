//! What the machine says.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

use super::zrle::Zrle;
use super::{Shared, clipboard, hands, handshake, protocol, rectangle};
use crate::line::Line;
use crate::pump::Note;
use crate::screen::Screen;
use crate::tile::Area;
use crate::{Broken, MAX_CLIPBOARD, Pointer, Policy, Size};

/// Pixels are read in rows of at most so many bytes together.
const CHUNK: usize = 64 << 10;
/// Screens of a desktop.
const MOST_SCREENS: u8 = 16;

/// Which lock keys are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Locks {
    pub(super) caps: bool,
    pub(super) num: bool,
    pub(super) scroll: bool,
}

/// Where a rectangle is.
#[derive(Debug, Clone, Copy)]
struct Place {
    x: u16,
    y: u16,
    width: u16,
    height: u16,
}

pub(super) struct Server<R> {
    reader: R,
    line: Line,
    shared: Shared,
    policy: Policy,
    screen: Screen,
    notes: mpsc::Sender<Note>,
    zrle: Zrle,
}

impl<R: AsyncRead + Unpin> Server<R> {
    pub(super) fn new(
        reader: R,
        line: Line,
        shared: Shared,
        policy: Policy,
        screen: Screen,
        notes: mpsc::Sender<Note>,
    ) -> Server<R> {
        Server { reader, line, shared, policy, screen, notes, zrle: Zrle::new() }
    }

    /// Listens until that fails.
    pub(super) async fn run(mut self) -> Broken {
        loop {
            if let Err(broken) = self.message().await {
                return broken;
            }
        }
    }

    async fn message(&mut self) -> Result<(), Broken> {
        match self.reader.read_u8().await? {
            0 => self.update().await,
            // Colours of a palette: with true colours there is none.
            1 => {
                let mut head = [0; 5];
                self.reader.read_exact(&mut head).await?;
                self.skip(6 * u64::from(u16::from_be_bytes([head[3], head[4]]))).await
            }
            2 => Ok(()),
            3 => self.cut_text().await,
            kind => Err(Broken::Protocol(format!("a message of the unknown kind {kind}"))),
        }
    }

    async fn skip(&mut self, bytes: u64) -> Result<(), Broken> {
        let skipped = tokio::io::copy(&mut (&mut self.reader).take(bytes), &mut tokio::io::sink()).await?;
        if skipped < bytes {
            Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
        } else {
            Ok(())
        }
    }

    async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn update(&mut self) -> Result<(), Broken> {
        self.reader.read_u8().await?;
        let rectangles = self.reader.read_u16().await?;
        let mut resized = false;
        for _ in 0..rectangles {
            resized |= self.rectangle().await?;
        }
        let size = self.shared.lock().size;
        self.line.say(handshake::request(size, !resized))?;
        Ok(())
    }

    /// Whether the picture has another size after it.
    async fn rectangle(&mut self) -> Result<bool, Broken> {
        let place = Place {
            x: self.reader.read_u16().await?,
            y: self.reader.read_u16().await?,
            width: self.reader.read_u16().await?,
            height: self.reader.read_u16().await?,
        };
        match self.reader.read_i32().await? {
            0 => self.raw(place).await?,
            1 => self.copy(place).await?,
            16 => self.zrle(place).await?,
            rectangle::POINTER => self.pointer(place).await?,
            -223 => return self.resized(place.width, place.height),
            -308 => return self.layout(place).await,
            -258 => self.shared.lock().scan_codes = true,
            -261 => {
                let on = self.reader.read_u8().await?;
                let locks = Locks { scroll: on & 1 != 0, num: on & 2 != 0, caps: on & 4 != 0 };
                self.shared.lock().locks = Some(locks);
            }
            other => return Err(Broken::Protocol(format!("a rectangle of the unknown kind {other}"))),
        }
        Ok(false)
    }

    /// A rectangle of the picture has to lie in it.
    fn area(&self, place: Place) -> Result<Option<Area>, Broken> {
        let Place { x, y, width, height } = place;
        if width == 0 || height == 0 {
            return Ok(None);
        }
        let area = Area::within(self.shared.lock().size, x, y, width, height);
        match area {
            Some(area) if (area.width, area.height) == (width, height) => Ok(Some(area)),
            _ => Err(protocol("a rectangle outside of the picture")),
        }
    }

    async fn raw(&mut self, place: Place) -> Result<(), Broken> {
        let Some(area) = self.area(place)? else { return Ok(()) };
        let row = usize::from(area.width) * 4;
        let together = (CHUNK / row).max(1);
        let (mut y, mut left) = (area.y, area.height);
        while left > 0 {
            // Not more than what is left, so that it fits.
            let height = together.min(left.into()) as u16;
            let bytes = self.bytes(row * usize::from(height)).await?;
            let part = Area { y, height, ..area };
            self.screen.draw(|picture| {
                picture.put(part, &rectangle::pixels(&bytes));
                vec![part]
            });
            (y, left) = (y + height, left - height);
        }
        Ok(())
    }

    async fn copy(&mut self, place: Place) -> Result<(), Broken> {
        let (x, y) = (self.reader.read_u16().await?, self.reader.read_u16().await?);
        let Some(to) = self.area(place)? else { return Ok(()) };
        let Some(from) = self.area(Place { x, y, ..place })? else { return Ok(()) };
        self.screen.draw(|picture| {
            let pixels = picture.cut(from);
            picture.put(to, &pixels);
            vec![to]
        });
        Ok(())
    }

    async fn zrle(&mut self, place: Place) -> Result<(), Broken> {
        let mut left = self.reader.read_u32().await? as usize;
        let bad = |_| protocol("a rectangle that cannot be unpacked");
        let area = self.area(place)?;
        self.zrle.begin(place.width, place.height);
        while left > 0 {
            let packed = self.bytes(left.min(CHUNK)).await?;
            self.zrle.unpack(&packed).map_err(bad)?;
            left -= packed.len();
        }
        let Some(area) = area else { return Ok(()) };
        let pixels = self.zrle.pixels(area.width, area.height).map_err(bad)?;
        self.screen.draw(|picture| {
            picture.put(area, &pixels);
            vec![area]
        });
        Ok(())
    }

    async fn pointer(&mut self, place: Place) -> Result<(), Broken> {
        let Place { x, y, width, height } = place;
        if width > rectangle::LARGEST_POINTER || height > rectangle::LARGEST_POINTER {
            return Err(protocol("a pointer that is too large"));
        }
        let (w, h) = (usize::from(width), usize::from(height));
        let pixels = self.bytes(w * h * 4).await?;
        let mask = self.bytes(w.div_ceil(8) * h).await?;
        let hidden = width == 0 || height == 0;
        let pointer =
            if hidden { Pointer::Hidden } else { rectangle::pointer(x, y, width, height, &pixels, &mask) };
        self.screen.point(pointer);
        Ok(())
    }

    fn resized(&self, width: u16, height: u16) -> Result<bool, Broken> {
        let size = Size::said(width, height).ok_or_else(|| protocol("an impossible size"))?;
        let mut talk = self.shared.lock();
        if talk.size == size {
            return Ok(false);
        }
        talk.size = size;
        self.screen.resize(size);
        Ok(true)
    }

    /// The size, and the screens of the desktop; or how a wish for another size was received.
    async fn layout(&mut self, place: Place) -> Result<bool, Broken> {
        const WISHED_HERE: u16 = 1;
        const DONE: u16 = 0;
        let screens = self.reader.read_u8().await?;
        if screens > MOST_SCREENS {
            return Err(protocol("too many screens"));
        }
        self.bytes(3).await?;
        let screens = self.bytes(16 * usize::from(screens)).await?;
        let first = screens.first_chunk().map(|id| u32::from_be_bytes(*id));
        let wanted = {
            let mut talk = self.shared.lock();
            talk.screen = first;
            if talk.screen.is_some() { talk.wanted.take() } else { None }
        };
        if first.is_some() {
            self.screen.can_resize();
        }
        let refused = place.x == WISHED_HERE && place.y != DONE;
        let resized = if refused { false } else { self.resized(place.width, place.height)? };
        if let Some(wanted) = wanted {
            hands::resize(&self.line, &self.shared, wanted)?;
        }
        Ok(resized)
    }

    async fn cut_text(&mut self) -> Result<(), Broken> {
        let mut head = [0; 7];
        self.reader.read_exact(&mut head).await?;
        let length = i32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let long = length.unsigned_abs() as usize;
        if long > 2 * MAX_CLIPBOARD || !self.policy.copy && length >= 0 {
            return self.skip(long as u64).await;
        }
        let bytes = self.bytes(long).await?;
        if length >= 0 {
            // Latin-1.
            let text: String = bytes.into_iter().map(char::from).collect();
            return self.copied(text.replace("\r\n", "\n")).await;
        }
        match clipboard::read(&bytes) {
            clipboard::Said::Capabilities => {
                self.shared.lock().utf8 = true;
                self.line.say(clipboard::capabilities())?;
            }
            clipboard::Said::Notify if self.policy.copy => self.line.say(clipboard::request())?,
            clipboard::Said::Provide(text) => self.copied(text).await?,
            clipboard::Said::Peek => {
                let has = self.shared.lock().offered.is_some();
                self.line.say(clipboard::notify(has))?;
            }
            clipboard::Said::Request => {
                let text = self.shared.lock().offered.clone();
                if let Some(text) = text {
                    self.line.say(clipboard::provide(&text))?;
                }
            }
            clipboard::Said::Notify | clipboard::Said::Nothing => {}
        }
        Ok(())
    }

    async fn copied(&mut self, text: String) -> Result<(), Broken> {
        if self.policy.copy && !text.is_empty() && text.len() <= MAX_CLIPBOARD {
            let chars = text.chars().count();
            // Nobody has the text before it is known that it left.
            let _ = self.notes.send(Note::Clipboard { into_machine: false, chars }).await;
            self.screen.copied(&text);
        }
        Ok(())
    }
}
