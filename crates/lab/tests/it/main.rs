//! The lab against the real kernel.
