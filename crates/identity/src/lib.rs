//! People and programs, and how they prove who they are.
//!
//! Everything here is a value or a function over values: [`person`] and [`service_principal`] say who exists;
//! [`passkey`], [`password`], [`totp`], [`recovery`] and [`assertion`] check one proof each; [`throttle`] slows guessing
//! down; [`session`], [`grant`] and [`token`] are what a proof is exchanged for; [`conditional_access`] says whether that
//! is enough; [`step_up`] binds a proof to one operation; [`link`] and [`access_pass`] let
//! somebody in who has nothing to sign in with; and
//! [`oauth`] speaks the dialect of Microsoft Entra ID that `az` and the Azure SDKs expect (research 09 §1).
//! The server stores these values as documents and runs the ceremonies.
//!
//! Rules that hold everywhere in this crate:
//! - No I/O and no clock: the current time is an argument, named `now`.
//! - A secret leaves only once, as a [`Secret`], which has no readable `Debug` and is wiped from memory. What is stored
//!   is a [`Digest`] of 256 random bits, or an Argon2id hash of anything a person could have chosen.
//! - Secrets compare in constant time, and an unknown user costs as much work as a known one.
//! - Whatever must be used once (a challenge, a link, a recovery code, a TOTP step) is marked used by the same call
//!   that accepts it; the caller stores the change in the transaction that acts on it.

pub mod access_pass;
pub mod assertion;
pub mod conditional_access;
pub mod federation;
pub mod grant;
pub mod key_credential;
pub mod link;
pub mod oauth;
pub mod passkey;
pub mod password;
pub mod person;
pub mod recovery;
pub mod ring;
pub mod seal;
pub mod secret;
pub mod service_principal;
pub mod session;
mod slip;
pub mod step_up;
pub mod throttle;
pub mod token;
pub mod totp;

pub use person::Person;
pub use secret::{Digest, NoEntropy, Secret};
