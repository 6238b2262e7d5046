//! What is done to the machine, in the events that RDP has for it ([MS-RDPBCGR] 2.2.8.1.2).

use ironrdp_pdu::input::fast_path::{FastPathInputEvent as Event, KeyboardFlags, SynchronizeFlags};
use ironrdp_pdu::input::mouse::PointerFlags;
use ironrdp_pdu::input::mouse_x::PointerXFlags;
use ironrdp_pdu::input::{MousePdu, MouseXPdu};

use crate::key::{Key, Prefix};
use crate::{Input, Size};

/// A notch of the wheel.
const NOTCH: f32 = 120.0;
/// So much does one turn of the wheel scroll at most.
const MOST: f32 = 20.0 * NOTCH;
/// So much does one event scroll at most.
const MOST_AT_ONCE: i16 = 120;

/// Which keys and buttons are down.
#[derive(Debug, Default)]
pub(super) struct Hands {
    /// The machine takes characters, too.
    unicode: bool,
    down: Vec<Key>,
    at: (u16, u16),
    buttons: u8,
    turned: (f32, f32),
}

impl Hands {
    pub(super) fn new(unicode: bool) -> Hands {
        Hands { unicode, ..Hands::default() }
    }

    /// What the machine is told.
    pub(super) fn events(&mut self, input: &Input, size: Size) -> Vec<Event> {
        match input {
            Input::Key { key, down } => self.key(*key, *down),
            Input::Text(text) => text.chars().flat_map(|c| typed(c, self.unicode)).collect(),
            Input::Pointer { x, y, buttons } => {
                self.at = within(size, *x, *y);
                self.pointer(*buttons)
            }
            Input::Wheel { x, y, dx, dy } => {
                self.at = within(size, *x, *y);
                let mut events = turn(&mut self.turned.1, -dy, PointerFlags::VERTICAL_WHEEL, self.at);
                events.extend(turn(&mut self.turned.0, *dx, PointerFlags::HORIZONTAL_WHEEL, self.at));
                events
            }
            Input::Locks { caps, num, scroll } => {
                let mut flags = SynchronizeFlags::empty();
                flags.set(SynchronizeFlags::CAPS_LOCK, *caps);
                flags.set(SynchronizeFlags::NUM_LOCK, *num);
                flags.set(SynchronizeFlags::SCROLL_LOCK, *scroll);
                // The machine takes every key to be up after it.
                let mut events = self.release_all();
                events.push(Event::SyncEvent(flags));
                events
            }
            Input::ReleaseAll => self.release_all(),
            Input::CtrlAltDel => {
                let keys: Vec<Key> =
                    ["ControlLeft", "AltLeft", "Delete"].into_iter().filter_map(Key::of).collect();
                let mut events: Vec<Event> = keys.iter().flat_map(|key| self.key(*key, true)).collect();
                events.extend(keys.iter().rev().flat_map(|key| self.key(*key, false)));
                events
            }
            Input::Clipboard(_) => Vec::new(),
        }
    }

    fn key(&mut self, key: Key, down: bool) -> Vec<Event> {
        match (self.down.iter().position(|held| *held == key), down) {
            (None, true) => self.down.push(key),
            (Some(at), false) => {
                self.down.swap_remove(at);
            }
            // A key that repeats goes down again and again.
            (Some(_), true) => {}
            (None, false) => return Vec::new(),
        }
        scanned(key, down)
    }

    fn pointer(&mut self, buttons: u8) -> Vec<Event> {
        let mut events = vec![mouse(PointerFlags::MOVE, 0, self.at)];
        let changed = |bit: u8| (self.buttons ^ buttons) & bit != 0;
        let down = |bit: u8| buttons & bit != 0;
        for (bit, flag) in [
            (1, PointerFlags::LEFT_BUTTON),
            (2, PointerFlags::RIGHT_BUTTON),
            (4, PointerFlags::MIDDLE_BUTTON_OR_WHEEL),
        ] {
            if changed(bit) {
                let pressed = if down(bit) { PointerFlags::DOWN } else { PointerFlags::empty() };
                events.push(mouse(flag | pressed, 0, self.at));
            }
        }
        for (bit, flag) in [(8, PointerXFlags::BUTTON1), (16, PointerXFlags::BUTTON2)] {
            if changed(bit) {
                let pressed = if down(bit) { PointerXFlags::DOWN } else { PointerXFlags::empty() };
                let (x_position, y_position) = self.at;
                let pdu = MouseXPdu { flags: flag | pressed, x_position, y_position };
                events.push(Event::MouseEventEx(pdu));
            }
        }
        self.buttons = buttons;
        events
    }

    fn release_all(&mut self) -> Vec<Event> {
        let held = std::mem::take(&mut self.down);
        let mut events: Vec<Event> = held.into_iter().rev().flat_map(|key| scanned(key, false)).collect();
        if self.buttons != 0 {
            events.extend(self.pointer(0));
        }
        events
    }
}

fn within(size: Size, x: u16, y: u16) -> (u16, u16) {
    (x.min(size.width().saturating_sub(1)), y.min(size.height().saturating_sub(1)))
}

