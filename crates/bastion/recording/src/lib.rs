//! Recordings of sessions, of terminals and of desktops, in a container of their own, `.skr`.
//!
//! A recording is a header and chunks of what happened ([`container`]). Each chunk of a terminal begins with what was on
//! the screen, and of a desktop there is all of the picture every ten seconds in which it changes, so that playing can begin
//! there; each has a hash that covers all before it; seals sign that hash with a key that
//! lives as long as the session and whose public half stands in the activity log from before the session's first byte. So
//! nobody can change, cut or replace a recording without its showing ([`verify`]), also not whoever has the server later.
//! [`export`] makes asciicast and text of one, [`window`] shows a part of it.
//!
//! What this crate must never do: read or write files, or take for whole what is not proved.

pub mod container;
pub mod export;
pub mod verify;
pub mod window;
