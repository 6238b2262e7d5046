//! Keys: where they are on the keyboard (`KeyboardEvent.code`), the scan codes that a PC's keyboard sends for them, which
//! RDP and some VNC servers take, and the keysyms that other VNC servers take instead.
//!
//! A scan code says which key it is and leaves to the machine what is printed on it, so that every layout works. A keysym
//! says what is meant: for those it has to be known what is printed on the keys.
//!
//! Sources: the UI Events `code` values' table (w3.org/TR/uievents-code), Microsoft's scan code table (set 1), and X11's
//! `keysymdef.h`.

use self::Prefix::{E0, E1, Plain};

/// What comes before a scan code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    Plain,
    E0,
    /// Only the Pause key.
    E1,
}

#[derive(Debug, PartialEq, Eq)]
struct Row {
    code: &'static str,
    prefix: Prefix,
    scan: u8,
    keysym: u32,
    shifted: u32,
}

/// A key of a keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(&'static Row);

impl Key {
    /// The key of a `KeyboardEvent.code`.
    pub fn of(code: &str) -> Option<Key> {
        let row = ROWS.binary_search_by_key(&code, |row| row.code).ok()?;
        ROWS.get(row).map(Key)
    }

    /// Its `KeyboardEvent.code`.
    pub fn code(self) -> &'static str {
        self.0.code
    }

    /// Its scan code of set 1.
    pub(crate) fn scan(self) -> (Prefix, u8) {
        (self.0.prefix, self.0.scan)
    }

    /// The number that QEMU's extension of RFB has for it: the scan code, with the highest bit for a prefix.
    pub(crate) fn qemu(self) -> u32 {
        match self.0.prefix {
            Plain => self.0.scan.into(),
            E0 => u32::from(self.0.scan) | 0x80,
            // Pause is E1 1D 45; QEMU calls it C6.
            E1 => 0xc6,
        }
    }

    /// What somebody means by it who reads what is printed on it.
    pub(crate) fn keysym(self, keyboard: Keyboard, shift: bool, caps: bool) -> u32 {
        let other = JAPANESE.iter().find(|(code, ..)| *code == self.0.code && keyboard == Keyboard::Japanese);
        let (plain, shifted) = other.map_or((self.0.keysym, self.0.shifted), |(_, plain, shifted)| {
            (u32::from(*plain), u32::from(*shifted))
        });
        let letter = (0x61..=0x7a).contains(&plain);
        if shift != (letter && caps) { shifted } else { plain }
    }

    /// The key of an American keyboard that types a character, and whether with Shift.
    pub(crate) fn typing(character: char) -> Option<(Key, bool)> {
        let keysym = keysym_of(character);
        let main =
            || ROWS.iter().filter(|row| !row.code.starts_with("Numpad") && !row.code.starts_with("Intl"));
        let plain = main().find(|row| row.keysym == keysym).map(|row| (Key(row), false));
        plain.or_else(|| main().find(|row| row.shifted == keysym).map(|row| (Key(row), true)))
    }

    pub(crate) fn is_shift(self) -> bool {
        matches!(self.0.code, "ShiftLeft" | "ShiftRight")
    }
}

/// A keyboard. Keys are told by where they are; what is printed on them is known only to whoever types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keyboard {
    /// As in the United States.
    #[default]
    American,
    /// As in Japan, with 106 or 109 keys.
    Japanese,
}

/// The keysym of a character.
pub(crate) fn keysym_of(character: char) -> u32 {
    match u32::from(character) {
        0x0a | 0x0d => 0xff0d,
        0x09 => 0xff09,
        0x08 => 0xff08,
        latin @ (0x20..=0x7e | 0xa0..=0xff) => latin,
        other => 0x0100_0000 | other,
    }
}

const fn row(code: &'static str, prefix: Prefix, scan: u8, keysym: u32, shifted: u32) -> Row {
    Row { code, prefix, scan, keysym, shifted }
}

