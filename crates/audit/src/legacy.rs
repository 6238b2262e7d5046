//! The chain that the log was before it became a tree: every entry named the hash of the one before it. Only what
//! brings an older database or backup up to date needs it, to see that nothing was touched until then.

use ring::digest::{Context, SHA256};

use crate::Hash;

/// What the first entry named as its predecessor.
pub const FIRST: Hash = Hash([0; 32]);

/// The hash of an entry that follows the one with the hash `previous`.
pub fn link(previous: &Hash, leaf: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0x00]);
    context.update(&previous.0);
    context.update(leaf);
    let mut out = [0u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Hash(out)
}
