//! Something that many read and that is exchanged as a whole while they do: a certificate, the keys in use.

use std::sync::{Arc, PoisonError, RwLock};

/// What is in use at this moment.
#[derive(Debug)]
pub struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    /// Begins with this one.
    pub fn new(first: T) -> Current<T> {
        Current(RwLock::new(Arc::new(first)))
    }

    /// The one in use. Whoever holds it keeps it for as long as he likes.
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses another one from now on; returns the one before.
    pub fn put(&self, next: T) -> Arc<T> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, Arc::new(next))
    }
}