/// In the order of the codes.
static ROWS: &[Row] = &[
    row("AltLeft", Plain, 0x38, 0xffe9, 0xffe9),
    row("AltRight", E0, 0x38, 0xffea, 0xffea),
    row("ArrowDown", E0, 0x50, 0xff54, 0xff54),
    row("ArrowLeft", E0, 0x4b, 0xff51, 0xff51),
    row("ArrowRight", E0, 0x4d, 0xff53, 0xff53),
    row("ArrowUp", E0, 0x48, 0xff52, 0xff52),
    row("AudioVolumeDown", E0, 0x2e, 0x1008ff11, 0x1008ff11),
    row("AudioVolumeMute", E0, 0x20, 0x1008ff12, 0x1008ff12),
    row("AudioVolumeUp", E0, 0x30, 0x1008ff13, 0x1008ff13),
    row("Backquote", Plain, 0x29, 0x0060, 0x007e),
    row("Backslash", Plain, 0x2b, 0x005c, 0x007c),
    row("Backspace", Plain, 0x0e, 0xff08, 0xff08),
    row("BracketLeft", Plain, 0x1a, 0x005b, 0x007b),
    row("BracketRight", Plain, 0x1b, 0x005d, 0x007d),
    row("CapsLock", Plain, 0x3a, 0xffe5, 0xffe5),
    row("Comma", Plain, 0x33, 0x002c, 0x003c),
    row("ContextMenu", E0, 0x5d, 0xff67, 0xff67),
    row("ControlLeft", Plain, 0x1d, 0xffe3, 0xffe3),
    row("ControlRight", E0, 0x1d, 0xffe4, 0xffe4),
    row("Convert", Plain, 0x79, 0xff23, 0xff23),
    row("Delete", E0, 0x53, 0xffff, 0xffff),
    row("Digit0", Plain, 0x0b, 0x0030, 0x0029),
    row("Digit1", Plain, 0x02, 0x0031, 0x0021),
    row("Digit2", Plain, 0x03, 0x0032, 0x0040),
    row("Digit3", Plain, 0x04, 0x0033, 0x0023),
    row("Digit4", Plain, 0x05, 0x0034, 0x0024),
    row("Digit5", Plain, 0x06, 0x0035, 0x0025),
    row("Digit6", Plain, 0x07, 0x0036, 0x005e),
    row("Digit7", Plain, 0x08, 0x0037, 0x0026),
    row("Digit8", Plain, 0x09, 0x0038, 0x002a),
    row("Digit9", Plain, 0x0a, 0x0039, 0x0028),
    row("End", E0, 0x4f, 0xff57, 0xff57),
    row("Enter", Plain, 0x1c, 0xff0d, 0xff0d),
    row("Equal", Plain, 0x0d, 0x003d, 0x002b),
    row("Escape", Plain, 0x01, 0xff1b, 0xff1b),
    row("F1", Plain, 0x3b, 0xffbe, 0xffbe),
    row("F10", Plain, 0x44, 0xffc7, 0xffc7),
    row("F11", Plain, 0x57, 0xffc8, 0xffc8),
    row("F12", Plain, 0x58, 0xffc9, 0xffc9),
    row("F13", Plain, 0x64, 0xffca, 0xffca),
    row("F14", Plain, 0x65, 0xffcb, 0xffcb),
    row("F15", Plain, 0x66, 0xffcc, 0xffcc),
    row("F16", Plain, 0x67, 0xffcd, 0xffcd),
    row("F17", Plain, 0x68, 0xffce, 0xffce),
    row("F18", Plain, 0x69, 0xffcf, 0xffcf),
    row("F19", Plain, 0x6a, 0xffd0, 0xffd0),
    row("F2", Plain, 0x3c, 0xffbf, 0xffbf),
    row("F20", Plain, 0x6b, 0xffd1, 0xffd1),
    row("F21", Plain, 0x6c, 0xffd2, 0xffd2),
    row("F22", Plain, 0x6d, 0xffd3, 0xffd3),
    row("F23", Plain, 0x6e, 0xffd4, 0xffd4),
    row("F24", Plain, 0x76, 0xffd5, 0xffd5),
    row("F3", Plain, 0x3d, 0xffc0, 0xffc0),
    row("F4", Plain, 0x3e, 0xffc1, 0xffc1),
    row("F5", Plain, 0x3f, 0xffc2, 0xffc2),
    row("F6", Plain, 0x40, 0xffc3, 0xffc3),
    row("F7", Plain, 0x41, 0xffc4, 0xffc4),
    row("F8", Plain, 0x42, 0xffc5, 0xffc5),
    row("F9", Plain, 0x43, 0xffc6, 0xffc6),
    row("Home", E0, 0x47, 0xff50, 0xff50),
    row("Insert", E0, 0x52, 0xff63, 0xff63),
    row("IntlBackslash", Plain, 0x56, 0x003c, 0x003e),
    row("IntlRo", Plain, 0x73, 0x005c, 0x005f),
    row("IntlYen", Plain, 0x7d, 0x00a5, 0x007c),
    row("KanaMode", Plain, 0x70, 0xff27, 0xff27),
    row("KeyA", Plain, 0x1e, 0x0061, 0x0041),
    row("KeyB", Plain, 0x30, 0x0062, 0x0042),
    row("KeyC", Plain, 0x2e, 0x0063, 0x0043),
    row("KeyD", Plain, 0x20, 0x0064, 0x0044),
    row("KeyE", Plain, 0x12, 0x0065, 0x0045),
    row("KeyF", Plain, 0x21, 0x0066, 0x0046),
    row("KeyG", Plain, 0x22, 0x0067, 0x0047),
    row("KeyH", Plain, 0x23, 0x0068, 0x0048),
    row("KeyI", Plain, 0x17, 0x0069, 0x0049),
    row("KeyJ", Plain, 0x24, 0x006a, 0x004a),
    row("KeyK", Plain, 0x25, 0x006b, 0x004b),
    row("KeyL", Plain, 0x26, 0x006c, 0x004c),
    row("KeyM", Plain, 0x32, 0x006d, 0x004d),
    row("KeyN", Plain, 0x31, 0x006e, 0x004e),
    row("KeyO", Plain, 0x18, 0x006f, 0x004f),
    row("KeyP", Plain, 0x19, 0x0070, 0x0050),
    row("KeyQ", Plain, 0x10, 0x0071, 0x0051),
    row("KeyR", Plain, 0x13, 0x0072, 0x0052),
    row("KeyS", Plain, 0x1f, 0x0073, 0x0053),
    row("KeyT", Plain, 0x14, 0x0074, 0x0054),
    row("KeyU", Plain, 0x16, 0x0075, 0x0055),
    row("KeyV", Plain, 0x2f, 0x0076, 0x0056),
    row("KeyW", Plain, 0x11, 0x0077, 0x0057),
    row("KeyX", Plain, 0x2d, 0x0078, 0x0058),
    row("KeyY", Plain, 0x15, 0x0079, 0x0059),
    row("KeyZ", Plain, 0x2c, 0x007a, 0x005a),
    row("Lang1", Plain, 0x72, 0xff31, 0xff31),
    row("Lang2", Plain, 0x71, 0xff34, 0xff34),
    row("Lang3", Plain, 0x78, 0xff26, 0xff26),
    row("Lang4", Plain, 0x77, 0xff25, 0xff25),
    row("Lang5", Plain, 0x76, 0xff2a, 0xff2a),
    row("MediaPlayPause", E0, 0x22, 0x1008ff14, 0x1008ff14),
    row("MediaStop", E0, 0x24, 0x1008ff15, 0x1008ff15),
    row("MediaTrackNext", E0, 0x19, 0x1008ff17, 0x1008ff17),
    row("MediaTrackPrevious", E0, 0x10, 0x1008ff16, 0x1008ff16),
    row("MetaLeft", E0, 0x5b, 0xffeb, 0xffeb),
    row("MetaRight", E0, 0x5c, 0xffec, 0xffec),
    row("Minus", Plain, 0x0c, 0x002d, 0x005f),
    row("NonConvert", Plain, 0x7b, 0xff22, 0xff22),
    row("NumLock", Plain, 0x45, 0xff7f, 0xff7f),
    row("Numpad0", Plain, 0x52, 0xffb0, 0xffb0),
    row("Numpad1", Plain, 0x4f, 0xffb1, 0xffb1),
    row("Numpad2", Plain, 0x50, 0xffb2, 0xffb2),
    row("Numpad3", Plain, 0x51, 0xffb3, 0xffb3),
    row("Numpad4", Plain, 0x4b, 0xffb4, 0xffb4),
    row("Numpad5", Plain, 0x4c, 0xffb5, 0xffb5),
    row("Numpad6", Plain, 0x4d, 0xffb6, 0xffb6),
    row("Numpad7", Plain, 0x47, 0xffb7, 0xffb7),
    row("Numpad8", Plain, 0x48, 0xffb8, 0xffb8),
    row("Numpad9", Plain, 0x49, 0xffb9, 0xffb9),
    row("NumpadAdd", Plain, 0x4e, 0xffab, 0xffab),
    row("NumpadComma", Plain, 0x7e, 0xffac, 0xffac),
    row("NumpadDecimal", Plain, 0x53, 0xffae, 0xffae),
    row("NumpadDivide", E0, 0x35, 0xffaf, 0xffaf),
    row("NumpadEnter", E0, 0x1c, 0xff8d, 0xff8d),
    row("NumpadEqual", Plain, 0x59, 0xffbd, 0xffbd),
    row("NumpadMultiply", Plain, 0x37, 0xffaa, 0xffaa),
    row("NumpadSubtract", Plain, 0x4a, 0xffad, 0xffad),
    row("PageDown", E0, 0x51, 0xff56, 0xff56),
    row("PageUp", E0, 0x49, 0xff55, 0xff55),
    row("Pause", E1, 0x45, 0xff13, 0xff13),
    row("Period", Plain, 0x34, 0x002e, 0x003e),
    row("PrintScreen", E0, 0x37, 0xff61, 0xff61),
    row("Quote", Plain, 0x28, 0x0027, 0x0022),
    row("ScrollLock", Plain, 0x46, 0xff14, 0xff14),
    row("Semicolon", Plain, 0x27, 0x003b, 0x003a),
    row("ShiftLeft", Plain, 0x2a, 0xffe1, 0xffe1),
    row("ShiftRight", Plain, 0x36, 0xffe2, 0xffe2),
    row("Slash", Plain, 0x35, 0x002f, 0x003f),
    row("Space", Plain, 0x39, 0x0020, 0x0020),
    row("Tab", Plain, 0x0f, 0xff09, 0xff09),
];

