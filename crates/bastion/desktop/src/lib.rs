//! Desktops of machines in a browser. RDP and VNC are spoken and decoded here, so that a browser needs neither a decoder
//! nor the password, and so that what is shown can be recorded: whatever the machine speaks becomes one picture, and
//! every viewer gets that as tiles ([`tile`]) at the pace at which it takes them.
//!
//! [`rdp::start`] and [`vnc::start`] log in over a stream that is there already and give a [`Desktop`], of which there are
//! [`View`]s, and a [`Pump`], which carries everything for as long as it runs. Everything that a machine says is hostile:
//! what it can make grow is bounded.

pub mod key;
mod line;
mod pointer;
mod pump;
pub mod rdp;
mod screen;
pub mod tile;
mod view;
pub mod vnc;
pub mod wire;

pub use self::pump::{Broken, Event, NotRecorded, Pump, Record};
pub use self::view::{Desktop, Hands, Next, View};

/// The longest text of a clipboard in either direction, in bytes of UTF-8; a longer one is not carried.
pub const MAX_CLIPBOARD: usize = 1 << 20;

/// A password: wiped when it is dropped, never shown.
pub type Secret = zeroize::Zeroizing<String>;

/// A size in pixels: at most [`Size::LARGEST`] each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    width: u16,
    height: u16,
}

impl Size {
    /// The most pixels in a row or a column.
    pub const LARGEST: u16 = 8192;
    /// The least that is asked of a machine.
    pub const SMALLEST: u16 = 200;

    /// A size as a browser wants it, within reason. RDP wants an even width.
    pub fn new(width: u32, height: u32) -> Size {
        let within = |n: u32| u16::try_from(n).unwrap_or(Size::LARGEST).clamp(Size::SMALLEST, Size::LARGEST);
        Size { width: within(width) & !1, height: within(height) }
    }

    /// The size that a machine says it has.
    pub(crate) fn said(width: u16, height: u16) -> Option<Size> {
        let fits = |n: u16| (1..=Size::LARGEST).contains(&n);
        (fits(width) && fits(height)).then_some(Size { width, height })
    }

    /// Pixels in a row.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Rows.
    pub fn height(self) -> u16 {
        self.height
    }

    pub(crate) fn pixels(self) -> usize {
        usize::from(self.width) * usize::from(self.height)
    }
}

/// What may pass through the clipboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Out of the machine.
    pub copy: bool,
    /// Into the machine.
    pub paste: bool,
}

/// Something a viewer does.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A key goes down or up.
    Key {
        /// Which.
        key: key::Key,
        /// Down.
        down: bool,
    },
    /// Composed text.
    Text(String),
    /// The pointer is there, with these buttons down: 1 left, 2 right, 4 middle, 8 back, 16 forward.
    Pointer {
        /// Pixels from the left.
        x: u16,
        /// Pixels from the top.
        y: u16,
        /// The buttons.
        buttons: u8,
    },
    /// The wheel turns by so many notches, down and right being positive.
    Wheel {
        /// Pixels from the left.
        x: u16,
        /// Pixels from the top.
        y: u16,
        /// Notches to the right.
        dx: f32,
        /// Notches down.
        dy: f32,
    },
    /// Which lock keys are on.
    Locks {
        /// Caps Lock.
        caps: bool,
        /// Num Lock.
        num: bool,
        /// Scroll Lock.
        scroll: bool,
    },
    /// Nothing is held down any more.
    ReleaseAll,
    /// This is in the viewer's clipboard.
    Clipboard(String),
    /// Ctrl-Alt-Del, which no browser sees.
    CtrlAltDel,
}

/// What the pointer looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// As the viewer's own.
    Default,
    /// Not at all.
    Hidden,
    /// Like this.
    Image {
        /// The point that points, from the left.
        x: u16,
        /// And from the top.
        y: u16,
        /// Pixels in a row.
        width: u16,
        /// Rows.
        height: u16,
        /// A PNG of that size.
        png: Vec<u8>,
    },
}

/// How a desktop ended without anything having gone wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// The person logged off, or the machine ended the session; what it said, if it did.
    Machine(Option<String>),
    /// [`Desktop::end`].
    Here,
}

/// Why there is no desktop.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The machine does not take the account and password.
    #[error("the machine does not take the account and the password")]
    Credentials,
    /// The machine wants a password and none was given.
    #[error("the machine wants a password")]
    NoPassword,
    /// The certificate is not the one that is trusted.
    #[error("the machine's certificate is not the one that was trusted")]
    Certificate,
    /// It offers no way to log in that is known here.
    #[error("the machine offers no way to log in that is known here: {0}")]
    Security(String),
    /// It did not answer in time.
    #[error("the machine did not answer in time")]
    Silent,
    /// What it says is not the protocol.
    #[error("the machine does not speak the protocol: {0}")]
    Protocol(String),
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
}
