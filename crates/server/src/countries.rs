//! In which country an address is, by a database that the operator supplies (MaxMind's DB format, as GeoLite2-Country
//! and others have it). We ship none: such data is licensed to whoever asks for it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{Reader, path};
use sekisho_identity::conditional_access::{Country, location};

/// The database cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database of countries {0} cannot be read: {1}. Set 'country_database' to a .mmdb file, or leave it empty"
)]
pub struct CountriesError(PathBuf, String);

/// The database, if there is one.
pub(crate) struct Countries(Option<Reader<Vec<u8>>>);

impl Countries {
    /// Opens the database.
    ///
    /// # Errors
    /// [`CountriesError`].
    pub(crate) fn open(path: Option<&Path>) -> Result<Countries, CountriesError> {
        let open = |path: &Path| {
            Reader::open_readfile(path).map_err(|e| CountriesError(path.to_owned(), e.to_string()))
        };
        path.map(open).transpose().map(Countries)
    }

    /// In which country an address is, as far as is known.
    pub(crate) fn of(&self, address: IpAddr) -> Option<Country> {
        let found = self.0.as_ref()?.lookup(location::canonical(address)).ok()?;
        let code: Option<String> = found.decode_path(&path!["country", "iso_code"]).ok()?;
        Country::parse(&code?)
    }
}
