//! How strange a sign-in looks, by rules that can be said in words: no score that nobody can explain.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::location::{Country, canonical};

/// How strange.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RiskLevel {
    /// Nothing was noticed.
    #[default]
    None,
    /// Something is new.
    Low,
    /// Several things are.
    Medium,
    /// It cannot be the same person, or somebody tried for long.
    High,
}

impl RiskLevel {
    /// Reads Graph's word.
    pub fn parse(text: &str) -> Option<RiskLevel> {
        match text {
            "none" => Some(RiskLevel::None),
            "low" => Some(RiskLevel::Low),
            "medium" => Some(RiskLevel::Medium),
            "high" => Some(RiskLevel::High),
            _ => None,
        }
    }
}

/// One thing that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RiskReason")]
pub enum Reason {
    /// Nobody has signed in with this browser before.
    NewDevice,
    /// The person has not come from around this address within [`MEMORY`].
    NewNetwork,
    /// The person has not come from this country within [`MEMORY`].
    NewCountry,
    /// Sign-ins failed shortly before.
    RecentFailures,
    /// The person has not signed in for [`UNUSED`].
    LongUnused,
    /// Two countries within [`TRAVEL`].
    ImpossibleTravel,
}

/// How far back sign-ins are looked at.
pub const MEMORY: Duration = Duration::days(60);
/// How long somebody must have been away to be remarkable.
pub const UNUSED: Duration = Duration::days(60);
/// Nobody crosses borders faster.
pub const TRAVEL: Duration = Duration::hours(1);
/// Failures within an hour that are worth a remark.
pub const FAILURES: u32 = 5;

/// What is known of an earlier sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// When.
    pub at: OffsetDateTime,
    /// From where.
    pub address: IpAddr,
    /// In which country, if that is known.
    pub country: Option<Country>,
}

/// A sign-in as it is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: OffsetDateTime,
    /// From where.
    pub address: IpAddr,
    /// In which country, if that is known.
    pub country: Option<Country>,
    /// Whether the person has signed in with this browser before.
    pub familiar_device: bool,
    /// Failed sign-ins by this name within the last hour.
    pub failures: u32,
}

/// A level with what led to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Risk {
    /// How strange.
    pub level: RiskLevel,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// Judges a sign-in by the person's earlier ones. The first sign-in of all is not strange: everything about it is new.
pub fn judge(attempt: &Attempt, earlier: &[Earlier]) -> Risk {
    let Some(last) = earlier.iter().max_by_key(|e| e.at) else { return Risk::default() };
    let recent: Vec<&Earlier> = earlier.iter().filter(|e| attempt.at - e.at <= MEMORY).collect();
    let mut reasons = Vec::new();
    let mut note = |holds: bool, reason: Reason| {
        if holds {
            reasons.push(reason);
        }
    };
    note(!attempt.familiar_device, Reason::NewDevice);
    note(!recent.iter().any(|e| near(e.address, attempt.address)), Reason::NewNetwork);
    let abroad = |e: &Earlier| e.country.zip(attempt.country).is_some_and(|(a, b)| a != b);
    let known_there = recent.iter().any(|e| e.country == attempt.country);
    note(attempt.country.is_some() && !known_there, Reason::NewCountry);
    note(attempt.failures >= FAILURES, Reason::RecentFailures);
    note(attempt.at - last.at > UNUSED, Reason::LongUnused);
    note(abroad(last) && attempt.at - last.at < TRAVEL, Reason::ImpossibleTravel);
    let level = match reasons.as_slice() {
        [] => RiskLevel::None,
        all if all.contains(&Reason::ImpossibleTravel) => RiskLevel::High,
        all if all.contains(&Reason::RecentFailures) && all.contains(&Reason::NewDevice) => RiskLevel::High,
        [_] => RiskLevel::Low,
        _ => RiskLevel::Medium,
    };
    Risk { level, reasons }
}

/// Whether two addresses are in the same /24 or /48.
fn near(a: IpAddr, b: IpAddr) -> bool {
    match (canonical(a), canonical(b)) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..3] == b.segments()[..3],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    fn earlier(ago: Duration, address: &str, country: &str) -> Earlier {
        Earlier { at: NOW - ago, address: address.parse().unwrap(), country: Country::parse(country) }
    }

    fn attempt(address: &str, country: &str, familiar: bool, failures: u32) -> Attempt {
        Attempt {
            at: NOW,
            address: address.parse().unwrap(),
            country: Country::parse(country),
            familiar_device: familiar,
            failures,
        }
    }

    #[test]
    fn each_level_can_be_explained() {
        use Reason::*;
        let usual = [earlier(Duration::hours(5), "192.0.2.7", "JP")];
        let cases: [(Attempt, &[Earlier], RiskLevel, &[Reason]); 9] = [
            (attempt("198.51.100.1", "DE", false, 9), &[], RiskLevel::None, &[]),
            (attempt("192.0.2.99", "JP", true, 0), &usual, RiskLevel::None, &[]),
            (attempt("192.0.2.7", "JP", false, 0), &usual, RiskLevel::Low, &[NewDevice]),
            (attempt("198.51.100.1", "JP", true, 4), &usual, RiskLevel::Low, &[NewNetwork]),
            (attempt("198.51.100.1", "JP", false, 0), &usual, RiskLevel::Medium, &[NewDevice, NewNetwork]),
            (attempt("192.0.2.7", "JP", false, 5), &usual, RiskLevel::High, &[NewDevice, RecentFailures]),
            (
                attempt("198.51.100.1", "DE", true, 0),
                &[earlier(Duration::minutes(59), "192.0.2.7", "JP")],
                RiskLevel::High,
                &[NewNetwork, NewCountry, ImpossibleTravel],
            ),
            (
                attempt("192.0.2.7", "JP", true, 0),
                &[earlier(Duration::days(61), "192.0.2.7", "JP")],
                RiskLevel::Medium,
                &[NewNetwork, NewCountry, LongUnused],
            ),
            (attempt("192.0.2.7", "", true, 0), &usual, RiskLevel::None, &[]),
        ];
        for (attempt, earlier, level, reasons) in cases {
            let risk = judge(&attempt, earlier);
            assert_eq!((risk.level, risk.reasons.as_slice()), (level, reasons), "{attempt:?}");
        }
    }
}
