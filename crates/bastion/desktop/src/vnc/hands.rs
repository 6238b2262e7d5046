//! What is done to the machine.

use tokio::sync::mpsc;

use super::server::Locks;
use super::{Shared, clipboard};
use crate::key::{Key, Keyboard, keysym_of};
use crate::line::Line;
use crate::pump::Note;
use crate::view::Command;
use crate::{Broken, Exit, Input, MAX_CLIPBOARD, Policy, Size};

/// So much does one turn of the wheel scroll at most, in notches.
const MOST_NOTCHES: f32 = 20.0;

pub(super) struct Hands {
    line: Line,
    shared: Shared,
    policy: Policy,
    keyboard: Keyboard,
    notes: mpsc::Sender<Note>,
    /// The keys that are down, with the keysym that they went down as.
    down: Vec<(Key, u32)>,
    /// Which lock keys are on here.
    locks: Option<Locks>,
    at: (u16, u16),
    buttons: u8,
    /// What of a notch has been turned.
    turned: (f32, f32),
}

impl Hands {
    pub(super) fn new(
        line: Line,
        shared: Shared,
        policy: Policy,
        keyboard: Keyboard,
        notes: mpsc::Sender<Note>,
    ) -> Hands {
        let (down, locks, at, buttons, turned) = (Vec::new(), None, (0, 0), 0, (0.0, 0.0));
        Hands { line, shared, policy, keyboard, notes, down, locks, at, buttons, turned }
    }

    /// Until the end is asked for.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<Exit, Broken> {
        loop {
            match commands.recv().await {
                Some(Command::End) => return Ok(Exit::Here),
                Some(Command::Resize(size)) => resize(&self.line, &self.shared, size)?,
                Some(Command::Input(input)) => self.input(input).await?,
                // Whoever looked is gone; but the machine is there until it or somebody else ends it.
                None => std::future::pending().await,
            }
        }
    }

    async fn input(&mut self, input: Input) -> Result<(), Broken> {
        if let Input::Clipboard(text) = input {
            return self.paste(text).await;
        }
        let _ = self.notes.send(Note::Input).await;
        match input {
            Input::Key { key, down } => self.key(key, down)?,
            Input::Text(text) => {
                for character in text.chars() {
                    let keysym = keysym_of(character);
                    self.line.say([keyed(keysym, true), keyed(keysym, false)].concat())?;
                }
            }
            Input::Pointer { x, y, buttons } => {
                self.at = (x, y);
                self.buttons = mask(buttons);
                self.point(self.buttons)?;
            }
            Input::Wheel { x, y, dx, dy } => {
                self.at = (x, y);
                self.wheel(dx, dy)?;
            }
            Input::Locks { caps, num, scroll } => self.locks(Locks { caps, num, scroll })?,
            Input::ReleaseAll => self.release_all()?,
            Input::CtrlAltDel => {
                let keys = ["ControlLeft", "AltLeft", "Delete"];
                for key in keys.into_iter().filter_map(Key::of) {
                    self.key(key, true)?;
                }
                for key in keys.into_iter().rev().filter_map(Key::of) {
                    self.key(key, false)?;
                }
            }
            Input::Clipboard(_) => {}
        }
        Ok(())
    }

    fn key(&mut self, key: Key, down: bool) -> Result<(), Broken> {
        let held = self.down.iter().position(|(held, _)| *held == key);
        let keysym = match (held, down) {
            // A key that repeats goes down again and again.
            (Some(at), true) => self.down[at].1,
            (Some(at), false) => self.down.swap_remove(at).1,
            (None, true) => {
                let shift = self.down.iter().any(|(key, _)| key.is_shift());
                let keysym = key.keysym(self.keyboard, shift, self.locks.is_some_and(|locks| locks.caps));
                self.down.push((key, keysym));
                keysym
            }
            (None, false) => return Ok(()),
        };
        if let Some(locks) = &mut self.locks {
            locks.caps ^= held.is_none() && key.code() == "CapsLock";
        }
        let say = if self.shared.lock().scan_codes {
            let mut say = vec![255, 0, 0, down.into()];
            say.extend(keysym.to_be_bytes());
            say.extend(key.qemu().to_be_bytes());
            say
        } else {
            keyed(keysym, down)
        };
        Ok(self.line.say(say)?)
    }

    fn point(&self, buttons: u8) -> Result<(), Broken> {
        let mut say = vec![5, buttons];
        say.extend(self.at.0.to_be_bytes());
        say.extend(self.at.1.to_be_bytes());
        Ok(self.line.say(say)?)
    }

    fn wheel(&mut self, dx: f32, dy: f32) -> Result<(), Broken> {
        let (right, down) = (notches(&mut self.turned.0, dx), notches(&mut self.turned.1, dy));
        for (notches, forth, back) in [(down, 1 << 4, 1 << 3), (right, 1 << 6, 1 << 5)] {
            let button = if notches > 0 { forth } else { back };
            for _ in 0..notches.abs() {
                self.point(self.buttons | button)?;
                self.point(self.buttons)?;
            }
        }
        Ok(())
    }

    /// What differs from what is on is pressed; of a machine that does not say what is on, what differs from before.
    fn locks(&mut self, locks: Locks) -> Result<(), Broken> {
        let known = self.shared.lock().locks.or(self.locks);
        self.locks = Some(locks);
        let Some(known) = known else { return Ok(()) };
        let differing = [
            ("CapsLock", known.caps != locks.caps),
            ("NumLock", known.num != locks.num),
            ("ScrollLock", known.scroll != locks.scroll),
        ];
        for (code, _) in differing.into_iter().filter(|(_, differs)| *differs) {
            if let Some(key) = Key::of(code) {
                self.key(key, true)?;
                self.key(key, false)?;
            }
        }
        // Pressing it turned what is remembered.
        self.locks = Some(locks);
        Ok(())
    }

    fn release_all(&mut self) -> Result<(), Broken> {
        while let Some((key, _)) = self.down.last().copied() {
            self.key(key, false)?;
        }
        if self.buttons != 0 {
            self.buttons = 0;
            self.point(0)?;
        }
        Ok(())
    }

    async fn paste(&mut self, text: String) -> Result<(), Broken> {
        if !self.policy.paste || text.len() > MAX_CLIPBOARD {
            return Ok(());
        }
        let chars = text.chars().count();
        let _ = self.notes.send(Note::Clipboard { into_machine: true, chars }).await;
        let utf8 = {
            let mut talk = self.shared.lock();
            talk.offered = Some(text.clone());
            talk.utf8
        };
        Ok(self.line.say(if utf8 { clipboard::notify(true) } else { clipboard::latin(&text) })?)
    }
}

