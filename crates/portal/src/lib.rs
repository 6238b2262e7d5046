//! The built web portal as a table of files, compressed when the program was built.
//!
//! `build.rs` runs npm and fills the table; `server` serves it. This crate must never decide anything about HTTP:
//! headers, caching and the fallback to `index.html` are the server's.

/// One file of the portal.
#[derive(Debug)]
pub struct File {
    /// Its path below `/`, without a leading slash.
    pub path: &'static str,
    /// A strong ETag, quotes included.
    pub etag: &'static str,
    /// Its bytes.
    pub raw: &'static [u8],
    /// Its bytes in brotli, when that is smaller.
    pub brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// The file at a path below `/`.
pub fn find(path: &str) -> Option<&'static File> {
    FILES.binary_search_by(|f| f.path.cmp(path)).ok().map(|i| &FILES[i])
}
