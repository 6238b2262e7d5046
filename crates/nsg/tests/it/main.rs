//! The filter in a real kernel.
