//! Named locations: ranges of addresses, or countries (Graph's `ipNamedLocation` and `countryNamedLocation`).

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most ranges of one location (Entra: 2,000).
pub const MAX_RANGES: usize = 2000;
/// Most named locations (Entra: 195).
pub const MAX_LOCATIONS: usize = 195;

/// A country by its two letters (ISO 3166-1 alpha-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two letters.
    pub fn parse(text: &str) -> Option<Country> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Country([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }
}

impl TryFrom<String> for Country {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Country::parse(&text).ok_or_else(|| format!("'{text}' is not a country of two letters"))
    }
}

impl From<Country> for String {
    fn from(country: Country) -> String {
        country.to_string()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{}", *b as char))
    }
}

/// A named location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedLocation {
    /// Ranges of addresses.
    Ranges {
        /// Whether people believe in it.
        trusted: bool,
        /// The ranges.
        ranges: Vec<IpNet>,
    },
    /// Countries.
    Countries {
        /// The countries.
        countries: Vec<Country>,
        /// Whether an address whose country is not known is in it.
        unknown: bool,
    },
}

impl NamedLocation {
    fn contains(&self, address: IpAddr, country: Option<Country>) -> bool {
        match self {
            NamedLocation::Ranges { ranges, .. } => ranges.iter().any(|range| range.contains(&address)),
            NamedLocation::Countries { countries, unknown } => match country {
                Some(country) => countries.contains(&country),
                None => *unknown,
            },
        }
    }

    fn is_trusted(&self) -> bool {
        matches!(self, NamedLocation::Ranges { trusted: true, .. })
    }
}

/// All named locations by their ids.
#[derive(Debug, Clone, Default)]
pub struct Locations(HashMap<Uuid, NamedLocation>);

impl Locations {
    /// Of all that there are.
    pub fn new(all: impl IntoIterator<Item = (Uuid, NamedLocation)>) -> Locations {
        Locations(all.into_iter().collect())
    }

    /// Whether there is such a location.
    pub fn contains(&self, id: Uuid) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether an address is in a location; `None` when there is no such location.
    pub fn holds(&self, id: Uuid, address: IpAddr, country: Option<Country>) -> Option<bool> {
        self.0.get(&id).map(|location| location.contains(canonical(address), country))
    }

    /// Whether an address is in any location that people believe in.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.values().any(|l| l.is_trusted() && l.contains(canonical(address), None))
    }
}

/// An IPv4 address that came in the clothes of IPv6 is the IPv4 address.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Reads a range: an address with a prefix. Whole parts of the internet are no location (Entra: prefixes above 8).
///
/// # Errors
/// Why it is not one.
pub fn range(text: &str) -> Result<IpNet, String> {
    let net: IpNet =
        text.trim().parse().map_err(|_| format!("'{text}' is not a range such as 192.0.2.0/24"))?;
    if net.prefix_len() <= 8 {
        return Err(format!("'{text}' is too wide: its prefix must be longer than 8"));
    }
    Ok(net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_range_whatever_clothes_it_wears() {
        let id = Uuid::from_u128(1);
        let ranges = vec![range("192.0.2.77/24").unwrap(), range("2001:db8::/32").unwrap()];
        let all = Locations::new([(id, NamedLocation::Ranges { trusted: true, ranges })]);
        for (address, inside) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.1", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(all.holds(id, address, None), Some(inside), "{address}");
            assert_eq!(all.trusts(address), inside, "{address}");
        }
        assert_eq!(all.holds(Uuid::from_u128(2), "192.0.2.1".parse().unwrap(), None), None);
        for bad in ["10.0.0.0/8", "::/0", "192.0.2.1/33", "home"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_country_is_where_the_location_says() {
        let japan = Country::parse("jp").unwrap();
        let of = |unknown| NamedLocation::Countries { countries: vec![japan], unknown };
        let (with, without) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let all = Locations::new([(with, of(true)), (without, of(false))]);
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(all.holds(with, address, None), Some(true));
        assert_eq!(all.holds(without, address, None), Some(false));
        assert_eq!(all.holds(without, address, Some(japan)), Some(true));
        assert_eq!(all.holds(with, address, Country::parse("DE")), Some(false));
        assert_eq!((Country::parse("JPN"), Country::parse("日")), (None, None));
    }
}
