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

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that knows one network of IPv4, as the format's specification says (MaxMind DB 2.0).
    fn database(network: [u8; 4], prefix: u32, country: &str) -> Vec<u8> {
        const UINT16: u8 = 5 << 5;
        const UINT32: u8 = 6 << 5;
        let text = |out: &mut Vec<u8>, word: &str| {
            out.push(2 << 5 | u8::try_from(word.len()).unwrap());
            out.extend(word.as_bytes());
        };
        let map = |out: &mut Vec<u8>, entries: u8| out.push(7 << 5 | entries);
        let mut data = Vec::new();
        map(&mut data, 1);
        text(&mut data, "country");
        map(&mut data, 1);
        text(&mut data, "iso_code");
        text(&mut data, country);

        let bits = u32::from_be_bytes(network);
        let mut out = Vec::new();
        for depth in 0..prefix {
            let next = if depth + 1 == prefix { prefix + 16 } else { depth + 1 };
            let one = bits >> (31 - depth) & 1 == 1;
            let (left, right) = if one { (prefix, next) } else { (next, prefix) };
            out.extend([left, right].iter().flat_map(|record| record.to_be_bytes()[1..].to_vec()));
        }
        out.extend([0; 16]);
        out.extend(data);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        map(&mut out, 9);
        for (name, value) in [
            ("record_size", 24u16),
            ("ip_version", 4),
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
        ] {
            text(&mut out, name);
            out.push(UINT16 | 2);
            out.extend(value.to_be_bytes());
        }
        text(&mut out, "node_count");
        out.push(UINT32 | 4);
        out.extend(prefix.to_be_bytes());
        text(&mut out, "database_type");
        text(&mut out, "Test");
        text(&mut out, "languages");
        out.extend([0, 11 - 7]);
        text(&mut out, "build_epoch");
        out.extend([4, 9 - 7, 0, 0, 0, 1]);
        text(&mut out, "description");
        map(&mut out, 0);
        out
    }

    #[test]
    fn an_address_is_in_the_country_that_the_database_says_and_otherwise_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("countries.mmdb");
        std::fs::write(&path, database([192, 0, 2, 0], 24, "JP")).unwrap();
        let countries = Countries::open(Some(&path)).unwrap();
        let of = |address: &str| countries.of(address.parse().unwrap()).map(|c| c.to_string());
        assert_eq!(of("192.0.2.7").as_deref(), Some("JP"));
        assert_eq!(of("::ffff:192.0.2.7").as_deref(), Some("JP"));
        assert_eq!((of("192.0.3.7"), of("2001:db8::1")), (None, None));
        assert_eq!(Countries::open(None).unwrap().of("192.0.2.7".parse().unwrap()), None);

        std::fs::write(&path, "no database").unwrap();
        for path in [path, dir.path().join("missing.mmdb")] {
            let said = Countries::open(Some(&path)).err().unwrap().to_string();
            assert!(said.contains("country_database") && said.contains(".mmdb"), "{said}");
        }
    }
}
