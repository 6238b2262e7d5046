//! The `api-version` query parameter: a date, perhaps with a preview suffix (research 09 §2.2).

use std::fmt;

use crate::{ArmError, TypeName};

/// The api-versions of `Microsoft.Network` that stock clients send, newest first. One client sends the same to all of its
/// types, whichever crate serves them.
pub const NETWORK_VERSIONS: &[&str] = &[
    "2026-03-01",
    "2025-09-01",
    "2025-07-01",
    "2025-05-01",
    "2025-03-01",
    "2024-10-01",
    "2024-07-01",
    "2024-05-01",
    "2024-03-01",
    "2024-01-01",
    "2023-11-01",
    "2022-01-01",
    "2021-08-01",
    "2015-06-15",
];

/// A well-formed api-version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiVersion(String);

impl ApiVersion {
    /// Parses `YYYY-MM-DD` with an optional `-preview`, `-alpha`, `-beta`, `-rc` or `-privatepreview`.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, suffix) = (text.get(..10)?, text.get(10..)?);
        let digits = date.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
        let suffixes = ["", "-preview", "-alpha", "-beta", "-rc", "-privatepreview"];
        (digits && suffixes.iter().any(|s| s.eq_ignore_ascii_case(suffix))).then(|| Self(text.to_owned()))
    }

    /// The date part, which orders versions.
    pub fn date(&self) -> &str {
        self.0.get(..10).unwrap_or("")
    }

    /// 400 `MissingApiVersionParameter`.
    pub fn missing() -> ArmError {
        ArmError::bad(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    }

    /// Checks the version against those a type lists, newest first: any date between the oldest and the newest is
    /// served, because clients of one type send many and the answer has one shape.
    ///
    /// # Errors
    /// `NoRegisteredProviderFound` for a provider's type, `InvalidApiVersionParameter` for the core types.
    pub fn check(&self, served: &[&str], type_name: &TypeName, location: &str) -> Result<(), ArmError> {
        let oldest = served.last().and_then(|v| v.get(..10)).unwrap_or("");
        let newest = served.first().and_then(|v| v.get(..10)).unwrap_or("");
        if self.date() >= oldest && self.date() <= newest {
            return Ok(());
        }
        let list = served.join(", ");
        Err(if type_name.namespace.eq_ignore_ascii_case("Microsoft.Resources") {
            Self::invalid(&self.0, served)
        } else {
            ArmError::bad(
                "NoRegisteredProviderFound",
                format!(
                    "No registered resource provider found for location '{location}' and API version '{self}' for \
                     type '{}'. The supported api-versions are '{list}'. The supported locations are '{location}'.",
                    type_name.path
                ),
            )
        })
    }

    /// 400 `InvalidApiVersionParameter`.
    pub fn invalid(text: &str, served: &[&str]) -> ArmError {
        let shown: String = text.chars().take(40).collect();
        ArmError::bad(
            "InvalidApiVersionParameter",
            format!(
                "The api-version '{shown}' is invalid. The supported versions are '{}'.",
                served.join(",")
            ),
        )
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_with_known_suffixes_are_versions_and_nothing_else_is() {
        for good in ["2024-01-01", "2022-05-01-preview", "2015-06-01-PREVIEW", "2020-01-01-rc"] {
            assert!(ApiVersion::parse(good).is_some(), "{good}");
        }
        for bad in ["", "2024", "2024-1-01", "2024-01-01x", "２０２４-01-01", "2024-01-01-foo", "yyyy-mm-dd"]
        {
            assert!(ApiVersion::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_version_between_the_oldest_and_the_newest_is_served() {
        let t = TypeName::new("Microsoft.Network", "networkSecurityGroups");
        let served = ["2026-03-01", "2024-01-01", "2022-01-01"];
        let check = |v: &str| ApiVersion::parse(v).unwrap().check(&served, &t, "home");
        assert!(check("2023-11-01").is_ok());
        assert_eq!(check("2099-01-01").unwrap_err().code, "NoRegisteredProviderFound");
        assert_eq!(check("2010-01-01").unwrap_err().code, "NoRegisteredProviderFound");
    }
}