fn mouse(flags: PointerFlags, number_of_wheel_rotation_units: i16, at: (u16, u16)) -> Event {
    let (x_position, y_position) = at;
    Event::MouseEvent(MousePdu { flags, number_of_wheel_rotation_units, x_position, y_position })
}

fn turn(turned: &mut f32, notches: f32, wheel: PointerFlags, at: (u16, u16)) -> Vec<Event> {
    if notches.is_finite() {
        *turned = (*turned + notches * NOTCH).clamp(-MOST, MOST);
    }
    let whole = turned.trunc();
    *turned -= whole;
    let mut left = whole as i16;
    let mut events = Vec::new();
    while left != 0 {
        let now = left.clamp(-MOST_AT_ONCE, MOST_AT_ONCE);
        events.push(mouse(wheel, now, at));
        left -= now;
    }
    events
}

fn scanned(key: Key, down: bool) -> Vec<Event> {
    let release = if down { KeyboardFlags::empty() } else { KeyboardFlags::RELEASE };
    match key.scan() {
        (Prefix::Plain, scan) => vec![Event::KeyboardEvent(release, scan)],
        (Prefix::E0, scan) => vec![Event::KeyboardEvent(release | KeyboardFlags::EXTENDED, scan)],
        // Pause is two scan codes, as if Ctrl were held.
        (Prefix::E1, scan) => vec![
            Event::KeyboardEvent(release | KeyboardFlags::EXTENDED1, 0x1d),
            Event::KeyboardEvent(release, scan),
        ],
    }
}

/// A character, whether or not a key has it; for a machine that takes only keys, that of an American keyboard, if there is
/// one.
fn typed(character: char, unicode: bool) -> Vec<Event> {
    let control = character.is_control();
    if control || !unicode {
        let Some((key, shift)) = Key::typing(character) else { return Vec::new() };
        let shift = if shift { Key::of("ShiftLeft") } else { None };
        let keys: Vec<Key> = shift.into_iter().chain([key]).collect();
        let down = keys.iter().flat_map(|key| scanned(*key, true));
        return down.chain(keys.iter().rev().flat_map(|key| scanned(*key, false))).collect();
    }
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units);
    let event = |flags| move |unit: &u16| Event::UnicodeKeyboardEvent(flags, *unit);
    let down = units.iter().map(event(KeyboardFlags::empty()));
    down.chain(units.iter().map(event(KeyboardFlags::RELEASE))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: &str, down: bool) -> Input {
        Input::Key { key: Key::of(code).unwrap(), down }
    }

    fn size() -> Size {
        Size::new(800, 600)
    }

    #[test]
    fn keys_that_are_down_come_up_when_all_are_released_and_no_others() {
        let mut hands = Hands::default();
        hands.events(&key("ShiftLeft", true), size());
        hands.events(&key("ArrowUp", true), size());
        assert_eq!(hands.events(&key("KeyA", false), size()), []);
        let up = |flags, scan| Event::KeyboardEvent(KeyboardFlags::RELEASE | flags, scan);
        assert_eq!(
            hands.events(&Input::ReleaseAll, size()),
            [up(KeyboardFlags::EXTENDED, 0x48), up(KeyboardFlags::empty(), 0x2a)]
        );
        assert_eq!(hands.events(&Input::ReleaseAll, size()), []);
    }

    #[test]
    fn composed_text_is_told_in_utf_16_and_lines_end_with_the_key() {
        let mut hands = Hands::new(true);
        let unit = |flags, unit| Event::UnicodeKeyboardEvent(flags, unit);
        let (down, up) = (KeyboardFlags::empty(), KeyboardFlags::RELEASE);
        assert_eq!(
            hands.events(&Input::Text("𠮷\n".into()), size()),
            [
                unit(down, 0xd842),
                unit(down, 0xdfb7),
                unit(up, 0xd842),
                unit(up, 0xdfb7),
                Event::KeyboardEvent(down, 0x1c),
                Event::KeyboardEvent(up, 0x1c),
            ]
        );
        let mut hands = Hands::new(false);
        let key = |flags, scan| Event::KeyboardEvent(flags, scan);
        assert_eq!(
            hands.events(&Input::Text("漢A".into()), size()),
            [key(down, 0x2a), key(down, 0x1e), key(up, 0x1e), key(up, 0x2a)]
        );
    }

    #[test]
    fn the_wheel_scrolls_in_parts_of_notches_and_never_without_end() {
        let mut hands = Hands::default();
        let mut units = |dy| {
            let events = hands.events(&Input::Wheel { x: 9999, y: 1, dx: 0.0, dy }, size());
            let units = events.iter().map(|event| match event {
                Event::MouseEvent(pdu) if (pdu.x_position, pdu.y_position) == (799, 1) => {
                    pdu.number_of_wheel_rotation_units
                }
                other => panic!("{other:?}"),
            });
            units.collect::<Vec<_>>()
        };
        assert_eq!(units(0.5), [-60]);
        assert_eq!(units(-2.0), [120, 120]);
        assert!(units(f32::INFINITY).is_empty());
        assert_eq!(units(1e30).len(), 20);
    }
}