/// A key by its keysym.
fn keyed(keysym: u32, down: bool) -> Vec<u8> {
    let mut say = vec![4, down.into(), 0, 0];
    say.extend(keysym.to_be_bytes());
    say
}

/// A browser's buttons as VNC numbers them: there the right one is the third, and the fourth to seventh are the wheel.
fn mask(buttons: u8) -> u8 {
    let bit = |browsers: u8, vncs: u8| if buttons & browsers != 0 { vncs } else { 0 };
    bit(1, 1) | bit(4, 2) | bit(2, 4) | bit(8, 1 << 7)
}

/// Whole notches of what has been turned.
fn notches(turned: &mut f32, by: f32) -> i32 {
    if by.is_finite() {
        *turned = (*turned + by).clamp(-MOST_NOTCHES, MOST_NOTCHES);
    }
    let whole = turned.trunc();
    *turned -= whole;
    whole as i32
}

/// Asks for another size, now or when it is known that it can be asked for.
pub(super) fn resize(line: &Line, shared: &Shared, size: Size) -> Result<(), Broken> {
    let screen = {
        let mut talk = shared.lock();
        match talk.screen {
            None => {
                talk.wanted = Some(size);
                return Ok(());
            }
            Some(_) if talk.size == size => return Ok(()),
            Some(screen) => screen,
        }
    };
    let (width, height) = (size.width().to_be_bytes(), size.height().to_be_bytes());
    let mut say = vec![251, 0];
    say.extend([width, height].concat());
    say.extend([1, 0]);
    say.extend(screen.to_be_bytes());
    say.extend([0; 4]);
    say.extend([width, height].concat());
    say.extend([0; 4]);
    Ok(line.say(say)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_and_notches_are_what_vnc_has_for_them() {
        assert_eq!([1, 2, 4, 8, 16, 3].map(mask), [1, 4, 2, 0x80, 0, 5]);
        let mut turned = 0.0;
        assert_eq!([0.6, 0.6, -3.0].map(|by| notches(&mut turned, by)), [0, 1, -2]);
        assert_eq!(notches(&mut turned, f32::INFINITY), 0);
        assert_eq!(notches(&mut turned, 1e9), 20);
    }
}