/// The keys of a Japanese keyboard that mean something else than an American one's (JIS X 6002), without and with Shift;
/// the two that only it has are in the table already.
static JAPANESE: &[(&str, u16, u16)] = &[
    ("Backquote", 0xff2a, 0xff2a),
    ("Digit2", 0x32, 0x22),
    ("Digit6", 0x36, 0x26),
    ("Digit7", 0x37, 0x27),
    ("Digit8", 0x38, 0x28),
    ("Digit9", 0x39, 0x29),
    ("Digit0", 0x30, 0x30),
    ("Minus", 0x2d, 0x3d),
    ("Equal", 0x5e, 0x7e),
    ("BracketLeft", 0x40, 0x60),
    ("BracketRight", 0x5b, 0x7b),
    ("Semicolon", 0x3b, 0x2b),
    ("Quote", 0x3a, 0x2a),
    ("Backslash", 0x5d, 0x7d),
    // A file system's separator is meant by it, whatever is printed.
    ("IntlYen", 0x5c, 0x7c),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_no_two_keys_are_one() {
        assert!(ROWS.is_sorted_by(|a, b| a.code < b.code));
        for (at, row) in ROWS.iter().enumerate() {
            // F24 and the half-width key of Japanese keyboards share a code in Microsoft's table.
            let twin = ROWS[..at].iter().find(|r| (r.prefix, r.scan) == (row.prefix, row.scan));
            assert!(twin.is_none_or(|t| (t.code, row.code) == ("F24", "Lang5")), "{twin:?} {row:?}");
        }
    }

    #[test]
    fn keys_of_a_japanese_keyboard_have_their_scan_codes() {
        for (code, scan) in [
            ("IntlYen", 0x7d),
            ("IntlRo", 0x73),
            ("Convert", 0x79),
            ("NonConvert", 0x7b),
            ("KanaMode", 0x70),
            ("Lang1", 0x72),
            ("Lang2", 0x71),
            ("Backquote", 0x29),
        ] {
            assert_eq!(Key::of(code).unwrap().scan(), (Plain, scan), "{code}");
        }
        assert_eq!(Key::of("ArrowUp").unwrap().scan(), (E0, 0x48));
        assert_eq!(Key::of("ArrowUp").unwrap().qemu(), 0xc8);
        assert_eq!(Key::of("arrowup"), None);
    }

    #[test]
    fn keysyms_follow_shift_and_caps_lock_as_on_the_keyboard() {
        let of = |code, shift, caps| Key::of(code).unwrap().keysym(Keyboard::American, shift, caps);
        let japanese = |code, shift| Key::of(code).unwrap().keysym(Keyboard::Japanese, shift, false);
        assert_eq!([japanese("Digit2", true), of("Digit2", true, false)], [0x22, 0x40]);
        assert_eq!(
            [japanese("KeyA", true), japanese("IntlRo", true), japanese("IntlYen", false)],
            [0x41, 0x5f, 0x5c]
        );
        assert!(JAPANESE.iter().all(|(code, ..)| Key::of(code).is_some()));
        assert_eq!(
            [
                of("KeyA", false, false),
                of("KeyA", true, false),
                of("KeyA", false, true),
                of("KeyA", true, true)
            ],
            [0x61, 0x41, 0x41, 0x61]
        );
        let typing = |c| Key::typing(c).map(|(key, shift)| (key.code(), shift));
        assert_eq!(typing('a'), Some(("KeyA", false)));
        assert_eq!(typing('|'), Some(("Backslash", true)));
        assert_eq!(typing('\n'), Some(("Enter", false)));
        assert_eq!(typing('é'), None);
        assert_eq!([of("Digit1", false, true), of("Digit1", true, true)], [0x31, 0x21]);
        assert_eq!(
            ["a", "é", "あ", "\n"].map(|c| keysym_of(c.chars().next().unwrap())),
            [0x61, 0xe9, 0x0100_3042, 0xff0d]
        );
    }
}
